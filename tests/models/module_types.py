"""Tiny checkpoints with random weights, of every kind of module that sentence-transformers has."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask
from sentence_transformers.sentence_transformer import modules as dense
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer
from sentence_transformers.sparse_encoder import modules as sparse
from tiny_models import POSITIONS, MakeModel, tiny_tokenizer

PROMPTS = {"query": "ask ", "document": "tell ", "other": "say "}
WORDS = ["PAD", "the", "cat", "sat", "dog", "words", "zebras", "a", "ask", "tell"]
LETTERS = sorted(tiny_tokenizer().get_vocab(), key=tiny_tokenizer().get_vocab().get)
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


@dataclass(frozen=True)
class Kind:
    """A checkpoint: how its modules are made, its settings, whether our batches read it.

    `half`: whether it can be held to a bound in bfloat16; not where torch has no such operation, or where rounding
    decides which of almost equal weights are kept.
    """

    modules: Callable[[MakeModel], list[Any]]
    batched: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    half: bool = True


def encoder(tiny: MakeModel, kind: str = "bert", **settings: Any) -> Transformer:
    return Transformer(str(tiny(kind)), **settings)


def two_ways(tiny: MakeModel) -> list[Any]:
    """A network for queries and another one for documents."""
    routes = [
        [encoder(tiny), dense.Pooling(16, "cls")],
        [encoder(tiny, "roberta", max_seq_length=POSITIONS), dense.Pooling(16, "mean")],
    ]
    return [Router.for_query_document(*routes)]


def scaled_ways(tiny: MakeModel) -> list[Any]:
    """One network, a projection for queries of their own; both ways end with scaling."""
    shared = [encoder(tiny), dense.Pooling(16, "mean")]
    return [Router.for_query_document([*shared, Dense(16, 16), Normalize()], [*shared, Normalize()])]


def late_ways(tiny: MakeModel) -> list[Any]:
    """A projection for queries and one for documents, after one encoder."""
    return [encoder(tiny), dense.Pooling(16, "mean"), Router.for_query_document([Dense(16, 8)], [Dense(16, 8)])]


def named_ways(tiny: MakeModel) -> list[Any]:
    """Ways by older names, found by a mapping."""
    ways = {"asked": [encoder(tiny), dense.Pooling(16, "cls")], "told": [encoder(tiny), dense.Pooling(16, "max")]}
    mapping = {("query", None): "asked", ("document", None): "told"}
    return [dense.Asym(ways, default_route="told", route_mappings=mapping)]


def left_padded(tiny: MakeModel, kind: str) -> Transformer:
    return encoder(tiny, kind, processor_kwargs={"padding_side": "left"})


def chat(tiny: MakeModel, task: str = "feature-extraction") -> Transformer:
    """A language model whose texts are laid out by a template."""
    module = encoder(tiny, "decoder", transformer_task=task)
    module.tokenizer.chat_template = (
        "{% for part in messages %}{{ part['role'] }} is {{ part['content'] }} {% endfor %}"
    )
    how = {"method": "forward", "method_output_name": "last_hidden_state"}
    output = "token_embeddings"
    if task == "text-generation":
        how, output = how | {"method_output_name": "logits"}, "causal_logits"
    module.modality_config = {"text": how, "message": how | {"format": "flat"}}
    module.module_output_name = output
    module.input_formatter = type(module.input_formatter)(
        model_type="qwen3", message_format="flat", processor=module.processor
    )
    module.input_formatter.supported_modalities = ["text", "message"]
    return module


def words() -> dense.WordEmbeddings:
    table = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)
    return dense.WordEmbeddings(WhitespaceTokenizer(WORDS, stop_words=[], do_lower_case=True), table)


def table(tokenizer: Any) -> dense.StaticEmbedding:
    vectors = np.random.default_rng(0).normal(size=(len(tokenizer), 8)).astype(np.float32)
    return dense.StaticEmbedding(tokenizer.backend_tokenizer, embedding_weights=vectors)


def all_layers(tiny: MakeModel) -> Transformer:
    return encoder(tiny, config_kwargs={"output_hidden_states": True})


def pictures_too(tiny: MakeModel) -> dense.CLIPModel:
    return dense.CLIPModel(str(tiny("clip")), max_seq_length=POSITIONS)


EMBEDDERS: dict[str, Kind] = {
    "mean": Kind(lambda tiny: [encoder(tiny), dense.Pooling(16, "mean")]),
    "scaled": Kind(lambda tiny: [encoder(tiny), dense.Pooling(16, "cls"), Normalize()]),
    "all poolings": Kind(lambda tiny: [encoder(tiny), dense.Pooling(16, POOLINGS)]),
    "prompt not pooled": Kind(lambda tiny: [encoder(tiny), dense.Pooling(16, POOLINGS, include_prompt=False)]),
    "scaled in the middle": Kind(lambda tiny: [encoder(tiny), dense.Pooling(16, "mean"), Normalize(), Dense(16, 12)]),
    "steps": Kind(
        lambda tiny: [
            encoder(tiny), dense.Pooling(16, ("mean", "max", "cls")), dense.Dropout(0.5),
            Dense(48, 12, use_residual=True), dense.LayerNorm(12), Normalize(),
        ]
    ),
    "cut": Kind(lambda tiny: [encoder(tiny), dense.Pooling(16, "mean")], settings={"truncate_dim": 5}),
    "scaled and cut": Kind(
        lambda tiny: [encoder(tiny), dense.Pooling(16, "mean"), Normalize()],
        settings={"truncate_dim": 5, "similarity_fn_name": "dot"},
    ),
    "cut to more than there is": Kind(
        lambda tiny: [encoder(tiny), dense.Pooling(16, "mean")], settings={"truncate_dim": 99}
    ),
    "short and lower case": Kind(
        lambda tiny: [encoder(tiny, max_seq_length=7, do_lower_case=True), dense.Pooling(16, "mean")]
    ),
    "lengths by role": Kind(
        lambda tiny: [encoder(tiny, query_length=5, document_length=9), dense.Pooling(16, "mean")]
    ),
    "a default prompt": Kind(
        lambda tiny: [encoder(tiny), dense.Pooling(16, "mean")], settings={"default_prompt_name": "other"}
    ),
    "only a default prompt": Kind(
        lambda tiny: [encoder(tiny), dense.Pooling(16, "mean")],
        settings={"prompts": {"other": "say "}, "default_prompt_name": "other"},
    ),
    "prompts by other names": Kind(
        lambda tiny: [encoder(tiny), dense.Pooling(16, "mean")],
        settings={"prompts": {"query": "ask ", "passage": "tell ", "corpus": "tell all "}},
    ),
    "relative positions, left padding": Kind(
        lambda tiny: [left_padded(tiny, "decoder"), dense.Pooling(16, "lasttoken")]
    ),
    "absolute positions, left padding": Kind(
        lambda tiny: [left_padded(tiny, "bert"), dense.Pooling(16, "mean")]
    ),
    "mixed along the text": Kind(
        lambda tiny: [encoder(tiny, "fnet"), dense.Pooling(16, "mean")], half=False
    ),
    "a chat": Kind(lambda tiny: [chat(tiny), dense.Pooling(16, "lasttoken")], batched=False),
    "a mean of layers": Kind(
        lambda tiny: [all_layers(tiny), dense.WeightedLayerPooling(16, 2, 1), dense.Pooling(16, "mean")],
        batched=False,
    ),
    "two ways": Kind(two_ways, batched=False),
    "scaled ways": Kind(scaled_ways, batched=False),
    "late ways": Kind(late_ways, batched=False),
    "named ways": Kind(named_ways, batched=False),
    "pictures too": Kind(lambda tiny: [pictures_too(tiny)], batched=False),
    "table": Kind(lambda tiny: [table(tiny_tokenizer())], batched=False),
    "counts": Kind(lambda tiny: [dense.BoW(WORDS, {"cat": 2.0})], batched=False),
    "words": Kind(lambda tiny: [words(), dense.Pooling(6, "mean")], batched=False),
    "weighed words": Kind(
        lambda tiny: [words(), dense.WordWeights(WORDS, {"cat": 3.0}, 0.5), dense.Pooling(6, "mean")], batched=False
    ),
    "weighed pieces": Kind(
        lambda tiny: [encoder(tiny), dense.WordWeights(LETTERS, {"c": 3.0}, 0.5), dense.Pooling(16, "mean")],
        batched=False,
    ),
    "convolutions": Kind(lambda tiny: [words(), dense.CNN(6, 4, [1, 3]), dense.Pooling(8, "max")], batched=False),
    "a recurrent network": Kind(lambda tiny: [words(), dense.LSTM(6, 4), dense.Pooling(8, "mean")], batched=False),
}  # fmt: skip


def masked(tiny: MakeModel) -> Transformer:
    return encoder(tiny, "masked", transformer_task="fill-mask")


def looked_up() -> sparse.SparseStaticEmbedding:
    return sparse.SparseStaticEmbedding(tiny_tokenizer(), torch.linspace(0.1, 2, len(tiny_tokenizer())))


SPARSE: dict[str, Kind] = {
    "splade": Kind(lambda tiny: [masked(tiny), sparse.SpladePooling("max")]),
    "sum": Kind(lambda tiny: [masked(tiny), sparse.SpladePooling("sum")]),
    "as it was saved before": Kind(
        lambda tiny: [sparse.MLMTransformer(str(tiny("masked"))), sparse.SpladePooling("max")]
    ),
    "cut": Kind(
        lambda tiny: [masked(tiny), sparse.SpladePooling("max")], settings={"max_active_dims": 5}, half=False
    ),
    "a sparse autoencoder": Kind(
        lambda tiny: [
            encoder(tiny), dense.Pooling(16, "mean"), Dense(16, 12), sparse.SparseAutoEncoder(12, 24, k=5, k_aux=8)
        ],
        batched=False,
        half=False,
    ),
    "queries by a table": Kind(
        lambda tiny: [
            sparse.Router.for_query_document([looked_up()], [masked(tiny), sparse.SpladePooling("max")])
        ],
        batched=False,
    ),
    "older names": Kind(
        lambda tiny: [
            sparse.Asym({"query": [looked_up()], "document": [masked(tiny), sparse.SpladePooling("max")]},
                        default_route="query")
        ],
        batched=False,
    ),
    "a table": Kind(lambda tiny: [looked_up()], batched=False),
}  # fmt: skip


def head(width: int = 16) -> list[Any]:
    last = Dense(width, 1, activation_function=torch.nn.Identity(), module_output_name="scores")
    return [Dense(16, width, activation_function=torch.nn.GELU()), last]


def classifier(tiny: MakeModel, **settings: Any) -> Transformer:
    return encoder(tiny, "one-label", transformer_task="sequence-classification", **settings)


def yes_or_no(tiny: MakeModel) -> list[Any]:
    return [chat(tiny, "text-generation"), LogitScore(true_token_id=7, false_token_id=9)]


RERANKERS: dict[str, Kind] = {
    "a classifier": Kind(lambda tiny: [classifier(tiny)], settings={"prompts": {}}),
    "a prompt": Kind(lambda tiny: [classifier(tiny)], settings={"default_prompt_name": "other"}),
    "prompts and no default": Kind(lambda tiny: [classifier(tiny)]),
    "short": Kind(lambda tiny: [classifier(tiny, max_seq_length=9)]),
    "a function that ties": Kind(lambda tiny: [classifier(tiny)], settings={"activation_fn": torch.nn.ReLU()}),
    "modules": Kind(lambda tiny: [encoder(tiny), dense.Pooling(16, "cls"), *head()]),
    "modules and a prompt": Kind(
        lambda tiny: [encoder(tiny), dense.Pooling(16, "mean"), Normalize(), *head(8)],
        settings={"default_prompt_name": "query"},
    ),
    "ways": Kind(
        lambda tiny: [Router({"text": [encoder(tiny), dense.Pooling(16, "cls"), *head()]}, default_route="text")],
        batched=False,
    ),
    "older ways": Kind(
        lambda tiny: [dense.Asym({"text": [classifier(tiny)]}, default_route="text")],
        batched=False,
    ),
    "yes or no": Kind(yes_or_no, batched=False, settings={"default_prompt_name": "other"}),
}  # fmt: skip


def token_vectors(tiny: MakeModel, **settings: Any) -> list[Any]:
    projection = Dense(
        16, 8, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings"
    )
    return [encoder(tiny, **settings), projection, MultiVectorMask(skiplist_words=["b"])]


MULTI_VECTOR: dict[str, Kind] = {
    "token vectors": Kind(lambda tiny: [*token_vectors(tiny), Normalize(module_input_name="token_embeddings")]),
    "mixed along the text": Kind(
        lambda tiny: [
            encoder(tiny, "fnet"), MultiVectorMask(), Normalize(module_input_name="token_embeddings"),
        ]
    ),
    "clusters": Kind(
        lambda tiny: [
            *token_vectors(tiny, document_length=20), Normalize(module_input_name="token_embeddings"),
            HierarchicalTokenPooling(2.0),
        ],
        batched=False,
    ),
    "clusters, mixed along the text": Kind(
        lambda tiny: [
            encoder(tiny, "fnet"), MultiVectorMask(), Normalize(module_input_name="token_embeddings"),
            HierarchicalTokenPooling(2.0),
        ],
        batched=False,
    ),
}  # fmt: skip

Made = Callable[[str, str], Path]
"""The folder of a kind of checkpoint, by class (dense, sparse, pairs, tokens) and name."""
CLASSES: dict[str, tuple[Any, dict[str, Kind]]] = {
    "dense": (SentenceTransformer, EMBEDDERS),
    "sparse": (SparseEncoder, SPARSE),
    "pairs": (CrossEncoder, RERANKERS),
    "tokens": (MultiVectorEncoder, MULTI_VECTOR),
}


def save(of: str, name: str, folder: Path, tiny: MakeModel) -> Path:
    """Save such a checkpoint, with its settings as given: the library writes prompts that nobody set."""
    torch.manual_seed(len(name))
    model_class, kinds = CLASSES[of]
    settings = {"prompts": PROMPTS} | kinds[name].settings
    cut = {"truncate_dim": settings.pop("truncate_dim")} if "truncate_dim" in settings else {}
    model_class(modules=kinds[name].modules(tiny), device="cpu", **settings).save(str(folder))
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": settings["prompts"]} | cut))
    return folder

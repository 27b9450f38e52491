"""Every kind of module that sentence-transformers has, against the library's own calls."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import write_retrieval_task
from module_types import EMBEDDERS, MULTI_VECTOR, RERANKERS, SPARSE, Kind, Made, encoder
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.cross_encoder import modules as of_pairs
from sentence_transformers.multi_vector_encoder import modules as of_tokens
from sentence_transformers.sentence_transformer import modules as of_texts
from sentence_transformers.sparse_encoder import modules as of_sparse
from tiny_models import MakeModel

import evalkit
from evalkit.compute import Compute
from evalkit.contracts import no_progress
from evalkit.errors import ModelNotFoundError
from evalkit.models import _sentence_model as sentence_model
from evalkit.models.registry import build, resolve
from evalkit.runner.grid.encoding import encode
from evalkit.search.exact import dense
from evalkit.store import Store
from evalkit.terms import ROLES

ENCODERS = {"query": "encode_query", "document": "encode_document", "sentence": "encode"}
TEXTS = [
    "the cat sat",
    "a",
    "Dog words zebras a cat",
    "words the dog sat the cat zebras " * 3,
    "the cat sat",
    "zebras",
]
NO_NETWORK = {"Module", "InputModule", "BaseTokenPooling"}
"""Classes that others are made from, and that are no step of a checkpoint."""
NOT_SAVED = {"LambdaTokenPooling"}
"""A function of a user's own, which the library refuses to save."""
ROUNDING = {"float32": 1e-5, "bfloat16": 0.05}
"""Of the longest vector. bfloat16 rounds at 1/256, some dozen times in a row, and our sums run in another order."""


def names(kinds: dict[str, Kind], tiny: MakeModel) -> Iterator[str]:
    """The classes of the modules of all kinds, of routes too, by each of a class's names."""
    for kind in kinds.values():
        for module in kind.modules(tiny):
            yield from _names(module)


def _names(module: Any) -> Iterator[str]:
    yield type(module).__name__
    if isinstance(module, of_texts.Router):
        yield "Asym"
        for steps in module.sub_modules.values():
            for step in steps:
                yield from _names(step)


@pytest.mark.parametrize(
    ("package", "kinds"),
    [(of_texts, EMBEDDERS), (of_sparse, SPARSE), (of_pairs, RERANKERS), (of_tokens, MULTI_VECTOR)],
    ids=["dense", "sparse", "pairs", "tokens"],
)
def test_every_module_of_the_library_is_tried(package: Any, kinds: dict[str, Kind], tiny: MakeModel):
    assert set(package.__all__) - NO_NETWORK - NOT_SAVED <= set(names(kinds, tiny))


def model_of(spec: str, dtype: str = "float32") -> Any:
    return build(resolve(spec), Compute(dtype=dtype))


@cache  # several tests read the same one, and making it takes longer than what they do with it
def library(model_class: Any, folder: Path, dtype: str) -> Any:
    model = model_class(str(folder), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    if model.transformers_model is not None:  # the library leaves what stands in routes as it was saved, and fails
        model.to(getattr(torch, dtype))
    return model


def close(ours: Any, theirs: Any, dtype: str = "float32") -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.ptp(theirs) > 0
    longest = np.abs(theirs).max() if theirs.ndim == 1 else np.linalg.norm(theirs, axis=1).max()
    apart = np.abs(ours - theirs).max()
    assert apart <= ROUNDING[dtype] * longest, (apart, longest)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name, kind in EMBEDDERS.items() for dtype in ("float32", "bfloat16")[: 1 + kind.half]],
)
def test_vectors_are_the_librarys(name: str, dtype: str, made: Made):
    folder = made("dense", name)
    model, peer = model_of(f"sbert:{folder}", dtype), library(SentenceTransformer, folder, dtype)
    for role in ROLES:
        close(model.encode(TEXTS, role), getattr(peer, ENCODERS[role])(TEXTS, batch_size=1), dtype)
    assert model._model.batched == EMBEDDERS[name].batched
    assert model.similarity == peer.similarity_fn_name


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_store_keeps_vectors_by_role_where_the_role_changes_them(name: str, made: Made, tmp_path: Path):
    folder = made("dense", name)
    peer = library(SentenceTransformer, folder, "float32")
    for _ in range(2):
        model = model_of(f"sbert:{folder}")
        for role in ROLES:
            stored = encode(model, "m", TEXTS, list("abcdef"), role, Store(tmp_path), no_progress)
            close(dense(stored[:]), getattr(peer, ENCODERS[role])(TEXTS, batch_size=1))
    assert "_model" not in vars(model)  # the second time nothing is loaded


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name, kind in SPARSE.items() for dtype in ("float32", "bfloat16")[: 1 + kind.half]],
)
def test_sparse_vectors_are_the_librarys(name: str, dtype: str, made: Made):
    folder = made("sparse", name)
    model, peer = model_of(f"splade:{folder}", dtype), library(SparseEncoder, folder, dtype)
    for role in ROLES:
        theirs = getattr(peer, ENCODERS[role])(TEXTS, batch_size=1).to_dense().float().numpy()
        close(model.encode(TEXTS, role).toarray(), theirs, dtype)
    assert model._model.batched == SPARSE[name].batched
    assert model.similarity == peer.similarity_fn_name


def test_padding_is_tried_once_and_not_with_each_query(made: Made, monkeypatch: pytest.MonkeyPatch):
    tried: list[object] = []
    real = sentence_model.padding_changes_nothing
    monkeypatch.setattr(sentence_model, "padding_changes_nothing", lambda *given: tried.append(given) or real(*given))
    for name in ("convolutions", "mean"):  # called by the library, and in our batches
        tried.clear()
        model = model_of(f"sbert:{made('dense', name)}")
        for text in TEXTS:
            model.encode([text], "query")
        assert len(tried) == 1


def pairs() -> tuple[list[str], list[str]]:
    return TEXTS, TEXTS[::-1]


def before_the_last(peer: CrossEncoder) -> Any:
    """The function that the checkpoint applies last, unless it is one that rises everywhere."""
    return None if isinstance(peer.activation_fn, torch.nn.ReLU) else torch.nn.Identity()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", RERANKERS)
def test_scores_are_the_librarys(name: str, dtype: str, made: Made):
    folder = made("pairs", name)
    reranker, peer = model_of(f"ce:{folder}", dtype), library(CrossEncoder, folder, dtype)
    theirs = peer.predict(list(zip(*pairs(), strict=True)), batch_size=1, activation_fn=before_the_last(peer))
    close(reranker.score(*pairs()), theirs, dtype)
    assert reranker._network.batched == RERANKERS[name].batched


@pytest.mark.parametrize("name", RERANKERS)
def test_the_order_is_that_of_predict_and_rank(name: str, made: Made):
    folder = made("pairs", name)
    scores = model_of(f"ce:{folder}").score([TEXTS[2]] * len(TEXTS), TEXTS)
    ranked = library(CrossEncoder, folder, "float32").rank(TEXTS[2], TEXTS)
    order = [entry["corpus_id"] for entry in ranked]
    assert np.all(np.diff(scores[order]) <= 1e-5)


@pytest.mark.parametrize("name", MULTI_VECTOR)
def test_matches_of_tokens_are_the_librarys(name: str, made: Made):
    folder = made("tokens", name)
    peer = library(MultiVectorEncoder, folder, "float32")
    queries = peer.encode_query(TEXTS, batch_size=1)
    theirs = peer.similarity(queries, peer.encode_document(TEXTS[::-1], batch_size=1)).diagonal()
    model = model_of(f"maxsim:{folder}")
    close(model.score(*pairs()), theirs)
    assert model._network.batched == MULTI_VECTOR[name].batched


@pytest.mark.parametrize(("of", "family", "kinds"), [("dense", "sbert", EMBEDDERS), ("sparse", "splade", SPARSE)])
def test_tokens_are_counted_of_every_kind(of: str, family: str, kinds: dict[str, Kind], made: Made):
    long = [*TEXTS, "the cat sat " * 40]
    for name in kinds:
        model = model_of(f"{family}:{made(of, name)}")
        for role in ROLES:
            counts = model.tokens(long, role)
            assert counts.dtype == np.int64
            assert counts[-1] > counts[0] > 0, name


@pytest.mark.parametrize("name", RERANKERS)
def test_tokens_of_pairs_are_counted(name: str, made: Made):
    folder = made("pairs", name)
    counts = model_of(f"ce:{folder}").pair_tokens(*pairs())
    peer = library(CrossEncoder, folder, "float32")
    reader = peer[0].sub_modules["text"][0] if isinstance(peer[0], of_texts.Router) else peer[0]
    reader.max_seq_length = 10_000
    prompt = peer.prompts.get(peer.default_prompt_name or "")
    features = [peer.preprocess([pair], prompt=prompt) for pair in zip(*pairs(), strict=True)]
    np.testing.assert_array_equal(counts, [int(read["attention_mask"].sum()) for read in features])


def test_routes_of_other_names_run_where_there_is_a_default(tiny: MakeModel, tmp_path: Path):
    routes = {side: [encoder(tiny), of_texts.Pooling(16, "mean")] for side in ("left", "right")}
    SentenceTransformer(modules=[Router(routes, default_route="left")]).save(str(tmp_path))
    model = build(resolve(f"sbert:{tmp_path}"), Compute())
    peer = SentenceTransformer(str(tmp_path))
    np.testing.assert_allclose(model.encode(TEXTS, "sentence"), peer.encode(TEXTS), atol=1e-5)
    with pytest.raises(ModelNotFoundError, match="has the routes left, right, and none for what is read as a query"):
        model.encode(TEXTS, "query")


@pytest.mark.parametrize("name", ["counts", "words"])
def test_a_text_without_a_known_word_is_a_zero_vector_and_is_reported(name: str, made: Made, tmp_path: Path):
    corpus = {"d1": "the cat sat", "d2": "猫", "d3": "a dog"}
    task = write_retrieval_task(
        tmp_path / "task", corpus, {"q1": "cat", "q2": "dog"}, {"q1": {"d1": 1}, "q2": {"d3": 1}}
    )
    spec = f"sbert:{made('dense', name)}?query_prompt=&document_prompt="
    results = evalkit.run(models=spec, tasks=task, no_store=True, top_k=1)
    assert not results.failures
    (cell,) = results.provenance["cells"]
    assert cell["texts_without_known_word"] == ["d2"]
    found = results.evidence.rankings
    assert set(found[found["query"] == "q1"]["document"]) == {"d1", "d3"}

"""`maxsim:` on late-interaction checkpoints, against sentence-transformers' own MultiVectorEncoder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from tiny_models import TEXTS, MakeModel, tiny_tokenizer

import evalkit
from evalkit.compute import Compute
from evalkit.contracts import Reranker, Retriever
from evalkit.errors import ConfigError
from evalkit.models import _batching as batching
from evalkit.models import _multi_vector as multi_vector
from evalkit.models import maxsim
from evalkit.models.cross_encoder import PairOptions
from evalkit.models.maxsim import MaxSim, load_maxsim
from evalkit.tasks import load_task

DOCUMENTS = [*TEXTS, "a bad cab", "sat the cat", "yaks and zebras"]
IDS = [f"d{number}" for number in range(len(DOCUMENTS))]
KINDS = ["library", "mean", "stanford", "pylate"]


def load(folder: Path, **options: object) -> MaxSim:
    return load_maxsim(str(folder), PairOptions(**options), Compute())


def peer(folder: Path) -> MultiVectorEncoder:
    return MultiVectorEncoder(str(folder), device="cpu")


def similarities(model: MultiVectorEncoder, queries: list[str], documents: list[str]) -> np.ndarray:
    return model.similarity(model.encode_query(queries), model.encode_document(documents)).double().numpy()


def saved(folder: Path, tiny: MakeModel, kind: str) -> Path:
    """A checkpoint with a projection to 8 dimensions, queries filled up to 12 tokens, and `b` never matched."""
    torch.manual_seed(1)
    transformer = Transformer(
        str(tiny("bert")),
        document_length=20,
        query_expansion={"strategy": "fixed", "attend": kind == "mean", "length": 12, "token": "[UNK]"},
    )
    dense = Dense(16, 8, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings")
    MultiVectorEncoder(
        modules=[
            transformer, dense, MultiVectorMask(skiplist_words=["b"]), Normalize(module_input_name="token_embeddings")
        ],
        prompts={"query": "ask ", "document": "tell "},
        similarity_fn_name="meanmaxsim" if kind == "mean" else None,
        device="cpu",
    ).save(str(folder))  # fmt: skip
    return folder


def stanford(folder: Path, tiny: MakeModel) -> Path:
    """As ColBERTv2 was published: the projection among the encoder's weights, settings in artifact.metadata."""
    torch.manual_seed(2)
    weights = {f"bert.{name}": value for name, value in load_file(tiny("bert") / "model.safetensors").items()}
    save_file(weights | {"linear.weight": torch.randn(8, 16)}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((tiny("bert") / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["HF_ColBERT"]}))
    (folder / "artifact.metadata").write_text(json.dumps({"query_maxlen": 10, "doc_maxlen": 16}))
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"mask_token": "[UNK]"})
    tokenizer.save_pretrained(folder)
    return folder


def pylate(folder: Path, tiny: MakeModel) -> Path:
    """As PyLate saves: an encoder and a projection, the rest in the settings."""
    saved(folder, tiny, "library")
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))
    transformer = json.loads((folder / "sentence_bert_config.json").read_text())
    for key in ("document_length", "query_expansion"):
        del transformer[key]
    (folder / "sentence_bert_config.json").write_text(json.dumps(transformer))
    settings = {
        "model_type": "ColBERT", "query_prefix": "q ", "document_prefix": "d ", "query_length": 9,
        "document_length": 15, "do_query_expansion": False, "skiplist_words": ["c"],
    }  # fmt: skip
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory: pytest.TempPathFactory, tiny: MakeModel) -> Path:
    made = tmp_path_factory.mktemp(request.param)
    if request.param in ("stanford", "pylate"):
        return {"stanford": stanford, "pylate": pylate}[request.param](made, tiny)
    return saved(made, tiny, request.param)


@pytest.fixture(scope="module")
def colbert(tmp_path_factory: pytest.TempPathFactory, tiny: MakeModel) -> Path:
    return saved(tmp_path_factory.mktemp("colbert"), tiny, "library")


def test_scores_are_the_librarys_similarities(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(batching.TOKENS_PER_BATCH, "cpu", 64)  # several batches even for a few texts
    expected = similarities(peer(folder), TEXTS, DOCUMENTS)
    pairs = [(query, document) for query in range(len(TEXTS)) for document in range(len(DOCUMENTS))]
    finished: list[int] = []
    found = load(folder).score([TEXTS[q] for q, _ in pairs], [DOCUMENTS[d] for _, d in pairs], finished.append)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected) > 0.1
    assert sum(finished) == len(pairs)


def test_search_finds_the_librarys_best_documents(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(maxsim, "DOCUMENTS_AT_ONCE", 3)
    monkeypatch.setattr(maxsim, "QUERIES_AT_ONCE", 4)
    expected = similarities(peer(folder), TEXTS, DOCUMENTS)
    finished: list[int] = []
    run = load(folder).fit(DOCUMENTS).search(TEXTS, IDS, 5, finished.append)
    np.testing.assert_allclose(run.scores, -np.sort(-expected, axis=1)[:, :5], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(expected, run.documents, 1), run.scores, rtol=1e-4, atol=1e-5)
    assert sum(finished) == len(DOCUMENTS)


def test_a_checkpoint_is_not_read_as_a_plain_encoder(folder: Path, tiny: MakeModel):
    """The projection counts: token vectors have its width, not the encoder's."""
    assert load(folder)._network.queries(["dog"])[0].shape[1] == 8
    assert load(tiny("bert"))._network.queries(["dog"])[0].shape == (5, 16)


def test_equal_documents_tie_and_the_higher_id_comes_first(colbert: Path):
    model = load(colbert).fit(["dog", "the cat sat", "dog", "dog"])
    run = model.search(["dog"], ["9", "1", "10", "b"], 4)
    order = [document for document in run.documents[0] if document != 1]
    assert order == [3, 0, 2]
    assert len(set(run.scores[0][run.documents[0] != 1])) == 1


def test_more_asked_for_than_there_is_and_nothing_asked(colbert: Path):
    model = load(colbert).fit(["dog", "cat"])
    assert model.search(["a", "b"], ["x", "y"], 7).documents.shape == (2, 2)
    assert model.search([], ["x", "y"], 7).documents.shape[0] == 0
    assert model.score([], []).shape == (0,)


def test_max_length_cuts_documents_and_leaves_queries(colbert: Path):
    model = peer(colbert)
    model[0].document_length = 7
    expected = similarities(model, TEXTS, DOCUMENTS)
    found = load(colbert, max_length=7).fit(DOCUMENTS).search(TEXTS, IDS, 3)
    np.testing.assert_allclose(found.scores, -np.sort(-expected, axis=1)[:, :3], rtol=1e-4)


def test_tokens_are_those_that_the_library_reads_up_to_the_limit(colbert: Path):
    documents = [*DOCUMENTS, "a bad cab and the cat that sat " * 3]
    read = peer(colbert).preprocess(documents, prompt=peer(colbert).prompts.get("document"), task="document")
    model = load(colbert)
    counts = model.tokens(documents, "document")
    np.testing.assert_array_equal(np.minimum(counts, model.max_tokens), read["attention_mask"].sum(dim=1).numpy())
    assert counts[-1] > model.max_tokens > counts[0]
    assert load(colbert, max_length=7).max_tokens == 7


def test_in_bfloat16_token_vectors_have_length_1(colbert: Path):
    network = load(colbert, dtype="bfloat16")._network
    assert network._model.dtype == torch.bfloat16
    for vectors in [*network.queries(["dog"]), *(vectors for _, vectors in network.documents(["dog"]))]:
        np.testing.assert_allclose(vectors.norm(dim=1), 1, atol=1e-6)


def test_it_keeps_both_contracts_and_needs_the_corpus_to_search(colbert: Path):
    model = load(colbert)
    assert isinstance(model, Retriever)
    assert isinstance(model, Reranker)
    with pytest.raises(ConfigError, match="maxsim has not seen a corpus yet"):
        model.search(["a"], ["x"], 1)
    with pytest.raises(ConfigError, match="maxsim was fitted on 1 documents, but got 2 document ids"):
        model.fit(["a"]).search(["a"], ["x", "y"], 1)


def test_settings_of_stanfords_colbert_are_part_of_its_identity(tmp_path: Path, tiny: MakeModel):
    folder = stanford(tmp_path, tiny)
    before = load(folder).identity
    (folder / "artifact.metadata").write_text(json.dumps({"query_maxlen": 8}))
    assert load(folder).identity != before


def test_a_grid_with_a_first_stage_and_a_reranker(colbert: Path, monkeypatch: pytest.MonkeyPatch):
    """The network is loaded once for both tasks; behind any first stage that fetches all, the order is its own."""
    loads = []
    monkeypatch.setattr(
        multi_vector, "MultiVector", lambda *given, made=multi_vector.MultiVector: loads.append(1) or made(*given)
    )
    spec, tasks = f"maxsim:{colbert}", ["rag-mini", "sts-mini"]
    given = {"tasks": tasks, "rerankers": spec, "max_queries": 12, "candidates": 360, "no_store": True}
    results = evalkit.run(models=[spec, "bow?ngrams=1"], **given)
    assert not results.failures
    assert len(loads) == 2  # as a first stage, and as a reranker
    scores = results.scores.set_index(["task", "model", "reranker", "metric"])["score"]
    task = load_task("rag-mini", max_queries=12)
    order = (
        load(colbert)
        .fit([document.content for document in task.corpus])
        .search([query.text for query in task.queries], [document.id for document in task.corpus], 5)
    )
    expected = similarities(
        peer(colbert), [query.text for query in task.queries], [document.content for document in task.corpus]
    )
    np.testing.assert_allclose(order.scores, -np.sort(-expected, axis=1)[:, :5], rtol=1e-4)
    hits = [
        any(task.qrels[query.id].get(task.corpus[row].id, 0) > 0 for row in rows)
        for query, rows in zip(task.queries, order.documents, strict=True)
    ]
    assert scores["rag-mini", spec, "none", "hit_rate@5"] == np.mean(hits)
    assert scores["rag-mini", spec, spec, "hit_rate@5"] == np.mean(hits)

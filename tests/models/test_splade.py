"""`splade:` against sentence-transformers' own SparseEncoder, on tiny random models."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.sparse import issparse
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from tiny_models import POSITIONS, TEXTS, MakeModel, tiny_tokenizer

import evalkit
from evalkit.compute import Compute
from evalkit.contracts import Setting
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models import _batching as batching
from evalkit.models.splade import Splade, SpladeOptions, load_splade
from evalkit.search.exact import search
from evalkit.tasks import load_task

PROMPTS = {"query": "ask ", "document": "tell "}
TEXTS = [*TEXTS, "a b c d e f"]


def load(folder: Path, **options: object) -> Splade:
    return load_splade(str(folder), SpladeOptions(**options), Compute())


def peer(folder: Path) -> SparseEncoder:
    return SparseEncoder(str(folder), device="cpu")


def dense(tensor) -> np.ndarray:
    return tensor.to_dense().numpy()


def saved(model: SparseEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sparse")
    model.save(str(folder))
    return folder


@pytest.fixture(scope="module", params=["splade", "inference-free", "masked language model", "few active"])
def folder(request, tmp_path_factory: pytest.TempPathFactory, tiny: MakeModel) -> Path:
    """SPLADE as saved by the library; with queries from a table of weights; as a bare language model; cut short."""
    if request.param == "masked language model":
        return tiny("masked")
    modules = [Transformer(str(tiny("masked")), transformer_task="fill-mask"), SpladePooling("max")]
    if request.param == "inference-free":
        weights = torch.linspace(0.1, 2, len(tiny_tokenizer()))
        table = SparseStaticEmbedding(tiny_tokenizer(), weights)
        modules = [
            Router.for_query_document(query_modules=[table], document_modules=modules, default_route="document")
        ]
    most = 5 if request.param == "few active" else None
    model = SparseEncoder(modules=modules, device="cpu", prompts=PROMPTS, max_active_dims=most)
    return saved(model, tmp_path_factory)


@pytest.mark.parametrize("role", ["query", "document", "sentence"])
def test_vectors_are_those_of_the_library(role: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(batching.TOKENS_PER_BATCH, "cpu", 64)  # several batches even for a few texts
    model = peer(folder)
    encode = {"query": model.encode_query, "document": model.encode_document, "sentence": model.encode}[role]
    finished: list[int] = []
    found = load(folder).encode(TEXTS, role, finished.append)
    assert issparse(found)
    assert (found.format, found.dtype) == ("csr", np.float32)
    np.testing.assert_allclose(found.toarray(), dense(encode(TEXTS)), atol=1e-5)
    assert np.array_equal(found.getnnz(axis=1), (dense(encode(TEXTS)) != 0).sum(axis=1))
    assert sum(finished) == len(TEXTS)


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory, tiny: MakeModel) -> Path:
    modules = [Transformer(str(tiny("masked")), transformer_task="fill-mask"), SpladePooling("max")]
    return saved(SparseEncoder(modules=modules, device="cpu", prompts=PROMPTS), tmp_path_factory)


def test_prompts_of_the_options_replace_those_of_the_checkpoint(splade: Path):
    found = load(splade, query_prompt="own ", document_prompt="")
    np.testing.assert_allclose(
        found.encode(TEXTS, "query").toarray(), dense(peer(splade).encode_query(TEXTS, prompt="own ")), atol=1e-5
    )
    np.testing.assert_allclose(
        found.encode(TEXTS, "document").toarray(), dense(peer(splade).encode_document(TEXTS, prompt="")), atol=1e-5
    )


def test_max_length_cuts_as_the_library_does(splade: Path):
    model = peer(splade)
    model.max_seq_length = 6
    found = load(splade, max_length=6).encode(TEXTS, "document")
    np.testing.assert_allclose(found.toarray(), dense(model.encode_document(TEXTS)), atol=1e-5)
    message = f"max_length={POSITIONS + 1} is more than the model's {POSITIONS} positions; lower it."
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        load(splade, max_length=POSITIONS + 1).encode(["a"], "query")


def test_no_texts(splade: Path):
    assert load(splade).encode([], "query").shape == (0, len(tiny_tokenizer()))


@pytest.mark.parametrize("kind", ["bert", "one-label"])
def test_a_model_that_would_get_an_untrained_layer_is_refused(kind: str, tiny: MakeModel):
    with pytest.raises(ModelNotFoundError, match=r"is no sparse encoder: .* Choose a SPLADE checkpoint"):
        load(tiny(kind))


def test_identity_holds_whatever_changes_vectors_or_their_comparison(splade: Path, tiny: MakeModel):
    options = [{}, {"max_length": 9}, {"dtype": "bfloat16"}, {"query_prompt": "x"}, {"similarity": "cosine"}]
    identities = [load(splade, **chosen).identity for chosen in options] + [load(tiny("masked")).identity]
    assert len({json.dumps(identity) for identity in identities}) == 6
    assert load(splade, query_prompt="ask ").identity == identities[0]
    assert load(splade).similarity == "dot"


def test_retrieval_scores_are_the_librarys_similarities(splade: Path):
    task = load_task("rag-mini", max_queries=40)
    questions, contents = [query.text for query in task.queries], [document.content for document in task.corpus]
    model = load(splade)
    run = search(
        model.encode(questions, "query"),
        model.encode(contents, "document"),
        [document.id for document in task.corpus],
        model.similarity,
        10,
    )
    library = peer(splade)
    scores = library.similarity(library.encode_query(questions), library.encode_document(contents)).numpy()
    np.testing.assert_allclose(run.scores, -np.sort(-scores, axis=1)[:, :10], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(scores, run.documents, 1), run.scores, rtol=1e-5)


def test_a_run_on_sts_and_retrieval_as_model_and_as_reranker(splade: Path):
    spec = f"splade:{splade}"
    results = evalkit.run(models=spec, tasks=["sts-mini", "rag-mini"], rerankers=spec, max_queries=40)
    assert not results.failures
    scores = results.scores.set_index(["task", "reranker", "metric"])["score"]
    task = load_task("sts-mini", max_queries=40)
    model = peer(splade)
    first, second = (model.encode(list(texts)) for texts in (task.sentences1, task.sentences2))
    expected = scipy.stats.spearmanr(model.similarity_pairwise(first, second), task.gold).statistic
    assert scores["sts-mini", "none", "spearman(dot)"] == pytest.approx(expected, abs=1e-6)
    assert scores["rag-mini", spec, "nDCG@5"] == scores["rag-mini", "none", "nDCG@5"] > 0


def test_the_pooling_of_a_plain_masked_model_is_said_as_it_is(tiny: MakeModel):
    settings = load(tiny("masked")).settings
    assert settings["pooling"] == Setting("SPLADE, max", "default")

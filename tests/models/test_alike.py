"""What a run says of a model that cannot tell the texts apart: unknown tokens, and scores that are all one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import FakeEmbedder, FakeReranker, retrieval_task, run, write_retrieval_task
from tiny_models import MakeModel
from transformers import BertModel

import evalkit
from evalkit.compute import Compute
from evalkit.contracts import CountsUnknown, no_progress
from evalkit.models.registry import build, resolve
from evalkit.reporting._tables import make_tables
from evalkit.runner.grid.plan import left_as_they_were, ranked_by_ids
from evalkit.search.ranking import id_ranks, rank
from evalkit.types import Run

SCRIPTS = {
    "Chinese": ["向量检索", "猫坐在垫子上", "你好 世界"],
    "Thai": ["สวัสดี", "แมวดำ ตัวหนึ่ง", "ค้นหา"],
    "Arabic": ["قطة سوداء", "مرحبا", "بحث دلالي"],
    "Latin, and another one": ["the cat", "猫 cat", "dog 狗"],
}
TOKENS = {"Chinese": (4, 4, 3), "Thai": (4, 4, 3), "Arabic": (5, 5, 3), "Latin, and another one": (14, 2, 0)}
"""Tokens of the three texts, unknown ones among them, texts of unknown ones alone. An unknown word is one token."""
FAMILIES = {"bert": "bert", "sbert": "bert", "splade": "masked", "maxsim": "bert"}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("family", [*FAMILIES, "ce"])
def test_tokens_that_the_tokenizer_does_not_know_are_counted(family: str, script: str, tiny: MakeModel) -> None:
    model = build(resolve(f"{family}:{tiny(FAMILIES.get(family, 'one-label'))}"), Compute())
    assert isinstance(model, CountsUnknown)
    tokens, unknown = model.unknown_tokens([*SCRIPTS[script], "", "cat"], "document")
    assert (tokens[:3].sum(), unknown[:3].sum(), (tokens == unknown)[:3].sum()) == TOKENS[script]
    assert (list(tokens[3:]), list(unknown[3:])) == ([0, 3], [0, 0])


def test_a_tokenizer_of_bytes_knows_everything(data_dir: Path) -> None:
    from tokenizers import ByteLevelBPETokenizer

    from evalkit.models._transformer import count_unknown

    assert count_unknown(ByteLevelBPETokenizer()._tokenizer, ["猫"]) is None


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A task in Chinese and Arabic, and a little Latin."""
    corpus = {"d1": "向量检索", "d2": "قطة سوداء", "d3": "你好", "d4": "the cat 猫", "d5": "dog"}
    queries = {"q1": "猫", "q2": "مرحبا", "q3": "a cat"}
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1}, "q3": {"d4": 1}}
    return write_retrieval_task(tmp_path_factory.mktemp("tasks") / "foreign", corpus, queries, qrels)


@pytest.mark.parametrize("family", FAMILIES)
def test_they_are_in_the_vocabulary_table(family: str, foreign: str, tiny: MakeModel, tmp_path: Path) -> None:
    """Of a model and of a reranker, once; from a full store too."""
    spec, reranker = f"{family}:{tiny(FAMILIES[family])}", f"ce:{tiny('one-label')}"
    given = {
        "models": [spec, "bow"],
        "rerankers": reranker,
        "tasks": foreign,
        "store": tmp_path / "store",
        "device": "cpu",
    }
    for _ in range(2):
        results = evalkit.run(**given)
        assert not results.failures
        (table,) = [table for table in make_tables(results) if table.title == "Vocabulary"]
        rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
        assert len(table.rows) == len(rows)
        for label in (spec, reranker):
            assert rows[label] == ["foreign (test)", f"{100 * 7 / 20:.1f} %", "5", "0"]
        (cell,) = [
            cell for cell in results.provenance["cells"] if cell["model"] == spec and cell["reranker"] == "none"
        ]
        assert cell["texts_without_known_word"] == ["d1", "d2", "d3", "q1", "q2"]
        assert cell["oov_rate"] == round(7 / 20, 6)


CORPUS = {"d1": "cat", "d2": "dog", "d3": "fish"}
COLLAPSED = dict.fromkeys((*CORPUS.values(), "meow", "bark"), (1.0, 0.0))
ALIKE = "The first 3 documents of {} of 2 queries have one score: their order is that of their ids, and "
ALIKE += "tells nothing of the model."


def notes_of(models, rerankers=None, depth=3, corpus=CORPUS):
    task = retrieval_task(corpus, {"q1": "meow", "q2": "bark"})
    outcome = run([task], models, rerankers, depth=depth, candidates=depth)
    assert not outcome.failures
    return {(cell.model, cell.reranker): facts.notes for cell, facts in outcome.facts.items()}


class Collapsed:
    """A retriever to which all documents are one."""

    def __init__(self):
        self.identity = {"a": "retriever"}

    def fit(self, texts):
        return self

    def search(self, queries, document_ids, depth, advance=no_progress):
        shape = len(queries), len(document_ids)
        rows = np.broadcast_to(np.arange(shape[1]), shape)
        return rank(rows, np.ones(shape), id_ranks(document_ids), depth)


@pytest.mark.parametrize(
    ("model", "alike"),
    [
        (FakeEmbedder(COLLAPSED, "cosine"), 2),
        (FakeEmbedder(COLLAPSED, "dot"), 2),
        (FakeEmbedder(COLLAPSED, "euclidean"), 2),
        (FakeEmbedder(COLLAPSED | {"cat": (1, 1e-7), "bark": (1.0, 1e-8)}, "cosine"), 2),
        (FakeEmbedder(COLLAPSED | {"cat": (0.0, 1.0)}, "dot"), 0),
        (FakeEmbedder({"cat": (1, 0), "dog": (0, 1), "fish": (1, 1), "meow": (1, 0.5), "bark": (0, 0.1)}, "dot"), 0),
        (Collapsed(), 2),
    ],
)
def test_a_model_to_which_all_documents_are_one_has_a_note(model, alike: int) -> None:
    found = notes_of({"m": model})["m", "none"]
    assert (ALIKE.format(alike) in found) == bool(alike)
    assert bool(alike) == any("one score" in note for note in found)


def test_words_that_no_document_has_apart_rank_none_of_them(tmp_path: Path) -> None:
    """Cosines of 0 with all documents, and one word in all of them."""
    corpus = {"d1": "cat sat", "d2": "cat ran", "d3": "cat hid"}
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1}}
    task = write_retrieval_task(tmp_path / "cats", corpus, {"q1": "cat", "q2": "cat ran"}, qrels)
    results = evalkit.run(models=["bm25", "tfidf", "bow"], tasks=task, top_k=2, no_store=True)
    for cell in results.provenance["cells"]:
        said = [note for note in cell.get("notes", ()) if "one score" in note]
        assert len(said) == 1
        assert said[0].startswith("The first 3 documents of 1 of 2 queries")
    (table,) = [table for table in make_tables(results) if table.title == "Notes"]
    assert any("of 1 of 2 queries have one score" in row[2].text for row in table.rows)


def test_a_single_result_cannot_tell() -> None:
    assert not any("one score" in note for note in notes_of({"m": FakeEmbedder(COLLAPSED)}, depth=1)["m", "none"])


def test_a_reranker_that_scores_all_alike_has_a_note() -> None:
    told = {"cat": (1, 0), "dog": (0, 1), "fish": (1, 1), "meow": (1, 0.5), "bark": (0.2, 0.1)}
    rerankers = {
        "same": FakeReranker(),
        "once": FakeReranker(lambda query, document: len(document) * (query == "meow")),
        "never": FakeReranker(lambda query, document: len(document) + (document == "dog") / 2),
        "last": FakeReranker(lambda query, document: -np.inf),
        "vectors": FakeEmbedder(COLLAPSED),
    }
    found = notes_of({"m": FakeEmbedder(told)}, rerankers)
    said = "All candidates of {} of 2 lists have one score: they keep the first stage's order."
    assert found["m", "same"] == found["m", "last"] == found["m", "vectors"] == (said.format(2),)
    assert found["m", "once"] == (said.format(1),)
    assert found["m", "never"] == ()


def test_nothing_found_is_not_of_one_score() -> None:
    nothing = Run(np.full((2, 3), -1), np.full((2, 3), np.nan))
    assert ranked_by_ids(nothing) == left_as_they_were([nothing]) == ()
    none = Run(np.empty((2, 0), dtype=np.int64), np.empty((2, 0)))
    assert ranked_by_ids(none) == left_as_they_were([none]) == ()


def test_a_collapsed_network_has_both(foreign: str, tiny: MakeModel, tmp_path: Path) -> None:
    """Its layers give zeros, so that the last bias is the vector of every text."""
    import shutil

    folder = shutil.copytree(tiny("bert"), tmp_path / "model")
    network = BertModel.from_pretrained(folder)
    with torch.no_grad():
        network.encoder.layer[-1].output.LayerNorm.weight.zero_()
        network.encoder.layer[-1].output.LayerNorm.bias.fill_(1)
    network.save_pretrained(folder)
    results = evalkit.run(models=f"bert:{folder}", tasks=foreign, top_k=3, no_store=True, device="cpu")
    (cell,) = results.provenance["cells"]
    assert any("documents of 3 of 3 queries have one score" in note for note in cell["notes"])

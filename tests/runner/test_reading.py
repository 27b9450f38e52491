"""What of texts is cut off is counted, said below the tables and kept, and run.json says how models are run."""

import json

import numpy as np
import pytest

import evalkit
from evalkit.reporting._tables import make_tables
from evalkit.runner.grid.truncation import MOST_COUNTED, read_documents, read_pairs, read_texts, sampled
from evalkit.tasks.kinds import kind_of
from evalkit.types import Document, Query, RetrievalTask, StsTask

LIMIT = 4


class Words:
    """An embedder that reads the first words of a text."""

    similarity = "cosine"
    max_tokens = LIMIT

    def __init__(self):
        self.identity = {"model": "words", "limit": LIMIT}

    def encode(self, texts, role, advance=lambda finished: None):
        return np.array([[len(text.split()[:LIMIT]), 1 + text.count("e")] for text in texts], dtype=np.float32)

    def tokens(self, texts, role):
        return np.array([len(text.split()) for text in texts], dtype=np.int64)


class PairWords:
    """A reranker that reads the first words of a pair."""

    max_tokens = LIMIT

    def __init__(self):
        self.identity = {"model": "pair words"}

    def score(self, queries, documents, advance=lambda finished: None):
        pairs = zip(queries, documents, strict=True)
        return np.array([len({*query.split()} & {*text.split()}) for query, text in pairs], dtype=np.float64)

    def pair_tokens(self, queries, documents):
        return np.array([len(f"{q} {d}".split()) for q, d in zip(queries, documents, strict=True)], dtype=np.int64)


def retrieval_task():
    texts = {
        "short": "one two",
        "limit": "one two three four",
        "long": "one two three four five",
        "longer": "a b c d e f",
    }
    corpus = tuple(Document(name, text) for name, text in texts.items())
    qrels = {"q1": {"long": 1.0, "limit": 1.0}, "q2": {"short": 2.0, "longer": 0.0}}
    return RetrievalTask(
        "lengths", "test", corpus, (Query("q1", "one"), Query("q2", "two")), qrels, content_hash="hash"
    )


def test_documents_that_are_longer_than_the_limit_are_counted():
    reading = read_documents(Words(), retrieval_task())
    assert (reading.limit, reading.counted, reading.largest, reading.truncated) == (4, 4, 6, 0.5)
    assert reading.relevant == 3  # the document with grade 0 is none
    assert reading.cut == (("q1", "long"),)


def test_pairs_are_counted_together():
    reading = read_pairs(PairWords(), retrieval_task(), [("one", "one two"), ("one", "one two three four")])
    assert (reading.counted, reading.truncated) == (2, 0.5)
    assert reading.cut == (("q1", "long"), ("q1", "limit"))


def test_sentences_are_counted_once_each():
    task = StsTask("pairs", "test", ("a b", "a b"), ("a b c d e", "a"), np.array([1.0, 2.0]), content_hash="hash")
    reading = read_texts(Words(), kind_of(task).texts(task))
    assert (reading.counted, reading.truncated, reading.relevant) == (3, pytest.approx(1 / 3), 0)
    assert reading.notes("sentences") == (
        "It reads 4 tokens and cuts off the rest. Longer: 1 of 3 sentences (up to 5 tokens).",
    )


@pytest.mark.parametrize("model", [object(), evalkit])
def test_a_model_that_counts_no_tokens_has_no_reading(model):
    assert read_documents(model, retrieval_task()) is None
    assert read_pairs(model, retrieval_task(), []) is None


def test_large_corpora_are_sampled_always_the_same():
    rows = sampled(3 * MOST_COUNTED)
    assert len(set(rows.tolist())) == MOST_COUNTED
    assert (np.diff(rows) > 0).all()
    assert (rows == sampled(3 * MOST_COUNTED)).all()
    assert sampled(3).tolist() == [0, 1, 2]


def write_task(folder, long):
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {"_id": "reset", "text": "hold the button " + "and wait " * long},
        {"_id": "clean", "text": "a cloth"},
    ]
    queries = [{"_id": "q1", "text": "which button"}, {"_id": "q2", "text": "cloth for cleaning"}]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\treset\t1\nq2\tclean\t1\n")
    return folder


def notes(results):
    tables = [table for table in make_tables(results) if table.title == "Notes"]
    return {row[0].text: row[2].text for table in tables for row in table.rows}


def test_a_run_says_what_is_cut_and_not_what_is_not(tmp_path):
    long, short = (write_task(tmp_path / name, words) for name, words in (("long", 9), ("short", 0)))
    given = {
        "models": [("mine", Words()), "bm25"],
        "rerankers": [("pairs", PairWords())],
        "device": "cpu",
        "top_k": 1,
    }
    cut = evalkit.run(tasks=str(long), no_store=True, **given)
    assert notes(cut) == {
        "mine": "It reads 4 tokens and cuts off the rest. Longer: 1 of 2 documents (up to 21 tokens), "
        "1 of 2 relevant ones.",
        "pairs": "It reads 4 tokens and cuts off the rest. Longer: 3 of 4 pairs (up to 24 tokens), "
        "2 of 2 relevant ones.",
    }
    cell = next(cell for cell in cut.provenance["cells"] if cell["model"] == "mine" and cell["reranker"] == "none")
    assert cell["reading"]["limit"] == 4
    assert cell["reading"]["cut"] == 1
    whole = evalkit.run(tasks=str(short), no_store=True, **{**given, "rerankers": []})
    assert notes(whole) == {}


def test_run_json_says_how_each_model_is_run(tmp_path):
    task = write_task(tmp_path / "task", 0)
    results = evalkit.run(models=["tfidf?ngrams=2", "bm25"], tasks=str(task), no_store=True, device="cpu", top_k=1)
    settings = results.provenance["settings"]
    assert settings["tfidf?ngrams=2"]["ngrams"] == {"value": 2, "from": "option"}
    assert settings["tfidf?ngrams=2"]["similarity"] == {"value": "cosine", "from": "default"}
    assert settings["tfidf?ngrams=2"]["dimension"]["value"] > 5
    assert settings["bm25"]["k1"] == {"value": 1.5, "from": "default"}

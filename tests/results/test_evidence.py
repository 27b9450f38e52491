"""What is kept beside the scores: rankings, judgements and texts, by hand and against the grid's own outcome."""

import json
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from fakes import FakeEmbedder, FakeReranker, retrieval_task, run, sts_task, write_tasks

import evalkit
from evalkit.results import Results
from evalkit.results.records import EVIDENCE_COLUMNS, Evidence
from evalkit.runner.records import make_evidence
from evalkit.types import Query

VECTORS = {"cat": (1, 0), "dog": (0.5, 0.6), "fish": (0, 1), "cats": (1, 0.1), "sea": (0.1, 1)}
CORPUS = {"c": "cat", "d": "dog", "f": "fish"}


@pytest.fixture(scope="module")
def task():
    return retrieval_task(CORPUS, {"q1": "cats", "q2": "sea"}, {"q1": {"c": 2, "d": 0}, "q2": {"f": 1, "gone": 1}})


@pytest.fixture(scope="module")
def evidence(task):
    other = retrieval_task({"x": "sea"}, {"q1": "fish"}, name="other")
    pairs = sts_task([("cat", "dog", 1), ("cat", "cats", 5), ("sea", "fish", 3)])
    reranker = FakeReranker(lambda query, document: -len(document))
    outcome = run([task, other, pairs], {"m": FakeEmbedder(VECTORS)}, {"short": reranker}, candidates=2, depth=3)
    return make_evidence(outcome, [task, other, pairs], 1)


def test_rankings_by_hand(evidence):
    of_task = evidence.rankings[evidence.rankings["task"] == "pets"]
    listed = of_task.groupby(["reranker", "query"], observed=True)["document"].agg(list).to_dict()
    # The reranker prefers short texts, and leaves "cat" before "dog", as the first stage has them.
    assert listed == {
        ("none", "q1"): ["c", "d", "f"],
        ("none", "q2"): ["f", "d", "c"],
        ("short", "q1"): ["c", "d"],
        ("short", "q2"): ["d", "f"],
    }
    first = of_task[(of_task["reranker"] == "none") & (of_task["query"] == "q1")]
    assert list(first["rank"]) == [1, 2, 3]
    np.testing.assert_allclose(first["score"], [1, 0.56, 0.1], atol=1e-6)
    assert isinstance(evidence.rankings["document"].dtype, pd.CategoricalDtype)


def test_first_relevant_documents_are_told_however_deep(task):
    """15 documents are ranked, of which 10 are kept."""
    names = [f"d{number:02}" for number in range(20)]
    vectors = {name: (20 - number, 0) for number, name in enumerate(names)} | {"q": (1, 0)}
    qrels = {"q1": {"d12": 1, "d14": 1}, "q2": {"d16": 1, "d00": 0}}
    deep = retrieval_task(dict(zip(names, names, strict=True)), {"q1": "q", "q2": "q"}, qrels)
    last_first = FakeReranker(lambda query, document: int(document[1:]))
    found = make_evidence(run([deep], {"m": FakeEmbedder(vectors)}, {"r": last_first}, candidates=15), [deep], 5)
    assert found.rankings["rank"].max() == 10
    ranks = found.first_relevant.set_index(["reranker", "query"])["rank"]
    assert ranks.to_dict() == {
        ("none", "q1"): 13, ("none", "q2"): pytest.approx(np.nan, nan_ok=True),
        ("r", "q1"): 1, ("r", "q2"): pytest.approx(np.nan, nan_ok=True),
    }  # fmt: skip


def test_a_task_has_its_own_queries_and_documents(evidence):
    other = evidence.documents[evidence.documents["task"] == "other"]
    assert list(other["document"]) == ["x"]
    assert list(evidence.queries["text"]) == ["cats", "sea", "fish"]


def test_judgements_are_grades_above_0(evidence):
    judged = evidence.judgements[evidence.judgements["task"] == "pets"]
    assert list(judged[["query", "document", "grade"]].itertuples(index=False, name=None)) == [
        ("q1", "c", 2.0),
        ("q2", "f", 1.0),
        ("q2", "gone", 1.0),
    ]


def test_sentences_of_sts(evidence):
    assert list(evidence.items["second"]) == ["dog", "cats", "fish"]
    assert list(evidence.items["id"]) == ["0", "1", "2"]


def test_documents_are_those_ranked_or_relevant():
    corpus = {str(number): f"text {number}" for number in range(30)}
    vectors = {text: (1, -number) for number, text in enumerate(corpus.values())} | {"ask": (1, 1)}
    task = retrieval_task(corpus, {"q": "ask"}, {"q": {"29": 1}})
    outcome = run([task], {"m": FakeEmbedder(vectors)}, depth=30)
    assert set(make_evidence(outcome, [task], 3).documents["document"]) == {*map(str, range(10)), "29"}
    assert set(make_evidence(outcome, [task], 12).documents["document"]) == {*map(str, range(12)), "29"}


def test_tags_are_json():
    task = retrieval_task(CORPUS, {"q": "cats"})
    tagged = type(task)(**{**vars(task), "queries": (Query("q", "cats", {"language": "fran\u00e7ais"}),)})
    evidence = make_evidence(run([tagged], {"m": FakeEmbedder(VECTORS)}), [tagged], 1)
    assert json.loads(evidence.queries.loc[0, "tags"]) == {"language": "fran\u00e7ais"}


def test_read_gives_what_was_written(evidence, tmp_path):
    evidence.write(tmp_path / "evidence")
    read = Evidence.read(tmp_path / "evidence")
    for each in fields(Evidence):
        pd.testing.assert_frame_equal(getattr(read, each.name), getattr(evidence, each.name), check_dtype=False)
        assert list(getattr(read, each.name)) == EVIDENCE_COLUMNS[each.name]


def test_a_run_keeps_its_evidence_and_scores_do_without(tmp_path):
    pets, pairs = write_tasks(tmp_path)
    computed = evalkit.run(models="bm25,tfidf", tasks=[pets, pairs], rerankers="bm25", top_k=3, out=tmp_path / "run")
    read = Results.read(tmp_path / "run")
    assert len(read.evidence.rankings) == len(computed.evidence.rankings) > 0
    # The best document of each query, by the evidence, is what hit_rate@3 saw.
    relevant = read.evidence.rankings.merge(read.evidence.judgements, on=["task", "split", "query", "document"])
    hits = relevant[relevant["rank"] <= 3].groupby(["model", "reranker"], observed=True)["query"].nunique()
    scores = read.scores[read.scores["metric"] == "hit_rate@3"].set_index(["model", "reranker"])
    for cell, hit in hits.items():
        assert scores.loc[cell, "score"] == pytest.approx(hit / 3)
    for file in (tmp_path / "run" / "evidence").iterdir():
        file.unlink()
    (tmp_path / "run" / "evidence").rmdir()
    without = Results.read(tmp_path / "run")
    assert without.evidence.rankings.empty
    pd.testing.assert_frame_equal(without.scores, read.scores)

"""Where misses come from: faults planted in real data, counted again by plain loops; and each part by hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import FakeEmbedder, retrieval_task, run, sts_task

import evalkit
from evalkit.compute import Compute
from evalkit.errors import ConfigError
from evalkit.metrics.metric import of_rankings
from evalkit.models.registry import build, resolve
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import Participants, choose
from evalkit.reporting.measurements import loss_tables
from evalkit.reporting.table import to_markdown
from evalkit.results import Results
from evalkit.results.misses import PARTS, attribute
from evalkit.results.records import Evidence
from evalkit.runner.context import RunContext
from evalkit.runner.measure import Limits, measure
from evalkit.runner.records import make_evidence, make_gold, make_records
from evalkit.tasks import load_task
from evalkit.tasks.reference import bundled_tasks

K, CANDIDATES = 3, 8
MODELS = ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2?max_length=16", "all-MiniLM-L6-v2?max_length=90")


class Inverts:
    """Puts the last candidate first."""

    identity = {"fault": "inverts"}  # noqa: RUF012

    def rerank(self, query, documents, scores):
        return np.argsort(scores, kind="stable")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> Path:
    """The first documents of rag-mini and the queries that they answer, but every fourth document is gone."""
    folder = tmp_path_factory.mktemp("faulty") / "rag"
    shutil.copytree(bundled_tasks() / "rag-mini", folder)
    (folder / "task.yaml").unlink()
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[:80]
    first = {json.loads(line)["_id"] for line in lines}
    kept = [line for row, line in enumerate(lines) if row % 4]
    (folder / "corpus.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    qrels = folder / "qrels" / "test.tsv"
    header, *judgements = qrels.read_text(encoding="utf-8").splitlines()
    asked = {line.split("\t")[0] for line in judgements if line.split("\t")[1] in first}
    qrels.write_text("\n".join([header, *(line for line in judgements if line.split("\t")[0] in asked)]) + "\n")
    return folder


@pytest.fixture(scope="module")
def results(faulty) -> Results:
    with pytest.warns(UserWarning, match="judgement of an absent document"):
        found = evalkit.run(
            models=list(MODELS), rerankers=[("inverts", Inverts())], tasks=str(faulty), on_bad_data="warn",
            top_k=K, candidates=CANDIDATES, max_queries=50, device="cpu",
        )  # fmt: skip
    assert found.failures == []
    return found


@pytest.fixture(scope="module")
def task(faulty):
    with pytest.warns(UserWarning, match="judgement of an absent document"):
        return load_task(str(faulty), on_bad_data="warn", max_queries=50)


@pytest.fixture(scope="module")
def measured(results, task) -> Results:
    """The models are handed over as objects, so that they are measured in this process."""
    models = choose([ModelRef.from_object(name, build(resolve(name), Compute())) for name in MODELS], {"embedder"})
    rerankers = choose([ModelRef.from_object("inverts", Inverts())], {"reranker"})
    found = measure(
        [task], Participants(models, rerankers), candidates=CANDIDATES, context=RunContext(), limits=Limits(3, 0.1)
    )
    assert set(found.cells["note"]) == {""}
    return replace(results, measurements=found)


@pytest.fixture(scope="module")
def ranked(task) -> dict[str, dict[str, list[str]]]:
    """By model, each query's candidates by cosine, one pair at a time."""
    return {spec: candidates(task, build(resolve(spec), Compute())) for spec in MODELS}


def candidates(task, model) -> dict[str, list[str]]:
    corpus = model.encode([document.content for document in task.corpus], "document").astype(float)
    queries = model.encode([query.text for query in task.queries], "query").astype(float)
    found = {}
    for query, a in zip(task.queries, queries, strict=True):
        scores = {}
        for document, b in zip(task.corpus, corpus, strict=True):
            scores[document.id] = a @ b / np.sqrt((a @ a) * (b @ b))
        found[query.id] = sorted(scores, key=lambda document: (scores[document], document), reverse=True)[:CANDIDATES]
    return found


def counted(task, ranked: dict[str, list[str]], *, inverted: bool) -> dict[str, int]:
    parts = dict.fromkeys(("missed", *PARTS), 0)
    here = {document.id for document in task.corpus}
    for query in task.queries:
        relevant = [document for document, grade in task.qrels[query.id].items() if grade > 0]
        listed = ranked[query.id]
        final = listed[::-1] if inverted else listed
        if any(document in relevant for document in final[:K]):
            continue
        parts["missed"] += 1
        if not any(document in here for document in relevant):
            parts["not_in_corpus"] += 1
        elif not any(document in relevant for document in listed):
            parts["not_found"] += 1
        elif any(document in relevant for document in listed[:K]):
            parts["demoted"] += 1
        else:
            parts["not_lifted"] += 1
    return parts


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("reranker", ["none", "inverts"])
def test_every_miss_has_its_reason(results, task, ranked, model, reranker):
    cells = attribute(results, K).set_index(["model", "reranker"])
    expected = counted(task, ranked[model], inverted=reranker == "inverts")
    assert cells.loc[(model, reranker), list(expected)].to_dict() == expected
    assert expected["missed"] == sum(expected[part] for part in PARTS)
    assert cells.loc[(model, reranker), "queries"] == len(task.queries)
    assert expected["not_in_corpus"] > 5, "the corpus lacks answers"
    assert (expected["demoted"] > 15) == (reranker == "inverts"), "the reranker pushes answers out"


def test_what_is_cut_is_counted_beside(measured, task, ranked):
    from transformers import AutoTokenizer

    checkpoint = build(resolve(MODELS[0]), Compute()).checkpoint.folder
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    tokens = {document.id: len(tokenizer(document.content)["input_ids"]) for document in task.corpus}
    cells = attribute(measured, K).set_index(["model", "reranker"])
    whole = attribute(replace(measured, measurements=type(measured.measurements).none()), K)
    assert whole["missed_truncated"].isna().all(), "not measured"
    for model, limit in zip(MODELS, (256, 16, 90), strict=True):
        relevant = cut = missed = 0
        for query in task.queries:
            here = [d for d, grade in task.qrels[query.id].items() if grade > 0 and d in tokens]
            relevant += len(here)
            cut += sum(tokens[document] > limit for document in here)
            hit = any(document in here for document in ranked[model][query.id][:K])
            missed += not hit and any(tokens[document] > limit for document in here)
        found = cells.loc[(model, "none")]
        assert (found["relevant"], found["relevant_truncated"], found["missed_truncated"]) == (relevant, cut, missed)
        assert np.isnan(found["relevant_truncated_by_reranker"])
        # A reranker that does not tell its tokens leaves open what it read.
        assert np.isnan(cells.loc[(model, "inverts"), "missed_truncated"])
    short, partly = cells.loc[(MODELS[1], "none")], cells.loc[(MODELS[2], "none")]
    assert (
        short["missed_truncated"]
        == short["missed"] - short["not_in_corpus"]
        > cells.loc[(MODELS[0], "none"), "missed"] / 2
    )
    assert 0 < partly["missed_truncated"] < partly["missed"]


def test_the_table_says_the_same(measured):
    (table,) = loss_tables(measured, K)
    text = to_markdown([table])
    cells = attribute(measured, K)
    for cell, row in zip(cells.to_dict("records"), table.rows, strict=True):
        shown = dict(zip(table.columns, (each.text for each in row), strict=True))
        assert shown["Model"] == cell["model"]
        assert int(shown["missed"]) == sum(
            int(shown[column])
            for column in (
                "not in the corpus",
                "not among the candidates",
                "among them, below k",
                "pushed out by the reranker",
            )
        )
    assert f"### Missed at {K}: rag (test), a sample of 50 of " in text


def by_hand(reranker, qrels, vectors, queries) -> Results:
    task = retrieval_task({name: name for name in "abcd"}, queries, qrels)
    tasks = [task, sts_task([("a", "b", 1), ("b", "c", 5), ("a", "c", 3)])]
    outcome = run(tasks, {"m": FakeEmbedder(vectors)}, {"r": reranker}, candidates=3, depth=2)
    told = {
        "seed": 0,
        "candidates": 3,
        "tasks": [{"task": "pets", "split": "test", "type": "retrieval"}],
        "failures": [],
    }
    records, evidence = make_records(outcome, tasks, of_rankings((), [2]), 2), make_evidence(outcome, tasks, 2)
    return Results(records, told, evidence=evidence, gold=make_gold(tasks))


class KeepsTheLast:
    identity = {"keeps": "the last"}  # noqa: RUF012

    def rerank(self, query, documents, scores):
        return np.array([len(documents) - 1])


def test_each_part_by_hand(tmp_path):
    # Every query finds a, b, c in this order, and the reranker leaves c alone.
    vectors = {"a": (3, 0), "b": (2, 0), "c": (1, 0), "d": (0.5, 0)} | {f"q{i}": (1, 0) for i in range(6)}
    qrels = {
        "q0": {"a": 1, "c": 0},  # demoted: the reranker leaves it out
        "q1": {"c": 2},  # missed by the first stage alone, lifted by the reranker
        "q2": {"d": 1},  # not among the candidates
        "q3": {"gone": 1},  # in no document
        "q4": {"gone": 1, "b": 1},  # one of two is there
        "q5": {"gone": 1, "d": 1},
    }
    results = by_hand(KeepsTheLast(), qrels, vectors, {name: name for name in qrels})
    cells = attribute(results, 2).set_index("reranker")
    assert list(cells["missed"]) == [4, 5]
    assert cells[list(PARTS)].to_dict("index") == {
        "none": {"not_in_corpus": 1, "not_found": 2, "not_lifted": 1, "demoted": 0},
        "r": {"not_in_corpus": 1, "not_found": 2, "not_lifted": 0, "demoted": 2},
    }
    assert set(cells["relevant"]) == {5}
    at_1 = attribute(results, 1).set_index("reranker")
    assert at_1.loc["r", "demoted"] == 1, "b was below the first place before it was left out"
    assert at_1.loc["r", "not_lifted"] == 1
    results.write(tmp_path)
    pd.testing.assert_frame_equal(attribute(Results.read(tmp_path), 2), attribute(results, 2))


def test_refused_or_nothing_to_tell():
    vectors = dict.fromkeys(("a", "b", "c", "d", "q"), (1, 0))
    results = by_hand(KeepsTheLast(), {"q": {"a": 1}}, vectors, {"q": "q"})
    with pytest.raises(ConfigError, match=r"^k=4 is not from 1 to 3, the number of candidates that were ranked\.$"):
        attribute(results, 4)
    with pytest.raises(ConfigError, match="hold no evidence"):
        attribute(replace(results, evidence=Evidence.none()), 2)
    pairs = sts_task([("a", "b", 1), ("b", "c", 5), ("a", "c", 3)])
    for tasks, models in (([pairs], {"m": FakeEmbedder(vectors)}), ([retrieval_task({"a": "a"}, {"q": "x"})], {})):
        outcome = run(tasks, models)
        records, evidence = make_records(outcome, tasks, of_rankings((), [1]), 1), make_evidence(outcome, tasks, 1)
        assert attribute(Results(records, {"candidates": 3, "seed": 0}, evidence=evidence), 1).empty

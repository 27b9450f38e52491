"""Chunk sizes are compared at the same number of tokens handed on."""

import json

import numpy as np
import pytest
from llama_index.core.utils import get_tokenizer

import evalkit as package
from evalkit.errors import ConfigError
from evalkit.metrics.metric import Metric
from evalkit.picking._subject import context_of
from evalkit.picking.documents import Chunking
from evalkit.runner.config import read_config
from evalkit.types import Run

KEYS = {"models": "bm25", "hybrid": False, "device": "cpu", "no_store": True, "measure_seconds": 0.01}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve files on as many things, each of twenty sentences, and a question on one sentence of each."""
    top = tmp_path_factory.mktemp("tokens")
    (top / "docs").mkdir()
    things = [
        "anchor",
        "basket",
        "candle",
        "drum",
        "engine",
        "flute",
        "garden",
        "hammer",
        "island",
        "jacket",
        "kettle",
        "ladder",
    ]
    verbs = [
        "breaks",
        "grows",
        "falls",
        "turns",
        "opens",
        "closes",
        "warms",
        "cools",
        "leans",
        "bends",
        "shines",
        "fades",
        "holds",
        "drops",
        "lifts",
        "slips",
    ]
    rows = []
    for number, thing in enumerate(things):
        lines = [
            f"The {thing} {verb} when the {other} {verbs[place - number]} near the river in month {place}."
            for place, verb in enumerate(verbs)
            for other in (things[place % 12],)
        ]
        (top / "docs" / f"{thing}.txt").write_text("\n\n".join(lines), encoding="utf-8")
        rows.append({"question": f"where is the {thing}", "quote": lines[number + 2]})
    (top / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return top


@pytest.fixture(scope="module")
def picked(folder):
    return package.pick(
        folder / "docs", questions=folder / "questions.jsonl", chunk_size=[32, 64, 256], chunk_overlap=0,
        context_tokens=100, top_k="2,30", **KEYS,
    )  # fmt: skip


def test_as_many_chunks_count_as_have_so_many_tokens_together(picked):
    evidence = picked.results.evidence
    tokenize = get_tokenizer()
    lengths = {row.document: len(tokenize(row.text)) for row in evidence.documents.itertuples()}
    relevant = {(row.split, row.query, row.document) for row in evidence.judgements.itertuples()}
    expected = {}
    for (split, query), found in evidence.rankings.groupby(["split", "query"], observed=True):
        left, hit = 100, 0.0
        for document in found.sort_values("rank")["document"]:
            left -= lengths[document]
            if left < 0:
                break
            hit = max(hit, float((split, query, document) in relevant))
        expected[split, query] = hit
    records = picked.results.records
    records = records[records["metric"] == "hit_rate@100tokens"]
    values = {(row.split, row.id): row.value for row in records.itertuples()}
    assert values == expected
    by_size = records.groupby("split", observed=True)["value"].mean()
    assert 0 < by_size["32/0"] < 1
    assert by_size["256/0"] == 0  # a chunk of more than 100 tokens is not handed on
    fixed = picked.results.scores.set_index(["split", "metric"])["score"]
    assert fixed["256/0", "hit_rate@2"] > by_size["32/0"], "at a fixed k the longest chunks win by their length"


def test_it_decides_and_the_tables_rank_by_it(picked):
    assert picked.recommendation.metric == "hit_rate@100tokens"
    assert picked.recommendation.choices[0].chunking != "256/0"
    results = picked.results
    assert {results.main_metric(each["task"], each["split"]).name for each in results.tasks} == {"hit_rate@100tokens"}
    assert results.provenance["candidates"] == 60
    assert results.metric("hit_rate@100tokens").title == "Hit Rate in 100 tokens"


def test_one_size_is_compared_at_the_rank(folder):
    keys = {**KEYS, "top_k": 2, "chunk_overlap": 0}
    picked = package.pick(folder / "docs", questions=folder / "questions.jsonl", chunk_size=64, **keys)
    assert picked.recommendation.metric == "hit_rate@2"
    assert not [name for name in picked.results.records["metric"].unique() if "tokens" in name]
    told = {"context_tokens": 70, "chunk_size": 64}
    picked = package.pick(folder / "docs", questions=folder / "questions.jsonl", **told, **keys)
    assert picked.recommendation.metric == "hit_rate@70tokens"


def test_sizes_are_compared_at_two_thousand_tokens_unless_a_metric_is_named(folder):
    told = {"chunk_size": [64, 128], "chunk_overlap": 0, "questions": folder / "questions.jsonl"}
    assert package.pick(folder / "docs", **told, **KEYS).recommendation.metric == "hit_rate@732tokens"
    found = package.pick(folder / "docs", **told, metric="nDCG@5", **KEYS)
    assert found.recommendation.metric == "nDCG@5"
    assert {"hit_rate@732tokens", "MRR@5"} <= set(found.results.records["metric"].unique())


@pytest.mark.parametrize("tokens", [0, -5])
def test_no_tokens_are_refused(folder, tokens):
    with pytest.raises(ConfigError, match=f"context_tokens={tokens}: give the number"):
        package.pick(folder / "docs", questions=folder / "questions.jsonl", context_tokens=tokens, **KEYS)


@pytest.mark.parametrize("name", ["hit_rate", "MRR", "nDCG", "R", "P", "AP"])
def test_any_metric_can_be_cut_at_tokens(name):
    metric = Metric.parse(f"{name}@2000tokens")
    assert (metric.name, metric.k, metric.tokens, metric.compared) == (f"{name}@2000tokens", None, 2000, "means")
    assert Metric.from_data(metric.as_data()) == metric
    assert read_config({"models": "bm25", "tasks": "rag-mini", "metrics": str(metric)}).depth == 125


@pytest.mark.parametrize("text", ["nDCG@0tokens", "nDCG@tokens", "nDCG@-1tokens", "nDCG@1.5tokens"])
def test_no_number_of_tokens(text):
    with pytest.raises(ConfigError, match="such as 'nDCG@10', or NAME@Ntokens"):
        Metric.parse(text)


def test_the_command_line_of_a_run_has_it_too(evalkit):
    status, output, _ = evalkit(
        "run", "--models", "bm25", "--tasks", "rag-mini", "--metrics", "nDCG@200tokens,hit_rate@200tokens"
    )
    assert status == 0
    assert "nDCG in 200 tokens" in " ".join(output.split())


def test_nothing_comes_after_what_does_not_fit():
    run = Run(np.array([[0, 1, 2, 0], [2, 0, -1, -1], [1, 2, 0, -1]]), np.tile([4.0, 3.0, 2.0, 1.0], (3, 1)))
    found = run.within(10, np.array([4, 11, 6]))
    assert found.documents.tolist() == [[0, -1, -1, -1], [2, 0, -1, -1], [-1, -1, -1, -1]]
    assert np.array_equal(np.isnan(found.scores), found.documents < 0)


@pytest.mark.parametrize(
    ("asked", "told"),
    [(10, r"context_tokens=10: most chunks have more than that; give at least \d+"),
     (10**6, r"all documents together have \d+, .* Give fewer, such as \d+")],
)  # fmt: skip
def test_a_context_that_compares_nothing_is_refused(asked, told, tmp_path):
    documents, questions = small(tmp_path)
    with pytest.raises(ConfigError, match=told):
        package.pick(
            documents, questions=questions, models="bm25", chunk_size=[16, 32], chunk_overlap=0, context_tokens=asked
        )


def test_of_few_documents_a_quarter_is_handed_on(tmp_path):
    documents, questions = small(tmp_path)
    picked = package.pick(
        documents, questions=questions, models="bm25", chunk_size=[16, 32], chunk_overlap=0, device="cpu",
        measure_queries=2, measure_seconds=0.1,
    )  # fmt: skip
    total = min(picked.chunkings.groupby("chunking")[["chunks", "tokens_p50"]].first().prod(axis=1))
    metric = Metric.parse(picked.recommendation.metric)
    assert 32 <= metric.tokens <= max(33, 0.3 * total)


def test_two_thousand_tokens_are_handed_on_where_documents_have_four_times_as_many():
    chunkings = {Chunking(64): [64] * 200, Chunking(128): [128] * 100}
    assert context_of(None, 2000, chunkings) == 2000
    assert context_of(None, 2000, {Chunking(4096): [4096] * 9}) == 4096
    assert context_of(300, 2000, chunkings) == 300


def small(top):
    """Some facts, and questions on them."""
    (top / "docs").mkdir()
    facts = [f"Number {n} of the cats sleeps for {n * n + 2} hours and runs {n} miles. " for n in range(30)]
    (top / "docs" / "cats.md").write_text("".join(facts))
    rows = [f"How long does number {n} sleep?,Number {n} of the cats sleeps" for n in range(0, 30, 3)]
    (top / "questions.csv").write_text("\n".join(["question,quote", *rows]))
    return top / "docs", top / "questions.csv"

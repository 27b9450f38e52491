"""A gate where nothing was checked never passes: each way in which that can come about, on records made here."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evalkit.errors import ConfigError
from evalkit.gating._baseline import Baseline, freeze
from evalkit.gating.gate import gate
from evalkit.gating.policy import read_policy
from evalkit.gating.verdict import UNDECIDED, Check, Verdict
from evalkit.gating.writing import to_summary
from evalkit.results import Results
from evalkit.results.records import GOLD_COLUMNS

ITEMS = 40


def gold_frame(task, gold):
    rows = [(task, "test", f"q{row}", value) for row, value in enumerate(gold)]
    return pd.DataFrame(rows, columns=GOLD_COLUMNS)


def made(kind="sts", models=("m", "other"), values=None, items=ITEMS, task="t"):
    """A run of a task; `values` gives a model's value of each item from those that it would have."""
    rng = np.random.default_rng(0)
    gold = np.round(rng.random(items) * 5, 1)
    rows = []
    for model in models:
        own = gold / 5 + rng.normal(0, 0.3, items) if kind == "sts" else rng.random(items).round(2)
        own = own if values is None or model != "m" else values(own)
        metrics = {"sts": {"cosine": own}, "retrieval": {"nDCG@5": own, "hit_rate@5": own > 0.3}}
        if kind == "evaluator":
            rows += [(model, "all", "v_measure", own[0])]
            continue
        for metric, column in metrics[kind].items():
            rows += [(model, f"q{row}", metric, float(value)) for row, value in enumerate(column)]
    records = pd.DataFrame(rows, columns=["model", "id", "metric", "value"])
    records.insert(0, "task", task)
    records.insert(1, "split", "test")
    records.insert(3, "reranker", "none")
    counted = {"sts": "pairs", "retrieval": "queries", "evaluator": "samples"}[kind]
    told = {"task": task, "split": "test", "type": kind, counted: items, "content_hash": "same", "documents": 9}
    cells = [
        {"task": task, "split": "test", "model": model, "reranker": "none", "fingerprint": "f"} for model in models
    ]
    return Results(
        records.astype(dict.fromkeys(["task", "split", "model", "reranker", "id", "metric"], "category")),
        {
            "seed": 0, "tasks": [told], "cells": cells, "failures": [], "specs": {}, "packages": {}, "top_k": [5],
            "candidates": 10, "given_models": [], "fusions": {},
        },
        gold=gold_frame(task, gold if kind == "sts" else ()),
    )  # fmt: skip


def decided(before, after, **policy):
    return gate(freeze(before, {}), run=after, policy={"drift": "off", **policy})


def few(value):
    """All values but the first three."""

    def keep_three(values):
        return np.where(np.arange(len(values)) < 3, values, value)

    return keep_three


def with_a_task_more():
    run, more = made(), made(task="gone")
    records = pd.concat([run.records, more.records])
    keys = [column for column in records.columns if column != "value"]
    tasks = run.provenance["tasks"] + more.provenance["tasks"]
    gold = pd.concat([run.gold, more.gold])
    return Results(records.astype(dict.fromkeys(keys, "category")), {**run.provenance, "tasks": tasks}, gold=gold)


CASES = {
    "all values are undefined now": (made(), made(values=lambda own: own * np.nan), "fewer than 90"),
    "all values were undefined": (made(values=lambda own: own * np.nan), made(), "fewer than 90"),
    "they are undefined in both": (*[made(values=lambda own: own * np.nan)] * 2, "fewer than 90"),
    "the cell covers few items now": (made(), made(values=few(np.nan)), "only 3 of its 40 items"),
    "it covers few items in both, and is the same": (*[made(values=few(np.nan))] * 2, "only 3 of its 40 items"),
    "all predictions are equal now": (made(), made(values=lambda own: own * 0), "undefined, then or now"),
    "all predictions are equal in both": (*[made(values=lambda own: own * 0)] * 2, "undefined, then or now"),
    "all predictions of few pairs are equal now": (
        made(items=4), made(items=4, values=lambda own: own * 0), "undefined, then or now"
    ),
    "all predictions of few pairs are equal in both": (
        *[made(items=2, values=lambda own: own * 0)] * 2, "undefined, then or now"
    ),
    "all ranking values are undefined": (
        made("retrieval"), made("retrieval", values=lambda own: own * np.nan), "fewer than 90"
    ),
    "one cell is not in the run": (made(), made(models=("other",)), "in the baseline and not in the run"),
    "a task is not in the run": (
        with_a_task_more(), made(), "in the baseline and not in the run",
    ),
    "only scores without queries": (
        made("evaluator"), made("evaluator"), "none came to a result"
    ),
    "queries are too few to tell": (
        made("retrieval", items=9), made("retrieval", items=9, values=lambda own: own[::-1]), "too few"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_decided_is_no_pass_and_says_why(case):
    before, after, told = CASES[case]
    if case == "queries are too few to tell":
        before, after = (replace(run, records=run.records[run.records["model"] == "m"]) for run in (before, after))
    verdict = decided(before, after)
    assert verdict.status == UNDECIDED
    summary = to_summary(verdict)
    assert summary.startswith("## Gate: cannot decide\n")
    assert told in summary
    assert any(check.outcome == "undecided" for check in verdict.checks)


def test_no_cell_in_common_is_an_error():
    with pytest.raises(ConfigError, match=r"no cell is in both runs.*--pair"):
        decided(made(models=("m",)), made(models=("n",)))


@pytest.mark.parametrize("tasks", ["[]", "[{}]"])
def test_an_empty_baseline_is_an_error(tmp_path, tasks):
    freeze(made(), {}).write(tmp_path / "baseline.json")
    content = json.loads((tmp_path / "baseline.json").read_text())
    content["tasks"] = [] if tasks == "[]" else [{**content["tasks"][0], "ids": [], "cells": []}]
    (tmp_path / "baseline.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"no scores to hold a run to\. Make one"):
        Baseline.read(tmp_path / "baseline.json")


def test_a_floor_for_a_score_of_few_items_is_not_decided():
    run = made(values=few(np.nan))
    verdict = decided(run, run, floors={"spearman(cosine)": -1})
    outcomes = {check.name.split(" ")[0]: check.outcome for check in verdict.checks if "at least" in check.name}
    assert outcomes == {"m": "undecided", "other": "pass"}
    assert "covers 3 of 40 items" in to_summary(verdict)


def test_a_floor_decides_where_a_score_has_no_queries():
    run = made("evaluator")
    assert decided(run, run, floors={"v_measure": 0.0}).status == 0
    assert decided(run, run, floors={"v_measure": 0.9999}).status == 1


@pytest.mark.parametrize("outcomes", [[], ["note"], ["warn"], ["note", "warn"]])
def test_no_verdict_passes_without_a_check_that_passed(outcomes):
    checks = tuple(Check(f"check {row}", outcome, "so it is") for row, outcome in enumerate(outcomes))
    changes = decided(made(), made()).changes
    assert Verdict(checks, changes).status == UNDECIDED
    assert Verdict((*checks, Check("one", "pass", "it is")), changes).status == 0


def test_the_same_run_passes():
    for kind in ("sts", "retrieval"):
        assert decided(made(kind), made(kind)).status == 0


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"margin": 2}, r"margin: a fraction of at most 1 is expected; for 2 % write 0\.02, got 2"),
        ({"margin": "2"}, r"write 0\.02, got '2'"),
        ({"margin": 1000}, r"a fraction of at most 1 is expected, got 1000"),
        ({"slice_margin": 3}, r"slice_margin: a fraction .* write 0\.03, got 3"),
        ({"floors": {"hit_rate@5": 70}}, r"floors\.hit_rate@5: a fraction .* write 0\.7, got 70"),
        ({"confidence": 95}, r"confidence: .* less than 1, got 95"),
    ],
)
def test_percentages_are_refused(policy, told):
    with pytest.raises(ConfigError, match=told):
        read_policy(policy)


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (
            {"metrics": ["nDCG@7"]},
            r"the run would have no metric 'nDCG@7'.*Did you mean 'nDCG@5'.*cuts rankings at 5",
        ),
        ({"metrics": ["nDCG"]}, r"the run would have no metric 'nDCG'"),
        ({"floors": {"hitrate@5": 0.5}}, r"the run would have no metric 'hitrate@5'.*Did you mean 'hit_rate@5'"),
        ({"metrics": ["P@5"]}, r"the baseline has no 'P@5' to hold a loss against"),
    ],
)
def test_unknown_metrics_are_told_before_the_run(policy, told):
    """No task of that name exists: the run would fail with another message."""
    suite = {"models": "bm25", "tasks": "there-is-no-such-task", "device": "cpu"}
    with pytest.raises(ConfigError, match=told):
        gate(freeze(made("retrieval"), {}), suite=suite, policy=policy)


def test_metrics_go_by_other_names_of_theirs_in_a_policy():
    policy = read_policy({"metrics": ["MAP@5", "nDCG@10", "f1"], "floors": {"MAP@10": 0.2}})
    assert (policy.metrics, policy.floors) == (("AP@5", "nDCG@10", "f1"), {"AP@10": 0.2})

"""A cell that is defined on few of a task's items: it keeps its row, and touches no number of the others'."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import evalkit
from evalkit.reporting._tables import make_tables
from evalkit.reporting.html.answer import answer
from evalkit.reporting.html.units import across, make_units
from evalkit.reporting.table import to_markdown
from evalkit.results import Results
from evalkit.results.across import across_tasks
from evalkit.results.comparisons import against_best, pairwise
from evalkit.results.diff import TOO_FEW, compare_runs
from evalkit.results.records import GOLD_COLUMNS
from evalkit.results.scores import FLOOR, is_covered
from evalkit.stats.correlation import resampled_spearman
from evalkit.terms import SIMILARITIES

PAIRS = 30
MODELS = {"good": 0.5, "partly": 0.8, "bad": 2.0}
"""Noise beside the gold score. "partly" lacks a few pairs, but is over the floor."""
LACKS = 2


def made(thin):
    """Two STS tasks; by task the number of pairs that the model "thin" is defined on, None: it does not take part."""
    rows, held = [], []
    for seed, (task, covers) in enumerate(thin.items()):
        rng = np.random.default_rng(seed)
        gold = rng.random(PAIRS) * 5
        held += [(task, "test", f"p{n}", value) for n, value in enumerate(gold)]
        models = {**MODELS, **({} if covers is None else {"thin": 0.01})}
        for model, sd in models.items():
            for similarity in SIMILARITIES:
                values = gold / 5 + np.random.default_rng([seed, len(model)]).normal(0, sd, PAIRS)
                values[:LACKS] = np.nan if model == "partly" else values[:LACKS]
                values[covers if model == "thin" else PAIRS :] = np.nan
                rows += [(task, "test", model, "none", f"p{n}", similarity, value) for n, value in enumerate(values)]
    records = pd.DataFrame(rows, columns=["task", "split", "model", "reranker", "id", "metric", "value"])
    tasks = [{"task": task, "split": "test", "type": "sts", "pairs": PAIRS, "content_hash": "same"} for task in thin]
    cells = [
        {"task": task, "split": "test", "model": model, "reranker": "none", "fingerprint": model}
        for task in thin
        for model in records["model"].unique()
    ]
    return Results(
        records.astype(dict.fromkeys(records.columns[:-1], "category")),
        {
            "seed": 0, "tasks": tasks, "cells": cells, "failures": [], "specs": {}, "packages": {}, "top_k": [5],
            "candidates": 10, "given_models": [], "costs": {},
        },
        gold=pd.DataFrame(held, columns=GOLD_COLUMNS),
    )  # fmt: skip


@pytest.fixture(scope="module")
def without():
    return made({"one": None, "two": None})


@pytest.fixture(scope="module")
def with_thin():
    """It covers few pairs of one task, and all of the other."""
    return made({"one": 3, "two": PAIRS})


def others(frame, columns=("model",)):
    keep = np.logical_and.reduce([frame[column].astype(str) != "thin" for column in columns])
    return frame[keep].astype(dict.fromkeys(columns, str)).reset_index(drop=True)


def assert_equal(one, other):
    """To the last bit."""
    pd.testing.assert_frame_equal(one, other, check_exact=True, check_categorical=False)


@pytest.mark.parametrize("covers", [3, 26])
def test_no_number_of_the_others_changes(without, with_thin, covers):
    both = without, with_thin if covers == 3 else made({"one": covers, "two": PAIRS})
    assert_equal(*(others(run.scores[run.scores["task"] == "one"]) for run in both))
    assert_equal(*(others(against_best(run, "one", "test", "spearman(cosine)")) for run in both))
    # Of pairs of cells the correction is for all of them.
    pairs = [others(pairwise(run, "one", "test", "spearman(cosine)"), ("model_a", "model_b")) for run in both]
    assert_equal(*pairs)
    assert_equal(*(others(across_tasks(run)) for run in both))
    board = [run.leaderboard().query("task == 'one'") for run in both]
    assert_equal(*map(others, board))


def test_it_keeps_its_row_its_score_and_its_number_of_pairs(with_thin):
    board = against_best(with_thin, "one", "test", "spearman(cosine)").set_index("model")
    own = with_thin.scores.query("task == 'one' and model == 'thin' and metric == 'spearman(cosine)'").iloc[0]
    assert board.index[-1] == "thin"
    assert board.loc["thin", "score"] == own["score"] == board["score"].max()
    assert board.loc["thin", "n"] == own["n"] < FLOOR * PAIRS
    assert not board.loc["thin", "tied"]
    assert board.loc["thin", ["rank", "rank_low", "rank_high", "difference", "p", "p_corrected", "sd"]].isna().all()
    assert board.loc["good", "rank"] == 1
    means = across_tasks(with_thin).set_index("model")
    assert means.loc["thin", "missing"] == "one (test)"
    assert means.loc["thin", ["mean", "mean_rank", "borda"]].isna().all()


def test_the_table_says_so_and_its_other_lines_are_the_same(without, with_thin):
    tables = [to_markdown(make_tables(run)) for run in (without, with_thin)]
    sts = [text.split("###")[1] for text in tables]
    lines = [
        [re.sub(" +", " ", line) for line in text.splitlines() if line.startswith("|") and "thin" not in line]
        for text in sts
    ]
    assert [line for line in lines[0] if "-" not in line[:4]] == [line for line in lines[1] if "-" not in line[:4]]
    row = next(line for line in sts[1].splitlines() if line.startswith("| thin"))
    assert not re.search(r"\*\*|≈", row)
    assert "| – |" in re.sub(" +", " ", row)
    n = int(against_best(with_thin, "one", "test", "spearman(cosine)")["n"].iloc[-1])
    assert f"thin covers {n} of {PAIRS} pairs, fewer than 90 %: no rank, and no part in comparisons" in sts[1]
    assert "thin has no score, or one over too few items, on one (test), and so no mean." in tables[1]


def test_the_report_says_so_and_its_best_is_another(without, with_thin):
    units = [make_units(run) for run in (without, with_thin)]
    told = [answer(unit[0]) for unit in units]
    assert told[1][: len(told[0])] == told[0]
    assert told[1][-1].startswith("thin covers")
    for metric, board in units[1][0].boards.items():
        assert np.isnan(board.loc[("thin", "none"), "rank"]), metric
        assert board.drop(index=("thin", "none")).equals(units[0][0].boards[metric])
    assert "over too few items: thin on one (test)" in across(with_thin, units[1])["about"]


def test_it_is_in_no_comparison_of_two_runs(without, with_thin):
    changes = compare_runs(with_thin, with_thin).cells.query("task == 'one' and main").set_index("model_a")
    assert changes.loc["thin", "verdict"] == TOO_FEW
    assert np.isnan(changes.loc["thin", "p_holm"])
    alone = compare_runs(without, without).cells.query("task == 'one' and main").set_index("model_a")
    assert_equal(alone, changes.drop(index="thin"))


def test_where_all_are_thin_there_is_no_best():
    run = made({"one": 12})
    run = replace(run, records=run.records[run.records["model"] == "thin"])
    board = against_best(run, "one", "test", "spearman(cosine)")
    assert board.loc[0, ["rank", "difference", "p"]].isna().all()
    assert not board.loc[0, "tied"]
    assert "thin covers 12 of 30" in to_markdown(make_tables(run))
    assert answer(make_units(run)[0])[0].startswith("thin covers 12 of 30")


def test_resamples_of_a_partial_column_are_those_of_its_own_pairs():
    """A weight of 0 is a pair that is not there; and a column does not depend on those beside it."""
    rng = np.random.default_rng(0)
    gold = rng.random(40).round(1)
    predicted = (gold[:, None] + rng.normal(0, 0.3, (40, 3))).round(1)
    predicted[5:15, 1] = np.nan
    together = resampled_spearman(predicted, gold, seed=1, resamples=200)
    for column in range(3):
        alone = resampled_spearman(predicted[:, [column]], gold, seed=1, resamples=200)
        assert np.array_equal(alone[0], together[column])
    counts = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=200)
    there = np.isfinite(predicted[:, 1])
    for draw in range(0, 200, 40):
        rows = np.repeat(np.flatnonzero(there), counts[draw][there])
        peer = pd.Series(predicted[rows, 1]).corr(pd.Series(gold[rows]), method="spearman")
        assert together[1, draw] == pytest.approx(peer)


def test_the_floor():
    values = np.ones((20, 3))
    values[:2, 1] = values[:3, 2] = np.nan
    assert is_covered(values).tolist() == [True, True, False]


def test_tasks_of_three_pairs_have_no_interval_together(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text("sentence1,sentence2,score\na b,a c,5\na,b,0\nb c d,b c,3\n")
    tasks = [tmp_path / "one.csv", tmp_path / "two.csv"]
    run = evalkit.run(models="tfidf,bow", tasks=tasks, device="cpu", no_store=True)
    assert run.scores[["ci_low", "ci_high"]].isna().all(axis=None)
    board = across_tasks(run)
    assert board["mean"].notna().all()
    assert board[["mean_low", "mean_high"]].isna().all(axis=None)

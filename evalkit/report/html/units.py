"""A task's part of the page: its cells with what is known of them, and their scores, intervals and ties by metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evalkit.grid.cells import NO_RERANKER
from evalkit.report.html.facts import cell_facts
from evalkit.report.html.plain import plain
from evalkit.report.tables import TITLES
from evalkit.results import Results
from evalkit.results.comparisons import across_tasks, against_best, detectable, reranker_gains
from evalkit.results.results import ranking_metric

BOARD = [
    "score", "ci_low", "ci_high", "n", "difference", "diff_low", "diff_high", "p_holm", "tied", "rank", "rank_low",
    "rank_high",
]  # fmt: skip
ACROSS = [
    {"key": "mean", "title": "Mean", "digits": 3},
    {"key": "mean_rank", "title": "Mean rank", "digits": 1},
    {"key": "borda", "title": "Borda", "digits": 2},
]


@dataclass(frozen=True)
class Unit:
    """A task and split. `cells` has a row a cell, best first by `main`, failed ones (with a `reason`) last: model,
    reranker, the facts of `facts.Facts`, latency_ms where it was measured. `boards` has, by metric, a row a cell in
    the same order with the columns `BOARD`; `tied` is missing where no paired test applies.
    """

    task: str
    split: str
    facts: Mapping[str, Any]
    metrics: tuple[str, ...]
    main: str
    cells: pd.DataFrame
    boards: Mapping[str, pd.DataFrame]
    gains: Mapping[str, pd.DataFrame]
    detectable: Mapping[str, float]

    @property
    def kind(self) -> str:
        """sts, retrieval, or evaluator."""
        return str(self.facts["type"])

    @property
    def title(self) -> str:
        """Task and split."""
        return f"{self.task} ({self.split})"

    @property
    def size(self) -> str:
        """What the scores are taken over, in words."""
        if self.kind == "sts":
            return f"{self.facts['pairs']:,} pairs of sentences"
        if self.kind == "evaluator":
            return f"{self.facts['samples']:,} samples"
        return f"{self.facts['queries']:,} queries over {self.facts['documents']:,} documents"

    def data(self) -> dict[str, Any]:
        """What the page's script needs, as plain data; columns are lists over the cells."""
        excluded = self.facts.get("excluded_queries", 0)
        return plain(
            {
                "title": self.title,
                "kind": self.kind,
                "size": self.size,
                "n": self.facts.get("queries") or self.facts.get("pairs") or self.facts.get("samples"),
                "excluded": excluded,
                "metrics": [{"name": name, "label": metric_label(name)} for name in self.metrics],
                "main": self.main,
                "cells": _columns(self.cells),
                "boards": {metric: _columns(board) for metric, board in self.boards.items()},
                "gains": {metric: found.to_dict("records") for metric, found in self.gains.items()},
                "detectable": self.detectable,
            }
        )


def metric_label(metric: str) -> str:
    """A metric as people write it: nDCG@10, Spearman (cosine)."""
    name, at, k = metric.partition("@")
    if at:
        return f"{TITLES.get(name, name)}@{k}"
    kind, _, similarity = metric.partition("_")
    if kind in ("spearman", "pearson") and similarity:
        return f"{kind.capitalize()} ({similarity})"
    return metric.replace("_", " ")


def make_units(results: Results, measured: pd.DataFrame | None = None) -> list[Unit]:
    """One unit a task that has a score or a failure. `measured` is a frame of `measure.measure`, if there is one."""
    return [unit for facts in results.provenance["tasks"] if (unit := _unit(results, facts, measured)) is not None]


def _unit(results: Results, facts: Mapping[str, Any], measured: pd.DataFrame | None) -> Unit | None:
    task, split = facts["task"], facts["split"]
    scores = results.scores[(results.scores["task"] == task) & (results.scores["split"] == split)]
    failed = pd.DataFrame(
        [each for each in results.failures if (each["task"], each["split"]) == (task, split)],
        columns=["model", "reranker", "reason"],
    )
    if scores.empty and failed.empty:
        return None
    main = ranking_metric(scores) if len(scores) else ""
    metrics = _offered(scores, facts["type"], main)
    boards = {metric: _board(results, task, split, metric, facts["type"]) for metric in metrics}
    scored = boards[main][["model", "reranker"]] if main else failed.iloc[:0]
    others = scores[["model", "reranker"]].drop_duplicates()
    cells = pd.concat([scored, others, failed], ignore_index=True).drop_duplicates(["model", "reranker"])
    cells = cells.reset_index(drop=True)
    keys = pd.MultiIndex.from_frame(cells[["model", "reranker"]].astype(str))
    known = [cell_facts(model, reranker, results.provenance) for model, reranker in keys]
    rerankers = scores["reranker"].nunique() > 1 and facts["type"] == "retrieval"
    return Unit(
        task, split, facts, tuple(metrics), main,
        _with_measured(pd.concat([cells, pd.DataFrame(known)], axis=1), measured, task, split),
        {metric: board.set_index(["model", "reranker"]).reindex(keys)[BOARD] for metric, board in boards.items()},
        {metric: reranker_gains(results, task, split, metric) for metric in metrics} if rerankers else {},
        {metric: detectable(results, task, split, metric) for metric in metrics if _tested(metric, facts["type"])},
    )  # fmt: skip


def _offered(scores: pd.DataFrame, kind: str, main: str) -> list[str]:
    """The metrics that the page shows, the main one first."""
    there = list(dict.fromkeys(scores["metric"]))
    if kind == "retrieval":
        there = [metric for metric in there if metric.partition("@")[0] in TITLES]
        there.sort(
            key=lambda metric: (
                -int(metric.partition("@")[2]),
                ["ndcg", "mrr", "hit_rate", "recall"].index(metric.partition("@")[0]),
            )
        )
    return sorted(there, key=lambda metric: metric != main)


def _tested(metric: str, kind: str) -> bool:
    """Whether cells can be compared pair by pair: not where only a score of the whole is known, or of Pearson's."""
    return kind == "retrieval" or (kind == "sts" and metric.startswith("spearman_"))


def _board(results: Results, task: str, split: str, metric: str, kind: str) -> pd.DataFrame:
    if _tested(metric, kind):
        return against_best(results, task, split, metric)
    scores = results.scores
    found = scores[(scores["task"] == task) & (scores["split"] == split) & (scores["metric"] == metric)]
    return (
        found.sort_values("score", ascending=False, kind="stable")
        .assign(
            rank=found["score"].rank(ascending=False, method="min"), difference=found["score"].max() - found["score"]
        )
        .reindex(columns=["model", "reranker", *BOARD])
    )


def _with_measured(cells: pd.DataFrame, measured: pd.DataFrame | None, task: str, split: str) -> pd.DataFrame:
    return cells


def _columns(frame: pd.DataFrame) -> dict[str, Sequence[Any]]:
    return {str(column): plain(frame[column].tolist()) for column in frame}


def across(results: Results, units: Sequence[Unit]) -> dict[str, Any] | None:
    """All cells over all tasks: their means, mean ranks and Borda counts; None for a single task."""
    if len([unit for unit in units if unit.main]) < 2:
        return None
    found = across_tasks(results)
    return {"rows": found.to_dict("records"), "columns": ACROSS, "about": "Each task's main metric."}

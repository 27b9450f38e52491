"""A task's part of the page: its cells with what is known of them, and their scores, intervals and ties by metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evalkit.report.html.facts import cell_facts
from evalkit.report.html.plain import plain
from evalkit.report.significance import asked, if_sample, what_shows
from evalkit.report.tables import TITLES
from evalkit.results import Results
from evalkit.results.comparisons import across_tasks, against_best, reranker_gains
from evalkit.results.coverage import is_enough
from evalkit.results.scores import ranking_metric

BOARD = [
    "score", "ci_low", "ci_high", "n", "difference", "diff_low", "diff_high", "p_corrected", "tied", "rank",
    "rank_low", "rank_high",
]  # fmt: skip
MEANS = {"mean": ("mean", 3), "mean_rank": ("mean rank", 1), "borda": ("Borda", 1)}
"""What is told of a cell over all tasks of a kind, and with how many decimals."""
MEASURED = {
    "latency_p50_ms": "latency_ms",
    "usd_per_thousand_queries": "usd_queries",
    "peak_memory_mb": "memory_mb",
    "dim": "dim",
}
"""Columns of measurements, and what the page calls them. What was measured goes before what the catalogue says."""


@dataclass(frozen=True)
class Unit:
    """A task and split. `cells` has a row a cell, best first by `main`, failed ones (with a `reason`) last: model,
    reranker, the facts of `facts.Facts`, latency_ms where it was measured. `boards` has, by metric, a row a cell in
    the same order with the columns `BOARD`; `tied` is missing where no paired test applies. `power` has, by metric, a
    sentence on the differences that the data show.
    """

    task: str
    split: str
    facts: Mapping[str, Any]
    metrics: tuple[str, ...]
    main: str
    cells: pd.DataFrame
    boards: Mapping[str, pd.DataFrame]
    gains: Mapping[str, pd.DataFrame]
    power: Mapping[str, str]

    @property
    def kind(self) -> str:
        """sts, retrieval, or evaluator."""
        return str(self.facts["type"])

    @property
    def title(self) -> str:
        """Task and split."""
        return f"{self.task} ({self.split})"

    @property
    def heading(self) -> str:
        """Task and split, and that it is a sample if it is one."""
        return self.title + if_sample(self.facts)

    @property
    def size(self) -> str:
        """What the scores are taken over, in words."""
        if self.kind == "sts":
            return f"{asked(self.facts, ',')} of sentences"
        if self.kind == "evaluator":
            return f"{self.facts['samples']:,} samples"
        return f"{asked(self.facts, ',')} over {self.facts['documents']:,} documents"

    def data(self) -> dict[str, Any]:
        """What the page's script needs, as plain data; columns are lists over the cells."""
        excluded = self.facts.get("excluded_queries", 0)
        data: dict[str, Any] = plain(
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
                "power": self.power,
            }
        )
        return data


def metric_label(metric: str) -> str:
    """A metric as people write it: nDCG@10, Spearman (cosine)."""
    name, at, k = metric.partition("@")
    if at:
        return f"{TITLES.get(name, name)}@{k}"
    kind, _, similarity = metric.partition("_")
    if kind in ("spearman", "pearson") and similarity:
        return f"{kind.capitalize()} ({similarity})"
    return metric.replace("_", " ")


def make_units(results: Results) -> list[Unit]:
    """One unit a task that has a score, a failure or a cell that the run did not come to."""
    return [unit for facts in results.provenance["tasks"] if (unit := _unit(results, facts)) is not None]


def _unit(results: Results, facts: Mapping[str, Any]) -> Unit | None:
    task, split = facts["task"], facts["split"]
    scores = _of(results.scores, task, split)
    unscored = [
        *results.failures,
        *({**cell, "reason": "not run: the run was interrupted"} for cell in results.missing),
    ]
    failed = _of(pd.DataFrame(unscored, columns=["task", "split", "model", "reranker", "reason"]), task, split)
    if scores.empty and failed.empty:
        return None
    main = ranking_metric(scores) if len(scores) else ""
    metrics = _offered(scores, facts["type"], main)
    boards = {metric: _board(results, facts, metric) for metric in metrics}
    scored = scores[["model", "reranker"]].astype(str)
    first = boards[main][["model", "reranker"]] if main else scored
    cells = pd.concat([first, scored, failed[["model", "reranker", "reason"]]], ignore_index=True)
    cells = cells.drop_duplicates(["model", "reranker"], ignore_index=True)
    keys = pd.MultiIndex.from_frame(cells[["model", "reranker"]].astype(str))
    known = pd.DataFrame([cell_facts(model, reranker, results.provenance) for model, reranker in keys])
    things = "pairs" if facts["type"] == "sts" else "queries"
    has_rerankers = scores["reranker"].nunique() > 1 and facts["type"] == "retrieval"
    return Unit(
        task,
        split,
        facts,
        tuple(metrics),
        main,
        _with_measured(pd.concat([cells, known], axis=1), _of(results.measurements.cells, task, split)),
        {metric: board.set_index(["model", "reranker"]).reindex(keys)[BOARD] for metric, board in boards.items()},
        {metric: reranker_gains(results, task, split, metric) for metric in metrics if has_rerankers},
        {metric: what_shows(board, things) for metric, board in boards.items() if _tested(metric, facts["type"])},
    )


def _of(frame: pd.DataFrame, task: str, split: str) -> pd.DataFrame:
    return frame[(frame["task"] == task) & (frame["split"] == split)]


def _offered(scores: pd.DataFrame, kind: str, main: str) -> list[str]:
    """The metrics that the page shows, the main one first; of retrieval those of the tables, by falling k."""
    there = list(dict.fromkeys(scores["metric"]))
    if kind == "retrieval":
        cut = [(name, int(k)) for name, _, k in (metric.partition("@") for metric in there) if name in TITLES]
        there = [f"{name}@{k}" for name, k in sorted(cut, key=lambda each: -each[1])]
    return sorted(there, key=lambda metric: metric != main)


def _tested(metric: str, kind: str) -> bool:
    """Whether cells can be compared pair by pair: not where only a score of the whole is known, or of Pearson's."""
    return kind == "retrieval" or (kind == "sts" and metric.startswith("spearman_"))


def _board(results: Results, facts: Mapping[str, Any], metric: str) -> pd.DataFrame:
    task, split = facts["task"], facts["split"]
    if _tested(metric, facts["type"]):
        board = against_best(results, task, split, metric)
        return board.assign(tied=board["tied"].astype(object))
    found = _of(results.scores, task, split)
    found = found[found["metric"] == metric].sort_values("score", ascending=False, kind="stable")
    # Of an evaluator's task all samples count.
    ranked = found["score"].where(is_enough(found["n"], facts.get("pairs", 0)))
    ranks = ranked.rank(ascending=False, method="min")
    below = ranked.max() - ranked
    board = found.assign(rank=ranks, difference=below).reindex(columns=["model", "reranker", *BOARD])
    return board.astype({"model": str, "reranker": str})


def _with_measured(cells: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """The cells with what was measured of them."""
    if measured.empty:
        return cells
    keys = pd.MultiIndex.from_frame(cells[["model", "reranker"]].astype(str))
    found = measured.set_index(["model", "reranker"]).reindex(keys).reset_index(drop=True)
    for column, name in MEASURED.items():
        values = found[column].astype(float)
        cells[name] = values.fillna(cells[name].astype(float)) if name in cells else values
    return cells


def _columns(frame: pd.DataFrame) -> dict[str, Sequence[Any]]:
    return {str(column): plain(frame[column].tolist()) for column in frame}


def across(results: Results, units: Sequence[Unit]) -> dict[str, Any] | None:
    """All cells over all tasks: their means, mean ranks and Borda counts by kind of task; None for a single task."""
    if len([unit for unit in units if unit.main]) < 2:
        return None
    listed = pd.concat([unit.cells[["model", "reranker"]] for unit in units], ignore_index=True)
    rows = listed.astype(str).drop_duplicates(ignore_index=True)
    columns, left_out = [], []
    for kind, found in across_tasks(results).astype({"type": str}).groupby("type", sort=False):
        columns += [
            {"key": f"{kind!s}_{name}", "title": f"{kind!s}: {title}", "digits": digits}
            for name, (title, digits) in MEANS.items()
        ]
        told = found.set_index(["model", "reranker"]).drop(columns=["type", "tasks", "missing"])
        renamed = told.add_prefix(f"{kind!s}_").reset_index()
        rows = rows.merge(renamed, on=["model", "reranker"], how="left")
        rows = rows.sort_values(f"{kind!s}_mean", ascending=False, kind="stable")
        left_out += [
            f"{row.model} with {row.reranker} on {row.missing!s}" for row in found.itertuples() if row.missing
        ]
    about = "Each task by its main metric. Colours compare cells within a task."
    if columns:
        about += (
            " Means are over the tasks of a kind, of cells that have a score on each, over enough of its items; "
            "small print: 95 % intervals."
        )
    if left_out:
        about += f" No mean, since a score is missing or over too few items: {'; '.join(left_out)}."
    return {"rows": rows.to_dict("records"), "columns": columns, "about": about}

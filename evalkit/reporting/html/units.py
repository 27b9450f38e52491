"""A task's part of the page: its cells with what is known of them, and their scores, intervals and ties by metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evalkit.cell import cell_name
from evalkit.metrics.metric import Metric
from evalkit.reporting._significance import if_sample, what_shows
from evalkit.reporting.html._drilldown import plain
from evalkit.results import Results
from evalkit.results.across import across_tasks
from evalkit.results.comparisons import against_best, reranker_gains
from evalkit.results.facts import ModelFacts, cell_facts
from evalkit.results.scores import is_enough
from evalkit.tasks.kinds import TaskKind, kind_named

BOARD = [
    "score", "ci_low", "ci_high", "n", "difference", "diff_low", "diff_high", "p_corrected", "tied", "rank",
    "rank_low", "rank_high",
]  # fmt: skip
MEANS = {"mean": ("mean", 3), "mean_rank": ("mean rank", 1), "borda": ("Borda", 1)}
"""What is told of a cell over all tasks of a kind, and with how many decimals."""
MEASURED = {
    "latency_p50_ms": "latency_ms",
    "latency_p50_low_ms": "latency_low_ms",
    "latency_p50_high_ms": "latency_high_ms",
    "usd_per_thousand_queries": "usd_queries",
    "peak_memory_mb": "memory_mb",
    "dim": "dim",
}
"""Columns of measurements, and what the page calls them. What was measured goes before what the catalogue says."""


@dataclass(frozen=True)
class Unit:
    """A task and split. `cells` has a row a cell, best first by `main`, failed ones (with a `reason`) last: model,
    reranker, the facts of `_facts`, latency_ms where it was measured. `boards` has, by metric, a row a cell in
    the same order with the columns `BOARD`; `tied` is missing where no paired test applies. `power` has, by metric, a
    sentence on the differences that the data show.
    """

    task: str
    split: str
    facts: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    main: Metric | None
    cells: pd.DataFrame
    boards: Mapping[str, pd.DataFrame]
    gains: Mapping[str, pd.DataFrame]
    power: Mapping[str, str]

    @property
    def kind(self) -> TaskKind[Any]:
        """The kind of the task."""
        return kind_named(self.facts["type"])

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
        return self.kind.size(self.facts, ",")

    def data(self) -> dict[str, Any]:
        """Tell what the page's script needs, as plain data; columns are lists over the cells."""
        excluded = self.facts.get("excluded_queries", 0)
        data: dict[str, Any] = plain(
            {
                "title": self.title,
                "ranks": self.kind.ranks,
                "pairs": self.main is not None and self.main.similarity is not None,
                "size": self.size,
                "n": self.facts[self.kind.items],
                "excluded": excluded,
                "metrics": [
                    {"name": name, "label": metric.title, "sign": metric.sign, "k": metric.k}
                    for name, metric in self.metrics.items()
                ],
                "main": "" if self.main is None else self.main.name,
                "cells": _columns(self.cells),
                "boards": {metric: _columns(board) for metric, board in self.boards.items()},
                "gains": {metric: found.to_dict("records") for metric, found in self.gains.items()},
                "power": self.power,
            }
        )
        return data


def make_units(results: Results) -> list[Unit]:
    """Return one unit a task that has a score, a failure or a cell that the run did not come to."""
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
    main = results.main_metric(task, split) if len(scores) else None
    metrics = {} if main is None else _offered(results.metrics(task, split, in_tables=True), main)
    boards = {name: _board(results, facts, metric) for name, metric in metrics.items()}
    scored = scores[["model", "reranker"]].astype(str)
    first = boards[main.name][["model", "reranker"]] if main is not None else scored
    cells = pd.concat([first, scored, failed[["model", "reranker", "reason"]]], ignore_index=True)
    cells = cells.drop_duplicates(["model", "reranker"], ignore_index=True)
    keys = pd.MultiIndex.from_frame(cells[["model", "reranker"]].astype(str))
    known = pd.DataFrame([_facts(cell_facts(model, reranker, results.provenance)) for model, reranker in keys])
    things = kind_named(facts["type"]).items
    has_rerankers = scores["reranker"].nunique() > 1
    return Unit(
        task,
        split,
        facts,
        metrics,
        main,
        _with_measured(pd.concat([cells, known], axis=1), _of(results.measurements.cells, task, split)),
        {metric: board.set_index(["model", "reranker"]).reindex(keys)[BOARD] for metric, board in boards.items()},
        {name: reranker_gains(results, task, split, name) for name in metrics if has_rerankers},
        {name: what_shows(board, things) for name, board in boards.items() if metrics[name].compared != "none"},
    )


def _facts(facts: ModelFacts) -> dict[str, Any]:
    """Tell what the page shows of a cell's facts."""
    shown = {name: getattr(facts, name) for name in ("family", "licence", "dim", "parameters")}
    return {**shown, "usd": facts.usd_per_million_tokens}


def _of(frame: pd.DataFrame, task: str, split: str) -> pd.DataFrame:
    return frame[(frame["task"] == task) & (frame["split"] == split)]


def _offered(metrics: Sequence[Metric], main: Metric) -> dict[str, Metric]:
    """Return the metrics that the page shows by name: the main one first, then by falling k."""
    by_k = sorted(metrics, key=lambda metric: -(metric.k or 0))
    return {metric.name: metric for metric in sorted(by_k, key=lambda metric: metric.name != main.name)}


def _board(results: Results, facts: Mapping[str, Any], metric: Metric) -> pd.DataFrame:
    task, split = facts["task"], facts["split"]
    if metric.compared != "none":
        board = against_best(results, task, split, metric.name)
        return board.assign(tied=board["tied"].astype(object))
    found = _of(results.scores, task, split)
    down = metric.higher_is_better
    found = found[found["metric"] == metric.name].sort_values("score", ascending=not down, kind="stable")
    ranked = found["score"].where(is_enough(found["n"], facts[kind_named(facts["type"]).items]))
    ranks = ranked.rank(ascending=not down, method="min")
    below = (metric.sign * ranked).max() - metric.sign * ranked
    board = found.assign(rank=ranks, difference=below).reindex(columns=["model", "reranker", *BOARD])
    return board.astype({"model": str, "reranker": str})


def _with_measured(cells: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return the cells with what was measured of them."""
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
    """Return all cells over all tasks: their means, mean ranks and Borda counts by kind of task; None for a single
    task.
    """
    if len([unit for unit in units if unit.main is not None]) < 2:
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
        # The best mean first, those without one last.
        places = pd.Series(range(len(told)), index=told.index)
        cells = pd.MultiIndex.from_frame(rows[["model", "reranker"]])
        rows = rows.iloc[places.reindex(cells).fillna(len(told)).to_numpy().argsort(kind="stable")]
        left_out += [
            f"{cell_name(str(row.model), str(row.reranker))} on {row.missing!s}"
            for row in found.itertuples()
            if row.missing
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

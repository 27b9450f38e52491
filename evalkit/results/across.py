"""Cells over several tasks of one kind: means, mean ranks and Borda counts, with tests over the tasks."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import pandas as pd

from evalkit.results.comparisons import cell_index, compared, once
from evalkit.results.scores import is_covered
from evalkit.stats.intervals import percentiles

if TYPE_CHECKING:
    from evalkit.results.results import Results


MEASURES, BOUNDS = ("mean", "mean_rank", "borda"), ("", "_low", "_high")


@once
def across_tasks(results: "Results") -> pd.DataFrame:
    """Return each cell over all tasks of a kind: a row a kind (of tasks) and cell, best mean first.

    Columns: type, model, reranker, tasks (how many there are), missing (names of those without a score, or with one
    over too few items (see `scores.FLOOR`), "; " between), then mean (of the main metric, a fraction), mean_rank
    and borda (cells left behind, summed over the tasks; a tie counts half: Borda 1784), each with its bounds `_low`
    and `_high`: a bootstrap within each task, the tasks as given. A cell that misses a task has NaN: its mean would
    be over other tasks than the others' are.
    Left out: a kind with one task, whose splits may share their queries, and tasks with an evaluator of their own,
    whose scores have no queries.
    """
    parts = []
    for kind in dict.fromkeys(str(each["type"]) for each in results.tasks):
        of_kind = [(each["task"], each["split"]) for each in results.tasks if each["type"] == kind]
        tasks = [task for task in of_kind if results.metrics(*task)]
        mains = [results.main_metric(*task) for task in tasks]
        if len({name for name, _ in of_kind}) > 1 and mains and all(main.compared != "none" for main in mains):
            signs = {main.sign for main in mains}
            scored = {name: rows for task in tasks for name, rows in _main(results, *task)}
            # Of metrics that point both ways the mean says nothing.
            parts.append(_across(kind, scored, signs.pop() if len(signs) == 1 else math.nan))
    columns = [
        "type",
        "model",
        "reranker",
        "tasks",
        "missing",
        *(name + bound for name in MEASURES for bound in BOUNDS),
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _main(results: "Results", task: str, split: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """By the main metric, a task's name and a row a cell: its score, then its scores in resamples, times the sign."""
    scores = results.scores
    scores = scores[(scores["task"] == task) & (scores["split"] == split)]
    if len(scores):
        metric = results.main_metric(task, split).name
        name = f"{task} ({split})"
        # Each task has draws of its own, or tasks of one size would rise and fall together.
        found = replace(
            compared(results, task, split, metric), seed=results.provenance["seed"] + crc32(name.encode())
        )
        of_metric = scores[scores["metric"] == metric].astype({"model": str, "reranker": str})
        observed = of_metric.set_index(["model", "reranker"])["score"]
        rows = pd.DataFrame(found.resampled(), index=cell_index(found.cells))
        rows.insert(0, "score", found.sign * observed.reindex(rows.index).where(is_covered(found.values)))
        yield name, rows


def _across(kind: str, tasks: Mapping[str, pd.DataFrame], sign: float) -> pd.DataFrame:
    from scipy.stats import rankdata  # takes a second to import

    cells = list(dict.fromkeys(cell for rows in tasks.values() for cell in rows.index))
    has = {name: set(rows.index[rows["score"].notna()]) for name, rows in tasks.items()}
    frame = pd.DataFrame(cells, columns=["model", "reranker"])
    frame.insert(0, "type", kind)
    frame["tasks"] = len(tasks)
    frame["missing"] = ["; ".join(name for name in tasks if cell not in has[name]) for cell in cells]
    whole = np.flatnonzero(frame["missing"] == "")
    kept = [cells[row] for row in whole]
    # (n_tasks, n_kept, 1 + n_resamples)
    scores = np.stack([rows.loc[kept].to_numpy() for rows in tasks.values()])
    ranks = np.asarray(rankdata(-scores, axis=1, nan_policy="omit")) if kept else scores
    measured = sign * scores.mean(axis=0), ranks.mean(axis=0), (len(kept) - ranks).sum(axis=0)
    for name, values in zip(MEASURES, measured, strict=True):
        low, high = percentiles(values[:, 1:])
        for bound, found in zip(BOUNDS, (values[:, 0], low, high), strict=True):
            frame[name + bound] = pd.Series(found, index=whole)
    return frame.sort_values("mean", ascending=sign < 0, kind="stable")

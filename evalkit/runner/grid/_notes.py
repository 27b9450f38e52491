"""Sentences on what came of a stage that a table of scores does not tell; see `cells.CellFacts.notes`."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.contracts import Fittable
from evalkit.types import Run

ROUNDING = 1e-6
"""Scores of one query that differ by no more than this fraction of the largest count as one score."""


def of_first_stage(run: Run) -> tuple[str, ...]:
    """Say of how many queries a first stage finds nothing, and of how many it ranks what it finds by ids alone."""
    return (*found_nothing(run), *ranked_by_ids(run))


def of_second_stage(pairs: Sequence[tuple[Run, Run]]) -> tuple[str, ...]:
    """Say of how many lists a reranker leaves nothing, and of how many the order, given runs before and after it."""
    return (*left_nothing(pairs), *left_as_they_were([run for _, run in pairs]))


def ranked_by_ids(run: Run) -> tuple[str, ...]:
    """Say for how many queries as many documents as are kept have one score; no sentence where it is none."""
    alike = _of_one_score(run) & (run.documents >= 0).all(axis=1)
    if not alike.any():
        return ()
    return (
        f"The first {run.depth} documents of {alike.sum():,} of {len(alike):,} queries have one score: their order "
        "is that of their ids, and tells nothing of the model.",
    )


def left_as_they_were(runs: Sequence[Run]) -> tuple[str, ...]:
    """Say for how many lists of candidates a reranker gives all of them one score; no sentence where it is none."""
    alike = np.concatenate([_of_one_score(run) for run in runs])
    if not alike.any():
        return ()
    return (
        f"All candidates of {alike.sum():,} of {len(alike):,} lists have one score: they keep the first stage's "
        "order.",
    )


def found_nothing(run: Run) -> tuple[str, ...]:
    """Say for how many queries a first stage has no result; no sentence where it has one for each."""
    empty = _without_results(run)
    return (f"Finds nothing for {empty.sum():,} of {len(empty):,} queries: they score 0.",) if empty.any() else ()


def left_nothing(pairs: Iterable[tuple[Run, Run]]) -> tuple[str, ...]:
    """Say for how many lists of candidates a reranker has no result, given each run before and after it."""
    before, after = (np.concatenate([_without_results(run) for run in runs]) for runs in zip(*pairs, strict=True))
    emptied, given = int((after & ~before).sum()), int((~before).sum())
    return (f"Leaves nothing of {emptied} of {given} lists of candidates: they score 0.",) if emptied else ()


def fitted_on(model: object, texts: int, what: str) -> tuple[str, ...]:
    """Say that a model has learned from the task's own texts; no sentence for one that does not learn."""
    return (f"Fitted on the task's own {texts:,} {what}.",) if isinstance(model, Fittable) else ()


def _of_one_score(run: Run) -> NDArray[np.bool_]:
    """Tell whether a query has several results, all with one score."""
    there = run.documents >= 0
    highest = np.where(there, run.scores, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(there, run.scores, np.inf).min(axis=1, initial=np.inf)
    with np.errstate(invalid="ignore"):
        close = highest - lowest <= ROUNDING * np.maximum(np.abs(highest), np.abs(lowest))
    return np.asarray((there.sum(axis=1) > 1) & ((highest == lowest) | (close & np.isfinite(lowest))))


def _without_results(run: Run) -> NDArray[np.bool_]:
    return np.asarray((run.documents < 0).all(axis=1))

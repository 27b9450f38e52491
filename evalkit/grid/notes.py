"""Sentences on what came of a stage that a table of scores does not tell; see `cells.ModelFacts.notes`."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from evalkit.contracts import Fittable
from evalkit.terms import Similarity
from evalkit.types import FloatArray, Run


def found_nothing(run: Run) -> tuple[str, ...]:
    """Say for how many queries a first stage has no result; no sentence where it has one for each."""
    empty = _without_results(run)
    return (f"Finds nothing for {empty.sum()} of {len(empty)} queries: they score 0.",) if empty.any() else ()


def left_nothing(pairs: Iterable[tuple[Run, Run]]) -> tuple[str, ...]:
    """Say for how many lists of candidates a reranker has no result, given each run before and after it."""
    before, after = (np.concatenate([_without_results(run) for run in runs]) for runs in zip(*pairs, strict=True))
    emptied, given = int((after & ~before).sum()), int((~before).sum())
    return (f"Leaves nothing of {emptied} of {given} lists of candidates: they score 0.",) if emptied else ()


def fitted_on(model: object, texts: int, what: str) -> tuple[str, ...]:
    """Say that a model has learned from the task's own texts; no sentence for one that does not learn."""
    return (f"Fitted on the task's own {texts:,} {what}.",) if isinstance(model, Fittable) else ()


def why_undefined(similarities: Mapping[Similarity, FloatArray]) -> tuple[str, ...]:
    """Say that a model finds all pairs of sentences equally similar, which correlates with nothing."""
    cosine = similarities["cosine"]
    known = cosine[np.isfinite(cosine)]
    if not known.size or np.ptp(known) > 0:
        return ()
    return (f"All its similarities are equal ({known.size:,} pairs): no correlation is defined.",)


def _without_results(run: Run) -> NDArray[np.bool_]:
    return np.asarray((run.documents < 0).all(axis=1))

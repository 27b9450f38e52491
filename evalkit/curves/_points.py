"""Every point of the surface, from the rankings of the deepest run. No model is asked for it.

What stands among the first k of a ranking does not depend on how many are ranked below. A reranker that scores each
pair by itself puts fewer candidates in the order that they have among more: its sort is stable, and equal scores
keep the first stage's order in both.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from evalkit.cell import NO_RERANKER, Cell
from evalkit.curves._variants import Variant
from evalkit.metrics.metric import Metric
from evalkit.results.records import CELL_KEYS, GOLD_COLUMNS
from evalkit.results.scores import Known, score
from evalkit.runner.grid import Outcome
from evalkit.runner.records import make_records
from evalkit.search.ranking import among
from evalkit.types import RetrievalTask, Run

KEYS = [*CELL_KEYS, "candidates"]
"""These name a place of the surface: a cell, and the candidates that its reranker got, 0 where there is none."""


def records_of(
    outcome: Outcome, tasks: Sequence[RetrievalTask], metrics: Sequence[Metric], depths: Sequence[int]
) -> pd.DataFrame:
    """Return the records (see `results.records`) of each cell by itself, and with each number of candidates.

    The metrics are those that are cut at k; with fewer candidates than k there is none. The column `candidates` is 0
    for first stages. Rerankers that order a list as a whole have none.
    """
    rankings = outcome.rankings
    first = {cell: run for cell, run in rankings.items() if cell.reranker == NO_RERANKER}
    parts = [_records(first, outcome, tasks, metrics, 0)]
    for depth in depths:
        before = {
            cell: rankings[Cell(cell.task, cell.split, cell.model)].cut(depth)
            for cell in rankings
            if cell not in first and not outcome.facts[cell].in_lists
        }
        reranked = {cell: among(rankings[cell], run) for cell, run in before.items()}
        within = [metric for metric in metrics if (metric.k or 0) <= depth]
        parts.append(_records(reranked, outcome, tasks, within, depth))
    return pd.concat(parts, ignore_index=True)


def _records(
    rankings: Mapping[Cell, Run],
    outcome: Outcome,
    tasks: Sequence[RetrievalTask],
    metrics: Sequence[Metric],
    candidates: int,
) -> pd.DataFrame:
    part = Outcome(rankings=dict(rankings), facts=outcome.facts)
    return make_records(part, tasks, metrics, max((metric.k or 0 for metric in metrics), default=0)).assign(
        candidates=candidates
    )


def points_of(records: pd.DataFrame, variants: Mapping[str, Variant], seed: int) -> pd.DataFrame:
    """Return a row a place of the surface and metric: its score and interval (see `results.scores.score`)."""
    none = pd.DataFrame(columns=GOLD_COLUMNS)
    parts = [
        score(found.drop(columns="candidates"), none, Known(seed)).assign(candidates=candidates)
        for candidates, found in records.groupby("candidates", sort=False)
    ]
    points = pd.concat(parts, ignore_index=True)
    named = [variants[model] for model in points["model"]]
    points["of"] = [variant.of for variant in named]
    points["dim"] = pd.array([variant.dim for variant in named], dtype="Int64")
    points["precision"] = [variant.precision or "" for variant in named]
    points["k"] = [Metric.named(name).k for name in points["metric"]]
    points["vector_bytes"] = [variant.vector_bytes for variant in named]
    return points

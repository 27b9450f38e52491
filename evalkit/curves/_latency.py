"""Predict what a query takes and costs at every place of the surface, from what was measured at its ends.

Each model is measured as it was given, alone and behind it each reranker with the fewest candidates and with the
most; and once more with the fewest dimensions that it takes part with. In between everything is taken to be on a
line: a reranker reads one candidate after the other, and a search multiplies one dimension after the other. Searches
are measured as evalkit does them, which holds all precisions in float32, so that a lower precision saves bytes here,
and no time.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from evalkit.cell import NO_RERANKER, Cell
from evalkit.curves._points import KEYS
from evalkit.curves._variants import Variant
from evalkit.models.registry.selection import Participants
from evalkit.results.records import CELL_KEYS, Measurements
from evalkit.runner.context import RunContext
from evalkit.runner.measure import Limits, measure
from evalkit.types import RetrievalTask

LATENCIES = ("latency_p50_ms", "latency_p95_ms")
PREDICTED = (*LATENCIES, "usd_per_thousand_queries")


@dataclass(frozen=True)
class Ends:
    """Cells measured with the fewest candidates, with the most, and with the fewest dimensions: frames as in
    `Measurements`, and how many candidates these were.
    """

    shallow: pd.DataFrame
    deep: Measurements
    narrow: pd.DataFrame
    fewest: int
    most: int

    def predict(self, points: pd.DataFrame, variants: Mapping[str, Variant]) -> pd.DataFrame:
        """Return the points with the columns `PREDICTED`, NaN where it was not measured; and `vector_bytes` as
        measured, where the vectors' dimensions do not tell them.
        """
        shallow, deep, narrow = (_by_cell(cells) for cells in (self.shallow, self.deep.cells, self.narrow))
        least = {variants[cell.model].of: cell.model for cell in narrow}

        def at(cell: Cell, candidates: int) -> dict[str, float]:
            variant = variants[cell.model]
            measured = replace(cell, model=variant.of)
            first = replace(measured, reranker=NO_RERANKER)
            high = deep.get(measured, {})
            low = high if cell.reranker == NO_RERANKER else shallow.get(measured, high)
            share = (candidates - self.fewest) / (self.most - self.fewest) if self.most > self.fewest else 1.0
            found = {name: _between(low, high, name, share) for name in PREDICTED}
            wide = deep.get(first, {})
            small = narrow.get(replace(first, model=least.get(variant.of, "")), {})
            if variant.dim is not None and wide and small and variant.dim < wide["dim"]:
                share = (variant.dim - wide["dim"]) / (small["dim"] - wide["dim"])
                moved = share * (small["search_p50_ms"] - wide["search_p50_ms"])
                # Whatever the noise, it takes no less than embedding, and searching the fewest dimensions.
                least_of_all = small["embed_p50_ms"] + small["search_p50_ms"]
                found |= {name: max(found[name] + moved, least_of_all) for name in LATENCIES}
            known = not math.isnan(variant.vector_bytes)
            return {**found, "vector_bytes": variant.vector_bytes if known else wide.get("vector_bytes", math.nan)}

        places = points[KEYS].drop_duplicates()
        rows = [
            {**place, **at(Cell(*(place[key] for key in CELL_KEYS)), place["candidates"])}
            for place in places.to_dict("records")
        ]
        return points.drop(columns=["vector_bytes", *PREDICTED], errors="ignore").merge(
            pd.DataFrame(rows), on=KEYS, how="left"
        )


def measure_ends(
    tasks: Sequence[RetrievalTask],
    given: Participants,
    everyone: Participants,
    variants: Mapping[str, Variant],
    depths: Sequence[int],
    context: RunContext,
    limits: Limits,
) -> Ends:
    """Measure what all else is predicted from. Raises MeasuringInterrupted after Ctrl-C."""
    narrowest: dict[str, Variant] = {}
    for variant in variants.values():
        if variant.dim is not None and variant.dim < (variants[variant.of].dim or 0):
            narrowest[variant.of] = min(narrowest.get(variant.of, variant), variant, key=_dim)
    few = Participants({variant.label: everyone.models[variant.label] for variant in narrowest.values()})
    measured: Callable[..., Measurements] = lambda who, candidates: measure(  # noqa: E731
        tasks, who, candidates=candidates, context=context, limits=limits
    )
    deep = measured(given, max(depths))
    two = given.rerankers and len(depths) > 1
    shallow = measured(given, min(depths)) if two else deep
    narrow = measured(few, max(depths)) if narrowest else Measurements.none()
    return Ends(shallow.cells, deep, narrow.cells, min(depths), max(depths))


def _dim(variant: Variant) -> int:
    return variant.dim or 0


def _by_cell(cells: pd.DataFrame) -> dict[Cell, Mapping[Any, Any]]:
    """Return the figures of each cell that could be measured."""
    return {Cell(*(row[key] for key in CELL_KEYS)): row for row in cells.to_dict("records") if not row.get("note")}


def _between(low: Mapping[Any, Any], high: Mapping[Any, Any], name: str, share: float) -> float:
    start, end = float(low.get(name, math.nan)), float(high.get(name, math.nan))
    return start + share * (end - start)

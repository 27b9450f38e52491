"""The knee of a curve of quality against what it costs, and what is to be had beyond it.

Both axes are brought to 0 to 1, and the knee is the point that is furthest above the diagonal (Satopää, Albrecht,
Irwin and Raghavan 2011, "Finding a Kneedle in a Haystack", sections II and III; a curve of few points is not
smoothed). It does not change if costs are multiplied or something is added to all of them: by candidates it is where
it is by time, which is a line in candidates.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evalkit.cell import NO_RERANKER, cell_name
from evalkit.curves._points import KEYS
from evalkit.metrics.metric import Metric
from evalkit.stats.paired import compare_means
from evalkit.types import FloatArray

NOTHING = 1e-9
"""A point may stand so far above the diagonal by rounding alone."""
FEWEST = 3
"""Points that a curve needs to have a knee."""


def knee(costs: FloatArray, scores: FloatArray) -> int | None:
    """Return which point of a curve is its knee, by number; None for a line, or where nothing is above the diagonal.

    Both are float64 of shape (n_points,), costs ascending; of scores more is better. Where none is better than the
    first, that is it.
    """
    rise = scores.max() - scores.min()
    if rise == 0:
        return 0
    above = (scores - scores.min()) / rise - (costs - costs[0]) / (costs[-1] - costs[0])
    return int(above.argmax()) if above.max() > NOTHING else None


@dataclass(frozen=True)
class Knee:
    """The knee of one curve: what it is `of`, and its points by name: the knee (None: there is none) and the `last`.

    `model`, `reranker` and `candidates` say which place of the surface the knee is, or the last point without one,
    and `score` is that place's. `more`, with the bounds `low` and `high` of its 95 % interval (see `stats.paired`),
    is what the score changes by from there to the last point; `times` is what a query takes at that, as a multiple,
    NaN where it was not measured. `alone` is the score without the reranker, NaN where there is none.
    """

    task: str
    split: str
    of: str
    metric: str
    knee: str | None
    last: str
    model: str
    reranker: str
    candidates: int
    score: float
    more: float
    low: float
    high: float
    times: float
    alone: float

    def __str__(self) -> str:
        head = f"{self.task} ({self.split}), {self.of}: "
        alone = "" if math.isnan(self.alone) else f" ({self.alone:.3f} without the reranker)"
        if self.knee is None:
            return f"{head}no knee; {self.metric} rises evenly, to {self.score:.3f}{alone} with {self.last}."
        head += f"{self.knee}, {self.metric} {self.score:.3f}{alone}"
        if self.knee == self.last:
            return f"{head}; the last of the curve."
        bounds = "" if math.isnan(self.low) else f" ({self.low:+.3f} to {self.high:+.3f})"
        takes = "" if math.isnan(self.times) else f", and a query takes {self.times:.2g} times as long"
        return f"{head}; {self.last} change it by {self.more:+.3f}{bounds}{takes}."


def knees_of(
    points: pd.DataFrame, records: pd.DataFrame, metrics: Mapping[tuple[str, str], Metric], seed: int
) -> list[Knee]:
    """Name the knees: of each model with each reranker by candidates, and of each model's vectors by their bytes.

    `metrics` has the metric of each task and split that they are found by.
    """
    found: list[Knee] = []
    for (task, split), metric in metrics.items():
        here = points[(points["task"] == task) & (points["split"] == split) & (points["metric"] == metric.name)]
        here = here.assign(better=metric.sign * here["score"]).dropna(subset="score")
        reranked = here[(here["reranker"] != NO_RERANKER) & (here["model"] == here["of"])]
        alone: dict[str, float] = {
            row["model"]: row["score"] for row in here.to_dict("records") if row["reranker"] == NO_RERANKER
        }
        for (model, reranker), curve in reranked.groupby(["model", "reranker"], sort=False):
            named = [f"{each} candidates" for each in curve["candidates"]]
            curve = curve.assign(cost=curve["candidates"], name=named).sort_values("cost")
            of, without = cell_name(str(model), str(reranker)), alone.get(str(model), math.nan)
            found += _knee_of(of, curve, records, seed, without)
        vectors = here[(here["reranker"] == NO_RERANKER) & here["vector_bytes"].notna()]
        for model, curve in vectors.groupby("of", sort=False):
            curve = curve.assign(cost=curve["vector_bytes"], name=list(map(_vectors, curve.to_dict("records"))))
            curve = curve.sort_values(["cost", "better"], ascending=[True, False], kind="stable")
            found += _knee_of(f"vectors of {model!s}", curve.drop_duplicates("cost"), records, seed)
    return found


def _knee_of(of: str, curve: pd.DataFrame, records: pd.DataFrame, seed: int, alone: float = math.nan) -> list[Knee]:
    """Name the knee of a curve, of which `cost` ascends; nothing for one of too few points."""
    if len(curve) < FEWEST:
        return []
    row = knee(curve["cost"].to_numpy(np.float64), curve["better"].to_numpy(np.float64))
    last = curve.iloc[-1]
    here = last if row is None else curve.iloc[row]
    values = np.stack([_values(records, place) for place in (last, here)], axis=1)
    test = compare_means(values, np.array([[0, 1]]), seed=seed)
    return [
        Knee(
            here["task"], here["split"], of, here["metric"], None if row is None else here["name"], last["name"],
            here["model"], here["reranker"], int(here["candidates"]), here["score"],
            float(test.difference[0]), float(test.low[0]), float(test.high[0]),
            last["latency_p50_ms"] / here["latency_p50_ms"], alone,
        )
    ]  # fmt: skip


def _values(records: pd.DataFrame, place: pd.Series) -> FloatArray:
    """Return the values of a place's queries, in their order."""
    same = np.logical_and.reduce([records[key] == place[key] for key in (*KEYS, "metric")])
    values: FloatArray = records.loc[same, "value"].to_numpy(np.float64)
    return values


def _vectors(row: Mapping[Hashable, object]) -> str:
    return f"{row['vector_bytes']:,.0f} bytes ({row['dim']} dimensions, {row['precision']})"

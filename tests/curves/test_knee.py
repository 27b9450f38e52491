"""The knee of a curve, held to the package kneed, and what is said of it."""

import numpy as np
import pandas as pd
import pytest
from kneed import KneeLocator

from evalkit.curves._knee import knee, knees_of
from evalkit.metrics.metric import Metric


@pytest.mark.parametrize("seed", range(20))
def test_knees_of_concave_curves_are_those_of_kneed(seed):
    rng = np.random.default_rng(seed)
    costs = np.cumsum(rng.uniform(1, 20, size=12))
    slopes = np.sort(rng.uniform(0.001, 1, size=11))[::-1] ** 3
    scores = np.concatenate([[0.2], 0.2 + np.cumsum(slopes * np.diff(costs)) / 1000])
    peer = KneeLocator(costs, scores, S=0, curve="concave", direction="increasing")
    row = knee(costs, scores)
    assert row is not None
    assert costs[row] == peer.knee


def test_curves_without_a_bend():
    costs = np.array([1.0, 2, 5, 10])
    assert knee(costs, 0.1 + costs / 20) is None, "a line"
    assert knee(costs, costs**2 / 200) is None, "bends upward"
    assert knee(costs, np.full(4, 0.5)) == 0
    assert knee(costs, np.array([0.6, 0.5, 0.5, 0.4])) == 0, "nothing is better than the first"
    assert knee(costs, np.array([0.4, 0.5, 0.7, 0.6])) == 2
    assert knee(3 * costs + 7, np.array([0.4, 0.6, 0.65, 0.66])) == knee(costs, np.array([0.4, 0.6, 0.65, 0.66]))


def test_what_is_said_of_a_knee():
    values = {0: [0, 0, 0, 0, 0, 0, 0, 1], 5: [1, 1, 0, 0, 0, 0, 0, 1], 20: [1, 1, 1, 1, 1, 1, 0, 1],
              50: [1, 1, 1, 1, 1, 1, 1, 1]}  # fmt: skip
    base = {"task": "t", "split": "s", "model": "m", "metric": "hit_rate@5", "of": "m"}
    records = pd.DataFrame(
        [
            {**base, "reranker": "r" if depth else "none", "candidates": depth, "value": float(value)}
            for depth, of_query in values.items()
            for value in of_query
        ]
    )
    points = records.groupby(["task", "split", "model", "of", "metric", "reranker", "candidates"], as_index=False)
    points = points.agg(score=("value", "mean")).assign(vector_bytes=np.nan, dim=0, precision="")
    points["latency_p50_ms"] = 10.0 + points["candidates"]
    (found,) = knees_of(points, records, {("t", "s"): Metric.named("hit_rate@5")}, seed=0)
    assert (found.candidates, found.knee, found.last) == (20, "20 candidates", "50 candidates")
    assert (found.score, found.alone, found.more, found.times) == (0.875, 0.125, 0.125, 2.0)
    assert str(found) == (
        "t (s), m + r: 20 candidates, hit_rate@5 0.875 (0.125 without the reranker); 50 candidates change it by "
        f"+0.125 ({found.low:+.3f} to {found.high:+.3f}), and a query takes 2 times as long."
    )
    assert found.low <= 0.125 <= found.high

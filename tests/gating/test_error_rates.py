"""How often the gate is wrong: simulated runs, made of what two real models score on the 10-K questions."""

import numpy as np
import pytest
from scipy.stats import binom

import evalkit
from evalkit.gating._margins import LOSSES, Part, Side, hold
from evalkit.gating.verdict import Place
from evalkit.results.comparisons import Compared

pytestmark = pytest.mark.slow

COMPARISONS = 200
OF_FEW_QUERIES = 400
METRICS = ("hit_rate@5", "MRR@5", "nDCG@5")
CONFIDENCE = 0.95


@pytest.fixture(scope="module")
def values(data_dir):
    """By metric, what bm25 and tfidf score: shape (n_queries, 2)."""
    run = evalkit.run(models="bm25,tfidf", tasks=str(data_dir / "llamaindex-10k-val"), device="cpu")
    records = run.records.astype({"model": str, "id": str, "metric": str})
    wide = records.pivot(index="id", columns=["metric", "model"], values="value")
    return {metric: wide[metric].to_numpy() for metric in METRICS}


def checks(drawn, margin=0.0):
    """The checks of all comparisons, each by an interval of 95 %."""
    olds, news = (np.column_stack(hits).astype(float) for hits in zip(*drawn, strict=True))
    cells = tuple((f"m{number}", "none") for number in range(olds.shape[1]))
    ids = tuple(f"q{row}" for row in range(len(olds)))
    before, after = (Compared(cells, ids, hits, None, seed=0) for hits in (olds, news))
    sides = [Side(Place(("t", "test"), cell, cell), "hit_rate@5", before, after, {}) for cell in cells]
    return hold([Part(side, margin=margin) for side in sides], level=CONFIDENCE)


def pairs(values, loss, seed, n=None, comparisons=COMPARISONS):
    """Scores then and now: resampled queries, of which either model may be the old one; some are lost."""
    rng = np.random.default_rng(seed)
    for _ in range(comparisons):
        rows = values[rng.integers(len(values), size=n or len(values))]
        swapped = rng.random(len(rows)) < 0.5
        old, new = np.where(swapped, rows[:, 1], rows[:, 0]), np.where(swapped, rows[:, 0], rows[:, 1])
        yield old, new * (rng.random(len(rows)) >= loss / values.mean())


@pytest.mark.parametrize("margin", [0, 0.05])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [30, 50])
def test_gates_that_lost_just_the_margin_fail_at_most_at_the_stated_rate(values, n, metric, margin):
    found = checks(pairs(values[metric], margin, seed=[1, n], n=n, comparisons=OF_FEW_QUERIES), margin)
    failed = sum(check.outcome == "fail" for check in found)
    # A confidence of 95 % leaves 2.5 % for losses beyond the margin that are not there.
    assert failed <= binom.ppf(0.99, OF_FEW_QUERIES, (1 - CONFIDENCE) / 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_caught_at_the_power_that_is_told(values, loss):
    found = checks(pairs(values["hit_rate@5"], loss, seed=2))
    caught = np.mean([each.outcome == "fail" for each in found])
    told = np.mean([each.chances[loss] for each in found])
    assert 0.05 < told < 1
    assert caught == pytest.approx(told, abs=3 * np.sqrt(told * (1 - told) / COMPARISONS) + 0.01)

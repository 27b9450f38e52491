"""How often the gate is wrong: simulated runs, made of what two real models score on the 10-K questions."""

import numpy as np
import pytest
from scipy.stats import binom

import evalkit
from evalkit.gate.check import Place
from evalkit.gate.margins import LOSSES, Part, Side, hold
from evalkit.results.comparisons import Compared

COMPARISONS = 200
METRIC = "hit_rate@5"
CONFIDENCE = 0.95


@pytest.fixture(scope="module")
def values(data_dir):
    """Hits of bm25 and of tfidf: shape (n_queries, 2)."""
    run = evalkit.run(models="bm25,tfidf", tasks=str(data_dir / "llamaindex-10k-val"), device="cpu")
    records = run.records[run.records["metric"] == METRIC].astype({"model": str, "id": str})
    return records.pivot(index="id", columns="model", values="value").to_numpy()


def checks(drawn):
    """The checks of all comparisons, each by an interval of 95 %."""
    olds, news = (np.column_stack(hits).astype(float) for hits in zip(*drawn, strict=True))
    cells = tuple((f"m{number}", "none") for number in range(olds.shape[1]))
    ids = tuple(f"q{row}" for row in range(len(olds)))
    before, after = (Compared(cells, ids, hits, None, seed=0) for hits in (olds, news))
    sides = [Side(Place(("t", "test"), cell, cell), METRIC, before, after, {}) for cell in cells]
    return hold([Part(side, margin=0) for side in sides], level=CONFIDENCE)


def pairs(values, loss, seed):
    """Hits then and now: resampled queries, of which either model may be the old one; some hits are lost."""
    rng = np.random.default_rng(seed)
    for _ in range(COMPARISONS):
        rows = values[rng.integers(len(values), size=len(values))]
        swapped = rng.random(len(rows)) < 0.5
        old, new = np.where(swapped, rows[:, 1], rows[:, 0]), np.where(swapped, rows[:, 0], rows[:, 1])
        yield old, new * (rng.random(len(rows)) >= loss / values.mean())


def test_null_comparisons_fail_at_most_at_the_stated_rate(values):
    failed = sum(check.outcome == "fail" for check in checks(pairs(values, 0, seed=1)))
    # A confidence of 95 % leaves 2.5 % for losses that are not there.
    assert failed <= binom.ppf(0.99, COMPARISONS, (1 - CONFIDENCE) / 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_caught_at_the_power_that_is_told(values, loss):
    found = checks(pairs(values, loss, seed=2))
    caught = np.mean([each.outcome == "fail" for each in found])
    told = np.mean([each.chances[loss] for each in found])
    assert 0.05 < told < 1
    assert caught == pytest.approx(told, abs=3 * np.sqrt(told * (1 - told) / COMPARISONS) + 0.01)

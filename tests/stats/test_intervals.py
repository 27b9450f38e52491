"""Intervals against scipy's, and by simulation: a 95 % interval covers the truth 95 % of the time."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evalkit.errors import ConfigError
from evalkit.stats import intervals
from evalkit.stats.intervals import mean_interval, percentiles, resampled_means, wilson


def bootstrap(values, *, seed, confidence=0.95, resamples=10_000):
    """Percentile bootstrap intervals of the columns' means: (low, high)."""
    return percentiles(resampled_means(values, seed=seed, resamples=resamples), confidence)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("n", [10, 150])
def test_agrees_with_scipy_bootstrap(n: int, confidence: float):
    values = np.random.default_rng(n).exponential(size=(n, 2))
    low, high = bootstrap(values, seed=1, confidence=confidence)
    for column in range(2):
        peer = stats.bootstrap(
            (values[:, column],),
            np.mean,
            n_resamples=20_000,
            confidence_level=confidence,
            method="percentile",
            rng=2,
        )
        # The standard error of a 2.5 % quantile over 10,000 draws is 0.027 of theirs; both sides have one.
        tolerance = 5 * math.sqrt(1.5) * 0.027 * peer.standard_error
        assert low[column] == pytest.approx(peer.confidence_interval.low, abs=tolerance)
        assert high[column] == pytest.approx(peer.confidence_interval.high, abs=tolerance)


def test_covers_the_mean_as_often_as_it_says():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(200, 4000))
    low, high = bootstrap(values, seed=0, resamples=2000)
    assert np.mean((low <= 3) & (high >= 3)) == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
def test_covers_the_mean_of_the_finite_values():
    rng = np.random.default_rng(3)
    values = rng.normal(3.0, 2.0, size=(300, 4000))
    values[rng.random(values.shape) < 0.3] = np.nan
    low, high = bootstrap(values, seed=0, resamples=2000)
    assert np.mean((low <= 3) & (high >= 3)) == pytest.approx(0.95, abs=0.015)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 700), seed=st.integers(0, 2**32), data=st.data())
def test_a_column_has_the_same_bounds_in_any_company(n: int, seed: int, data: st.DataObject):
    values = np.random.default_rng(seed).random((n, 12))
    values[0, 3] = np.nan
    chosen = data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True))
    everyone = np.array(bootstrap(values, seed=seed, resamples=200))
    some = np.array(bootstrap(values[:, chosen], seed=seed, resamples=200))
    np.testing.assert_array_equal(some, everyone[:, chosen])


def test_the_seed_decides_and_the_block_size_does_not(monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(1).random((40, 3))
    first = bootstrap(values, seed=5)
    np.testing.assert_array_equal(first, bootstrap(values, seed=5))
    assert not np.array_equal(first, bootstrap(values, seed=6))
    monkeypatch.setattr(intervals, "_COUNTS_AT_ONCE", 1000)
    np.testing.assert_allclose(bootstrap(values, seed=5), first, rtol=1e-12)


def test_columns_share_their_resamples():
    values = np.random.default_rng(2).random((50, 1))
    low, high = bootstrap(np.hstack([values, values + 1, -values]), seed=0)
    assert low[1] == pytest.approx(low[0] + 1, abs=1e-12)
    assert (low[2], high[2]) == pytest.approx((-high[0], -low[0]), abs=1e-12)


def test_nan_queries_are_left_out_of_the_mean():
    values = np.full((20, 2), 0.7)
    values[5:, 1] = np.nan
    low, high = bootstrap(values, seed=0)
    np.testing.assert_allclose(low, 0.7)
    np.testing.assert_allclose(high, 0.7)


def test_a_resample_without_a_finite_value_is_silent():
    values = np.array([[0.0], [1.0], *[[np.nan]] * 20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = bootstrap(values, seed=0)
    np.testing.assert_array_equal([low, high], [[0.0], [1.0]])


@pytest.mark.parametrize("finite", [0, 1])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_too_few_values_have_no_interval(n: int, finite: int):
    values = np.full((n, 2), np.nan)
    values[:finite] = 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(bootstrap(values, seed=0), np.full((2, 2), np.nan))


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_a_confidence_outside_0_to_1_is_refused(confidence: float):
    message = r"must be in the open interval \(0, 1\), got"
    with pytest.raises(ConfigError, match=message):
        bootstrap(np.zeros((3, 1)), seed=0, confidence=confidence)


def test_no_resamples_is_refused():
    with pytest.raises(ConfigError, match="resamples must be at least 1, got 0"):
        bootstrap(np.zeros((3, 1)), seed=0, resamples=0)


@pytest.mark.parametrize("n", [1, 2, 5, 30, 76, 200, 3000])
def test_zeros_and_ones_have_wilsons_interval_at_every_n(n: int):
    for hits in {0, 1, n // 2, n - 1, n}:
        values = np.repeat([1.0, 0.0], [hits, n - hits])[:, None]
        peer = stats.binomtest(hits, n).proportion_ci(method="wilson")
        np.testing.assert_allclose(np.array(mean_interval(values))[:, 0], (peer.low, peer.high), atol=1e-12)
        assert (peer.low, peer.high) == pytest.approx(wilson(hits / n, n), abs=1e-12)
        if 0 < hits < n:  # where one document is relevant, a precision is a hit over k
            np.testing.assert_allclose(
                np.array(mean_interval(values / 10)), np.array(mean_interval(values)) / 10, atol=1e-12
            )


def graded(rng: np.random.Generator, kind: str) -> np.ndarray:
    """One query's values as metrics have them, 2,000 of them: the population that is drawn from."""
    ranks = rng.geometric(0.3 if kind != "hard" else 0.06, size=2000)
    relevant = rng.integers(2, 9, size=2000)
    match kind:
        case "mrr" | "hard":
            return np.where(ranks <= 10, 1 / ranks, 0)
        case "ndcg":
            return np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0)
        case "recall":
            return rng.binomial(relevant, 0.15) / relevant
        case "precision":
            return np.minimum(rng.binomial(relevant, 0.3), 5) / 5
    return rng.binomial(relevant, 0.9) / relevant


@pytest.mark.parametrize("n", [30, 50, 100])
@pytest.mark.parametrize("kind", ["mrr", "hard", "ndcg", "recall", "precision", "easy"])
def test_means_of_graded_values_are_covered(kind: str, n: int):
    rng = np.random.default_rng(n)
    population = graded(rng, kind)
    low, high = mean_interval(population[rng.integers(0, len(population), (n, 4000))])
    covered = ((low <= population.mean()) & (population.mean() <= high)).mean()
    assert 0.94 - 0.011 <= covered <= 0.985, "three standard errors below 94 %"


def test_the_worst_reading_is_no_certainty():
    """76 hits of 76, all of one graded value, and nothing but zeros: other values may not have been seen."""
    for value in (1.0, 0.5, 0.0):
        low, high = mean_interval(np.full((76, 1), value))
        assert low[0] <= value <= high[0]
        assert high[0] - low[0] > 0.02


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 60), seed=st.integers(0, 2**32), levels=st.sampled_from([1, 2, 4, 1000]))
def test_an_interval_holds_its_mean_within_0_and_1(n: int, seed: int, levels: int):
    rng = np.random.default_rng(seed)
    values = np.round(rng.beta(0.3, 0.3, (n, 4)) * levels) / levels
    values[rng.random(values.shape) < 0.2] = np.nan
    for column in values.T:
        (low,), (high,) = mean_interval(column[:, None])
        finite = column[np.isfinite(column)]
        if len(finite) == 0 or (len(finite) == 1 and finite[0] not in (0, 1)):
            assert np.isnan([low, high]).all()
        else:
            assert 0 <= low <= finite.mean() + 1e-12
            assert finite.mean() - 1e-12 <= high <= 1
            np.testing.assert_allclose(mean_interval(finite[:, None]), [[low], [high]], atol=1e-12)


def test_what_is_no_fraction_is_refused():
    with pytest.raises(ValueError, match="of fractions"):
        mean_interval(np.array([[0.5], [1.5]]))
    with pytest.raises(ConfigError, match="open interval"):
        mean_interval(np.ones((3, 1)), confidence=95)

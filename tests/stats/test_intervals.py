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
from evalkit.stats.intervals import bootstrap_mean


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("n", [10, 150])
def test_agrees_with_scipy_bootstrap(n: int, confidence: float):
    values = np.random.default_rng(n).exponential(size=(n, 2))
    low, high = bootstrap_mean(values, seed=1, confidence=confidence)
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
    low, high = bootstrap_mean(values, seed=0, resamples=2000)
    assert np.mean((low <= 3) & (high >= 3)) == pytest.approx(0.95, abs=0.015)


def test_covers_the_mean_of_the_finite_values():
    rng = np.random.default_rng(3)
    values = rng.normal(3.0, 2.0, size=(300, 4000))
    values[rng.random(values.shape) < 0.3] = np.nan
    low, high = bootstrap_mean(values, seed=0, resamples=2000)
    assert np.mean((low <= 3) & (high >= 3)) == pytest.approx(0.95, abs=0.015)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 700), seed=st.integers(0, 2**32), data=st.data())
def test_a_column_has_the_same_bounds_in_any_company(n: int, seed: int, data: st.DataObject):
    values = np.random.default_rng(seed).random((n, 12))
    values[0, 3] = np.nan
    chosen = data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True))
    everyone = np.array(bootstrap_mean(values, seed=seed, resamples=200))
    some = np.array(bootstrap_mean(values[:, chosen], seed=seed, resamples=200))
    np.testing.assert_array_equal(some, everyone[:, chosen])


def test_the_seed_decides_and_the_block_size_does_not(monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(1).random((40, 3))
    first = bootstrap_mean(values, seed=5)
    np.testing.assert_array_equal(first, bootstrap_mean(values, seed=5))
    assert not np.array_equal(first, bootstrap_mean(values, seed=6))
    monkeypatch.setattr(intervals, "_COUNTS_AT_ONCE", 1000)
    np.testing.assert_allclose(bootstrap_mean(values, seed=5), first, rtol=1e-12)


def test_columns_share_their_resamples():
    values = np.random.default_rng(2).random((50, 1))
    low, high = bootstrap_mean(np.hstack([values, values + 1, -values]), seed=0)
    assert low[1] == pytest.approx(low[0] + 1, abs=1e-12)
    assert (low[2], high[2]) == pytest.approx((-high[0], -low[0]), abs=1e-12)


def test_nan_queries_are_left_out_of_the_mean():
    values = np.full((20, 2), 0.7)
    values[5:, 1] = np.nan
    low, high = bootstrap_mean(values, seed=0)
    np.testing.assert_allclose(low, 0.7)
    np.testing.assert_allclose(high, 0.7)


def test_a_resample_without_a_finite_value_is_silent():
    values = np.array([[0.0], [1.0], *[[np.nan]] * 20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = bootstrap_mean(values, seed=0)
    np.testing.assert_array_equal([low, high], [[0.0], [1.0]])


@pytest.mark.parametrize("finite", [0, 1])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_too_few_values_have_no_interval(n: int, finite: int):
    values = np.full((n, 2), np.nan)
    values[:finite] = 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(bootstrap_mean(values, seed=0), np.full((2, 2), np.nan))


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_a_confidence_outside_0_to_1_is_refused(confidence: float):
    message = r"must be in the open interval \(0, 1\), got"
    with pytest.raises(ConfigError, match=message):
        bootstrap_mean(np.zeros((3, 1)), seed=0, confidence=confidence)


def test_no_resamples_is_refused():
    with pytest.raises(ConfigError, match="resamples must be at least 1, got 0"):
        bootstrap_mean(np.zeros((3, 1)), seed=0, resamples=0)

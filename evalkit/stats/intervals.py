"""Confidence intervals: the bootstrap for means over queries, Wilson's for shares."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from evalkit.errors import ConfigError
from evalkit.types import FloatArray, IntArray

_COUNTS_AT_ONCE = 2**18
"""Cells of the resampling matrix held at once: 2 MB, which stays in cache while every column reads it."""
_COUNTS_KEPT = 2**24
"""Cells of a resampling matrix that is kept for the next statistic of the same queries: 32 MB."""


def bootstrap_mean(
    values: FloatArray, *, seed: int, resamples: int = 10_000, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Percentile bootstrap interval of each column's mean over queries (Efron and Tibshirani 1993, ch. 13).

    `values` is float64 of shape (n_queries, n_columns). All columns share the same resamples of the queries,
    and a column's bounds do not depend on which others come with it. A query that is NaN in a column is left
    out of that column's means. Returns (low, high), each float64 of shape (n_columns,) in the units of
    `values`; NaN where a column has fewer than 2 finite values. Raises ConfigError for a confidence outside
    (0, 1) or fewer than 1 resample.
    """
    check_confidence(confidence)
    means = resampled_means(values, seed=seed, resamples=resamples)
    bounds = percentiles(means, confidence)
    return bounds[0], bounds[1]


def percentiles(resampled: FloatArray, confidence: float = 0.95) -> FloatArray:
    """The bounds (low, high) of each row of resampled statistics: float64 of shape (2, n_rows), NaN for a NaN row.

    `resampled` is float64 of shape (n_rows, n_resamples); a statistic that a resample does not define is NaN.
    """
    usable = np.isfinite(resampled).any(axis=1)
    bounds = np.full((2, len(resampled)), np.nan)
    if usable.any():
        tail = (1 - confidence) / 2
        bounds[:, usable] = np.nanquantile(resampled[usable], [tail, 1 - tail], axis=1)
    return bounds


def resampled_means(values: FloatArray, *, seed: int, resamples: int = 10_000) -> FloatArray:
    """Means of each column over resamples of the queries: float64 of shape (n_columns, resamples).

    As `bootstrap_mean`: shared draws, NaN left out; a row of NaN for a column with fewer than 2 finite values.
    """
    if resamples < 1:
        raise ConfigError(f"resamples must be at least 1, got {resamples}")
    finite = np.isfinite(values)
    usable = finite.sum(axis=0) >= 2
    means = np.full((values.shape[1], resamples), np.nan)
    if usable.any():
        means[usable] = _resampled(np.where(finite, values, 0.0)[:, usable], finite[:, usable], seed, resamples)
    return means


def draws(n: int, seed: int, resamples: int) -> Iterator[tuple[slice, FloatArray]]:
    """How often each of `n` observations is in each resample, in blocks: float64 of shape (block, n)."""
    few = n * resamples <= _COUNTS_KEPT
    for block, counts in _kept_draws(n, seed, resamples) if few else _drawn(n, seed, resamples):
        yield block, counts.astype(np.float64)


@lru_cache(maxsize=2)
def _kept_draws(n: int, seed: int, resamples: int) -> list[tuple[slice, NDArray[np.int16]]]:
    """The draws of a moderate number of observations: a report or a gate asks for the same ones many times."""
    return [(block, counts.astype(np.int16)) for block, counts in _drawn(n, seed, resamples)]


def _drawn(n: int, seed: int, resamples: int) -> Iterator[tuple[slice, IntArray]]:
    rng = np.random.default_rng(seed)
    even = np.full(n, 1 / n)
    block = max(1, _COUNTS_AT_ONCE // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield slice(start, start + size), rng.multinomial(n, even, size=size)


def _resampled(values: FloatArray, finite: NDArray[np.bool_], seed: int, resamples: int) -> FloatArray:
    n_queries, n_columns = values.shape
    # A stack of columns makes numpy multiply them one at a time. A single matrix product would be blocked by
    # how many columns there are, and the last digit of a mean would change with its neighbours.
    columns = np.ascontiguousarray(values.T)[:, :, None]
    weights = finite.astype(np.float64)
    means = np.full((n_columns, resamples), np.nan)
    for block, counts in draws(n_queries, seed, resamples):
        drawn = (counts @ weights).T
        sums = (counts @ columns)[:, :, 0]
        # A resample that drew only NaN queries of a column has no mean there.
        np.divide(sums, drawn, out=means[:, block], where=drawn > 0)
    return means


def wilson(share: float, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (low, high) of a share (a fraction) of `n` trials (Wilson 1927).

    NaN when n is below 1 or the share is NaN. Raises ConfigError for a confidence outside (0, 1).
    """
    check_confidence(confidence)
    if n < 1 or math.isnan(share):
        return math.nan, math.nan
    z = float(ndtri((1 + confidence) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    margin = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - margin), min(1.0, centre + margin)


def check_confidence(confidence: float) -> None:
    """Raise ConfigError for a confidence outside (0, 1)."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be in the open interval (0, 1), got {confidence}")

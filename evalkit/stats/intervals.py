"""Confidence intervals: score intervals for means over queries, and the bootstrap for all that is made of several."""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from evalkit.errors import ConfigError
from evalkit.types import FloatArray, IntArray


def influence_values(cells: IntArray, statistic: Callable[[IntArray], float]) -> FloatArray:
    """Give each item the statistic plus its own influence on it: float64 of shape (n_items,), whose mean it is.

    `cells` says of each item, int64 of shape (n_items,), what it is as a number from 0: all that the statistic asks
    of it, such as a pair of label and prediction. `statistic` is called with how often each cell comes, int64 of
    shape (n_cells,). The influence is the jackknife's: how the statistic falls when the item is left out, times n -
    1, less the mean of that (Miller 1974, "The jackknife - a review"). The variance of the values, over n, is the
    jackknife's variance of the statistic. NaN where the statistic is undefined; a single item has the statistic.
    """
    counts = np.bincount(cells)
    whole = statistic(counts)
    if len(cells) < 2:
        return np.full(len(cells), whole)
    without = np.full(len(counts), np.nan)
    for cell in np.flatnonzero(counts):
        counts[cell] -= 1
        without[cell] = statistic(counts)
        counts[cell] += 1
    return jackknife_values(whole, without[cells])


def jackknife_values(whole: float, left_out: FloatArray) -> FloatArray:
    """Give each item the statistic plus its influence, as `influence_values`, where what is left is known already.

    `left_out` is the statistic without each item, float64 of shape (n_items,), of at least 2 items.
    """
    values: FloatArray = whole + (len(left_out) - 1) * (left_out.mean() - left_out)
    return values


_COUNTS_AT_ONCE = 2**18
"""Cells of the resampling matrix held at once: 2 MB, which stays in cache while every column reads it."""
_COUNTS_KEPT = 2**24
"""Cells of a resampling matrix that is kept for the next statistic of the same queries: 32 MB."""
PRIOR = 4
"""Queries that vary as zeros and ones, added to those that the dispersion of graded values is estimated from."""
_ROUNDING = 1e-9
"""What a sum of gains may be above 1."""


def percentiles(resampled: FloatArray, confidence: float = 0.95) -> FloatArray:
    """Return the bounds (low, high) of each row of resampled statistics: float64 of shape (2, n_rows), NaN for a NaN
    row.

    The percentile bootstrap (Efron and Tibshirani 1993, ch. 13). `resampled` is float64 of shape (n_rows,
    n_resamples); a statistic that a resample does not define is NaN. Raises ConfigError for a confidence outside
    (0, 1).
    """
    check_confidence(confidence)
    usable = np.isfinite(resampled).any(axis=1)
    bounds = np.full((2, len(resampled)), np.nan)
    if usable.any():
        tail = (1 - confidence) / 2
        bounds[:, usable] = np.nanquantile(resampled[usable], [tail, 1 - tail], axis=1)
    return bounds


def resampled_means(values: FloatArray, *, seed: int, resamples: int = 10_000) -> FloatArray:
    """Compute means of each column over resamples of the queries: float64 of shape (n_columns, resamples).

    `values` is float64 of shape (n_queries, n_columns). All columns share the same draws of the queries, and a
    column's means do not depend on which others come with it. A query that is NaN in a column is left out of that
    column's means; a column with fewer than 2 finite values has a row of NaN. Raises ConfigError for fewer than 1
    resample.
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
    """Tell how often each of `n` observations is in each resample, in blocks: float64 of shape (block, n)."""
    few = n * resamples <= _COUNTS_KEPT
    for block, counts in _kept_draws(n, seed, resamples) if few else _drawn(n, seed, resamples):
        yield block, counts.astype(np.float64)


@lru_cache(maxsize=2)
def _kept_draws(n: int, seed: int, resamples: int) -> list[tuple[slice, NDArray[np.int16]]]:
    """Return the draws of a moderate number of observations: a report or a gate asks for the same ones many times."""
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
    """Return Wilson's score interval (low, high) of a share (a fraction) of `n` trials (Wilson 1927).

    NaN when n is below 1 or the share is NaN. Raises ConfigError for a confidence outside (0, 1).
    """
    check_confidence(confidence)
    if n < 1 or math.isnan(share):
        return math.nan, math.nan
    low, high = _score_bounds(np.asarray(share), np.asarray(n), np.asarray(ndtri((1 + confidence) / 2) ** 2))
    return float(low), float(high)


def mean_interval(values: FloatArray, *, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return the interval of each column's mean over queries: (low, high), float64 of shape (n_columns,) each.

    `values` are fractions, float64 of shape (n_queries, n_columns); NaN are left out. A column of zeros and ones, or
    of zeros and one other value, has Wilson's interval (times that value). That is a score interval: it holds the
    means from which the observed one is not too far by the variance under them, m(1 - m)/n. Graded values vary less
    than zeros and ones of the same mean, by a factor (the dispersion; McCullagh and Nelder 1989, sections 4.5 and
    9.2), which is estimated and put into the same formula, with Student's quantile. To the estimate belong `PRIOR`
    queries more that vary as zeros and ones: among few queries those are easily missed which vary most. (Agresti and
    Coull 1998 add as many.)

    NaN where a column has fewer than 2 finite values, or if it is zeros and ones none. Raises ConfigError for a
    confidence outside (0, 1), ValueError for a value outside 0 to 1.
    """
    check_confidence(confidence)
    finite = np.isfinite(values)
    known = np.where(finite, values, 0.0)
    if known.min(initial=0) < 0 or known.max(initial=0) > 1 + _ROUNDING:
        raise ValueError(f"values from {known.min()} to {known.max()}: an interval of a mean is of fractions, 0 to 1")
    known = np.minimum(known, 1)
    n = np.maximum(finite.sum(axis=0), 1)
    top = known.max(axis=0, initial=0)
    zero = finite & (known == 0)
    # All of one value below 1 is no share: what else there might be is not seen.
    is_share = ((known == top) | (known == 0)).all(axis=0) & (zero.any(axis=0) | (top == 1))
    scale = np.where(is_share & (top > 0), top, 1.0)
    mean = np.minimum(known.sum(axis=0) / n / scale, 1)
    squares = (np.where(finite, known / scale - mean, 0.0) ** 2).sum(axis=0) * n / np.maximum(n - 1, 1)
    largest = mean * (1 - mean)
    dispersion = np.ones(len(n))
    np.divide(squares + PRIOR * largest, (n + PRIOR) * largest, out=dispersion, where=~is_share & (largest > 0))
    quantile = np.where(is_share, ndtri((1 + confidence) / 2), stdtrit(np.maximum(n - 1, 1), (1 + confidence) / 2))
    bounds = scale * np.stack(_score_bounds(mean, n, quantile**2 * np.minimum(dispersion, 1)))
    low, high = np.where(finite.sum(axis=0) >= np.where(is_share, 1, 2), bounds, np.nan)
    return low, high


def bounded_mean_interval(values: FloatArray, bounds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the 95 % interval of each column's mean, for values within any bounds: (low, high), (n_columns,) each.

    `bounds` is float64 of shape (n_columns, 2), low and high. Between finite bounds it is `mean_interval`'s, of the
    values as fractions of the range; without them Student's. NaN with fewer than 2 finite values.
    """
    low, high = np.full((2, values.shape[1]), np.nan)
    finite = np.isfinite(bounds).all(axis=1)
    if finite.any():
        least, span = bounds[finite, 0], bounds[finite, 1] - bounds[finite, 0]
        inner = mean_interval((values[:, finite] - least) / span)
        low[finite], high[finite] = (least + span * bound for bound in inner)
    for column in np.flatnonzero(~finite):
        known = values[np.isfinite(values[:, column]), column]
        if len(known) >= 2:
            reach = stdtrit(len(known) - 1, 0.975) * known.std(ddof=1) / np.sqrt(len(known))
            low[column], high[column] = known.mean() - reach, known.mean() + reach
    return low, high


def influence_interval(values: FloatArray) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of a statistic from 0 to 1 with these influence values: float64
    (n_items,).

    As `mean_interval`, with the dispersion of the values in place of that of graded ones: towards 0 and 1 it is not
    symmetric, as a statistic is not that cannot pass them. NaN with fewer than 2 values, or where one is NaN.
    """
    n, mean = len(values), float(np.clip(values.mean(), 0, 1)) if len(values) else math.nan
    if n < 2 or math.isnan(mean):
        return math.nan, math.nan
    largest = mean * (1 - mean)
    dispersion = 1.0 if largest == 0 else (n * values.var(ddof=1) + PRIOR * largest) / ((n + PRIOR) * largest)
    quantile = stdtrit(n - 1, 0.975)
    low, high = _score_bounds(np.asarray(mean), np.asarray(n), np.asarray(quantile**2 * dispersion))
    return float(low), float(high)


def _score_bounds(mean: FloatArray, n: IntArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the means m whose squared distance from `mean` is at most spread · m(1 - m)/n."""
    ratio = spread / n
    centre = (mean + ratio / 2) / (1 + ratio)
    margin = np.sqrt(ratio * mean * (1 - mean) + ratio**2 / 4) / (1 + ratio)
    return np.clip(centre - margin, 0, mean), np.clip(centre + margin, mean, 1)


def check_confidence(confidence: float) -> None:
    """Raise ConfigError for a confidence outside (0, 1)."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be in the open interval (0, 1), got {confidence}")

"""Paired comparisons: two cells on the same queries, or the same pairs of sentences.

All rest on one idea. If two cells are equally good, each item's difference might as well have the other sign (Fisher
1935, section 21; Smucker, Allan and Carterette 2007). Flipping signs at random gives the p-value, and the interval
has the differences that this test does not reject: its bounds are quantiles of the means over random subsets of the
items (Hartigan 1969), so test and interval never contradict each other. A percentile bootstrap of few items is too
narrow: with 50 queries a loss that is not there was found in up to 4.8 % of cases, where 2.5 % were stated.

A correlation is no mean over items. It is compared by the influence of each item on it, which is one to first order
(`correlation.spearman_influence`).
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtrinc, ndtr, ndtri, stdtrit

from evalkit.stats.correlation import spearman_influence
from evalkit.stats.intervals import check_confidence
from evalkit.types import FloatArray, IntArray

_SIGNS_AT_ONCE = 2**22
SAME = 1e-9
"""Sums closer than this share of their terms are equal: in another order they differ in the last digits."""


@dataclass(frozen=True)
class PairedTests:
    """One entry a comparison: float64 arrays of shape (n_comparisons,), and `n`, int64.

    `difference` is first - second, in the units of the values, with the bounds `low` and `high` of its interval.
    `p` is two-sided and never 0; `p_holm` is corrected for all comparisons here (Holm 1979). `sd` is the standard
    deviation of one query's difference: what the number of queries that a difference needs follows from.
    """

    difference: FloatArray
    low: FloatArray
    high: FloatArray
    p: FloatArray
    p_holm: FloatArray
    n: IntArray
    sd: FloatArray


def compare_means(
    values: FloatArray, pairs: IntArray, *, seed: int, resamples: int = 10_000, confidence: float = 0.95
) -> PairedTests:
    """Compare means over queries.

    `values` is float64 of shape (n_queries, n_columns), `pairs` int64 of shape (n_comparisons, 2): column numbers.
    A query that is NaN in either column is left out; fewer than 2 leave everything NaN but `n`, fewer than 6 bound
    nothing at 95 %, so that `low` and `high` are NaN. Raises ConfigError for a confidence outside (0, 1).
    """
    check_confidence(confidence)
    differences = values[:, pairs[:, 0]] - values[:, pairs[:, 1]]
    return _compare(differences, np.isfinite(differences).sum(axis=0), seed, resamples, confidence)


def compare_correlations(
    predicted: FloatArray,
    gold: FloatArray,
    pairs: IntArray,
    *,
    seed: int,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> PairedTests:
    """Compare Spearman's correlations with `gold`, by the influence of each pair of sentences.

    `predicted` is float64 of shape (n_pairs, n_columns), `gold` of shape (n_pairs,); `pairs` as in `compare_means`.
    A comparison is over the pairs of sentences that are finite in both columns. NaN where a correlation is undefined,
    or of fewer than 4 pairs. Raises ConfigError as `compare_means`.
    """
    check_confidence(confidence)
    differences = np.full((len(gold), len(pairs)), np.nan)
    n = np.zeros(len(pairs), dtype=np.int64)
    finite = np.isfinite(predicted)
    groups: dict[bytes, list[int]] = {}
    for number, (first, second) in enumerate(pairs):
        groups.setdefault((finite[:, first] & finite[:, second]).tobytes(), []).append(number)
    for numbers in groups.values():
        first, second = pairs[numbers[0]]
        rows = np.flatnonzero(finite[:, first] & finite[:, second])
        n[numbers] = len(rows)
        columns, places = np.unique(pairs[numbers], return_inverse=True)
        places = places.reshape(-1, 2)
        correlations, influence = spearman_influence(predicted[np.ix_(rows, columns)], gold[rows])
        values = correlations + influence  # their mean is the correlation
        differences[np.ix_(rows, np.array(numbers))] = values[:, places[:, 0]] - values[:, places[:, 1]]
    return _compare(differences, n, seed, resamples, confidence)


def _compare(differences: FloatArray, n: IntArray, seed: int, resamples: int, confidence: float) -> PairedTests:
    """Test whether the mean of each column is 0: float64 of shape (n_items, n_comparisons), NaN left out."""
    finite = np.isfinite(differences)
    known = finite.sum(axis=0) >= 2
    mean, low, high, p, sd = (np.full(differences.shape[1], np.nan) for _ in range(5))
    if known.any():
        finite, shown = finite[:, known], differences[:, known]
        mean[known], sd[known] = np.nanmean(shown, axis=0), np.nanstd(shown, axis=0, ddof=1)
        sums, sizes = _subsets(np.where(finite, shown, 0.0), finite, seed, resamples)
        # A sum that only rounding keeps from the observed one counts as equal to it.
        total = np.nansum(shown, axis=0)[:, None]
        least = np.abs(total) - SAME * np.nansum(np.abs(shown), axis=0)[:, None]
        # The sum with some signs flipped is that of a subset less that of the others. p is never 0 (Davison and
        # Hinkley 1997, eq. 4.11).
        p[known] = (1 + (np.abs(2 * sums - total) >= least).sum(axis=1)) / (1 + resamples)
        low[known], high[known] = _bounds(sums, sizes, (1 - confidence) / 2)
    return PairedTests(mean, low, high, p, holm(p), n, sd)


def signs(n: int, seed: int, resamples: int) -> Iterator[tuple[slice, FloatArray]]:
    """Yield the signs, 1 or -1, of `n` observations in each draw, in blocks: float64 of shape (block, n)."""
    rng = np.random.default_rng(seed)
    block = max(1, _SIGNS_AT_ONCE // max(1, n))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield slice(start, start + size), 2 * rng.integers(0, 2, size=(size, n), dtype=np.int8).astype(np.float64) - 1


def _subsets(
    differences: FloatArray, finite: NDArray[np.bool_], seed: int, resamples: int
) -> tuple[FloatArray, FloatArray]:
    """Draw sums and sizes of random subsets of each column, each item with even odds: (n_columns, resamples) both."""
    n, n_columns = differences.shape
    # A stack of columns makes numpy multiply them one at a time. The last digits of a product of matrices would
    # change with how many columns there are.
    columns = np.ascontiguousarray(differences.T)[:, :, None]
    sums, sizes = np.empty((n_columns, resamples)), np.empty((n_columns, resamples))
    for block, drawn in signs(n, seed, resamples):
        inside = (drawn + 1) / 2
        sums[:, block] = (inside @ columns)[:, :, 0]
        sizes[:, block] = (inside @ finite).T
    return sums, sizes


def _bounds(sums: FloatArray, sizes: FloatArray, tail: float) -> tuple[FloatArray, FloatArray]:
    """Return the bounds that leave `tail` of the subsets' means outside on either side: float64 of shape (n_columns,)
    each.

    An empty subset is a sign pattern that rejects no mean at all; where these alone are more than `tail`, nothing is
    bounded: NaN.
    """
    place = max(1, math.floor(tail * (1 + sums.shape[1]))) - 1
    means = np.divide(sums, sizes, out=np.full(sums.shape, -np.inf), where=sizes > 0)
    low = np.partition(means, place, axis=1)[:, place]
    means[sizes == 0] = np.inf
    high = -np.partition(-means, place, axis=1)[:, place]
    bounded = np.isfinite(low) & np.isfinite(high)
    return np.where(bounded, low, np.nan), np.where(bounded, high, np.nan)


def holm(p: FloatArray) -> FloatArray:
    """Compute p-values corrected for their number (Holm 1979): float64 of the same shape; NaN are left out of the
    family.
    """
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]
    larger = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * larger), 1)
    return corrected


MOST = 2**53
"""Queries: a larger number is not told from an infinite one."""


def smallest_difference(sd: float, n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest true difference that a comparison of `n` queries finds with this power, in the units
    of `sd`.

    `sd` is the standard deviation of one query's difference. To find it is to call it significant at `alpha`,
    two-sided, and with the right sign: the statistic has a noncentral t distribution with n - 1 degrees of freedom,
    which is solved for the noncentrality, difference · sqrt(n) / sd. 0 where no query differs; NaN for a NaN `sd` or
    fewer than 2 queries.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    critical = stdtrit(n - 1, 1 - alpha / 2)
    return sd * float(nctdtrinc(n - 1, 1 - power, critical)) / math.sqrt(n)


def queries_needed(difference: float, sd: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return how many queries a comparison needs to find a true `difference` with this power: whole, at least 2.

    The inverse of `smallest_difference`. Infinite for a difference of 0, or where it takes more than `MOST`; NaN if
    either is NaN.
    """
    if math.isnan(difference) or math.isnan(sd):
        return math.nan

    def enough(n: int) -> bool:
        return smallest_difference(sd, n, power=power, alpha=alpha) <= abs(difference)

    if difference == 0 or not enough(MOST):
        return math.inf
    return float(range(2, MOST)[bisect_left(range(2, MOST), True, key=enough)])


def queries_needed_within(difference: float, margin: float, sd: float, confidence: float) -> float:
    """Tell how many queries put a two-sided interval of this confidence above, or below, -margin, for this
    difference.

    By the normal approximation, with even odds: ((z · sd) / |difference + margin|)². Infinite if the difference is
    just the margin; NaN for a NaN.
    """
    distance = abs(difference + margin)
    if math.isnan(distance) or math.isnan(sd):
        return math.nan
    z = float(ndtri(0.5 + confidence / 2))
    return math.inf if distance == 0 else max(2.0, float(math.ceil((z * sd / distance) ** 2)))


def chance_to_catch(loss: float, margin: float, sd: float, n: int, confidence: float) -> float:
    """Return the probability that the interval of a true `loss` over `n` queries is below -margin: what a gate's
    power is.

    By the normal approximation, one-sided: Phi((loss - margin) · sqrt(n) / sd - z).
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    z = float(ndtri(0.5 + confidence / 2))
    return float(ndtr((loss - margin) * math.sqrt(n) / sd - z)) if sd else float(loss > margin)

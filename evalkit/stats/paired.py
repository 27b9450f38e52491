"""Paired comparisons: two cells on the same queries, or the same pairs of sentences."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from evalkit.stats.correlation import resampled_spearman
from evalkit.stats.intervals import check_confidence, percentiles, resampled_means
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
    """Differences of means over queries: bootstrap interval, and a randomisation test by signs.

    `values` is float64 of shape (n_queries, n_columns), `pairs` int64 of shape (n_comparisons, 2): column numbers.
    Under the null each query's difference might as well have the other sign (Fisher 1935, section 21; Smucker, Allan
    and Carterette 2007); p is (1 + as large or larger) / (1 + resamples) (Davison and Hinkley 1997, eq. 4.11). A
    query that is NaN in either column is left out; fewer than 2 leave everything NaN but `n`. Raises ConfigError
    for a confidence outside (0, 1).
    """
    check_confidence(confidence)
    differences = values[:, pairs[:, 0]] - values[:, pairs[:, 1]]
    finite = np.isfinite(differences)
    n = finite.sum(axis=0)
    low, high = percentiles(resampled_means(differences, seed=seed, resamples=resamples), confidence)
    known = n >= 2
    mean, sd, p = (np.full(len(pairs), np.nan) for _ in range(3))
    mean[known] = np.nanmean(differences[:, known], axis=0)
    sd[known] = np.nanstd(differences[:, known], axis=0, ddof=1)
    p[known] = _by_signs(np.where(finite, differences, 0.0)[:, known], seed, resamples)
    return PairedTests(mean, low, high, p, holm(p), n, sd)


def _by_signs(differences: FloatArray, seed: int, resamples: int) -> FloatArray:
    observed = np.abs(differences.sum(axis=0))
    # A sum that only rounding keeps from the observed one counts as equal to it.
    least = observed - SAME * np.abs(differences).sum(axis=0)
    rng = np.random.default_rng(seed)
    n = len(differences)
    block = max(1, _SIGNS_AT_ONCE // n)
    extreme = np.zeros(differences.shape[1], dtype=np.int64)
    for start in range(0, resamples, block):
        signs = 2.0 * rng.integers(0, 2, size=(min(block, resamples - start), n), dtype=np.int8) - 1
        extreme += (np.abs(signs @ differences) >= least).sum(axis=0)
    return np.asarray((1 + extreme) / (1 + resamples))


def compare_correlations(
    predicted: FloatArray,
    gold: FloatArray,
    pairs: IntArray,
    *,
    seed: int,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> PairedTests:
    """Differences of Spearman's correlation with `gold`: paired bootstrap over the pairs of sentences.

    `predicted` is float64 of shape (n_pairs, n_columns), `gold` of shape (n_pairs,); `pairs` as in `compare_means`.
    A comparison is over the pairs of sentences that are finite in both columns. p is twice the share of resamples
    on the other side of 0 (Efron and Tibshirani 1993, ch. 16), counted as in `compare_means`. `sd` is
    sqrt(n) × the standard error. NaN where a correlation is undefined. Raises ConfigError as `compare_means`.
    """
    check_confidence(confidence)
    results = np.full((5, len(pairs)), np.nan)
    n = np.zeros(len(pairs), dtype=np.int64)
    finite = np.isfinite(predicted)
    groups: dict[bytes, list[int]] = {}
    for number, (first, second) in enumerate(pairs):
        groups.setdefault((finite[:, first] & finite[:, second]).tobytes(), []).append(number)
    for numbers in groups.values():
        first, second = pairs[numbers[0]]
        rows = finite[:, first] & finite[:, second]
        n[numbers] = rows.sum()
        if rows.sum() < 3:
            continue
        columns, places = np.unique(pairs[numbers], return_inverse=True)
        places = places.reshape(-1, 2)
        chosen = predicted[rows][:, columns]
        resampled = resampled_spearman(chosen, gold[rows], seed=seed, resamples=resamples)
        observed = [_spearman(column, gold[rows]) for column in chosen.T]
        for number, (a, b) in zip(numbers, places, strict=True):
            results[:, number] = _difference(
                observed[a] - observed[b], resampled[a] - resampled[b], int(rows.sum()), confidence
            )
    difference, low, high, p, sd = results
    return PairedTests(difference, low, high, p, holm(p), n, sd)


def _spearman(predicted: FloatArray, gold: FloatArray) -> float:
    constant = np.ptp(predicted) == 0 or np.ptp(gold) == 0
    return float("nan") if constant else float(spearmanr(predicted, gold).statistic)


def _difference(observed: float, resampled: FloatArray, n: int, confidence: float) -> tuple[float, ...]:
    """Difference, low, high, p, sd."""
    defined = resampled[np.isfinite(resampled)]
    if np.isnan(observed) or not defined.size:
        return (np.nan,) * 5
    low, high = percentiles(defined[None, :], confidence)[:, 0]
    other_side = min((defined <= SAME).sum(), (defined >= -SAME).sum())
    p = min(1.0, 2 * (1 + other_side) / (1 + defined.size))
    return observed, low, high, p, float(defined.std(ddof=1)) * n**0.5


def holm(p: FloatArray) -> FloatArray:
    """p-values corrected for their number (Holm 1979): float64 of the same shape; NaN are left out of the family."""
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]
    larger = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * larger), 1)
    return corrected

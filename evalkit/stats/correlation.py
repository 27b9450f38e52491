"""Correlations over resamples of the pairs, as array work."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from evalkit.stats.intervals import draws, resampled_means
from evalkit.types import FloatArray

LEAST = 4
"""Pairs that an interval of a correlation needs: of fewer, most resamples are constant or a straight line."""
_NO_VARIANCE = 1e-12
"""A resample whose variance is a smaller share of that of all pairs has equal values, but for rounding."""


_AT_ONCE = 2**16
"""Draws of pairs that are worked on at once: what is made of them, step by step, stays in the cache of a core."""


def resampled_spearman(predicted: FloatArray, gold: FloatArray, *, seed: int, resamples: int = 10_000) -> FloatArray:
    """Compute Spearman's correlation with `gold` over resamples of the pairs: float64 of shape (n_columns,
    resamples).

    `predicted` is float64 of shape (n_pairs, n_columns), `gold` of shape (n_pairs,), finite. All columns share the
    same draws; a pair that is NaN in a column is left out of that column's, which do not depend on the other columns.
    NaN where a resample is constant on either side, and in columns of fewer than `LEAST` pairs. Equal to ranking each
    resample anew with mid-ranks (Spearman 1904), but values are sorted once: the rank of a value in a resample is the
    number of smaller ones drawn, and half of those equal to it.
    """
    found = np.full((predicted.shape[1], resamples), np.nan)
    masks, which = np.unique(np.isfinite(predicted).T, axis=0, return_inverse=True)
    for number, mask in enumerate(masks):
        if mask.sum() >= LEAST:
            same = np.flatnonzero(which == number)
            columns, gold_sorted = [_Sorted(predicted[mask, column]) for column in same], _Sorted(gold[mask])
            width = max(1, _AT_ONCE // len(gold))
            for block, counts in draws(len(gold), seed, resamples):
                for start in range(0, len(counts), width):
                    drawn = np.ascontiguousarray(counts[start : start + width].T[mask])
                    first = block.start + start
                    found[same, first : first + drawn.shape[1]] = _correlations(columns, gold_sorted, drawn)
    return found


def _correlations(columns: Sequence["_Sorted"], gold: "_Sorted", drawn: FloatArray) -> FloatArray:
    """Compute Spearman's correlation of each column where each pair is there `drawn` times: (n_columns, n_draws).

    `drawn` is of shape (n_pairs, n_draws): a row a pair, so that what is picked and summed are whole rows, which is
    several times faster.
    """
    ranks, squares = gold.ranks(drawn)
    weighted = drawn * ranks[gold.group]
    found = np.full((len(columns), drawn.shape[1]), np.nan)
    for row, column in enumerate(columns):
        own_ranks, own_squares = column.ranks(drawn)
        product = np.einsum("ij,ij->j", column.by_group(weighted), own_ranks)
        scale = own_squares * squares
        np.divide(product, np.sqrt(scale), out=found[row], where=scale > 0)
    return found


def spearman_influence(predicted: FloatArray, gold: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Spearman's correlations with `gold`, (n_columns,), and the influence of each pair, (n_pairs, n_columns).

    The empirical influence (Hampel 1974; Efron and Tibshirani 1993, ch. 21) is n times the derivative of the
    correlation by the weight of the pair, mid-ranks and their variance moving along. Its mean is 0, and to first
    order a correlation is the true one and the mean of the influence of the pairs drawn: so it is tested as a mean
    is. It is given times sqrt(n / (n - 3)), since the variance of a correlation is over n - 3 (Fisher 1921; of ranks:
    Bonett and Wright 2000). Each column is over the pairs that are finite in it; NaN where `predicted` is, and where
    a correlation is undefined or of fewer than `LEAST` pairs.
    """
    correlations, influence = np.full(predicted.shape[1], np.nan), np.full(predicted.shape, np.nan)
    for number, column in enumerate(predicted.T):
        rows = np.isfinite(column)
        if rows.sum() < LEAST:
            continue
        x, y = _Sorted(column[rows]), _Sorted(gold[rows])
        a, b = (side.centred_ranks() for side in (x, y))
        scale = np.sqrt((a @ a) * (b @ b))
        if scale > 0:
            # Derivatives of the sums of a·b, a·a and b·b.
            product = a * b + x.pulled(b) + y.pulled(a)
            squares = (a * a + 2 * x.pulled(a)) / (a @ a) + (b * b + 2 * y.pulled(b)) / (b @ b)
            correlations[number] = r = (a @ b) / scale
            derivative = product / scale - r / 2 * squares
            influence[rows, number] = len(a) * derivative * np.sqrt(len(a) / (len(a) - 3))
    return correlations, influence


class _Sorted:
    """A column's values in order, equal ones as one group."""

    def __init__(self, values: FloatArray) -> None:
        _, self.group = np.unique(values, return_inverse=True)
        pairs = np.arange(len(values))
        # A sparse product adds whole rows, several times faster than numpy adds those of groups.
        self._members = csr_array((np.ones(len(values)), (self.group, pairs)))

    def by_group(self, rows: FloatArray) -> FloatArray:
        """Sum the rows of each group: (n_pairs, block) to (n_groups, block)."""
        return np.asarray(self._members @ rows)

    def ranks(self, drawn: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return each group's distance from the mean rank, (n_groups, block), and the sum of its squares over the
        pairs.
        """
        groups = self.by_group(drawn)
        ranks = np.cumsum(groups, axis=0)
        # The mean of mid-ranks is half the number of pairs that were drawn.
        ranks -= groups / 2 + ranks[-1] / 2
        return ranks, np.einsum("ij,ij,ij->j", groups, ranks, ranks)

    def centred_ranks(self) -> FloatArray:
        """Return each pair's mid-rank less the mean rank: float64 of shape (n_pairs,)."""
        ranks, _ = self.ranks(np.ones((len(self.group), 1)))
        return np.asarray(ranks[self.group, 0])

    def pulled(self, weights: FloatArray) -> FloatArray:
        """Return half of the sum of `weights` over the pairs above each one, less half of that over those below
        it.
        """
        groups = self.by_group(weights[:, None])[:, 0]
        up_to = np.cumsum(groups)
        return np.asarray((up_to[-1] - 2 * up_to + groups) / 2)[self.group]


def resampled_pearson(predicted: FloatArray, gold: FloatArray, *, seed: int, resamples: int = 10_000) -> FloatArray:
    """Compute Pearson's correlation with `gold` over resamples of the pairs; as `resampled_spearman`, without NaN."""
    if len(gold) < LEAST:
        return np.full((predicted.shape[1], resamples), np.nan)
    x, y = predicted - predicted.mean(axis=0), (gold - gold.mean())[:, None]
    moments = resampled_means(np.hstack([x, x**2, x * y, y, y**2]), seed=seed, resamples=resamples)
    of_x, of_x2, of_xy = moments[:-2].reshape(3, -1, resamples)
    of_y, of_y2 = moments[-2:]
    variance_x, variance_y = of_x2 - of_x**2, of_y2 - of_y**2
    defined = (variance_x > _NO_VARIANCE * (x**2).mean(axis=0)[:, None]) & (variance_y > _NO_VARIANCE * (y**2).mean())
    found = np.full(of_xy.shape, np.nan)
    np.divide(of_xy - of_x * of_y, np.sqrt(np.abs(variance_x * variance_y)), out=found, where=defined)
    return found

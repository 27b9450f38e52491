"""Correlations over resamples of the pairs, as array work."""

from collections.abc import Callable, Sequence

import numpy as np

from evalkit.stats.intervals import draws
from evalkit.types import FloatArray

_Deviations = Callable[[FloatArray], FloatArray]
"""From how often each pair was drawn, (block, n_pairs), to each pair's distance from the resample's mean."""


def resampled_spearman(predicted: FloatArray, gold: FloatArray, *, seed: int, resamples: int = 10_000) -> FloatArray:
    """Spearman's correlation with `gold` over resamples of the pairs: float64 of shape (n_columns, resamples).

    `predicted` is float64 of shape (n_pairs, n_columns), `gold` of shape (n_pairs,); all finite. All columns share
    the same draws. NaN where a resample is constant on either side. Equal to ranking each resample anew with
    mid-ranks (Spearman 1904), but values are sorted once: the rank of a value in a resample is the number of
    smaller ones drawn, and half of those equal to it.
    """
    return _resampled([_ranks(column) for column in (*predicted.T, gold)], len(gold), seed, resamples)


def resampled_pearson(predicted: FloatArray, gold: FloatArray, *, seed: int, resamples: int = 10_000) -> FloatArray:
    """Pearson's correlation with `gold` over resamples of the pairs; as `resampled_spearman`."""
    return _resampled([_values(column) for column in (*predicted.T, gold)], len(gold), seed, resamples)


def _ranks(values: FloatArray) -> _Deviations:
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))

    def deviations(counts: FloatArray) -> FloatArray:
        drawn = np.add.reduceat(counts[:, order], starts, axis=1)
        # The mean of mid-ranks is the same in every resample: half the number of pairs.
        return np.asarray((np.cumsum(drawn, axis=1) - drawn / 2)[:, group] - len(values) / 2)

    return deviations


def _values(values: FloatArray) -> _Deviations:
    centred = values - values.mean()
    return lambda counts: centred - (counts @ centred)[:, None] / len(values)


def _resampled(columns: Sequence[_Deviations], n: int, seed: int, resamples: int) -> FloatArray:
    *predicted, gold = columns
    found = np.full((len(predicted), resamples), np.nan)
    for block, counts in draws(n, seed, resamples):
        y = gold(counts)
        weighted = counts * y
        y_square = np.einsum("ij,ij->i", weighted, y)
        for row, deviations in enumerate(predicted):
            x = deviations(counts)
            product = np.einsum("ij,ij->i", weighted, x)
            squares = np.einsum("ij,ij,ij->i", counts, x, x) * y_square
            np.divide(product, np.sqrt(squares), out=found[row, block], where=squares > 0)
    return found

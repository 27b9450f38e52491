"""Which of several cells differ: all pairs tested together, each held to the largest statistic of a set of pairs.

Two cells are compared by the sum of their differences over the queries, in units of its standard error under the
null. In a draw, all differences of a query change their sign together or not at all (as in `paired.compare_means`),
so that the pairs stay correlated as they are. A pair differs if its statistic is larger than the largest of all pairs
of a set of cells is in all but 5 % of the draws (max-T: Westfall and Young 1993, ch. 2).

That set is all cells at first. Then, around each cell, those that it was told apart from leave the set, and the rest
is tested anew, until none leaves (step-down: Romano and Wolf 2005). A false result among cells that are equal in
truth is always a pair of theirs that is larger than all their pairs together allow. So the rate holds around
whichever cell is looked at, also around one that was chosen for its score on the same queries.
"""

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.paired import signs
from evalkit.types import FloatArray, IntArray

_AT_ONCE = 2**16
"""Differences held at once: 256 kB, which stay in the cache."""
_ROUNDING = 1e-5
"""Statistics closer than this share are equal: those of draws have seven digits."""


def told_apart(
    values: FloatArray,
    estimates: FloatArray | None = None,
    *,
    level: float,
    seed: int,
    resamples: int = 10_000,
) -> tuple[FloatArray, FloatArray]:
    """Compare all pairs of columns: (statistics, corrected p-values), float64 of shape (n_cells, n_cells) each.

    `values` is float64 of shape (n_queries, n_cells); a pair is compared over the queries that are finite in both.
    The statistic of row and column is above 0 where the row's cell is better; 0 where no query differs. p is
    two-sided, never 0; a pair is told apart where p <= `level`, and the p is that of the step that did it, or of the
    last one. Both are NaN where a pair has fewer than 2 queries.

    Columns whose scores are no means have them in `estimates`, (n_cells,), and the influence of each query on them in
    `values` (`correlation.spearman_influence`).
    """
    statistics, scales = _observed(values, estimates)
    draws = _Draws(values, scales, seed, resamples)
    p = np.full(statistics.shape, np.nan)
    for cell in range(len(p)):
        others = np.flatnonzero(np.isfinite(statistics[cell]) & (np.arange(len(p)) != cell))
        left = 0
        while len(others) != left:
            p[cell, others] = draws.exceeding(np.append(others, cell), statistics[cell, others])
            left = len(others)
            others = others[p[cell, others] > level]
    return statistics, np.minimum(p, p.T)


def _observed(values: FloatArray, estimates: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Compute statistics of all pairs, and what a sum of differences is multiplied by to give one."""
    sums, squares, common = (np.empty((values.shape[1],) * 2) for _ in range(3))
    for cell, column in enumerate(values.T):
        differences = column[:, None] - values
        sums[cell], squares[cell] = np.nansum(differences, axis=0), np.nansum(differences**2, axis=0)
        common[cell] = np.isfinite(differences).sum(axis=0)
    if estimates is not None:
        sums = common * (estimates[:, None] - estimates)
    scales = np.zeros(squares.shape)
    np.divide(1, np.sqrt(squares), out=scales, where=squares > 0)
    return np.where(common >= 2, sums * scales, np.nan), scales


class _Draws:
    """Sums of the columns with the signs of each draw, of which those of all differences are made."""

    def __init__(self, values: FloatArray, scales: FloatArray, seed: int, resamples: int) -> None:
        finite = np.isfinite(values)
        masks, self._mask = np.unique(finite, axis=1, return_inverse=True)
        self._scales = scales.astype(np.float32)
        # (n_masks, n_cells, n_resamples): each cell's sum over the queries that another cell is defined on, too.
        self._sums = np.empty((masks.shape[1], values.shape[1], resamples), dtype=np.float32)
        filled = np.where(finite, values, 0.0)
        for block, drawn in signs(len(values), seed, resamples):
            for number, mask in enumerate(masks.T):
                self._sums[number, :, block] = (drawn @ (filled * mask[:, None])).T
        self._largest: dict[bytes, NDArray[np.float32]] = {}

    def exceeding(self, cells: IntArray, statistics: FloatArray) -> FloatArray:
        """Return the share of draws in which the largest statistic of all pairs of `cells` is at least as large as
        each.
        """
        cells = np.sort(cells)
        if cells.tobytes() not in self._largest:
            self._largest[cells.tobytes()] = np.sort(self._of_all_pairs(cells))
        largest = self._largest[cells.tobytes()]
        smaller = np.searchsorted(largest, np.abs(statistics) * (1 - _ROUNDING))
        return np.asarray((1 + len(largest) - smaller) / (1 + len(largest)))

    def _of_all_pairs(self, cells: IntArray) -> NDArray[np.float32]:
        largest = np.zeros(self._sums.shape[2], dtype=np.float32)
        size = max(1, _AT_ONCE // len(cells))
        for start in range(0, len(largest), size):
            block = slice(start, start + size)
            for place, cell in enumerate(cells[1:], start=1):
                others = cells[:place]
                differences = self._sums[self._mask[others], cell, block]
                differences -= self._sums[self._mask[cell], others, block]
                np.abs(differences, out=differences)
                differences *= self._scales[cell, others, None]
                np.maximum(largest[block], differences.max(axis=0), out=largest[block])
        return largest

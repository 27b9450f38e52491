"""Values of items whose mean is a statistic that is no mean, so that it is tested like one."""

from collections.abc import Callable

import numpy as np

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

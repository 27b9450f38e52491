"""How sure a place on a leaderboard is."""

import numpy as np
from scipy.stats import rankdata

from evalkit.stats.intervals import percentiles
from evalkit.types import FloatArray


def rank_intervals(resampled: FloatArray, *, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Interval (low, high) of each row's rank among the rows, 1 the best (the highest): float64 of shape (n_rows,).

    `resampled` is float64 of shape (n_rows, n_resamples): each row's score in the same resamples. Each resample is
    ranked by itself, equal scores share the mean of their ranks (bootstrap of ranks: Goldstein and Spiegelhalter
    1996; Hall and Miller 2009). A row that a resample leaves undefined has no rank in it.
    """
    ranks = rankdata(-resampled, axis=0, nan_policy="omit")
    low, high = percentiles(np.asarray(ranks), confidence)
    return np.floor(low), np.ceil(high)

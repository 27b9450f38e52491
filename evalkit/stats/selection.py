"""The score on new questions of what was chosen by its score on these.

The best of many looks better than it is: it was chosen for what it scored on the very questions that its score is
taken over. Cross-fitting undoes that. The questions are parted into folds; what the others choose is scored on those
of a fold, which took no part in choosing it; the mean over all questions is an estimate of the score of the rule that
chooses (Efron and Tibshirani 1997, "Improvements on cross-validation"). Its error is no standard error of a mean,
since the folds choose by questions that they share. It is had by a bootstrap of all of it, the choosing too, in which
the score on new questions is known: it is that of the whole sample (Efron and Hastie 2016, ch. 12 and 20).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from evalkit.stats.intervals import mean_interval
from evalkit.types import FloatArray, IntArray

FOLDS = 5
ROUNDS = 2
"""The folds are drawn anew so many times, and the estimates averaged."""
RESAMPLES = 200
FEWEST = 10
"""Questions below which nothing is estimated: a fold would have one."""

Choose = Callable[[IntArray], int]
"""Chooses a column by how often each question counts: int64 of shape (n_questions,), 0 for one that is held out."""


@dataclass(frozen=True)
class Confirmed:
    """What was chosen, on questions that took no part in choosing it: fractions, as the values are.

    `low` and `high` bound its score on new questions with 95 % confidence; `optimism` is by how much its score on all
    questions, which chose it, is above that.
    """

    score: float
    low: float
    high: float
    optimism: float


def confirm(values: FloatArray, choose: Choose, groups: Sequence[object] | None = None, *, seed: int) -> Confirmed:
    """Estimate the score on new questions of the column that `choose` takes.

    `values` is float64 of shape (n_questions, n_choices), fractions, all finite. Questions of one of the `groups` are
    of one fold: those about one document. NaN with fewer than `FEWEST` questions.
    """
    n = len(values)
    naive = float(values[:, choose(np.ones(n, dtype=np.int64))].mean()) if n else np.nan
    if n < FEWEST:
        return Confirmed(np.nan, np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    rounds = [_folds(n, groups, rng) for _ in range(ROUNDS)]
    held_out = _held_out(values, choose, np.ones(n, dtype=np.int64), rounds)
    score, truth = float(held_out.mean()), values.mean(axis=0)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    errors = [counts @ _held_out(values, choose, counts, rounds) / n - truth[choose(counts)] for counts in drawn]
    # A bootstrap's spread is that of a variance over n; the estimate's is over n - 1.
    reach = float(stdtrit(n - 1, 0.975) * np.std(errors) * np.sqrt(n / (n - 1)))
    # Where all questions are answered, or none, no resample differs; the interval of a mean knows of those unseen.
    low, high = (float(bound[0]) for bound in mean_interval(held_out[:, None]))
    return Confirmed(score, max(min(score - reach, low), 0.0), min(max(score + reach, high), 1.0), naive - score)


def _folds(n: int, groups: Sequence[object] | None, rng: np.random.Generator) -> IntArray:
    """Draw the fold of each question: int64 of shape (n,). Groups go, in a random order, where there are fewest."""
    codes = np.arange(n) if groups is None else np.unique([str(group) for group in groups], return_inverse=True)[1]
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        return _folds(n, None, rng)
    fold_of, filled = np.empty(len(sizes), dtype=np.int64), np.zeros(min(FOLDS, len(sizes)))
    for group in rng.permutation(len(sizes)):
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return fold_of[codes]


def _held_out(values: FloatArray, choose: Choose, counts: IntArray, rounds: Sequence[IntArray]) -> FloatArray:
    """Return what the choice of the others scores on each question, the mean over the rounds: (n_questions,)."""
    held_out = np.zeros(len(values))
    for fold in rounds:
        for number in range(fold.max() + 1):
            held = fold == number
            others = np.where(held, 0, counts)
            if others.any():
                held_out[held] += values[held, choose(others)] / len(rounds)
    return held_out

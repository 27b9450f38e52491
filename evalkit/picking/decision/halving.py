"""Successive halving: many choices on few questions, the better half on twice as many, the last ones on all.

Jamieson and Talwalkar 2016 ("Non-stochastic best arm identification"), Karnin, Koren and Somekh 2013. The questions
of a round contain those of the rounds before, so that what was computed for them is reused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from evalkit.errors import ConfigError
from evalkit.types import FloatArray, IntArray

Item = TypeVar("Item")
LEAST_QUESTIONS = 8
"""Of a round: fewer order the choices by chance."""


@dataclass(frozen=True)
class Round(Generic[Item]):
    """What took part in a round, on how many questions, the mean of each, and what was cut after it."""

    questions: int
    scores: dict[Item, float]
    cut: tuple[Item, ...]


def halve(
    items: Sequence[Item],
    score: Callable[[Sequence[Item], IntArray], FloatArray],
    questions: int,
    *,
    last: int = 2,
    seed: int = 0,
) -> tuple[Round[Item], ...]:
    """Halve the items until `last` are left, which are scored on all questions in the last round.

    `score` is called with the items of a round and its questions (row numbers, ascending), and gives float64 of shape
    (n_questions, n_items). The rows are drawn with `seed`. With few questions, there are fewer rounds, each cutting
    more. Raises ConfigError if `last` is less than 1, or there is nothing to score.
    """
    if last < 1 or not items or questions < 1:
        raise ConfigError(
            f"halving {len(items)} choices down to {last} on {questions} questions: give at least 1 of each."
        )
    order = np.random.default_rng(seed).permutation(questions)
    sizes, kept = _schedule(len(items), questions, last)
    left = list(items)
    rounds = []
    for size, keep in zip(sizes, kept, strict=True):
        means = score(left, np.sort(order[:size])).mean(axis=0)
        ranked = np.argsort(-means, kind="stable")
        cut = tuple(left[row] for row in sorted(ranked[keep:]))
        rounds.append(Round(size, dict(zip(left, map(float, means), strict=True)), cut))
        left = [left[row] for row in sorted(ranked[:keep])]
    return tuple(rounds)


def _schedule(items: int, questions: int, last: int) -> tuple[list[int], list[int]]:
    """Questions of each round, and how many items it keeps; the last round has all questions and cuts none."""
    counts = [items]
    while counts[-1] > last:
        counts.append(max(last, -(-counts[-1] // 2)))
    sizes = [questions // 2 ** (len(counts) - 1 - place) for place in range(len(counts))]
    usable = [place for place, size in enumerate(sizes) if size >= LEAST_QUESTIONS or place == len(sizes) - 1]
    sizes, counts = [sizes[place] for place in usable], [counts[place] for place in usable]
    return sizes, [*counts[1:], counts[-1]]

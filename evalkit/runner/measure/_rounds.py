"""When queries are timed, for how long, and by which clock; and what their times say: percentiles and their spread.

Queries are timed one after the other, and those that follow each other make a round: a moment of the machine. What
another process takes from it for a while shows in some rounds and not in others.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from evalkit.compute import Compute
from evalkit.types import FloatArray

TURNS = 2
"""Models are measured in turn, and so many times: A B C A B C. All of them are never loaded at once."""
ROUNDS = 6
"""The lowest and the highest of so many independent rounds enclose the median of all rounds with a probability of
1 - 2 / 2**6 = 97 %, whatever the distribution (the sign test's interval; David and Nagaraja 2003, ch. 7).
"""
LEAST_QUERIES = 3
"""Timed however long they take."""
WARM_UP = 3
"""Queries answered before the first one that is timed: by then everything is loaded, and caches are warm."""
MOST_DOCUMENTS = 256
"""Documents timed at most."""
PAID_QUERIES, PAID_DOCUMENTS = 5, 16
"""The most that is asked of a paid API."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Limits:
    """How much is timed: at most `queries`, for about `seconds` a stage of a task, drawn with `seed`; at most
    `documents`, for about `seconds` in all tasks together.
    """

    queries: int = 50
    seconds: float = 5.0
    seed: int = 0
    documents: int = MOST_DOCUMENTS
    warm_up: int = WARM_UP

    @property
    def paid(self) -> "Limits":
        """Those of a paid API."""
        return replace(self, queries=min(self.queries, PAID_QUERIES), documents=PAID_DOCUMENTS, warm_up=1)


@dataclass(frozen=True)
class Turn:
    """One of several times that a model is loaded and measured; each has its share of the queries and of the time."""

    number: int = 0
    of: int = 1

    def queries(self, rows: Sequence[Item]) -> Sequence[Item]:
        """Return those of the queries that are asked in this turn."""
        return rows[self.number :: self.of]

    @property
    def least(self) -> int:
        """Queries that are timed in this turn, however long they take."""
        return -(-LEAST_QUERIES // self.of)


def clock(compute: Compute) -> float:
    """Return seconds, once the device has done all it was given."""
    if compute.device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def for_seconds(items: Sequence[Item], seconds: float, least: int) -> Iterator[Item]:
    """Yield the items until about so many seconds have passed, but the first few in any case."""
    started = time.perf_counter()
    for number, item in enumerate(items):
        if number >= least and time.perf_counter() - started > seconds:
            return
        yield item


def percentile(times: FloatArray, percent: float) -> float:
    """Return the shortest of the times, float64 (n,), within which `percent` of the queries were answered."""
    return float(np.percentile(times, percent, method="inverted_cdf"))


def spread(times: FloatArray, percent: float) -> tuple[float, float]:
    """Return the lowest and the highest percentile of a round; NaN where fewer than two queries were timed.

    `times`, float64 (n,), are in the order in which they were taken. They are parted into `ROUNDS`; if they are
    fewer, each is a round. The percentile of all of them is never outside.
    """
    if len(times) < 2:
        return np.nan, np.nan
    of_rounds = [percentile(each, percent) for each in np.array_split(times, min(ROUNDS, len(times)))]
    return min(of_rounds), max(of_rounds)

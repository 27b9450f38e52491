"""A choice and what it costs; which of several is the cheapest.

Latency is known as well as its rounds agree. Of two choices one is faster only if its highest round is below the
lowest one of the other; else they count as equal, and the next cost decides. That is no order of all choices, since
equal to the same is not equal to each other: `Costs.cheapest` takes those than which no other is faster.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from evalkit.picking._requirements import is_known, spread_of
from evalkit.types import FloatArray, IntArray

LATENCY = "latency_p95_ms"


@dataclass(frozen=True)
class Choice:
    """A cell as something to use. `values` holds what was measured and is known of it, by column; NaN: not known.

    `difference` is choice - best over the same questions (fractions), with the bounds of its 95 % interval,
    `p_corrected`, and `sd` of one question's difference; NaN for the best itself and for one that is left out.
    `unmet` and `unknown` hold the requirements that rule it out, as the user wrote them; `doubtful` those whose limit
    is within the spread of what was measured. Of a task, which is not cut, the `chunking` is its split.
    """

    chunking: str
    model: str
    reranker: str
    score: float
    values: Mapping[str, object]
    unmet: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_corrected: float = math.nan
    sd: float = math.nan
    of_task: bool = False

    @property
    def name(self) -> tuple[str, str, str]:
        """What it is: chunking, model, reranker."""
        return self.chunking, self.model, self.reranker

    @property
    def allowed(self) -> bool:
        """Whether it keeps to all requirements, beyond doubt."""
        return self.may_be_allowed and not self.doubtful

    @property
    def may_be_allowed(self) -> bool:
        """Whether it keeps to all requirements, but for those that cannot be told from what was measured."""
        return not self.unmet and not self.unknown

    @property
    def usd(self) -> float:
        """USD a thousand queries; infinite if it is not known."""
        return self.known("usd_per_thousand_queries")

    @property
    def bytes(self) -> float:
        """Bytes of the corpus's vectors; infinite if they are not known."""
        return self.known("corpus_bytes")

    @property
    def latency(self) -> tuple[float, float]:
        """The p95 of the lowest and of the highest round in ms; infinite if it is not known (see `spread_of`)."""
        return spread_of(LATENCY, self.values) if is_known(self.values.get(LATENCY)) else (math.inf, math.inf)

    def is_faster_than(self, other: "Choice") -> bool:
        """Tell whether it was shown to be: no round of it reaches those of the other."""
        return self.latency[1] < other.latency[0]

    def known(self, column: str) -> float:
        """Return a value by its column; infinite if it is not known."""
        value = self.values.get(column)
        return float(value) if is_known(value) else math.inf


@dataclass(frozen=True)
class Costs:
    """What choices cost, float64 arrays of shape (n_choices,): see `Choice`; `low` and `high` are of latency."""

    usd: FloatArray
    low: FloatArray
    high: FloatArray
    bytes: FloatArray

    @classmethod
    def of(cls, choices: Sequence[Choice]) -> Self:
        """Return the costs of these choices."""
        low, high = np.array([each.latency for each in choices]).reshape(-1, 2).T
        return cls(np.array([each.usd for each in choices]), low, high, np.array([each.bytes for each in choices]))

    def cheapest(self, rows: IntArray) -> IntArray:
        """Return those of the choices, by row, that cost least: several where costs do not put them in order.

        The price goes first, then latency, then bytes of vectors.
        """
        rows = rows[self.usd[rows] == self.usd[rows].min()]
        rows = rows[self.low[rows] <= self.high[rows].min()]
        fewest: IntArray = rows[self.bytes[rows] == self.bytes[rows].min()]
        return fewest


def cheapest(choices: Sequence[Choice]) -> Choice:
    """Return the one that costs least; where costs do not tell, the one with the highest score, then the first by
    name.
    """
    rows = Costs.of(choices).cheapest(np.arange(len(choices)))
    return min([choices[int(row)] for row in rows], key=lambda each: (-each.score, each.name))

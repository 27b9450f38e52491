"""A check of a gate: what came of it, where, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from evalkit.cell import cell_name
from evalkit.results.comparisons import CellLabel
from evalkit.results.input_diff import Label

Outcome = Literal["pass", "note", "warn", "fail", "undecided"]
"""note: to know, no fault. warn: the queries do not tell. undecided: something is missing that a verdict needs."""


@dataclass(frozen=True)
class Place:
    """A task, a cell of the baseline on it, and the one of the run that stands in its place."""

    label: Label
    old: CellLabel
    new: CellLabel

    def __str__(self) -> str:
        return f"{cell_name(*self.new)} on {self.label[0]} ({self.label[1]})"


@dataclass(frozen=True)
class Check:
    """A check, what came of it, and why in a sentence.

    `queries` names the ids of those that got worst, at `place`. `chances` has by a loss of the mean (a fraction) the
    probability that this check would fail of it.
    """

    name: str
    outcome: Outcome
    reason: str
    place: Place | None = None
    queries: tuple[str, ...] = ()
    chances: Mapping[float, float] = field(default_factory=dict)

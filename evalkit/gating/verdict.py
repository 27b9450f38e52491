"""A verdict holds a gate's checks, what was retrieved for the queries they name, and the exit status they come to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from evalkit.cell import cell_name
from evalkit.gating._baseline import RETRIEVED
from evalkit.results import Results
from evalkit.results.comparisons import CellLabel
from evalkit.results.diff import Changes
from evalkit.results.input_diff import Label, of_cell, of_task

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


@dataclass(frozen=True)
class Retrieved:
    """A query at a place: the ids of its relevant documents, and of the first ones retrieved then and now."""

    place: Place
    query: str
    text: str
    relevant: tuple[str, ...]
    then: tuple[str, ...]
    now: tuple[str, ...]


def retrieved(before: Results, after: Results, checks: Sequence[Check]) -> Iterator[Retrieved]:
    """Yield each query that a check which failed names, once a place; none where the run has no evidence."""
    asked = dict.fromkeys(
        (check.place, query)
        for check in checks
        if check.outcome == "fail" and check.place is not None
        for query in check.queries
    )
    for place, query in asked:
        texts = of_task(after.evidence.queries, place.label).set_index("query")["text"]
        if query not in texts.index:
            continue
        judged = of_task(after.evidence.judgements, place.label)
        yield Retrieved(
            place,
            query,
            str(texts[query]),
            tuple(str(each) for each in judged.loc[judged["query"] == query, "document"]),
            _first(before, place.label, place.old, query),
            _first(after, place.label, place.new, query),
        )


def _first(run: Results, label: Label, cell: CellLabel, query: str) -> tuple[str, ...]:
    rows = of_cell(run.evidence.rankings, label, cell)
    rows = rows[(rows["query"] == query) & (rows["rank"] <= RETRIEVED)]
    return tuple(str(each) for each in rows.sort_values("rank")["document"])


PASS, REGRESSION, UNDECIDED = 0, 1, 2


@dataclass(frozen=True)
class Verdict:
    """The checks of a gate, in order, what changed, and what the queries that they name retrieved.

    With `strict`, what the queries do not tell is no pass.
    """

    checks: tuple[Check, ...]
    changes: Changes
    retrieved: tuple[Retrieved, ...] = ()
    strict: bool = False

    @property
    def status(self) -> int:
        """0 pass, 1 regression, 2 it cannot be decided. A regression that is there is one, whatever is missing.

        Where no check passed, nothing says that the run is good enough.
        """
        outcomes = {check.outcome for check in self.checks}
        if "fail" in outcomes:
            return REGRESSION
        if "undecided" in outcomes or "pass" not in outcomes or (self.strict and "warn" in outcomes):
            return UNDECIDED
        return PASS

    @property
    def word(self) -> str:
        """The status in a word or two."""
        return {PASS: "pass", REGRESSION: "regression", UNDECIDED: "cannot decide"}[self.status]

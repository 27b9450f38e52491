"""What was retrieved then and now, for the queries that a gate's checks name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.gating.baseline import RETRIEVED
from evalkit.gating.check import Check, Place
from evalkit.results import Results
from evalkit.results.comparisons import CellLabel
from evalkit.results.input_diff import Label, of_cell, of_task


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
    """Each query that a check which failed names, once a place; none where the run has no evidence."""
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

"""Tell the answer of a pick in a few sentences: what, how sure, what it costs, what would change it."""

import math

from evalkit.picking._choice import Choice
from evalkit.picking._recommend import Recommendation
from evalkit.picking._recommendation import (
    MEASURE_AGAIN,
    WHAT_TO_DO,
    WITHHELD,
    costs,
    headline,
    named,
    not_decided,
    only,
)
from evalkit.picking.documents import Coverage, told_tables
from evalkit.results import Results
from evalkit.results.comparisons import FEWEST


def in_short(found: Recommendation, results: Results) -> list[str]:
    """Return the answer, a sentence or two in each part; `results` is the run that it was made from."""
    parts = [f"{headline(found, results)}."]
    if not found.decide:
        parts += [WITHHELD, WHAT_TO_DO]
    elif found.undecided is not None:
        return [*parts, *not_decided(found.undecided, found), *_not_there(results, tables=found.decide)]
    elif found.shown is not None:
        parts += [_how_sure(found, found.shown), f"It costs {costs(found.shown)}."]
    elif found.in_doubt:
        parts.append(MEASURE_AGAIN)
    parts += [f"{each.if_.capitalize()} it would be {named(each.choice)}." for each in found.alternatives[:1]]
    return [*parts, *_not_there(results, tables=found.decide)]


def _how_sure(found: Recommendation, shown: Choice) -> str:
    has = f"{found.metric} is {shown.score:.3f} over {found.questions} questions"
    if found.choice is None:
        has = f"The highest {found.metric} is {shown.score:.3f} over {found.questions} questions, of {named(shown)}"
    if found.confirmed is not None and math.isfinite(found.confirmed.score):
        low, high = found.confirmed.low, found.confirmed.high
        has += f", {found.confirmed.score:.3f} ({low:.3f} to {high:.3f}) on questions that did not choose it"
    if len(found.allowed) == 1:
        return f"{has}; it is the only one that {only(found)}."
    if found.basis == "better than all others":
        return f"{has}: better than each of the others."
    if found.best is not None and found.best is not shown:
        has += f"; the best has {found.best.score:.3f} ({named(found.best)})"
    if found.basis == "as good and cheaper":
        return f"{has}, and no more than {found.margin:g} is lost."
    if math.isfinite(found.needed) and found.questions >= FEWEST:
        return f"{has}. About {found.needed:,.0f} questions would show a difference of {found.margin:g}."
    return f"{has}. Ask more questions, and harder ones."


def _not_there(results: Results, tables: bool) -> list[str]:
    """Say what a budget left out, which fields of `tables` were read, and what was not read and not run."""
    documents = results.provenance.get("pick", {}).get("documents", {})
    # Where much was not read, the headline says so.
    skipped = 0 if Coverage(**documents.get("coverage", {})).warning else len(documents.get("skipped", ()))
    failed = len(results.failures)
    of_tables = told_tables(documents) if tables else []
    more = f" (run.json has {len(of_tables) - 1} more)" if len(of_tables) > 1 else ""
    return [
        *_left_out(results),
        *([f"{of_tables[0]}{more}."] if of_tables else []),
        *([f"{skipped} file{'s were' if skipped > 1 else ' was'} not read (run.json says why)."] if skipped else []),
        *([f"{failed} cell{'s' if failed > 1 else ''} failed (leaderboard.md says why)."] if failed else []),
    ]


def _left_out(results: Results) -> list[str]:
    """Say how many choices a budget left no time for, if any."""
    budget = results.provenance.get("pick", {}).get("budget") or {"cut": [], "untried": []}
    told = [
        f"{len(left)} choice{'s were' if len(left) > 1 else ' was'} {how}"
        for left, how in ((budget["untried"], "not tried"), (budget["cut"], "cut on part of the questions"))
        if left
    ]
    return [f"To keep to the budget, {' and '.join(told)} (recommendation.md lists them)."] if told else []

"""Non-inferiority: whether a cell, or a slice of its queries, lost more than a margin."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ConfigError, did_you_mean
from evalkit.gating._alignment import cut_anew
from evalkit.gating.policy import Policy
from evalkit.gating.verdict import Check, Place
from evalkit.metrics.similarity import spearman
from evalkit.results import Results
from evalkit.results.comparisons import Compared, compared
from evalkit.results.diff import NO_TEST, TOO_FEW, Changes
from evalkit.results.input_diff import Label, count_items, of_task
from evalkit.results.scores import FLOOR
from evalkit.stats.paired import (
    PairedTests,
    chance_to_catch,
    compare_correlations,
    compare_means,
    queries_needed_within,
)
from evalkit.types import FloatArray

FEWEST = 10
"""Queries that an interval of a mean needs: of fewer, a bootstrap says too little of what it does not know."""
UNTESTED = (NO_TEST, TOO_FEW)
NAMED = 5
"""Queries that a check names."""
MOST_RESAMPLES = 100_000
"""Draws that an interval is told from, however many checks there are."""
LENGTHS = (1, 5, 10, 20, 40)
"""Least words of a query of each range of lengths."""
LOSSES = (0.01, 0.02, 0.05)
"""Losses of the mean whose chance to be caught is told."""


@dataclass(frozen=True)
class Side:
    """A pair of cells on a task: values of each query before and after, and each query's tags."""

    place: Place
    metric: str
    before: Compared
    after: Compared
    tags: Mapping[str, Mapping[str, str]]

    def values(self) -> tuple[FloatArray, FloatArray]:
        """Return the values of the same queries, times `Metric.sign`: float64 of shape (n_queries,) each."""
        row_of = {identifier: row for row, identifier in enumerate(self.after.ids)}
        rows = [row_of[identifier] for identifier in self.before.ids]
        old, new = self.before.cells.index(self.place.old), self.after.cells.index(self.place.new)
        sign = self.before.sign
        return sign * self.before.values[:, old], sign * self.after.values[rows][:, new]


@dataclass(frozen=True)
class Part:
    """What is held to a margin: all queries of a side, or those with a value of a tag (`rows` is a mask of them)."""

    side: Side
    margin: float
    tag: str = ""
    rows: NDArray[np.bool_] | None = None

    def values(self) -> tuple[FloatArray, FloatArray]:
        """Return the values before and after, of the part's queries: float64 of shape (n_queries,) each."""
        old, new = self.side.values()
        return (old, new) if self.rows is None else (old[self.rows], new[self.rows])

    @property
    def ids(self) -> tuple[str, ...]:
        """The part's queries."""
        ids = self.side.before.ids
        return ids if self.rows is None else tuple(compress(ids, self.rows))


def margin_checks(before: Results, after: Results, changes: Changes, policy: Policy) -> list[Check]:
    """Hold each cell that both have, and each of its slices, to the margin of the policy.

    The intervals of all of them hold together at the policy's confidence (Bonferroni): however many cells and slices
    there are, a gate whose every mean lost just the margin fails in about half of 1 - confidence (see docs/gate.md).

    A cell that cannot be held to it is said, not left out. Raises ConfigError for a metric or a tag that there is
    not.
    """
    untested = list(_untested(before, changes))
    sides = _sides(before, after, changes, policy.metrics)
    margin = policy.margin if policy.slice_margin is None else policy.slice_margin
    parts = [Part(side, policy.margin) for side in sides]
    parts += [part for side in sides for part in _slices(side, policy.slices, margin)]
    return [*untested, *hold(parts, level=1 - (1 - policy.confidence) / max(1, len(parts)))]


def hold(parts: Sequence[Part], level: float) -> list[Check]:
    """Hold each part to its margin, by an interval of confidence `level` each."""
    groups: dict[object, list[int]] = {}
    for number, part in enumerate(parts):  # what is of the same queries shares the draws of them
        groups.setdefault((part.side.place.label, part.side.before.ids, part.tag), []).append(number)
    # Many checks share the error: a tail that small needs more draws than there are otherwise.
    resamples = min(max(10_000, math.ceil(4 / (1 - level))), MOST_RESAMPLES)
    checks: dict[int, Check] = {}
    for numbers in groups.values():
        sides = [parts[number].values() for number in numbers]
        columns = np.column_stack([column for old, new in sides for column in (new, old)])
        pairs = np.arange(columns.shape[1], dtype=np.int64).reshape(-1, 2)
        gold, seed = parts[numbers[0]].side.before.gold, parts[numbers[0]].side.before.seed
        if gold is None:
            tests = compare_means(columns, pairs, seed=seed, confidence=level, resamples=resamples)
        else:
            tests = compare_correlations(columns, gold, pairs, seed=seed, confidence=level, resamples=resamples)
        checks |= {number: _not_worse(parts[number], tests, row, level) for row, number in enumerate(numbers)}
    return [checks[number] for number in range(len(parts))]


def _untested(before: Results, changes: Changes) -> Iterator[Check]:
    """Yield the cells that both have, and that no interval can be told of."""
    rows = changes.cells[changes.cells["main"].astype(bool)]
    for row in rows[rows["verdict"].isin(UNTESTED)].itertuples():
        label = (str(row.task), str(row.split))
        place = Place(label, (str(row.model_a), str(row.reranker_a)), (str(row.model_b), str(row.reranker_b)))
        name = f"{place}: {row.metric}"
        if row.verdict == TOO_FEW:
            items = count_items(before, label)
            yield Check(
                name, "undecided",
                f"only {row.n} of its {items} items have a value, then and now: fewer than {FLOOR:.0%} are no score "
                "of this task. Use a model that reads its texts, or leave the cell out of baseline and suite.",
                place,
            )  # fmt: skip
        else:
            yield Check(
                name, "warn",
                f"{row.score_a:.4f} then, {row.score_b:.4f} now: there are no queries behind this score, so no "
                "interval tells whether the change is more than noise. Give it a floor.",
                place,
            )  # fmt: skip


def _sides(before: Results, after: Results, changes: Changes, metrics: Sequence[str]) -> list[Side]:
    """Return the cells that both have, by the metrics named, or by the main one of each task.

    Where documents were cut anew it is the hit rate: nDCG is relative to the number of relevant chunks.
    """
    offered = {metric.name for task in before.tasks for metric in before.metrics(task["task"], task["split"])}
    for metric in metrics:
        if metric not in offered:
            raise ConfigError(
                f"no task of the baseline has {metric!r} to hold a loss against. {did_you_mean(metric, offered)}"
            )
    rechunked = cut_anew(before, after)
    # Of all cells of a task they are the same.
    then, now = (cache(partial(compared, run)) for run in (before, after))
    tags = cache(partial(_tags, after))
    found = []
    pairs = changes.cells[changes.cells["main"].astype(bool) & ~changes.cells["verdict"].isin(UNTESTED)]
    for row in pairs.itertuples():
        label = (str(row.task), str(row.split))
        place = Place(label, (str(row.model_a), str(row.reranker_a)), (str(row.model_b), str(row.reranker_b)))
        main = before.metric(str(row.metric))
        # A task is held to those of the named metrics that it has.
        there = {metric.name for metric in before.metrics(*label)}
        named = [metric for metric in metrics if metric in there]
        default = f"hit_rate@{main.k}" if label in rechunked and main.k is not None else main.name
        for metric in named if metrics else [default]:
            found.append(Side(place, metric, then(*label, metric), now(*label, metric), tags(label)))
    return found


def _tags(after: Results, label: Label) -> dict[str, dict[str, str]]:
    queries = of_task(after.evidence.queries, label)
    return {
        query: {"length": _length(text), **json.loads(named or "{}")}
        for query, text, named in zip(queries["query"], queries["text"], queries["tags"], strict=True)
    }


def _slices(side: Side, tags: Sequence[str], margin: float) -> Iterator[Part]:
    """Yield a part for each value of each tag. Slices are of queries: items of other kinds of tasks have no tags."""
    if not side.tags:
        return
    for tag in tags:
        values = np.array([side.tags.get(query, {}).get(tag, "") for query in side.before.ids], dtype=object)
        present = sorted({str(value) for value in values if value != ""})
        if not present:
            known = sorted({name for of_query in side.tags.values() for name in of_query})
            raise ConfigError(f"no query of {side.place} has the tag {tag!r}. {did_you_mean(tag, known)}")
        for value in present:
            yield Part(side, margin, f"{tag}={value}", np.asarray(values == value))


def _length(text: str) -> str:
    """Return the words of a query, in ranges: a tag that every query has, unless its data name another length."""
    words = len(text.split())
    low = max((low for low in LENGTHS if low <= words), default=0)
    high = next((high - 1 for high in LENGTHS if high > words), None)
    return f"{low}+ words" if high is None else f"{low}-{high} words"


def _not_worse(part: Part, tests: PairedTests, row: int, level: float) -> Check:
    """Pass if the interval of the difference is above -margin, fail if it is below, warn if -margin is within it."""
    side, margin = part.side, part.margin
    name = f"{side.place}: {side.metric}" + (f", {part.tag}" if part.tag else "")
    difference, low, high, n, sd = (
        float(each[row]) for each in (tests.difference, tests.low, tests.high, tests.n, tests.sd)
    )
    old, new = part.values()
    change = new - old
    gold = side.before.gold
    undefined = gold is not None and any(math.isnan(spearman(values, gold)) for values in (old, new))
    if math.isnan(difference) and (n == 0 or n >= FEWEST or undefined):
        reason = (
            f"the score is undefined, then or now: of {len(part.ids)} items {n:.0f} have a value in both, and where "
            "all values are equal there is no correlation. Look into the model, or leave the cell out."
        )
        return Check(name, "undecided", reason, side.place)
    if n and (change[np.isfinite(change)] == 0).all():
        return Check(name, "pass", f"no query changed ({n:.0f} queries).", side.place)
    # Of a pair of sentences nothing gets worse: only all of them have a correlation.
    falling = np.argsort(change, kind="stable") if gold is None else np.empty(0, dtype=np.intp)
    worst = tuple(part.ids[place] for place in falling if change[place] < 0)[:NAMED]
    told = f"{difference:+.4f} ({100 * level:.4g} % interval {low:+.4f} to {high:+.4f}, {n:.0f} queries)"
    chances = {loss: chance_to_catch(loss, margin, sd, int(n), level) for loss in LOSSES}
    if n < FEWEST or math.isnan(low):
        reason = f"{n:.0f} queries are too few to tell a loss of {margin:g}: {told}."
        return Check(name, "warn", reason, side.place, worst)
    if high < -margin:
        reason = f"worse by more than the margin of {margin:g}: {told}."
        return Check(name, "fail", reason, side.place, worst, chances)
    if low > -margin:
        reason = f"not worse by the margin of {margin:g}: {told}."
        return Check(name, "pass", reason, side.place, worst, chances)
    needed = queries_needed_within(difference, margin, sd, level)
    number = f"About {needed:,.0f}" if math.isfinite(needed) else "No number of"
    reason = (
        f"it cannot be told whether it is worse by the margin of {margin:g}: {told}. {number} queries would tell."
    )
    return Check(name, "warn", reason, side.place, worst, chances)

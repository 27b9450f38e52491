"""The checks of a gate: each says what came of it, and why."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from evalkit.errors import ConfigError, did_you_mean
from evalkit.gate.baseline import marks
from evalkit.gate.canaries import Drift
from evalkit.gate.policy import Policy
from evalkit.results import Results
from evalkit.results.changes import Changes
from evalkit.results.comparisons import Compared, compared
from evalkit.results.inputs import Label, of_task
from evalkit.results.records import GOLD
from evalkit.stats.paired import compare_correlations, compare_means
from evalkit.stats.power import queries_needed_within
from evalkit.types import FloatArray

Outcome = Literal["pass", "fail", "warn", "undecided"]
"""warn: the queries do not tell. undecided: something is missing that a verdict needs."""
FEWEST = 10
"""Queries that an interval of a mean needs: of fewer, a bootstrap says too little of what it does not know."""
NAMED = 5
"""Queries that a failure names."""


@dataclass(frozen=True)
class Check:
    """A check, what came of it, and why in a sentence; `queries` names the ids of those that got worst."""

    name: str
    outcome: Outcome
    reason: str
    queries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Side:
    """A pair of cells on a task: values of each query before and after, and each query's tags."""

    name: str
    metric: str
    before: Compared
    after: Compared
    columns: tuple[int, int]
    tags: Mapping[str, Mapping[str, str]]

    def values(self) -> tuple[FloatArray, FloatArray]:
        """The values of the same queries, float64 of shape (n_queries,) each."""
        row_of = {identifier: row for row, identifier in enumerate(self.after.ids)}
        rows = [row_of[identifier] for identifier in self.before.ids]
        return self.before.values[:, self.columns[0]], self.after.values[rows][:, self.columns[1]]


def sides(before: Results, after: Results, changes: Changes, metrics: Sequence[str]) -> list[Side]:
    """The cells that are held to the margin, by the metrics named, or by the main one of each task.

    Raises ConfigError for a metric that the baseline or the run does not have.
    """
    found = []
    pairs = changes.cells[changes.cells["main"].astype(bool) & (changes.cells["verdict"] != "no test")]
    for row in pairs.itertuples():
        label = (str(row.task), str(row.split))
        is_sts = GOLD in set(of_task(before.records, label)["metric"])
        for metric in metrics or (str(row.metric),):
            if metrics and is_sts != metric.startswith("spearman_"):
                continue  # the metric of another kind of task
            old, new = compared(before, *label, metric), compared(after, *label, metric)
            columns = (
                old.cells.index((str(row.model_a), str(row.reranker_a))),
                new.cells.index((str(row.model_b), str(row.reranker_b))),
            )
            cell = str(row.model_b) if row.reranker_b == "none" else f"{row.model_b} + {row.reranker_b}"
            queries = of_task(after.evidence.queries, label)
            tags = {
                query: json.loads(text) if text else {}
                for query, text in zip(queries["query"], queries["tags"], strict=True)
            }
            found.append(Side(f"{cell} on {label[0]} ({label[1]})", metric, old, new, columns, tags))
    return found


def checks(
    before: Results, after: Results, changes: Changes, drifts: Mapping[str, Drift | str], policy: Policy
) -> list[Check]:
    """All checks of a policy but the ratios of cost, in order. `drifts` has by model what changed, or why not told.

    The intervals of all comparisons hold together at the policy's confidence (Bonferroni): however many cells and
    slices there are, a gate whose every mean lost just the margin fails with half of 1 - confidence at most.
    """
    held = sides(before, after, changes, policy.metrics)
    sliced = [(side, tag, value, rows) for side in held for tag, value, rows in _slices(side, policy.slices)]
    level = 1 - (1 - policy.confidence) / max(1, len(held) + len(sliced))
    found = [_apart(each.task, each.split, each.reason) for each in changes.apart]
    found += [_lost(cell) for cell in changes.only_a]
    found += [_failed(failure) for failure in after.failures]
    found += [_not_worse(side, None, policy.margin, level) for side in held]
    margin = policy.margin if policy.slice_margin is None else policy.slice_margin
    found += [_not_worse(side, (tag, value, rows), margin, level) for side, tag, value, rows in sliced]
    found += list(_floors(after, policy.floors))
    found += list(_must_pass(after, policy.must_pass))
    found += [_drift(model, told, policy) for model, told in drifts.items()] if policy.drift != "off" else []
    return found


def common(before: Results, after: Results, known: Mapping[Label, Mapping[str, str]]) -> tuple[Results, Results]:
    """Both on the queries that are the same: those whose text and judgements are.

    `known` has by task the marks of the baseline's queries. Raises ConfigError for a task without any.
    """
    kept: dict[Label, set[str]] = {}
    for label, then in known.items():
        now = marks(after, label)
        kept[label] = {query for query, mark in then.items() if now.get(query) == mark}
        if then and not kept[label]:
            raise ConfigError(f"no query of {label[0]} ({label[1]}) is the same as in the baseline.")

    def cut(run: Results) -> Results:
        keep = pd.Series(True, index=run.records.index)
        for label, queries in kept.items():
            here = (run.records["task"] == label[0]) & (run.records["split"] == label[1])
            keep &= ~here | run.records["id"].astype(str).isin(queries) if known[label] else True
        tasks = [
            {**task, "content_hash": "the common queries"} if (task["task"], task["split"]) in kept else task
            for task in run.provenance["tasks"]
        ]
        return replace(run, records=run.records[keep], provenance={**run.provenance, "tasks": tasks})

    return cut(before), cut(after)


def _slices(side: Side, tags: Sequence[str]) -> Iterator[tuple[str, str, FloatArray]]:
    """For each value of each tag, which rows have it. Slices are of queries: pairs of sentences have none."""
    if side.before.gold is not None:
        return
    for tag in tags:
        values = np.array([side.tags.get(query, {}).get(tag, "") for query in side.before.ids], dtype=object)
        present = sorted({str(value) for value in values if value != ""})
        if not present:
            known = sorted({name for of_query in side.tags.values() for name in of_query})
            raise ConfigError(f"no query of {side.name} has the tag {tag!r}. {did_you_mean(tag, known)}")
        for value in present:
            yield tag, value, np.asarray(values == value)


def _not_worse(side: Side, part: tuple[str, str, FloatArray] | None, margin: float, level: float) -> Check:
    """Non-inferiority: pass if the interval of the difference is above -margin, fail if it is below."""
    old, new = side.values()
    gold = side.before.gold
    ids = np.array(side.before.ids, dtype=object)
    name = f"{side.name}: {side.metric}"
    if part is not None:
        name += f", {part[0]}={part[1]}"
        old, new, ids = old[part[2]], new[part[2]], ids[part[2]]
    both, pair = np.column_stack([new, old]), np.array([[0, 1]])
    if gold is None:
        tests = compare_means(both, pair, seed=side.before.seed, confidence=level)
    else:
        tests = compare_correlations(both, gold, pair, seed=side.before.seed, confidence=level)
    difference, low, high, n = (float(each[0]) for each in (tests.difference, tests.low, tests.high, tests.n))
    sd = float(tests.sd[0])
    change = new - old
    falling = np.argsort(change, kind="stable") if gold is None else []
    worst = tuple(str(ids[row]) for row in falling if change[row] < 0)
    same = bool((change[np.isfinite(change)] == 0).all())
    told = f"{difference:+.4f} ({100 * level:.4g} % interval {low:+.4f} to {high:+.4f}, {n:.0f} queries)"
    if same and n:
        return Check(name, "pass", f"no query changed ({n:.0f} queries).")
    if n < FEWEST or math.isnan(low):
        return Check(
            name, "warn", f"{n:.0f} queries are too few to tell a loss of {margin:g}: {told}.", worst[:NAMED]
        )
    if high < -margin:
        return Check(name, "fail", f"worse by more than the margin of {margin:g}: {told}.", worst[:NAMED])
    if low > -margin:
        return Check(name, "pass", f"not worse by the margin of {margin:g}: {told}.")
    needed = queries_needed_within(difference, margin, sd, level)
    number = f"About {needed:,.0f}" if math.isfinite(needed) else "No number of"
    would = f"{number} queries would tell."
    reason = f"it cannot be told whether it is worse by the margin of {margin:g}: {told}. {would}"
    return Check(name, "warn", reason, worst[:NAMED])


def _apart(task: str, split: str, reason: str) -> Check:
    return Check(
        f"{task} ({split}): the same data", "undecided",
        f"{reason}. Make a new baseline, or compare on the common queries: --common.",
    )  # fmt: skip


def _lost(cell: tuple[str, ...]) -> Check:
    task, split, model, reranker = cell
    return Check(
        f"{model} with {reranker} on {task} ({split}): there", "undecided",
        "it is in the baseline and not in the run. If another took its place, say so: --pair 'OLD -> NEW'.",
    )  # fmt: skip


def _failed(failure: Mapping[str, str]) -> Check:
    cell = f"{failure['model']} with {failure['reranker']} on {failure['task']} ({failure['split']})"
    return Check(f"{cell}: a score", "undecided", f"it has none: {failure['reason']}")


def _floors(after: Results, floors: Mapping[str, float]) -> Iterator[Check]:
    for metric, least in floors.items():
        rows = after.scores[after.scores["metric"] == metric]
        if rows.empty:
            known = sorted({str(each) for each in after.scores["metric"].unique()})
            raise ConfigError(f"the run has no {metric!r} to hold to a floor. {did_you_mean(metric, known)}")
        for row in rows.to_dict("records"):
            cell = f"{row['model']} with {row['reranker']} on {row['task']} ({row['split']})"
            name = f"{cell}: {metric} at least {least:g}"
            score = float(row["score"])
            outcome: Outcome = "undecided" if math.isnan(score) else "pass" if score >= least else "fail"
            interval = f"95 % interval {row['ci_low']:.4f} to {row['ci_high']:.4f}"
            yield Check(name, outcome, f"it is {score:.4f} ({interval}).")


def _must_pass(after: Results, queries: Sequence[str]) -> Iterator[Check]:
    """Each query that is named must have a relevant document among the first k."""
    hits = after.records[after.records["metric"].astype(str).str.startswith("hit_rate@")]
    ks = sorted(int(str(metric).partition("@")[2]) for metric in hits["metric"].unique())
    for query in queries:
        rows = hits[hits["id"].astype(str) == query]
        if rows.empty:
            raise ConfigError(f"the query {query!r}, which must pass, is in no retrieval task of the run.")
        missed = rows[(rows["metric"] == f"hit_rate@{ks[-1]}") & ~(rows["value"] > 0)]
        if missed.empty:
            yield Check(f"{query}: must pass", "pass", "it does.")
            continue
        cells = ", ".join(f"{row.model} with {row.reranker}" for row in missed.itertuples())
        reason = f"no relevant document is among the first {ks[-1]} of {cells}."
        yield Check(f"{query}: must pass", "fail", reason, (query,))


def _drift(model: str, told: Drift | str, policy: Policy) -> Check:
    name = f"{model}: the vectors of before"
    if isinstance(told, str):
        return Check(name, "undecided", told)
    what = f"lowest cosine {told.cosine:.6f}, neighbours kept {told.neighbours:.3f}"
    causes = f" What changed: {'; '.join(told.causes)}." if told.causes else ""
    kept = told.cosine >= policy.cosine and told.neighbours >= policy.neighbours
    # What is named matters even where the canaries' directions are kept, as lengths do under the dot product.
    changed: Outcome = "fail" if policy.drift == "fail" else "warn"
    return Check(name, "pass" if kept and not told.causes else changed, f"{what}.{causes}")

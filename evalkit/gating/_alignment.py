"""What of the data of a baseline is still the same, and what is not."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from evalkit.errors import ConfigError
from evalkit.gating._baseline import Baseline, BaselineTask, Mark, marks
from evalkit.results import Results
from evalkit.results.diff import Changes
from evalkit.results.input_diff import Label, tasks_of
from evalkit.tasks.kinds import kind_named

NAMED = 5
"""Ids that are named of each kind of change."""
COMMON, QUESTIONS = "the queries in common", "the questions of the baseline"
"""Stand for the content hash of a task that was restricted to them."""


def rechunked_labels(names: Mapping[str, str], baseline: Baseline, after: Results) -> dict[Label, Label]:
    """Return the tasks whose documents were cut anew: that of the baseline, and that of the run.

    A name is a task's, its split's, or both: "how", "64/16", "how (64/16)". Raises ConfigError for a name that is no
    retrieval task's, or several's.
    """
    return {
        _find(old, tasks_of(baseline), "the baseline"): _find(new, tasks_of(after), "the run")
        for old, new in names.items()
    }


def _find(name: str, tasks: Mapping[Label, Mapping[str, object]], where: str) -> Label:
    retrieval = [label for label, facts in tasks.items() if kind_named(str(facts["type"])).ranks]
    found = [(task, split) for task, split in retrieval if name in (task, split, f"{task} ({split})")]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{task} ({split})" for task, split in retrieval) or "none"
    raise ConfigError(
        f"{name!r} names {len(found)} of the retrieval tasks of {where}. It has: {there}. Name one of them."
    )


def cut_anew(before: Results, after: Results) -> list[Label]:
    """Return the tasks of which `on_the_same` kept the questions of the baseline, whatever the chunks."""
    then, now = tasks_of(before), tasks_of(after)
    shared = [label for label in then if label in now]
    return [label for label in shared if then[label]["content_hash"] == now[label]["content_hash"] == QUESTIONS]


def with_reasons(
    changes: Changes, baseline: Baseline, before: Results, after: Results, rechunked: Iterable[Label]
) -> Changes:
    """Return the changes, with what the baseline knows of why tasks cannot be compared: it keeps marks, and no
    texts.
    """
    tasks = {(task.task, task.split): task for task in baseline.tasks}
    apart = tuple(
        replace(each, reason=_what_changed(tasks[label], before, after, label in rechunked))
        for each in changes.apart
        for label in [(each.task, each.split)]
    )
    return replace(changes, apart=apart)


def on_the_same(
    before: Results, after: Results, baseline: Baseline, rechunked: Iterable[Label], common: bool
) -> tuple[Results, Results]:
    """Return both runs on what is the same: the queries, or pairs, whose texts and judgements are, if `common`.

    Of tasks that were `rechunked` the queries whose texts are the same: judgements name chunks. If one is missing,
    and not `common`, the task is left as it is: a question that has no relevant chunk any more is the change's own
    fault. Raises ConfigError for a task that has none in common.
    """
    kept: dict[Label, set[str]] = {}
    for task in baseline.tasks:
        label, then = (task.task, task.split), _marks_then(task)
        if not then or label not in tasks_of(after) or not (common or label in rechunked):
            continue
        now = marks(after, label)
        same = {each for each, mark in then.items() if _is_same(mark, now.get(each), label in rechunked)}
        if label in rechunked and not common and len(same) < len(then):
            continue
        if not same:
            raise ConfigError(f"{task.task} ({task.split}) has nothing in common with the baseline. Make a new one.")
        kept[label] = same
    named = {label: QUESTIONS if label in rechunked else COMMON for label in kept}
    return _cut(before, kept, named), _cut(after, kept, named)


def _is_same(then: Mark, now: Mark | None, rechunked: bool) -> bool:
    return now is not None and (then.text == now.text if rechunked else then == now)


def _cut(run: Results, kept: Mapping[Label, set[str]], named: Mapping[Label, str]) -> Results:
    keep = pd.Series(True, index=run.records.index)
    for (task, split), ids in kept.items():
        here = (run.records["task"] == task) & (run.records["split"] == split)
        keep &= ~here | run.records["id"].astype(str).isin(ids)
    tasks = [
        {**task, "content_hash": named.get((task["task"], task["split"]), task["content_hash"])}
        for task in run.provenance["tasks"]
    ]
    return replace(run, records=run.records[keep], provenance={**run.provenance, "tasks": tasks})


def _marks_then(task: BaselineTask) -> dict[str, Mark]:
    return dict(zip(task.ids, map(Mark.parse, task.marks), strict=bool(task.marks)))


def _what_changed(task: BaselineTask, before: Results, after: Results, rechunked: bool) -> str:
    label = (task.task, task.split)
    then, now = _marks_then(task), marks(after, label)
    if not then or not now:
        return "its data differ, and the texts are not there to tell how"
    changed = [each for each in then if each in now and not _is_same(then[each], now[each], rechunked)]
    removed = [each for each in then if each not in now]
    if rechunked:
        told = {"changed": changed, "have no relevant document any more, or were removed": removed}
    else:
        added = [each for each in now if each not in then]
        told = {"changed, in text or judgement": changed, "removed": removed, "added": added}
    found = [f"{len(ids)} {how} ({_named(ids)})" for how, ids in told.items() if ids]
    if found:
        return f"its data differ: of {len(then)} {'queries' if task.documents else 'items'} " + ", ".join(found)
    old, new = (tasks_of(run)[label] for run in (before, after))
    counts = f"{old.get('documents', 0)} then, {new.get('documents', 0)} now"
    return f"its documents differ ({counts}); queries and judgements are the same"


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more

"""What of the data of a baseline is still the same, and what is not."""

from dataclasses import replace

import pandas as pd

from evalkit.errors import ConfigError
from evalkit.gate.baseline import Baseline, BaselineTask, marks
from evalkit.results import Results
from evalkit.results.changes import Changes
from evalkit.results.inputs import Label, tasks_of

NAMED = 5
"""Ids that are named of each kind of change."""
COMMON = "the queries in common"
"""Stands for the content hash of a task that was restricted to them."""


def with_reasons(changes: Changes, baseline: Baseline, before: Results, after: Results) -> Changes:
    """The changes, with what the baseline knows of why tasks cannot be compared: it keeps marks, and no texts."""
    tasks = {(task.task, task.split): task for task in baseline.tasks}
    apart = tuple(
        replace(each, reason=_what_changed(tasks[each.task, each.split], before, after)) for each in changes.apart
    )
    return replace(changes, apart=apart)


def on_common(before: Results, after: Results, baseline: Baseline) -> tuple[Results, Results]:
    """Both runs on what is the same: the queries, or pairs, whose texts and judgements are.

    Raises ConfigError for a task that has none in common.
    """
    kept: dict[Label, set[str]] = {}
    for task in baseline.tasks:
        label, then = (task.task, task.split), _marks_then(task)
        if not then or label not in tasks_of(after):
            continue
        now = marks(after, label)
        kept[label] = {each for each, mark in then.items() if now.get(each) == mark}
        if not kept[label]:
            raise ConfigError(f"{task.task} ({task.split}) has nothing in common with the baseline. Make a new one.")
    return _cut(before, kept), _cut(after, kept)


def _cut(run: Results, kept: dict[Label, set[str]]) -> Results:
    keep = pd.Series(True, index=run.records.index)
    for (task, split), ids in kept.items():
        here = (run.records["task"] == task) & (run.records["split"] == split)
        keep &= ~here | run.records["id"].astype(str).isin(ids)
    tasks = [
        {**task, "content_hash": COMMON} if (task["task"], task["split"]) in kept else task
        for task in run.provenance["tasks"]
    ]
    return replace(run, records=run.records[keep], provenance={**run.provenance, "tasks": tasks})


def _marks_then(task: BaselineTask) -> dict[str, str]:
    return dict(zip(task.ids, task.marks, strict=bool(task.marks)))


def _what_changed(task: BaselineTask, before: Results, after: Results) -> str:
    label = (task.task, task.split)
    then, now = _marks_then(task), marks(after, label)
    if not then or not now:
        return "its data differ, and the texts are not there to tell how"
    found = {
        "changed, in text or judgement": [each for each in then if each in now and now[each] != then[each]],
        "removed": [each for each in then if each not in now],
        "added": [each for each in now if each not in then],
    }
    told = [f"{len(ids)} {how} ({_named(ids)})" for how, ids in found.items() if ids]
    if told:
        return f"its data differ: of {len(then)} {'queries' if task.documents else 'items'} " + ", ".join(told)
    old, new = (tasks_of(run)[label] for run in (before, after))
    counts = f"{old.get('documents', 0)} then, {new.get('documents', 0)} now"
    return f"its documents differ ({counts}); queries and judgements are the same"


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more

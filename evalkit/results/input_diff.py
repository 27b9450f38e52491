"""What went into two runs: their tasks, and all that is not the same."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import pandas as pd

from evalkit.cell import NO_RERANKER
from evalkit.results.comparisons import CellLabel
from evalkit.results.results import Results

SETTINGS = ("device", "dtype", "seed", "top_k", "candidates", "depth", "python", "platform", "git_commit", "command")
"""What a run says of itself beside models, tasks and packages."""
Label = tuple[str, str]
"""A task and its split."""


class HasProvenance(Protocol):
    """A run, or what was frozen of one."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What run.json holds."""


def tasks_of(run: HasProvenance) -> dict[Label, Mapping[str, Any]]:
    """Tell what a run says of its tasks, by name and split."""
    return {(task["task"], task["split"]): task for task in run.provenance["tasks"]}


def of_task(frame: pd.DataFrame, label: Label) -> pd.DataFrame:
    """Return the rows of a task."""
    return frame[(frame["task"] == label[0]) & (frame["split"] == label[1])]


def count_items(run: Results, label: Label) -> int:
    """Count the queries or pairs that the records of a task are of; 1 for scores of a task as a whole."""
    return int(of_task(run.records, label)["id"].nunique())


def of_cell(frame: pd.DataFrame, label: Label, cell: CellLabel) -> pd.DataFrame:
    """Return the rows of a cell of a task."""
    rows = of_task(frame, label)
    return rows[(rows["model"] == cell[0]) & (rows["reranker"] == cell[1])]


def why_apart(label: Label, a: Results, b: Results) -> str:
    """Tell what differs in the data of a task that both runs have, as far as the runs tell."""
    task_a, task_b = tasks_of(a)[label], tasks_of(b)[label]
    told = []
    for count in ("documents", "queries", "pairs", "samples"):
        if task_a.get(count) != task_b.get(count):
            told.append(f"{task_a.get(count, 0)} and {task_b.get(count, 0)} {count}")
    for frame, keys, value, what in (
        ("queries", ["query"], "text", "queries"),
        ("judgements", ["query", "document"], "grade", "judgements"),
        ("documents", ["document"], "text", "documents"),
        ("items", ["id"], "text", "texts"),
        ("items", ["id"], "second", "second texts"),
    ):
        sides = [of_task(getattr(run.evidence, frame), label).set_index(keys)[value] for run in (a, b)]
        shared = sides[0].index.intersection(sides[1].index)
        changed = int((sides[0].loc[shared] != sides[1].loc[shared]).sum())
        counts = {"changed": changed}
        if frame != "documents":  # of these the evidence holds those only that were ranked
            counts |= {"removed": len(sides[0].index) - len(shared), "added": len(sides[1].index) - len(shared)}
        told += [f"{number} {what} {how}" for how, number in counts.items() if number]
    return "its data differ: " + (", ".join(told) or "documents that neither run ranked, or how they are judged")


def differing_inputs(a: Results, b: Results, pairs: Mapping[str, str]) -> pd.DataFrame:
    """Return all that went into the runs and is not the same: columns what, a, b, as text.

    `pairs` names, by its label in A, a model of B that took the place of another.
    """
    old, new = a.provenance, b.provenance
    rows: list[tuple[str, Any, Any]] = [(name, old.get(name), new.get(name)) for name in SETTINGS]
    for label, spec in old["specs"].items():
        other = pairs.get(label, label)
        if other in new["specs"]:
            rows.append((f"spec of {label}", spec, new["specs"][other]))
    packages = dict.fromkeys([*old["packages"], *new["packages"]])
    rows += [(f"package {name}", old["packages"].get(name), new["packages"].get(name)) for name in packages]
    tasks = tasks_of(a), tasks_of(b)
    shared = tasks[0].keys() & tasks[1].keys()
    back = {after: before for before, after in pairs.items()}
    marks = [_fingerprints(a, shared, {}), _fingerprints(b, shared, back)]
    for label in marks[0].keys() & marks[1].keys():
        rows.append((f"fingerprint of {label}", marks[0][label], marks[1][label]))
    for label in shared:
        hashes = [side[label]["content_hash"][:12] for side in tasks]
        rows.append((f"data of {label[0]} ({label[1]})", *hashes))
    differing = [(what, _text(one), _text(other)) for what, one, other in rows if one != other]
    differing.sort(key=lambda row: _place(row[0]))
    return pd.DataFrame(differing, columns=["what", "a", "b"])


def _place(what: str) -> tuple[int, str]:
    order = ("data", "spec", "fingerprint", "package")
    return (order.index(kind) if (kind := what.partition(" ")[0]) in order else len(order)), what


def _fingerprints(run: Results, tasks: Collection[Label], names: Mapping[str, str]) -> dict[str, str]:
    """Tell what a model's weights, options and code come to, over these tasks; by its label, or its other name.

    One that is fitted on the documents of a task has a fingerprint for each.
    """
    found: dict[str, set[str]] = {}
    for cell in run.provenance["cells"]:
        if cell["reranker"] == NO_RERANKER and (cell["task"], cell["split"]) in tasks:
            label = names.get(cell["model"], cell["model"])
            found.setdefault(label, set()).add(cell["fingerprint"][:12])
    return {label: ", ".join(sorted(marks)) for label, marks in found.items()}


def _text(value: Any) -> str:
    return "–" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)

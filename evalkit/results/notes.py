"""What a run says of how its models were run: sentences that belong below its tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.cell import NO_RERANKER

MOST_COUNTED = 10_000
"""Texts (or pairs) whose tokens are counted; of more, a sample, which is always the same one."""


@dataclass(frozen=True)
class Note:
    """A sentence about a model, or about a task as a whole (`model` is empty), and the tasks that it was said of."""

    model: str
    tasks: tuple[str, ...]
    sentence: str


def read_notes(provenance: Mapping[str, Any]) -> list[Note]:
    """Collect the notes of a run's tasks and cells, each sentence about a model once, in the order of the run.

    A note of a cell with a reranker is about the reranker, and is said once for all embedders in front of it.
    """
    tasks_of: dict[tuple[str, str], dict[str, None]] = {}
    for subject in (*provenance["tasks"], *provenance["cells"]):
        reranker = subject.get("reranker", NO_RERANKER)
        model = subject.get("model", "") if reranker == NO_RERANKER else reranker
        for sentence in subject.get("notes", ()):
            tasks_of.setdefault((model, sentence), {})[f"{subject['task']} ({subject['split']})"] = None
    return [Note(model, tuple(tasks), sentence) for (model, sentence), tasks in tasks_of.items()]

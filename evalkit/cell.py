"""A cell of a run: a model, the reranker behind it if there is one, and the task that they are scored on."""

from dataclasses import dataclass
from typing import Protocol

NO_RERANKER = "none"
"""The reranker of a cell that has none."""


class Named(Protocol):
    """What has a name and a split, as a task has."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def split(self) -> str:
        """The split."""


@dataclass(frozen=True, order=True)
class Cell:
    """One place in the grid. `reranker` is `NO_RERANKER` for a first stage alone and in tasks without rerankers."""

    task: str
    split: str
    model: str
    reranker: str = NO_RERANKER

    @classmethod
    def of(cls, task: Named, model: str, reranker: str = NO_RERANKER) -> "Cell":
        """Make the cell of a task, by labels."""
        return cls(task.name, task.split, model, reranker)


def cell_name(model: str, reranker: str = NO_RERANKER) -> str:
    """Put a cell in words, by its labels: "model", or "model + reranker"."""
    return model if reranker == NO_RERANKER else f"{model} + {reranker}"

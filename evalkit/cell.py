"""A cell of a run: a model, the reranker behind it if there is one, and the task that they are scored on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.types import Task

NO_RERANKER = "none"
"""The reranker of a cell that has none."""


@dataclass(frozen=True, order=True)
class Cell:
    """One place in the grid. `reranker` is `NO_RERANKER` for a first stage alone and in tasks without rerankers."""

    task: str
    split: str
    model: str
    reranker: str = NO_RERANKER

    @classmethod
    def of(cls, task: "Task", model: str, reranker: str = NO_RERANKER) -> "Cell":
        """Make the cell of a task, by labels."""
        return cls(task.name, task.split, model, reranker)


def cell_name(model: str, reranker: str = NO_RERANKER) -> str:
    """Put a cell in words, by its labels: "model", or "model + reranker"."""
    return model if reranker == NO_RERANKER else f"{model} + {reranker}"

"""What a grid computes: its tasks, who takes part, and which of the cells are wanted."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from evalkit.cell import NO_RERANKER, Cell
from evalkit.models.registry.selection import Participants
from evalkit.tasks.kinds import kind_of
from evalkit.types import Task


@dataclass(frozen=True)
class GridPlan:
    """Every model on every task, fusions of their rankings, and every reranker behind all of these.

    First-stage rankings hold max(depth, candidates) documents, reranked ones `candidates`. With `wanted`, only these
    cells are computed, and the first stages that they stand on.
    """

    tasks: Sequence[Task]
    participants: Participants
    candidates: int
    depth: int
    wanted: Container[Cell] | None = None

    @property
    def kept(self) -> int:
        """The documents that a first stage ranks of each query."""
        return max(self.depth, self.candidates)

    def wants(self, cell: Cell) -> bool:
        """Tell whether a cell is to be computed."""
        return self.wanted is None or cell in self.wanted

    def cells_of(self, task: Task, first_stage: str) -> list[Cell]:
        """List the cells that a first stage has on a task: itself, and with each reranker where rankings count."""
        behind = self.participants.rerankers if kind_of(task).ranks else ()
        cells = (Cell.of(task, first_stage, reranker) for reranker in (NO_RERANKER, *behind))
        return [cell for cell in cells if self.wants(cell)]

    def fusions_of(self, model: str) -> list[str]:
        """Name the fusions that a model is a part of."""
        return [label for label, fusion in self.participants.fusions.items() if model in fusion.parts]

    def cells(self) -> Iterator[Cell]:
        """List all cells, by task and first stage. Where rankings do not count, only embedders have one."""
        models = self.participants.models
        for task in self.tasks:
            for label in self.participants.first_stages:
                if kind_of(task).ranks or (label in models and "embedder" in models[label].kinds):
                    yield from self.cells_of(task, label)

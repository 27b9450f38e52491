"""A plan says what a grid computes, an outcome what came of each of its cells."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.cell import NO_RERANKER, Cell
from evalkit.contracts import Coverage
from evalkit.models.registry.selection import Participants
from evalkit.runner.grid._description import Description
from evalkit.tasks.kinds import kind_of
from evalkit.types import FloatArray, Run, Task


@dataclass(frozen=True)
class Failure:
    """A cell that has no score, and why."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class CellFacts:
    """The facts of a cell tell the model's fingerprint there, how it is run, and how much of the texts it knows.

    `blank` lists the ids of texts without a known word, `wordless` those among them that have no word at all, or none
    but stop words; `seconds` is wall-clock time from texts to ranking.
    `weights` are those of a weighted fusion that were chosen: see `fusing.fused_stage`. `notes` are sentences for
    people on what would otherwise be done in silence (a default that was guessed, texts that were cut), without the
    model's name. `described` says how the model is run and how much of the texts it reads; `dim` is the number of
    dimensions of its vectors (None: it has none).
    """

    fingerprint: str
    seconds: float
    coverage: Coverage | None = None
    blank: tuple[str, ...] = ()
    wordless: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    described: Description = field(default_factory=Description)
    dim: int | None = None


@dataclass
class Outcome:
    """A grid gives a ranking, or the values of each item, for each cell that worked, a reason for others.
    `interrupted` by Ctrl-C, it lacks the cells that were not reached.
    """

    rankings: dict[Cell, Run] = field(default_factory=dict)
    values: dict[Cell, Mapping[str, FloatArray]] = field(default_factory=dict)
    facts: dict[Cell, CellFacts] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False


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

"""A plan says what a grid computes, an outcome what came of its cells, and a note what no table of scores tells."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evalkit.cell import NO_RERANKER, Cell
from evalkit.contracts import Coverage, Fittable
from evalkit.models.registry.selection import Participants
from evalkit.runner.grid._description import Description
from evalkit.tasks.kinds import kind_of
from evalkit.types import FloatArray, RetrievalTask, Run, Task

ROUNDING = 1e-6
"""Scores of one query that differ by no more than this fraction of the largest count as one score."""


def of_first_stage(run: Run) -> tuple[str, ...]:
    """Say of how many queries a first stage finds nothing, and of how many it ranks what it finds by ids alone."""
    return (*found_nothing(run), *ranked_by_ids(run))


def of_second_stage(pairs: Sequence[tuple[Run, Run]]) -> tuple[str, ...]:
    """Say of how many lists a reranker leaves nothing, and of how many the order, given runs before and after it."""
    return (*left_nothing(pairs), *left_as_they_were([run for _, run in pairs]))


def ranked_by_ids(run: Run) -> tuple[str, ...]:
    """Say for how many queries as many documents as are kept have one score; no sentence where it is none."""
    alike = _of_one_score(run) & (run.documents >= 0).all(axis=1)
    if not alike.any():
        return ()
    return (
        f"The first {run.depth} documents of {alike.sum():,} of {len(alike):,} queries have one score: their order "
        "is that of their ids, and tells nothing of the model.",
    )


def left_as_they_were(runs: Sequence[Run]) -> tuple[str, ...]:
    """Say for how many lists of candidates a reranker gives all of them one score; no sentence where it is none."""
    alike = np.concatenate([_of_one_score(run) for run in runs])
    if not alike.any():
        return ()
    return (
        f"All candidates of {alike.sum():,} of {len(alike):,} lists have one score: they keep the first stage's "
        "order.",
    )


def found_nothing(run: Run) -> tuple[str, ...]:
    """Say for how many queries a first stage has no result; no sentence where it has one for each."""
    empty = _without_results(run)
    return (f"Finds nothing for {empty.sum():,} of {len(empty):,} queries: they score 0.",) if empty.any() else ()


def left_nothing(pairs: Iterable[tuple[Run, Run]]) -> tuple[str, ...]:
    """Say for how many lists of candidates a reranker has no result, given each run before and after it."""
    before, after = (np.concatenate([_without_results(run) for run in runs]) for runs in zip(*pairs, strict=True))
    emptied, given = int((after & ~before).sum()), int((~before).sum())
    return (f"Leaves nothing of {emptied} of {given} lists of candidates: they score 0.",) if emptied else ()


def fitted_on(model: object, texts: int, what: str) -> tuple[str, ...]:
    """Say that a model has learned from the task's own texts; no sentence for one that does not learn."""
    return (f"Fitted on the task's own {texts:,} {what}.",) if isinstance(model, Fittable) else ()


def _of_one_score(run: Run) -> NDArray[np.bool_]:
    """Tell whether a query has several results, all with one score."""
    there = run.documents >= 0
    highest = np.where(there, run.scores, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(there, run.scores, np.inf).min(axis=1, initial=np.inf)
    with np.errstate(invalid="ignore"):
        close = highest - lowest <= ROUNDING * np.maximum(np.abs(highest), np.abs(lowest))
    return np.asarray((there.sum(axis=1) > 1) & ((highest == lowest) | (close & np.isfinite(lowest))))


def _without_results(run: Run) -> NDArray[np.bool_]:
    return np.asarray((run.documents < 0).all(axis=1))


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
    dimensions of its vectors (None: it has none). With `in_lists` a reranker ordered each list as a whole, so that
    its order of fewer candidates is not known from that of more.
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
    in_lists: bool = False


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

    @property
    def retrieval_tasks(self) -> list[RetrievalTask]:
        """The tasks that have rankings of a corpus."""
        return [task for task in self.tasks if isinstance(task, RetrievalTask)]

    def runs(self, model: str, task: Task) -> bool:
        """Tell whether a model runs on a task: for a cell of its own, or of a fusion that it is a part of."""
        return any(self.cells_of(task, stage) for stage in (model, *self.fusions_of(model)))

    def cells_of(self, task: Task, first_stage: str) -> list[Cell]:
        """List the cells that a first stage has on a task: itself, and with each reranker where rankings count."""
        behind = self.participants.rerankers if kind_of(task).ranks else ()
        cells = (Cell.of(task, first_stage, reranker) for reranker in (NO_RERANKER, *behind))
        return [cell for cell in cells if self.wants(cell)]

    @property
    def needed(self) -> Participants:
        """The models, fusions and rerankers of the cells that are wanted, and the models that fusions stand on."""
        cells = [(cell.model, cell.reranker) for cell in self.cells()]
        stages, behind = {model for model, _ in cells}, {reranker for _, reranker in cells}
        fusions = {label: each for label, each in self.participants.fusions.items() if label in stages}
        parts = {part for fusion in fusions.values() for part in fusion.parts}
        return Participants(
            {label: model for label, model in self.participants.models.items() if label in stages | parts},
            {label: model for label, model in self.participants.rerankers.items() if label in behind},
            fusions,
        )

    def stages_before(self, task: Task, reranker: str) -> list[str]:
        """Name the first stages that a reranker orders anew on a task."""
        return [label for label in self.participants.first_stages if self.wants(Cell.of(task, label, reranker))]

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

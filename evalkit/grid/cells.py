"""The values of a grid: who takes part, which cells there are, and what came of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from evalkit.contracts import Coverage, Embedder, ListReranker, Reranker, Retriever
from evalkit.grid.description import Description
from evalkit.search.fusion import Fusion
from evalkit.terms import Similarity
from evalkit.types import FloatArray, Run, Task

NO_RERANKER = "none"


def in_words(model: str, reranker: str) -> str:
    """A cell's model, and the reranker behind it if there is one, for people."""
    return model if reranker == NO_RERANKER else f"{model} + {reranker}"


Model = TypeVar("Model", bound=Embedder | Retriever | Reranker | ListReranker, covariant=True)


@dataclass(frozen=True)
class Entrant(Generic[Model]):
    """A model that takes part: its label in every table, and how to get it (called once, when its turn comes)."""

    label: str
    load: Callable[[], Model]


@dataclass(frozen=True)
class FusedEntrant:
    """A first stage that takes part and is made of others, by their labels."""

    label: str
    parts: tuple[str, ...]
    fusion: Fusion


@dataclass(frozen=True, order=True)
class Cell:
    """One place in the grid. `reranker` is "none" for the first stage alone and for STS."""

    task: str
    split: str
    model: str
    reranker: str = NO_RERANKER

    @classmethod
    def of(cls, task: Task, model: str, reranker: str = NO_RERANKER) -> "Cell":
        """The cell of a task, by labels."""
        return cls(task.name, task.split, model, reranker)


@dataclass(frozen=True)
class Failure:
    """A cell that has no score, and why."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model on a task: its fingerprint there, how it is run, and how much of the texts it knows.

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
    """What a grid gives: a ranking, the pairs' similarities or an evaluator's scores for each cell that worked,
    a reason for others. `interrupted` by Ctrl-C, it lacks the cells that were not reached.
    """

    rankings: dict[Cell, Run] = field(default_factory=dict)
    similarities: dict[Cell, dict[Similarity, FloatArray]] = field(default_factory=dict)
    scores: dict[Cell, Mapping[str, float]] = field(default_factory=dict)
    facts: dict[Cell, ModelFacts] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False

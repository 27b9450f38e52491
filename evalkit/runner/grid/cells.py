"""What came of the cells of a grid."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.cell import Cell
from evalkit.contracts import Coverage
from evalkit.runner.grid.description import Description
from evalkit.types import FloatArray, Run


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

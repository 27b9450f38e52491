"""What a kind of task is: all that evalkit asks of one, in a class, so that a new kind is a file of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from evalkit.contracts import VectorRows
from evalkit.metrics.metric import Metric
from evalkit.tasks.checks import OnBadData
from evalkit.tasks.declaration import Declaration
from evalkit.terms import Role, Similarity
from evalkit.types import FloatArray, Task

if TYPE_CHECKING:
    from evalkit.tasks.layouts import TaskInfo

Encode = Callable[[Sequence[str], Role], VectorRows]
"""Gives one vector a text, in order, of shape (n_texts, dim)."""


T = TypeVar("T", bound=Task, contravariant=True)


@dataclass(frozen=True)
class Loading:
    """How a task is loaded: what is done about faulty data, and how many of its items are taken, drawn by a seed."""

    on_bad_data: OnBadData
    max_items: int | None
    seed: int


class TaskKind(ABC, Generic[T]):
    """A kind of task. `name` stands in task.yaml as the type, and in run.json; `title` is what tables call it.

    `items` are what its scores are taken over, in words and as a key of run.json, `texts_are` what is encoded. A kind
    that `ranks` is scored by rankings of a corpus: its tasks are `RetrievalTask`s, and retrievers, fusions and
    rerankers take part; any other by what `observe` makes of an embedder's vectors. Tables show its scores times
    `scale`, in this `form`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    items: ClassVar[str]
    texts_are: ClassVar[str] = "texts"
    ranks: ClassVar[bool] = False
    scale: ClassVar[float] = 1
    form: ClassVar[str] = "{:.3f}"
    declaration: ClassVar[type[Declaration] | None] = None
    """The keys of task.yaml, for a kind that has tasks on disk."""

    def load(self, info: "TaskInfo", split: str, how: Loading) -> Any:
        """Read a split, and check its data. Raises DataError with every problem in it."""
        raise NotImplementedError(f"{self.name} has no tasks on disk")

    @abstractmethod
    def facts(self, task: T) -> dict[str, Any]:
        """Count what the task has, for run.json: under the name of `items` what scores are taken over."""

    @abstractmethod
    def ids(self, task: T) -> Sequence[str]:
        """Name the items, in order."""

    @abstractmethod
    def texts(self, task: T) -> Sequence[str]:
        """List the texts that are encoded, each once: what a model that learns from a corpus learns from."""

    @abstractmethod
    def metrics(self, task: T, names: Sequence[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
        """Choose what is computed: the metrics named that are of this kind, or else its own."""

    def gold(self, task: T) -> FloatArray | None:
        """Return what values are held against, float64 of shape (n_items,); None where there is no such number."""
        return None

    def items_as_texts(self, task: T) -> Iterator[tuple[str, str, str]]:
        """Give id and texts of each item (a second one may be empty), to look at it later; nothing by default."""
        return iter(())

    def observe(self, task: T, encode: Encode, similarity: Similarity) -> Mapping[str, FloatArray]:
        """Make the values of each item of an embedder's vectors: float64 of shape (n_items,) by name.

        The name is a metric's whose score is the mean of the values, or what a metric is computed of.
        """
        raise NotImplementedError(f"{self.name} is scored by rankings")

    def notes(self, values: Mapping[str, FloatArray]) -> tuple[str, ...]:
        """Say what the scores do not tell of what was observed."""
        return ()

    def asked(self, facts: Mapping[str, Any], form: str = "") -> str:
        """Say what scores are taken over: "252 queries", "a sample of 20 of 252 queries"; `facts` as in run.json."""
        whole = facts.get("sampled_from")
        count = f"{facts[self.items]:{form}}"
        return f"{count} {self.items}" if whole is None else f"a sample of {count} of {whole:{form}} {self.items}"

    def size(self, facts: Mapping[str, Any], form: str = "") -> str:
        """Say how large the task is."""
        return self.asked(facts, form)

"""What the grid asks of a model: Protocols with only the methods that are called.

A model is any object with these methods; no base class is needed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, Union, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalkit.terms import Device, Role, Similarity
from evalkit.types import FloatArray, IntArray, Part, Run

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Vectors = Union[NDArray[np.float32], "csr_matrix"]
"""One row a text: float32 of shape (n_texts, dim), or a scipy CSR matrix for lexical models."""


class VectorRows(Protocol):
    """Vectors that need not be in memory: rows come by a slice, or an array of row numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of texts, and dimension."""
        ...

    def __getitem__(self, index: Any, /) -> Any:
        """Return the rows as `Vectors`."""
        ...


Advance = Callable[[int], None]
"""Called by a model with the number of texts (or pairs) finished since the last call; drives progress bars."""


def no_progress(finished: int) -> None:
    """Ignore progress: an `Advance` for callers that show nothing."""


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors. `identity` holds everything that changes them, and becomes the fingerprint."""

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes the vectors, as plain data."""
        ...

    @property
    def similarity(self) -> Similarity:
        """How this model's vectors are compared in retrieval."""
        ...

    def encode(self, texts: Sequence[str], role: Role, advance: Advance = no_progress) -> Vectors:
        """Return one vector a text, in order."""
        ...


@runtime_checkable
class FullVectors(Protocol):
    """An embedder whose vectors are derived from full ones that can be kept: encode = derive of raw."""

    @property
    def raw_identity(self) -> Mapping[str, object]:
        """Everything that changes the result of `raw` for given arguments, as plain data."""
        ...

    def prompt(self, role: Role) -> str:
        """Return the text put before each text of this role."""
        ...

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return full vectors of texts read after the prompt: float32 of shape (n_texts, full dim)."""
        ...

    def derive(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embedder's vectors from full ones."""
        ...


@runtime_checkable
class VectorParts(FullVectors, Protocol):
    """Full vectors that are paid for, so that what came before an error or an interrupt must be kept."""

    def raw_parts(
        self, texts: Sequence[str], prompt: str, advance: Advance
    ) -> Iterator[tuple[IntArray, NDArray[np.float32]]]:
        """As `raw`, in parts as they come: rows of the texts, and their vectors."""
        ...


@runtime_checkable
class Rescored(Embedder, Protocol):
    """An embedder that is searched in vectors of low precision; what is found first is ranked anew by full ones."""

    @property
    def rescore(self) -> int | None:
        """Documents found that are ranked anew, and no further ones are results; None: as they are found."""
        ...

    @property
    def full(self) -> Embedder:
        """The embedder with vectors of full precision."""
        ...

    def quantize(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the vectors that are searched, from full ones."""
        ...


@runtime_checkable
class Fittable(Protocol):
    """A model that learns from the task's corpus first. `fit` returns a fitted copy and leaves self as it is."""

    def fit(self, texts: Sequence[str]) -> Self:
        """Return a copy that has learned from the corpus."""
        ...


@runtime_checkable
class ReadsWholes(Protocol):
    """An embedder that can read a text as a part of a whole, which it has read all of (late chunking)."""

    def in_context(self, parts: Mapping[str, Part]) -> Self:
        """Return a copy that gives, for a key of `parts`, the vector of that part; other texts are read as ever.

        Raises ConfigError if the model's vectors are not the mean of those of tokens.
        """
        ...


@runtime_checkable
class PromptedByTask(Protocol):
    """A model whose prompts depend on the task, not on the role alone. `for_task` leaves self as it is."""

    def for_task(self, name: str) -> Self:
        """Return a copy with the prompts for the task of this name; its own general prompts if it knows no such
        task.
        """
        ...


@dataclass(frozen=True)
class Coverage:
    """How much of some texts a model with a closed vocabulary knows."""

    tokens: int
    unknown: int

    @property
    def oov_rate(self) -> float:
        """Unknown tokens over all tokens, a fraction; NaN when there are no tokens."""
        return self.unknown / self.tokens if self.tokens else float("nan")


@runtime_checkable
class HasVocabulary(Protocol):
    """A model with a closed vocabulary. A text with no known word gets a zero vector, and is reported."""

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Tell how many of the texts' tokens there are, and how many the model does not know."""
        ...


@dataclass(frozen=True)
class Setting:
    """Says how a model does one thing, and where that is from.

    `source` is "option", a file of the checkpoint, or "default" where nothing says it. `guess` is a sentence for
    people where the default may not be what the model's authors meant, else empty. `value` is plain data.
    """

    value: object
    source: str
    guess: str = ""


@runtime_checkable
class Described(Protocol):
    """A model that can say how it is run."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Say what it does, by name: pooling, query_prompt, max_length, dtype, normalize, similarity and the like."""
        ...


@runtime_checkable
class CutsTexts(Protocol):
    """A model that learns only from a server's refusals which texts are too long for it, and sends those cut."""

    def cut_of(self, texts: Iterable[str]) -> int:
        """Count the texts that were cut when they were sent."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A model that reads a text as tokens, so that it can be told which texts it reads only in part."""

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a text, the rest is cut off; None: there is no limit."""
        ...

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the tokens of each text if nothing were cut off, prompt and special tokens too: int64 of shape
        (n_texts,).
        """
        ...


@runtime_checkable
class CountsPairTokens(Protocol):
    """A model that reads a query and a document together, as tokens."""

    @property
    def max_tokens(self) -> int | None:
        """Tokens read of a pair, the rest is cut off; None: there is no limit."""
        ...

    def pair_tokens(self, queries: Sequence[str], documents: Sequence[str]) -> IntArray:
        """Count the tokens of each pair if nothing were cut off, special tokens too: int64 of shape (n_pairs,)."""
        ...


@runtime_checkable
class CountsUnknown(Protocol):
    """A model whose tokenizer puts one token for all that it does not know, so that texts of such are read alike."""

    def unknown_tokens(self, texts: Sequence[str], role: Role) -> tuple[IntArray, IntArray] | None:
        """Count the tokens of each text, without prompt and special ones, and the unknown of them: int64 of shape
        (n_texts,).

        None where there is no unknown token.
        """
        ...


@runtime_checkable
class Retriever(Protocol):
    """Ranks the documents it was fitted on, with no vectors in between (BM25)."""

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes the ranking, as plain data."""
        ...

    def search(
        self, queries: Sequence[str], document_ids: Sequence[str], depth: int, advance: Advance = no_progress
    ) -> Run:
        """Return the best documents of each query; `document_ids` names the fitted documents, in order, for ties.

        Progress is counted in documents.
        """
        ...


@runtime_checkable
class Reranker(Protocol):
    """Scores pairs of query and document; higher is more relevant."""

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes the scores, as plain data."""
        ...

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Return scores of the pairs (queries[i], documents[i]): float64 of shape (n_pairs,)."""
        ...


@runtime_checkable
class ScoresAlone(Protocol):
    """A reranker of which it is known that its score of a pair does not depend on the other pairs of a call.

    One that does not say so is asked: see `grid.company`.
    """

    @property
    def scores_alone(self) -> bool:
        """True."""
        ...


@runtime_checkable
class NotStored(Protocol):
    """An embedder whose vectors are not kept: they are sparse, or computed sooner than they are read."""

    @property
    def not_stored(self) -> bool:
        """True."""
        ...


@runtime_checkable
class QueryByQuery(Protocol):
    """A reranker that is called once for each query, as an API is: it gets the pairs of a query together."""

    @property
    def query_by_query(self) -> bool:
        """True."""
        ...


@runtime_checkable
class ScoreParts(Reranker, Protocol):
    """A reranker whose scores are paid for, so that what came before an error or an interrupt must be kept."""

    def score_parts(
        self, queries: Sequence[str], documents: Sequence[str], advance: Advance
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """As `score`, in parts as they come: rows of the pairs, and their scores."""
        ...


@runtime_checkable
class ListReranker(Protocol):
    """Orders a query's candidates in view of each other, so that each first stage's list is work of its own."""

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes the order, as plain data."""
        ...

    def rerank(self, query: str, documents: Sequence[str], scores: FloatArray) -> IntArray:
        """Return row numbers of the documents, best first; a document that is left out is no result.

        The documents come in the first stage's order, with its scores, float64 of shape (n_documents,).
        """
        ...


class Engine(Protocol):
    """Where models are called. What they give does not depend on it."""

    @property
    def device(self) -> Device:
        """What the models compute on: cpu, mps or cuda."""
        ...

    @property
    def workers(self) -> int:
        """How many calls can be under way at once."""
        ...

    def calls(
        self, model: object, method: str, units: Iterable[tuple[Any, ...]], advance: Advance
    ) -> Iterator[tuple[int, Any]]:
        """Yield the model's method called with each unit's arguments and `advance`: the unit's number, and what came
        of it.

        In any order. Units are taken from the iterator as they are needed.
        """
        ...

"""Frozen values that flow through evalkit, from a task's texts to a ranking."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalkit.terms import Role, Similarity

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Qrels = Mapping[str, Mapping[str, float]]
"""Relevance judgements: query id -> document id -> grade. Relevant means a grade above 0."""


@dataclass(frozen=True, slots=True)
class Document:
    """A passage of a corpus."""

    id: str
    text: str
    title: str = ""

    @property
    def content(self) -> str:
        """What models read: the title, if there is one, and the text, joined by a space (BEIR's rule)."""
        return f"{self.title} {self.text}".strip() if self.title else self.text


@dataclass(frozen=True, slots=True)
class Part:
    """Where a document stands: from character `start` to `end` (exclusive) of a whole text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Query:
    """A question put to a corpus; `tags` name slices it belongs to (language, kind, subject ...)."""

    id: str
    text: str
    tags: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class OnDisk(Protocol):
    """A corpus that is not in memory: its contents are best read by slices, or in order."""

    @property
    def ids(self) -> Sequence[str]:
        """The documents' ids, in order."""
        ...

    @property
    def contents(self) -> Sequence[str]:
        """What models read of the documents, in order."""
        ...


@dataclass(frozen=True)
class Task:
    """What all tasks have; each kind of task (see `tasks.kinds`) has a class of its own, whose `type` is its name.

    `content_hash` is a hash of all that decides a score. `notes` are sentences on how the data was read, where it
    could have been read in another way. `sampled_from` counts the items that there are, if these are a sample.
    """

    type: ClassVar[str]

    name: str
    split: str
    content_hash: str = field(kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    sampled_from: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class StsTask(Task):
    """Sentence pairs with gold similarity.

    `gold` is float64 of shape (n_pairs,), in the data's own units (`score_range`, if declared).
    """

    type: ClassVar[str] = "sts"

    sentences1: tuple[str, ...]
    sentences2: tuple[str, ...]
    gold: FloatArray
    score_range: tuple[float, float] | None = None

    @property
    def pair_ids(self) -> tuple[str, ...]:
        """One id a pair: its row number in the data, from 0, as a string."""
        return tuple(str(row) for row in range(len(self.sentences1)))


@dataclass(frozen=True)
class RetrievalTask(Task):
    """A corpus, queries over it, and judgements.

    `queries` holds the judged queries only (at least one grade above 0); `excluded` counts the others. The
    queries of `not_for_themselves`, by id, stand in the corpus under their id, and are no results of themselves
    (ArguAna, Quora). Where there are `candidates`, by query id, these documents alone are ranked for the query; a
    query without any has no results. `sampled_from` counts judged queries.

    `passages` are parts of the documents, each under the id of its document. Where there are some, first stages
    search them, without candidates, and a document stands where the best of its passages does (MaxP: Dai and Callan
    2019, "Deeper Text Understanding for IR with Contextual Neural Language Modeling"). What is found, reranked and
    judged is documents.

    `parts` tell where each document stands in a whole text. Where they are known, embedders read the wholes (late
    chunking, see `contracts.ReadsWholes`); what has no vectors, and rerankers, read the documents.
    """

    type: ClassVar[str] = "retrieval"

    corpus: Sequence[Document]
    queries: tuple[Query, ...]
    qrels: Qrels
    excluded: int = 0
    not_for_themselves: frozenset[str] = frozenset()
    candidates: Mapping[str, Sequence[str]] | None = None
    passages: tuple[Document, ...] | None = None
    parts: tuple[Part, ...] | None = None

    @property
    def searched(self) -> "RetrievalTask":
        """The task of what first stages search: of the passages, none of which is judged, where there are some."""
        if self.passages is None:
            return self
        judged: Qrels = {query.id: {} for query in self.queries}
        return replace(self, corpus=self.passages, passages=None, qrels=judged, not_for_themselves=frozenset())

    @property
    def document_ids(self) -> Sequence[str]:
        """The corpus's ids, in order."""
        return self.corpus.ids if isinstance(self.corpus, OnDisk) else [each.id for each in self.corpus]

    @property
    def contents(self) -> Sequence[str]:
        """What models read of the corpus, in order."""
        return self.corpus.contents if isinstance(self.corpus, OnDisk) else [each.content for each in self.corpus]


EncodeTexts = Callable[[Sequence[str], Role], Any]
"""Gives one vector a text, in order, of shape (n_texts, dim): float32, dense or sparse."""


@dataclass(frozen=True)
class EvaluatorTask(Task):
    """A task that brings its own evaluator (classification, clustering ...), which scores an embedder as a whole.

    `kind` names the type of task. `texts` are what models that learn from a corpus learn from, each text once.
    `samples` counts what the scores are taken over. `evaluate` is called with a way to encode and the embedder's
    similarity; it gives scores by metric, fractions, the main one first.
    """

    type: ClassVar[str] = "evaluator"

    kind: str
    texts: tuple[str, ...]
    samples: int
    evaluate: Callable[[EncodeTexts, Similarity], Mapping[str, float]]


@dataclass(frozen=True)
class Run:
    """A ranking: for each query the best documents, best first.

    `documents` is int64 of shape (n_queries, depth): row numbers in the corpus, -1 where there is no further
    result (only at the end of a row). `scores` is float64 of the same shape, NaN there. Rows descend by score;
    equal scores descend by document id in a first stage, as in trec_eval; in a second they keep the first's order.
    """

    documents: IntArray
    scores: FloatArray

    @property
    def depth(self) -> int:
        """The largest number of results a query can have."""
        return int(self.documents.shape[1])

    def cut(self, depth: int) -> "Run":
        """Return the run with at most so many results a query."""
        return Run(self.documents[:, :depth], self.scores[:, :depth])

    def within(self, tokens: int, lengths: IntArray) -> "Run":
        """Return the run with the first results of each query that have at most so many tokens together.

        `lengths` is int64 of shape (n_documents,): tokens of each document. No result is cut in the middle, and none
        comes after one that does not fit.
        """
        there = self.documents >= 0
        together = np.cumsum(np.where(there, lengths[self.documents], 0), axis=1)
        fits = there & (together <= tokens)
        return Run(np.where(fits, self.documents, -1), np.where(fits, self.scores, np.nan))

"""A grid cell that answers new queries: the same two stages over a corpus that is read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever, VectorRows, Vectors, no_progress
from evalkit.grid.encoding import encode, fitted
from evalkit.grid.stages import Means, rerank
from evalkit.search.exact import search
from evalkit.types import Document, Query, RetrievalTask, Run

Found = tuple[Document, float]
"""A result and its score."""


@dataclass(frozen=True)
class LiveCell:
    """A model over a corpus, and a reranker behind it that puts its first `candidates` documents in a new order.

    Made by `start`. The store keeps the corpus, as in a run; what is computed for a query is not kept.
    """

    model: Embedder | Retriever
    corpus: tuple[Document, ...]
    vectors: Vectors | None
    reranker: Embedder | Reranker | ListReranker | None
    candidates: int
    means: Means

    @classmethod
    def start(
        cls,
        corpus: Sequence[Document],
        model: Embedder | Retriever,
        reranker: Embedder | Reranker | ListReranker | None,
        candidates: int,
        means: Means,
    ) -> "LiveCell":
        """Fit both on the corpus, where they learn from it, and encode it."""
        contents = [document.content for document in corpus]
        model = fitted(model, contents)
        vectors = None
        if isinstance(model, Embedder):
            with means.progress.step("corpus", len(contents)) as advance:
                ids = [document.id for document in corpus]
                # In memory: every query reads all of them.
                vectors = encode(model, "the model", contents, ids, "document", means.store, advance)[:]
        at_query = Means(means.compute, None, means.progress)
        return cls(model, tuple(corpus), vectors, fitted(reranker, contents), candidates, at_query)

    def search(self, query: str, depth: int) -> list[Found]:
        """The best documents and their scores, best first: at most `depth`, and `candidates` if there is a reranker.

        Scores are the reranker's, if there is one; a list reranker's tell the place only: 0, -1, -2 ...
        """
        embedded = self.embed(query)
        if self.reranker is None:
            return self.first_stage(query, embedded, depth)
        found = self.first_stage(query, embedded, self.candidates)
        return second_stage(self.reranker, query, found, self.means)[:depth]

    def embed(self, query: str) -> VectorRows | None:
        """The query's vector, of shape (1, dim); None if the model has no vectors."""
        if self.vectors is None:
            return None
        return encode(cast(Embedder, self.model), "the model", [query], ["query"], "query", None, no_progress)

    def first_stage(self, query: str, embedded: VectorRows | None, depth: int) -> list[Found]:
        """The model's best documents for a query that `embed` has read."""
        if self.vectors is None or embedded is None:
            run = cast(Retriever, self.model).search([query], self._ids, depth)
        else:
            similarity = cast(Embedder, self.model).similarity
            run = search(embedded, self.vectors, self._ids, similarity, depth, self.means.compute.device)
        return _found(run, self.corpus)[:depth]

    @cached_property
    def _ids(self) -> list[str]:
        return [document.id for document in self.corpus]


def second_stage(
    reranker: Embedder | Reranker | ListReranker, query: str, found: Sequence[Found], means: Means
) -> list[Found]:
    """What the first stage found for a query, in the order of a reranker that is fitted; `means` has no store."""
    if not found:
        return []
    # A task of these candidates alone: no other document is read again.
    listed = tuple(document for document, _ in found)
    task = RetrievalTask("query", "live", listed, (Query("query", query),), {}, "")
    run = Run(np.arange(len(listed))[None, :], np.array([[score for _, score in found]]))
    return _found(rerank(reranker, "the reranker", task, {"model": run}, len(listed), means)["model"], listed)


def _found(run: Run, corpus: Sequence[Document]) -> list[Found]:
    pairs = zip(run.documents[0], run.scores[0], strict=True)
    return [(corpus[row], float(score)) for row, score in pairs if row >= 0]

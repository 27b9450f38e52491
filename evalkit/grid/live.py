"""A grid cell that answers new queries: the same two stages over a corpus that is read once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever, Vectors, no_progress
from evalkit.grid.encoding import encode, fitted
from evalkit.grid.stages import Means, rerank
from evalkit.search.exact import search
from evalkit.types import Document, Query, RetrievalTask, Run


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

    def search(self, query: str, depth: int) -> list[tuple[Document, float]]:
        """The best documents and their scores, best first: at most `depth`, and `candidates` if there is a reranker.

        Scores are the reranker's, if there is one; a list reranker's tell the place only: 0, -1, -2 ...
        """
        if self.reranker is None:
            return self._pairs(self._first(query, depth), self.corpus)[:depth]
        first = self._first(query, self.candidates)
        listed = [document for document, _ in self._pairs(first, self.corpus)]
        if not listed:
            return []
        # A task of these candidates alone: no other document is read again.
        task = RetrievalTask("query", "live", tuple(listed), (Query("query", query),), {}, "")
        run = Run(np.arange(len(listed))[None, :], first.scores[:, : len(listed)])
        reranked = rerank(self.reranker, "the reranker", task, {"model": run}, self.candidates, self.means)
        return self._pairs(reranked["model"], listed)[:depth]

    def _first(self, query: str, depth: int) -> Run:
        ids = [document.id for document in self.corpus]
        if self.vectors is None:
            return cast(Retriever, self.model).search([query], ids, depth)
        model = cast(Embedder, self.model)
        asked = encode(model, "the model", [query], ["query"], "query", None, no_progress)
        return search(asked, self.vectors, ids, model.similarity, depth, self.means.compute.device)

    @staticmethod
    def _pairs(run: Run, corpus: Sequence[Document]) -> list[tuple[Document, float]]:
        found = zip(run.documents[0], run.scores[0], strict=True)
        return [(corpus[row], float(score)) for row, score in found if row >= 0]

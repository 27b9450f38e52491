"""A grid cell that answers new queries: the same two stages over a corpus that is read once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from evalkit.contracts import Embedder, ListReranker, Reranker, Rescored, Retriever, VectorRows, Vectors, no_progress
from evalkit.runner.context import RunContext
from evalkit.runner.grid._reranking import rerank
from evalkit.runner.grid._searching import reader, search_by
from evalkit.runner.grid.encoding import encode, fitted, in_context, learned_from
from evalkit.runner.grid.fusing import shares
from evalkit.search.ranking import (
    LIST_DEPTH,
    Fusion,
    by_best_passage,
    documents_of,
    enough_passages,
    fuse,
    id_ranks,
    pool,
)
from evalkit.types import Document, IntArray, Part, Query, RetrievalTask, Run

Found = tuple[Document, float]
"""A result and its score."""


@dataclass(frozen=True)
class LiveModel:
    """A model over a corpus; made by `start`. The store keeps the corpus, what is computed for a query is not kept.

    `vectors` are those of the corpus, or of its passages where these are searched, and `searched` those of low
    precision where they are searched first.
    """

    model: Embedder | Retriever
    corpus: tuple[Document, ...]
    vectors: Vectors | None
    searched: NDArray[np.float32] | None
    context: RunContext
    passages: Sequence[Document] | None = None

    @classmethod
    def start(
        cls,
        corpus: Sequence[Document],
        model: Embedder | Retriever,
        context: RunContext,
        passages: Sequence[Document] | None = None,
        parts: tuple[Part, ...] | None = None,
    ) -> "LiveModel":
        """Fit the model on what is searched, where it learns from it, and encode that; see `RetrievalTask`."""
        texts = corpus if passages is None else passages
        task = RetrievalTask("live", "live", texts, (), {}, content_hash="", parts=parts)
        model, task = in_context(model, "the model", task)
        contents = task.contents
        model = fitted(model, contents)
        vectors = searched = None
        if isinstance(model, Embedder):
            with context.progress.step("corpus", len(contents)) as advance:
                ids = [document.id for document in texts]
                # In memory: every query reads all of them.
                learned = partial(learned_from, model, "", contents)
                vectors = encode(
                    reader(model), "the model", contents, ids, "document", context.store, advance, learned=learned
                )[:]
            if isinstance(model, Rescored) and model.rescore is not None:
                searched = model.quantize(vectors)
        return cls(model, tuple(corpus), vectors, searched, replace(context, store=None), passages)

    def embed(self, query: str) -> VectorRows | None:
        """Return the query's vector, of shape (1, dim); None if the model has no vectors."""
        if self.vectors is None:
            return None
        return encode(reader(cast(Embedder, self.model)), "the model", [query], ["query"], "query", None, no_progress)

    def search(self, query: str, embedded: VectorRows | None, depth: int) -> Run:
        """Return the best documents for a query that `embed` has read."""
        if self.passages is None:
            return self._search(query, embedded, depth)
        found = self._search(query, embedded, enough_passages(self._documents, depth))
        return by_best_passage(found, self._documents, self.id_rank, depth)

    def _search(self, query: str, embedded: VectorRows | None, depth: int) -> Run:
        if self.vectors is None or embedded is None:
            return cast(Retriever, self.model).search([query], self._ids, depth)
        model = cast(Embedder, self.model)
        compute = self.context.compute
        return search_by(model, embedded, self.vectors, self._ids, depth, compute, searched=self.searched)

    @cached_property
    def _ids(self) -> list[str]:
        return [document.id for document in (self.corpus if self.passages is None else self.passages)]

    @cached_property
    def _documents(self) -> IntArray:
        return documents_of(self.passages or (), [document.id for document in self.corpus])

    @cached_property
    def id_rank(self) -> IntArray:
        """The ranks of the documents' ids."""
        return id_ranks([document.id for document in self.corpus])


@dataclass(frozen=True)
class LiveCell:
    """A first stage over a corpus, and a reranker behind it that orders its first `candidates` documents anew.

    Made by `start`. With `fusion`, the first stage is several models, whose rankings become one.
    """

    models: tuple[LiveModel, ...]
    fusion: Fusion | None
    reranker: Embedder | Reranker | ListReranker | None
    candidates: int

    @classmethod
    def start(
        cls,
        corpus: Sequence[Document],
        models: Sequence[Embedder | Retriever],
        fusion: Fusion | None,
        reranker: Embedder | Reranker | ListReranker | None,
        candidates: int,
        context: RunContext,
        passages: Sequence[Document] | None = None,
        parts: tuple[Part, ...] | None = None,
    ) -> "LiveCell":
        """Fit all on the corpus, where they learn from it, and encode it. `models` is one, or those of the fusion.

        With `passages`, first stages fit and search these; with `parts`, embedders read documents in their wholes.
        """
        live = tuple(LiveModel.start(corpus, model, context, passages, parts) for model in models)
        contents = [document.content for document in corpus]
        return cls(live, fusion, fitted(reranker, contents), candidates)

    def search(self, query: str, depth: int) -> list[Found]:
        """Return the best documents and their scores, best first: at most `depth`, and `candidates` if there is a
        reranker.

        Scores are the reranker's, if there is one; a list reranker's tell the place only: 0, -1, -2 ...
        """
        if self.reranker is None:
            return self._first_stage(query, depth)
        found = self._first_stage(query, self.candidates)
        return second_stage(self.reranker, query, found, self.models[0].context)[:depth]

    def _first_stage(self, query: str, depth: int) -> list[Found]:
        wanted = depth if self.fusion is None else max(depth, LIST_DEPTH)
        runs = [live.search(query, live.embed(query), wanted) for live in self.models]
        run = runs[0] if self.fusion is None else fuse_lists(runs, self.fusion, self.models[0].id_rank, depth)
        return found(run, self.models[0].corpus)[:depth]


def fuse_lists(runs: Sequence[Run], fusion: Fusion, id_rank: IntArray, depth: int) -> Run:
    """Return the `depth` best documents by rankings that are fused. Raises ConfigError for a weight still to be
    chosen.
    """
    return fuse(pool(runs, fusion), shares(fusion, len(runs)), id_rank, depth)


def second_stage(
    reranker: Embedder | Reranker | ListReranker, query: str, first: Sequence[Found], context: RunContext
) -> list[Found]:
    """Tell what the first stage found for a query, in the order of a reranker that is fitted; `context` has no
    store.
    """
    if not first:
        return []
    # A task of these candidates alone: no other document is read again.
    listed = tuple(document for document, _ in first)
    task = RetrievalTask("query", "live", listed, (Query("query", query),), {}, content_hash="")
    run = Run(np.arange(len(listed))[None, :], np.array([[score for _, score in first]]))
    return found(rerank(reranker, "the reranker", task, {"model": run}, len(listed), context)["model"], listed)


def found(run: Run, corpus: Sequence[Document]) -> list[Found]:
    """Return the documents of a run of one query, with their scores."""
    pairs = zip(run.documents[0], run.scores[0], strict=True)
    return [(corpus[row], float(score)) for row, score in pairs if row >= 0]

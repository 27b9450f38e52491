"""A corpus as an embedder searches it: in its vectors, or first in ones of low precision and then in full ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.compute import Compute
from evalkit.contracts import Embedder, Engine, Rescored, VectorRows
from evalkit.engine import LOCAL
from evalkit.metrics.similarity import paired_similarities
from evalkit.search.exact import search
from evalkit.search.ranking import id_ranks, rank
from evalkit.search.shards import search_shards
from evalkit.store import StoredVectors
from evalkit.terms import Similarity
from evalkit.types import FloatArray, IntArray, Run

PAIRS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Quantized:
    """Rows of full vectors, at a lower precision."""

    full: VectorRows
    quantize: Callable[[NDArray[np.float32]], NDArray[np.float32]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of texts, and dimension."""
        return self.full.shape

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        return self.quantize(self.full[index])


def reader(embedder: Embedder) -> Embedder:
    """Return the embedder that encodes for `search_by`: the one with full vectors if what is found is ranked anew."""
    return embedder.full if isinstance(embedder, Rescored) and embedder.rescore is not None else embedder


def search_by(
    embedder: Embedder,
    queries: VectorRows,
    corpus: VectorRows,
    document_ids: Sequence[str],
    depth: int,
    compute: Compute,
    *,
    searched: VectorRows | None = None,
    among: IntArray | None = None,
    engine: Engine = LOCAL,
) -> Run:
    """Return the `depth` best documents of each query, exactly. `queries` and `corpus` are vectors of the `reader`.

    With `among`, int64 of shape (n_queries, most), only these rows of the corpus are ranked, -1 for none.

    With rescoring, the first documents by the vectors of low precision (`searched`, made of `corpus` if not given)
    are put in order by the full ones, and no others are results. Vectors in the store are searched in shards, where
    the engine has several workers.
    """

    def find(queries: VectorRows, corpus: VectorRows, depth: int) -> Run:
        if among is not None:
            return best_of(queries, corpus, depth, among)
        if engine.workers > 1 and isinstance(corpus, StoredVectors | Quantized):
            return search_shards(engine, queries, corpus, document_ids, embedder.similarity, depth)
        return search(queries, corpus, document_ids, embedder.similarity, depth, compute.device)

    def best_of(queries: VectorRows, corpus: VectorRows, depth: int, documents: IntArray) -> Run:
        there = documents >= 0
        scores = np.full(documents.shape, np.nan)
        query_rows = np.broadcast_to(np.arange(len(documents))[:, None], documents.shape)
        scores[there] = similarities(queries, corpus, query_rows[there], documents[there], embedder.similarity)
        return rank(documents, scores, id_ranks(document_ids, np.unique(documents[there])), depth)

    if not isinstance(embedder, Rescored) or embedder.rescore is None:
        return find(queries, corpus, depth)
    low = Quantized(queries, embedder.quantize)
    searched = Quantized(corpus, embedder.quantize) if searched is None else searched
    return best_of(queries, corpus, depth, find(low, searched, embedder.rescore).documents)


def similarities(
    queries: VectorRows, corpus: VectorRows, query_rows: IntArray, document_rows: IntArray, similarity: Similarity
) -> FloatArray:
    """Compute similarities of (query, document) pairs by row: float64 of shape (n_pairs,), NaN for a zero vector."""
    return np.concatenate(
        [
            paired_similarities(queries[query_rows[part]], corpus[document_rows[part]])[similarity]
            for part in np.array_split(np.arange(len(query_rows)), len(query_rows) // PAIRS_AT_ONCE + 1)
        ]
    )

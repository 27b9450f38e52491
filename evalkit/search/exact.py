"""Exact top-k search: blocks of documents are filtered in float32, and what is left is scored in float64."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from scipy.spatial.distance import cdist

from evalkit.contracts import VectorRows, Vectors
from evalkit.search._filter import DOCUMENTS_AT_ONCE, Filter, blas_threads
from evalkit.search.ranking import BLOCK_CELLS, best, id_ranks, rank
from evalkit.terms import Device, Similarity
from evalkit.types import FloatArray, IntArray, Run

BLOCK_BYTES = 1 << 24
"""Documents are taken in blocks of about this size, so that memory does not grow with the corpus."""
SPARE = 32
"""Candidates kept beyond the depth: near-ties that float32 may have put in the wrong order."""
NEARLY_ONE = 2.0**-19
"""Vectors whose lengths are off 1 by at most this are taken for unit vectors by the filter, as they are."""


def search(
    queries: VectorRows,
    corpus: VectorRows,
    document_ids: Sequence[str],
    similarity: Similarity,
    depth: int,
    device: Device = "cpu",
) -> Run:
    """Return the `depth` best documents of each query, as if all were scored in float64; ties by `ranking.rank`.

    A document without a representation (a zero vector) is never a result, and a query without one has none.
    Distances are negated, so that higher is always better. Dense vectors are read in blocks, once.
    """
    depth = min(depth, len(document_ids))
    if depth == 0 or queries.shape[0] == 0:
        return best(np.empty((queries.shape[0], len(document_ids))), id_ranks(document_ids), depth)
    asked = queries[:]
    if issparse(asked) or similarity == "manhattan":
        return _score_all(asked, corpus, id_ranks(document_ids), similarity, depth)
    return _filter_then_score(asked, corpus, document_ids, similarity, depth, device)


def _filter_then_score(
    queries: NDArray[np.float32],
    corpus: VectorRows,
    document_ids: Sequence[str],
    similarity: Similarity,
    depth: int,
    device: Device,
) -> Run:
    left = _left(queries, similarity)
    longest = 0.0
    with Filter(left, depth + SPARE, device) as kept:
        for start, block in _blocks(corpus, DOCUMENTS_AT_ONCE[device]):
            for first in range(0, len(block), DOCUMENTS_AT_ONCE[device]):
                right, lengths = _right(block[first : first + DOCUMENTS_AT_ONCE[device]], similarity)
                longest = max(longest, float(lengths.max(initial=0)))
                kept.add(start + first, right, lengths > 0)
        documents, scores = kept.result()
    known = np.linalg.norm(queries, axis=1) > 0
    documents[~known] = -1
    exact_scores = _rescore(queries, corpus, documents, similarity)
    run = rank(documents, exact_scores, id_ranks(document_ids, np.unique(documents[documents >= 0])), depth)
    doubtful = known & _may_have_lost(scores, depth, np.linalg.norm(left, axis=1), longest, left.shape[1])
    if doubtful.any():  # more near-ties at the last place than were kept: score everything for these queries
        exact = _score_all(queries[doubtful], corpus, id_ranks(document_ids), similarity, depth)
        run.documents[doubtful], run.scores[doubtful] = exact.documents, exact.scores
    return run


def _may_have_lost(
    scores: NDArray[np.float32], depth: int, query_lengths: NDArray[np.floating], longest: float, dim: int
) -> NDArray[np.bool_]:
    """Find queries for which a document outside the kept ones may belong among the first `depth`."""
    ordered = -np.sort(-scores.astype(np.float64), axis=1)
    # The error of a float32 dot product is at most (dim + 4) · 2^-24 · |q| · |d| (Higham 2002, section 3.1, with
    # the rounding of both vectors to float32). What is taken for a unit vector may be off by NEARLY_ONE, and its
    # length in float32 by half as much as a product. Two scores may each be off by that.
    margin = 2 * (1.5 * (dim + 4) * 2.0**-24 + NEARLY_ONE) * query_lengths * longest
    dropped_some = ordered[:, -1] > -np.inf
    return np.asarray(dropped_some & (ordered[:, -1] >= ordered[:, depth - 1] - 2 * margin))


def _left(queries: NDArray[np.float32], similarity: Similarity) -> NDArray[np.float32]:
    """Scale queries such that left · right orders documents as the similarity does."""
    if similarity == "euclidean":  # -|q - d|² = 2 q·d - |d|² - |q|², and |q|² is the same for all documents
        return np.hstack([2 * queries, -np.ones((len(queries), 1), dtype=np.float32)])
    return _unit(queries) if similarity == "cosine" else queries


def _right(
    documents: NDArray[np.float32], similarity: Similarity
) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
    """Return documents for the product with `_left`, and the lengths of the result; 0 marks a zero vector."""
    lengths = np.sqrt(np.einsum("ij,ij->i", documents, documents))
    if similarity == "cosine" and np.abs(lengths - 1).max(initial=0) > NEARLY_ONE:
        return _unit(documents), np.where(lengths > 0, 1.0, 0.0)
    if similarity == "euclidean":
        right = np.hstack([documents, (lengths**2)[:, None].astype(np.float32)])
        return right, np.where(lengths > 0, np.linalg.norm(right, axis=1), 0.0)
    return documents, lengths


def _rescore(
    queries: NDArray[np.float32], corpus: VectorRows, documents: IntArray, similarity: Similarity
) -> FloatArray:
    """Return scores in float64, of the shape of `documents`; NaN where those are -1."""
    scores = np.full(documents.shape, np.nan)
    rows = max(1, BLOCK_BYTES // (8 * documents.shape[1] * queries.shape[1]))
    with ThreadPoolExecutor(blas_threads()) as pool:
        for start in range(0, len(queries), rows):
            part = documents[start : start + rows]
            distinct = np.unique(part[part >= 0])
            places = [np.searchsorted(distinct, wanted[wanted >= 0]) for wanted in part]
            # One query's documents at a time: they fit the processor's cache.
            found = pool.map(partial(_exact, corpus[distinct], similarity), queries[start : start + rows], places)
            for row, of_query in enumerate(found, start):
                scores[row, documents[row] >= 0] = of_query
    return scores


def _exact(
    vectors: NDArray[np.float32], similarity: Similarity, asked: NDArray[np.float32], rows: IntArray
) -> FloatArray:
    return _scores(asked.astype(np.float64), vectors[rows].astype(np.float64), similarity)


def _scores(query: FloatArray, documents: FloatArray, similarity: Similarity) -> FloatArray:
    """Score row by row: the same vectors give the same score, to the last bit, wherever they stand."""
    if similarity == "euclidean":
        return np.asarray(-np.sqrt(((query - documents) ** 2).sum(axis=1)))
    # No BLAS: its sums depend on where a row stands.
    dots: FloatArray = np.einsum("ij,j->i", documents, query)
    if similarity == "dot":
        return dots
    return _cosine(dots, np.einsum("j,j->", query, query), np.einsum("ij,ij->i", documents, documents))


def _cosine(dots: FloatArray, query_squares: FloatArray, document_squares: FloatArray) -> FloatArray:
    """Compute cosines that tie where they should: counts with one true cosine give one float, since the quotient of
    the whole numbers dot² and |d|² is rounded only once. NaN for zero vectors.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sign(dots) * np.sqrt(dots * dots / document_squares / query_squares))


def _squares(vectors: Any) -> FloatArray:
    is_sparse: bool = issparse(vectors)
    return np.asarray((vectors.multiply(vectors) if is_sparse else vectors * vectors).sum(axis=1)).ravel()


def _score_all(
    queries: NDArray[np.float32] | csr_matrix,
    corpus: VectorRows,
    id_rank: IntArray,
    similarity: Similarity,
    depth: int,
) -> Run:
    """Return every pair in float64, a block of documents at a time: for sparse vectors, and where ties abound."""
    run: Run | None = None
    for start, block in _blocks(corpus):
        documents = block.astype(np.float64)
        rows = max(1, BLOCK_CELLS // (block.shape[0] * (1 if issparse(block) else block.shape[1])))
        parts = [
            best(_all_pairs(queries[first : first + rows].astype(np.float64), documents, similarity), ranks, depth)
            for ranks in [id_rank[start : start + block.shape[0]]]
            for first in range(0, queries.shape[0], rows)
        ]
        found = np.concatenate([part.documents for part in parts])
        found_scores = np.concatenate([part.scores for part in parts])
        found = np.where(found < 0, -1, found + start)
        if run is not None:
            found = np.concatenate([run.documents, found], axis=1)
            found_scores = np.concatenate([run.scores, found_scores], axis=1)
        run = rank(found, found_scores, id_rank, depth)
    return run or best(np.empty((queries.shape[0], 0)), id_rank, depth)


def _all_pairs(queries: Any, documents: Any, similarity: Similarity) -> FloatArray:
    """Return scores of all pairs, float64 of shape (n_queries, n_documents); -inf for zero vectors."""
    is_sparse: bool = issparse(queries)
    query_squares, document_squares = _squares(queries), _squares(documents)
    if is_sparse and similarity in ("cosine", "dot"):
        scores = (queries @ documents.T).toarray()
        if similarity == "cosine":
            scores = _cosine(scores, query_squares[:, None], document_squares)
    elif is_sparse or similarity == "manhattan":
        metric: Literal["euclidean", "cityblock"] = "euclidean" if similarity == "euclidean" else "cityblock"
        if is_sparse:
            queries, documents = queries.toarray(), documents.toarray()
        scores = -cdist(queries, documents, metric)
    else:  # as `_exact` does, so that a document's score does not depend on which of the two ranked it
        scores = np.stack([_scores(query, documents, similarity) for query in queries])
    scores[query_squares == 0] = -np.inf
    scores[:, document_squares == 0] = -np.inf
    return np.asarray(scores)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    np.divide(wide, lengths, out=wide, where=lengths > 0)
    return wide.astype(np.float32)


def _blocks(corpus: VectorRows, at_least: int = 1) -> Iterator[tuple[int, Any]]:
    size = max(at_least, BLOCK_BYTES // (4 * max(1, corpus.shape[1])))
    for start in range(0, corpus.shape[0], size):
        yield start, corpus[start : start + size]


def dense(vectors: Vectors) -> NDArray[np.float32]:
    """Return vectors as a dense array: float32 of shape (n_texts, dim)."""
    return np.asarray(vectors.toarray() if isinstance(vectors, csr_matrix) else vectors, dtype=np.float32)

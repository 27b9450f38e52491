"""Exact top-k search, and the one rule for ties: score descending, then document id descending (trec_eval's)."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, issparse
from scipy.spatial.distance import cdist

from evalkit.contracts import Vectors
from evalkit.types import FloatArray, IntArray, Run, Similarity

BLOCK_CELLS = 8_000_000
"""Scores held at once: queries are taken in blocks so that block × documents stays under this."""


def id_ranks(document_ids: Sequence[str]) -> IntArray:
    """The rank of each id in ascending string order: int64 of shape (n_documents,)."""
    order = sorted(range(len(document_ids)), key=document_ids.__getitem__)
    ranks = np.empty(len(document_ids), dtype=np.int64)
    ranks[order] = np.arange(len(document_ids))
    return ranks


def best(scores: FloatArray, id_rank: IntArray, depth: int) -> Run:
    """The `depth` best documents of each query, ties by the project's rule.

    `scores` is float64 of shape (n_queries, n_documents); -inf means "no result". The run has
    min(depth, n_documents) columns.
    """
    n_queries, n_documents = scores.shape
    depth = min(depth, n_documents)
    documents = np.full((n_queries, depth), -1, dtype=np.int64)
    kept_scores = np.full((n_queries, depth), np.nan)
    if depth == 0:
        return Run(documents, kept_scores)
    last_kept = np.partition(scores, n_documents - depth, axis=1)[:, n_documents - depth]
    for row in range(n_queries):
        # Every document that ties with the last one kept takes part, so that ids decide and not the partition.
        candidates = np.flatnonzero((scores[row] >= last_kept[row]) & (scores[row] > -np.inf))
        order = np.lexsort((-id_rank[candidates], -scores[row, candidates]))[:depth]
        documents[row, : order.size] = candidates[order]
        kept_scores[row, : order.size] = scores[row, candidates[order]]
    return Run(documents, kept_scores)


def search(queries: Vectors, corpus: Vectors, document_ids: Sequence[str], similarity: Similarity, depth: int) -> Run:
    """Exact search: every query against every document, in float64, in blocks of queries.

    A document without a representation (a zero vector) is never a result, and a query without one has none.
    Distances are negated, so that higher is always better.
    """
    id_rank = id_ranks(document_ids)
    prepared_corpus, corpus_known = _prepare(corpus, similarity)
    # Documents with the same vector must tie to the last bit, whatever the matrix product does.
    distinct, position = _distinct_rows(prepared_corpus)
    runs = []
    block = max(1, BLOCK_CELLS // max(1, len(document_ids)))
    for start in range(0, queries.shape[0], block):
        prepared, known = _prepare(queries[start : start + block], similarity)
        scores = _scores(prepared, distinct, similarity)[:, position]
        scores[:, ~corpus_known] = -np.inf
        scores[~known] = -np.inf
        runs.append(best(scores, id_rank, depth))
    if not runs:
        return best(np.empty((0, len(document_ids))), id_rank, depth)
    return Run(np.concatenate([run.documents for run in runs]), np.concatenate([run.scores for run in runs]))


def _prepare(vectors: Vectors, similarity: Similarity) -> tuple[FloatArray | csr_matrix, np.ndarray]:
    """Vectors in float64 (length 1 for cosine), and which of them are not zero."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.asarray(wide.multiply(wide).sum(axis=1)).ravel() if issparse(wide) else (wide**2).sum(1))
    known = lengths > 0
    if similarity == "cosine":
        scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=known)
        wide = csr_matrix(wide.multiply(scale[:, None])) if issparse(wide) else wide * scale[:, None]
    return wide, known


def _distinct_rows(vectors: FloatArray | csr_matrix) -> tuple[FloatArray | csr_matrix, IntArray]:
    if issparse(vectors):  # a sparse product sums each pair in the same order: equal rows tie already
        return vectors, np.arange(vectors.shape[0])
    rows = np.ascontiguousarray(vectors).view(np.dtype((np.void, vectors.itemsize * vectors.shape[1]))).ravel()
    _, first, position = np.unique(rows, return_index=True, return_inverse=True)
    return vectors[first], position


def _scores(queries: FloatArray | csr_matrix, corpus: FloatArray | csr_matrix, similarity: Similarity) -> FloatArray:
    if similarity in ("cosine", "dot"):
        product = queries @ corpus.T
        return np.asarray(product.todense() if issparse(product) else product)
    dense_queries = queries.toarray() if issparse(queries) else queries
    dense_corpus = corpus.toarray() if issparse(corpus) else corpus
    return -cdist(dense_queries, dense_corpus, "euclidean" if similarity == "euclidean" else "cityblock")

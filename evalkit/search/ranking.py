"""The order of results: by score, and two rules for ties.

A first stage's ties are in descending order of document id, as trec_eval has it. A second stage's ties keep the order
of the first: a reranker that has nothing to say of two documents does not decide between them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.types import FloatArray, IntArray, Run

BLOCK_CELLS = 1 << 24
"""Scores held at once where every document's score is needed, 128 MB: queries are taken in blocks."""


def id_ranks(document_ids: Sequence[str], rows: IntArray | None = None) -> IntArray:
    """Return the rank of each id in ascending string order: int64 of shape (n_documents,).

    With `rows`, the ranks of those ids among themselves, and 0 for all others.
    """
    order = sorted(range(len(document_ids)) if rows is None else rows.tolist(), key=document_ids.__getitem__)
    ranks = np.zeros(len(document_ids), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def rank(documents: IntArray, scores: FloatArray, id_rank: IntArray, depth: int) -> Run:
    """Return candidates of a first stage in order, ties by id descending, cut at `depth`.

    `documents` and `scores` are of shape (n_queries, n_candidates), int64 and float64. A candidate is no result
    where its document is -1 or its score NaN; -inf is a score, the lowest.
    """
    order = np.lexsort((-id_rank[documents], -scores, _absent(documents, scores)))
    return _taken(documents, scores, order[:, :depth])


def reordered(run: Run, scores: FloatArray) -> Run:
    """Return the documents of a run by other scores, descending; equal scores keep the order of the run.

    `scores` is float64 in the shape of `run.documents`. A document whose score is NaN is no result; -inf is a score,
    the lowest.
    """
    return _taken(run.documents, scores, np.lexsort((-scores, _absent(run.documents, scores))))


def best(scores: FloatArray, id_rank: IntArray, depth: int) -> Run:
    """Return the `depth` best documents of each query, ties by id as in `rank`.

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


def without_documents(run: Run, left_out: Sequence[str | None], document_ids: Sequence[str], depth: int) -> Run:
    """Leave one document out of each query's ranking, by its id (None: none), and cut the rankings at `depth`."""
    asked = set(left_out)
    row_of = {identifier: row for row, identifier in enumerate(document_ids) if identifier in asked}
    rows = np.array([-1 if one is None else row_of.get(one, -1) for one in left_out], dtype=np.int64)[:, None]
    scores = np.where(run.documents == rows, np.nan, run.scores)
    order = np.argsort(_absent(run.documents, scores), axis=1, kind="stable")
    return _taken(run.documents, scores, order[:, :depth])


def _absent(documents: IntArray, scores: FloatArray) -> NDArray[np.bool_]:
    """Tell where there is no result."""
    return (documents < 0) | np.isnan(scores)


def _taken(documents: IntArray, scores: FloatArray, order: IntArray) -> Run:
    """Return the run with the columns of each row in an order that has what is no result at the end."""
    documents, scores = np.take_along_axis(documents, order, 1), np.take_along_axis(scores, order, 1)
    absent = _absent(documents, scores)
    return Run(np.where(absent, -1, documents), np.where(absent, np.nan, scores))

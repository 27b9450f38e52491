"""The one rule for ties: score descending, then document id descending (trec_eval's)."""

from collections.abc import Sequence

import numpy as np

from evalkit.types import FloatArray, IntArray, Run

BLOCK_CELLS = 1 << 24
"""Scores held at once where every document's score is needed, 128 MB: queries are taken in blocks."""


def id_ranks(document_ids: Sequence[str], rows: IntArray | None = None) -> IntArray:
    """The rank of each id in ascending string order: int64 of shape (n_documents,).

    With `rows`, the ranks of those ids among themselves, and 0 for all others.
    """
    order = sorted(range(len(document_ids)) if rows is None else rows.tolist(), key=document_ids.__getitem__)
    ranks = np.zeros(len(document_ids), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def rank(documents: IntArray, scores: FloatArray, id_rank: IntArray, depth: int) -> Run:
    """Candidates in order, cut at `depth`.

    `documents` and `scores` are of shape (n_queries, n_candidates), int64 and float64. A candidate is no result
    where its document is -1 or its score NaN; -inf is a score, the lowest.
    """
    absent = (documents < 0) | np.isnan(scores)
    order = np.lexsort((-id_rank[documents], -scores, absent))[:, :depth]
    absent = np.take_along_axis(absent, order, 1)
    return Run(
        np.where(absent, -1, np.take_along_axis(documents, order, 1)),
        np.where(absent, np.nan, np.take_along_axis(scores, order, 1)),
    )


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


def without_documents(run: Run, left_out: Sequence[str | None], document_ids: Sequence[str], depth: int) -> Run:
    """Leave one document out of each query's ranking, by its id (None: none), and cut the rankings at `depth`."""
    asked = set(left_out)
    row_of = {identifier: row for row, identifier in enumerate(document_ids) if identifier in asked}
    rows = np.array([-1 if one is None else row_of.get(one, -1) for one in left_out], dtype=np.int64)[:, None]
    absent = (run.documents < 0) | (run.documents == rows)
    order = np.argsort(absent, axis=1, kind="stable")[:, :depth]
    absent = np.take_along_axis(absent, order, 1)
    return Run(
        np.where(absent, -1, np.take_along_axis(run.documents, order, 1)),
        np.where(absent, np.nan, np.take_along_axis(run.scores, order, 1)),
    )

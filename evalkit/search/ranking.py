"""The order of results: by score, with two rules for ties; and several orders of the same queries made into one.

A first stage's ties are in descending order of document id, as trec_eval has it. A second stage's ties keep the order
of the first: a reranker that has nothing to say of two documents does not decide between them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.types import Document, FloatArray, IntArray, Run

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


def among(run: Run, others: Run) -> Run:
    """Return the results of a run that another has too, in the order and with the scores of the first.

    Both are of the same queries; the result has the depth of `others`.
    """
    size = 1 + max(int(run.documents.max(initial=-1)), int(others.documents.max(initial=-1)))
    # Each pair of query and document as one number.
    pairs, allowed = (np.arange(len(each.documents))[:, None] * size + each.documents for each in (run, others))
    there = (run.documents >= 0) & np.isin(pairs, allowed[others.documents >= 0])
    order = np.argsort(~there, axis=1, kind="stable")[:, : others.depth]
    return _taken(np.where(there, run.documents, -1), run.scores, order)


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


def documents_of(passages: Iterable[Document], document_ids: Sequence[str]) -> IntArray:
    """Return the row of the document that each passage is a part of: int64 of shape (n_passages,)."""
    row_of = {identifier: row for row, identifier in enumerate(document_ids)}
    return np.array([row_of[passage.id] for passage in passages], dtype=np.int64)


def enough_passages(documents: IntArray, depth: int) -> int:
    """Return how many passages are of at least `depth` documents, whichever they are.

    `documents` has the row of each passage's document.
    """
    of_each = np.sort(np.bincount(documents))[::-1]
    return min(len(documents), int(of_each[: depth - 1].sum()) + 1)


def by_best_passage(run: Run, documents: IntArray, id_rank: IntArray, depth: int) -> Run:
    """Return the documents of a run of passages, each with the score of its best passage, in order as by `rank`.

    `documents` has the row of each passage's document, and `id_rank` is that of the documents.
    """
    found = np.where(run.documents < 0, -1, documents[run.documents])
    scores = np.full(run.scores.shape, np.nan)
    for row, of_query in enumerate(found):
        _, first = np.unique(of_query, return_index=True)
        scores[row, first] = run.scores[row, first]
    return rank(found, scores, id_rank, depth)


def _absent(documents: IntArray, scores: FloatArray) -> NDArray[np.bool_]:
    """Tell where there is no result."""
    return (documents < 0) | np.isnan(scores)


def _taken(documents: IntArray, scores: FloatArray, order: IntArray) -> Run:
    """Return the run with the columns of each row in an order that has what is no result at the end."""
    documents, scores = np.take_along_axis(documents, order, 1), np.take_along_axis(scores, order, 1)
    absent = _absent(documents, scores)
    return Run(np.where(absent, -1, documents), np.where(absent, np.nan, scores))


Method = Literal["rrf", "weighted"]
LIST_DEPTH = 100
"""Documents of each list that are fused, at least: what stands below the top of one may be at the top of another."""
WEIGHTS: tuple[float, ...] = tuple(step / 20 for step in range(21))
"""Those that a weight is chosen from."""


@dataclass(frozen=True)
class Fusion:
    """How rankings become one.

    rrf: the sum of 1 / (k + rank) over the lists that have the document (Cormack, Clarke & Büttcher 2009). weighted:
    weight · a + (1 - weight) · b, of two lists' scores, each brought to 0 to 1 over its query's list, 0 for a
    document that a list lacks (convex combination, Bruch, Gai & Ingber 2023). Without a `weight` it is chosen by the
    judgements.
    """

    method: Method
    k: int = 60
    weight: float | None = None


@dataclass(frozen=True)
class Pooled:
    """What the lists say of each document that any of them has.

    `documents` is int64 of shape (n_queries, n_pooled): rows of the corpus, -1 at the end of a row. `parts` is
    float64 of shape (n_lists, n_queries, n_pooled): what each list adds, 0 where it lacks the document.
    """

    documents: IntArray
    parts: FloatArray


def pool(runs: Sequence[Run], fusion: Fusion) -> Pooled:
    """Return the documents of all runs, and what each run adds to their scores. The runs are of the same queries."""
    size = 1 + max(int(run.documents.max(initial=-1)) for run in runs)
    there = [run.documents >= 0 for run in runs]
    # Each pair of query and document as one number.
    pairs = [(np.arange(len(run.documents))[:, None] * size + run.documents) for run in runs]
    distinct = np.unique(np.concatenate([pair[here] for pair, here in zip(pairs, there, strict=True)]))
    queries, rows = np.divmod(distinct, max(size, 1))
    places = np.arange(len(distinct)) - np.searchsorted(queries, queries)
    documents = np.full((len(runs[0].documents), 1 + int(places.max(initial=-1))), -1, dtype=np.int64)
    documents[queries, places] = rows
    parts = np.zeros((len(runs), *documents.shape))
    for part, run, pair, here in zip(parts, runs, pairs, there, strict=True):
        where = np.searchsorted(distinct, pair[here])
        part[queries[where], places[where]] = _added(run, fusion)[here]
    return Pooled(documents, parts)


def _added(run: Run, fusion: Fusion) -> FloatArray:
    """Tell what a run adds to each of its documents' scores: float64 in its shape, NaN where it has no result."""
    if fusion.method == "rrf":
        return np.where(run.documents < 0, np.nan, 1 / (fusion.k + np.arange(1, run.depth + 1)))
    # A run descends, and its missing results are at the end: the first score is the highest.
    highest = run.scores[:, :1]
    lowest = np.min(run.scores, axis=1, keepdims=True, initial=np.inf, where=run.documents >= 0)
    with np.errstate(invalid="ignore"):
        scaled: FloatArray = (run.scores - lowest) / (highest - lowest)
    # One score for all: they are as good as its best.
    return np.where(np.isnan(scaled) & (run.documents >= 0), 1.0, scaled)


def fuse(pooled: Pooled, weights: Sequence[float], id_rank: IntArray, depth: int) -> Run:
    """Return the `depth` best documents by the weighted sum of the lists' parts; ties by `ranking.rank`."""
    scores = (np.asarray(weights)[:, None, None] * pooled.parts).sum(axis=0)
    return rank(pooled.documents, scores, id_rank, depth)


def halves(query_ids: Sequence[str]) -> IntArray:
    """0 or 1 for each query, evenly: int64 of shape (n_queries,). By the ids alone, in whatever order they come."""
    hashes = [sha256(identifier.encode("utf-8", "surrogatepass")).digest() for identifier in query_ids]
    by_hash = sorted(range(len(query_ids)), key=hashes.__getitem__)
    half = np.empty(len(query_ids), dtype=np.int64)
    half[by_hash] = np.arange(len(query_ids)) % 2
    return half


def best_weight(quality: FloatArray) -> float:
    """Return the weight with the highest mean quality, nearest to the middle if several have it.

    `quality` is float64 of shape (len(WEIGHTS), n_queries).
    """
    means = quality.mean(axis=1)
    # The means of equal values may differ in the last bit.
    near = [weight for weight, mean in zip(WEIGHTS, means, strict=True) if mean >= means.max() - 1e-12]
    return min(near, key=lambda weight: abs(weight - 0.5))

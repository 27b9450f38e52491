"""Several rankings of the same queries as one: by ranks (RRF), or by weighted scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np

from evalkit.search.ranking import rank
from evalkit.types import FloatArray, IntArray, Run

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

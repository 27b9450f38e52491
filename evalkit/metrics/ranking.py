"""Ranking metrics over all queries at once, defined as in trec_eval."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, repeat
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ConfigError
from evalkit.plugins import plugins
from evalkit.types import FloatArray, IntArray, Qrels, Run

CELLS_AT_ONCE = 1 << 16
"""Results compared with judgements at once: the processor's cache holds them."""
NOWHERE = -2
"""The row of a document that the corpus lacks; a run has -1 where there is no result."""


@dataclass(frozen=True)
class Judged:
    """A run joined with its judgements: all that the metrics need.

    `gains` is float64 of shape (n_queries, depth): the grade of the document at each rank, 0 where it is
    unjudged, not relevant (a negative grade too), or where there is no result. `ideal` is float64 of shape
    (n_queries, max_relevant): each query's positive grades, descending, padded with zeros.
    """

    gains: FloatArray
    ideal: FloatArray

    @property
    def n_relevant(self) -> IntArray:
        """How many documents are relevant (grade above 0), found or not: int64 of shape (n_queries,)."""
        counts: IntArray = (self.ideal > 0).sum(axis=1, dtype=np.int64)
        return counts


@dataclass(frozen=True)
class Judgements:
    """The relevant documents of some queries, in order: what every run over one corpus is judged by.

    `documents` is int64 of shape (n_queries, max_relevant): row numbers in the corpus, NOWHERE for a document that it
    lacks, and after a query's last. `grades` is float64 of the same shape: positive, descending, then zeros.
    """

    documents: IntArray
    grades: FloatArray

    @classmethod
    def of(cls, qrels: Qrels, document_ids: Sequence[str], query_ids: Sequence[str]) -> Self:
        """Return judgements by name, for the corpus that `document_ids` names and the queries that `query_ids`
        names.
        """
        judgements = [qrels.get(query_id, {}) for query_id in query_ids]
        judged = set(chain.from_iterable(judgements))
        row_of = {identifier: row for row, identifier in enumerate(document_ids) if identifier in judged}
        grades = np.fromiter(chain.from_iterable(of_query.values() for of_query in judgements), dtype=np.float64)
        documents = np.fromiter(map(row_of.get, chain.from_iterable(judgements), repeat(NOWHERE)), dtype=np.int64)
        queries = np.repeat(np.arange(len(query_ids)), [len(of_query) for of_query in judgements])
        relevant = grades > 0
        return cls(*_by_query(len(query_ids), queries[relevant], documents[relevant], grades[relevant]))


def judge(run: Run, judgements: Judgements) -> Judged:
    """Join a run with the judgements of its queries.

    A relevant document that the corpus lacks still counts in `ideal`. Raises ValueError when `run` does not have
    one row a query.
    """
    if len(run.documents) != len(judgements.documents):
        raise ValueError(f"run has {len(run.documents)} rows for {len(judgements.documents)} queries")
    return Judged(gains=_gains(run.documents, judgements.documents, judgements.grades), ideal=judgements.grades)


def _by_query(
    n_queries: int, queries: IntArray, documents: IntArray, grades: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return each query's relevant documents and their grades, best first, padded with NOWHERE and 0."""
    counts = np.bincount(queries, minlength=n_queries)
    order = np.lexsort((-grades, queries))
    rank = np.arange(len(queries)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = n_queries, int(counts.max(initial=0))
    rows, ideal = np.full(shape, NOWHERE), np.zeros(shape)
    rows[queries[order], rank] = documents[order]
    ideal[queries[order], rank] = grades[order]
    return rows, ideal


def _gains(ranked: IntArray, relevant: IntArray, grades: FloatArray) -> FloatArray:
    # Queries have few relevant documents, and comparing whole blocks with one after the other is fastest.
    gains = np.zeros(ranked.shape)
    step = max(1, CELLS_AT_ONCE // max(1, ranked.shape[1]))
    for start in range(0, len(ranked), step):
        block, found = ranked[start : start + step], gains[start : start + step]
        most = int((grades[start : start + step] > 0).sum(axis=1).max(initial=0))
        for column in range(most):
            same = np.flatnonzero(block == relevant[start : start + step, column, None])
            row, place = np.divmod(same, ranked.shape[1])
            found[row, place] = grades[start + row, column]
    return gains


def hit_rate(judged: Judged, k: int) -> FloatArray:
    """1 where a relevant document is in the top k, else 0 (trec_eval's success): float64 (n_queries,).

    NaN for a query with no relevant document, as in every metric here.
    """
    return _defined(judged, np.where(_hits(judged, k).any(axis=1), 1.0, 0.0))


def mrr(judged: Judged, k: int) -> FloatArray:
    """Return one over the rank of the first relevant document, 0 if it is not in the top k: float64 (n_queries,)."""
    hits = _hits(judged, k)
    return _defined(judged, (hits / _ranks(hits)).max(axis=1, initial=0.0))


def precision(judged: Judged, k: int) -> FloatArray:
    """Divide the relevant documents in the top k by k, even if there are fewer results: float64 (n_queries,)."""
    return _defined(judged, _hits(judged, k).sum(axis=1) / k)


def recall(judged: Judged, k: int) -> FloatArray:
    """Divide the relevant documents in the top k by all relevant documents: float64 (n_queries,)."""
    return _over(_hits(judged, k).sum(axis=1).astype(np.float64), judged.n_relevant.astype(np.float64))


def average_precision(judged: Judged, k: int) -> FloatArray:
    """Compute precision at each relevant rank up to k, summed, over all relevant documents: float64 (n_queries,).

    The divisor is not cut at k (trec_eval's map_cut).
    """
    hits = _hits(judged, k)
    precisions = np.cumsum(hits, axis=1) / _ranks(hits)
    return _over(_sum_by_rank(precisions * hits), judged.n_relevant.astype(np.float64))


def ndcg(judged: Judged, k: int) -> FloatArray:
    """Compute discounted cumulative gain over the best there is at k: float64 (n_queries,).

    The gain is the grade itself and the discount log2(rank + 1), as in trec_eval's ndcg_cut; see Järvelin and
    Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques".
    """
    return _over(_dcg(judged.gains, k), _dcg(judged.ideal, k))


def _dcg(grades: FloatArray, k: int) -> FloatArray:
    cut = grades[:, :k]
    return _sum_by_rank(cut / np.log2(np.arange(2, cut.shape[1] + 2)))


def _sum_by_rank(terms: FloatArray) -> FloatArray:
    # numpy's own sum pairs terms by how many there are. Left to right, the zeros of deeper ranks never change
    # the last digit: a perfect ranking has an nDCG of exactly 1, and no metric falls as k grows.
    total = np.zeros(len(terms))
    for column in terms.T:
        total += column
    return total


def _hits(judged: Judged, k: int) -> NDArray[np.bool_]:
    return judged.gains[:, :k] > 0


def _ranks(hits: NDArray[np.bool_]) -> IntArray:
    return np.arange(1, hits.shape[1] + 1)


def _defined(judged: Judged, values: FloatArray) -> FloatArray:
    return np.where(judged.n_relevant > 0, values, np.nan)


def _over(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    quotient = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


@dataclass(frozen=True, slots=True)
class RankingMetric:
    """A metric of rankings says how it is computed, and what is known of it; its score is the mean over the queries.

    `per_query` is called with the judged rankings and a rank k, and gives float64 of shape (n_queries,): a value from
    `low` to `high` for each query, NaN where nothing is relevant. `title` is what tables call it. One that is not
    `in_tables` is in scores.csv alone, unless a run asks for it by name. One that is `binary` is 0 or 1 for each
    query.
    """

    title: str
    per_query: Callable[[Judged, int], FloatArray]
    low: float = 0
    high: float = 1
    higher_is_better: bool = True
    in_tables: bool = True
    binary: bool = False


RANKING_METRICS: dict[str, RankingMetric] = {
    "hit_rate": RankingMetric("Hit Rate", hit_rate, binary=True),
    "MRR": RankingMetric("MRR", mrr),
    "nDCG": RankingMetric("nDCG", ndcg),
    "R": RankingMetric("Recall", recall),
    "P": RankingMetric("Precision", precision, in_tables=False),
    "AP": RankingMetric("MAP", average_precision, in_tables=False),
}
"""The metrics of rankings that evalkit computes itself, by the name that stands before the @ in scores.csv."""
PLUGINS = "evalkit.metrics"
"""The group of entry points that adds more of them: the name is the metric's, the object a `RankingMetric`."""


def ranking_metrics() -> dict[str, RankingMetric]:
    """Return all metrics of rankings by name: evalkit's own, then those of installed packages.

    Raises ConfigError for an entry point that cannot be used, or that takes a name that is taken.
    """
    return {**RANKING_METRICS, **_of_plugins()}


@cache
def _of_plugins() -> dict[str, RankingMetric]:
    found = dict(plugins(PLUGINS, RankingMetric))
    for name in found:
        if name in RANKING_METRICS or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ConfigError(
                f"entry point {name!r} in group {PLUGINS!r}: a metric's name is letters, digits and underscores, and "
                f"none of {', '.join(RANKING_METRICS)}; rename it or uninstall that package."
            )
    return found

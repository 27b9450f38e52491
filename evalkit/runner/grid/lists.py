"""Rerankers that order a query's candidates in view of each other: their orders as scores that can be kept."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from evalkit.contracts import Advance, ListReranker, no_progress
from evalkit.errors import ScoreError
from evalkit.types import FloatArray


def in_context(query: str, documents: Sequence[str], scores: FloatArray) -> str:
    """A query with its candidates, as one text: what a list reranker's order depends on. Equal texts count once."""
    first = dict(zip(reversed(documents), reversed(scores.tolist()), strict=True))
    distinct = list(dict.fromkeys(documents))
    return json.dumps([query, distinct, [first[document] for document in distinct]])


class ListScores:
    """A list reranker as one that scores pairs: the score of (query in its context, document) tells its place.

    0 for the first, -1 for the second and so on; -inf for a document that was left out.
    """

    query_by_query = True

    def __init__(self, reranker: ListReranker) -> None:
        self._reranker = reranker
        self.identity: Mapping[str, object] = reranker.identity

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Scores of the pairs: float64 of shape (n_pairs,). Raises ScoreError for an order that is none."""
        pairs: defaultdict[str, list[int]] = defaultdict(list)
        for pair, context in enumerate(queries):
            pairs[context].append(pair)
        scores = np.empty(len(queries))
        for context, rows in pairs.items():
            places = self._places(*json.loads(context))
            scores[rows] = [places.get(documents[row], -np.inf) for row in rows]
            advance(len(rows))
        return scores

    def _places(self, query: str, documents: list[str], scores: list[float]) -> dict[str, float]:
        order = list(self._reranker.rerank(query, documents, np.array(scores)))
        if len(set(order)) < len(order) or not set(order) <= set(range(len(documents))):
            raise ScoreError(
                f"a list reranker gave the order {order} for {len(documents)} documents of the query {query[:80]!r}; "
                "it must name each at most once, by its row number."
            )
        return {documents[row]: -float(place) for place, row in enumerate(order)}

"""Rerankers that score in view of what stands beside: whether a reranker is one, and orders of lists as scores.

The scores of such a reranker must not be shared between lists, nor kept by pair.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evalkit.compute import Dtype
from evalkit.contracts import Advance, ListReranker, Reranker, ScoreParts, ScoresAlone, no_progress
from evalkit.errors import ApiError, BudgetError, ScoreError
from evalkit.store import Store
from evalkit.types import FloatArray, IntArray

DOCUMENTS = 5
"""Documents of one query that are scored together; each of them is scored alone, too."""
ROUNDING: Mapping[Dtype, float] = {"float32": 0.01, "bfloat16": 0.03, "float16": 0.03}
"""What scores of one pair may differ by, a fraction of the largest: batches and padding change the last digits."""
OF_PAID = 0.03
"""The same for a server, whose dtype is not known."""
_AS_LISTS = "So each first stage's list is reranked as a whole, and no score is shared between lists."
_ASKED = "Two requests more were sent, to see that it scores each document by itself."


@dataclass(frozen=True)
class Company:
    """Whether a reranker scores each pair as if it were alone, and a sentence for people."""

    alone: bool
    note: str = ""


class InCompany:
    """A reranker whose scores hold within one list only, as one that orders a list. Equal scores keep their order."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self.identity: Mapping[str, object] = reranker.identity

    def rerank(self, query: str, documents: Sequence[str], scores: FloatArray) -> IntArray:
        """Return row numbers of the documents, best first. Raises ScoreError for scores that are not finite or
        missing.
        """
        found = _scores(self._reranker, query, documents)
        if found.shape != (len(documents),) or np.isnan(found).any():
            raise ScoreError(f"a reranker gave {found!r} for {len(documents)} documents of the query {query[:80]!r}.")
        return np.argsort(-found, kind="stable")


def ask(
    reranker: Reranker | ListReranker | object,
    label: str,
    lists: Iterator[tuple[str, Sequence[str]]],
    dtype: Dtype,
    store: Store | None,
) -> Company:
    """Find out how a reranker scores, by the first query that has several documents; `lists` are queries with theirs.

    Rerankers that say it themselves (`contracts.ScoresAlone`) are not asked. The answer is kept in the store. Raises
    what the reranker raises, unless it fails on a pair alone only: then it orders lists.
    """
    if not isinstance(reranker, Reranker) or isinstance(reranker, ScoresAlone):
        return Company(True)
    table = None if store is None else store.table("scores", label, reranker.identity)
    if table is not None and (known := table.recall("company")) is not None:
        return Company(**known)
    distinct = ((query, list(dict.fromkeys(documents))[:DOCUMENTS]) for query, documents in lists)
    query, documents = next((each for each in distinct if len(each[1]) > 1), ("", []))
    if not documents:  # every list has one document, so that nothing stands beside it
        return Company(True)
    company = _asked(reranker, query, documents, dtype)
    if table is not None:
        table.remember("company", asdict(company) if not company.alone else {"alone": True})
    return company


def _asked(reranker: Reranker, query: str, documents: Sequence[str], dtype: Dtype) -> Company:
    paid = isinstance(reranker, ScoreParts)
    together = _scores(reranker, query, documents)
    if together.shape != (len(documents),) or np.isnan(together).any():
        return Company(True)  # the error is raised where all pairs are scored, and names the pairs
    others = []
    if not paid:  # each request is paid for
        others.append(_scores(reranker, query, documents[::-1])[::-1])
    try:
        rows = range(1 if paid else len(documents))
        others.append(np.array([_scores(reranker, query, [documents[row]])[0] for row in rows]))
    except (ApiError, BudgetError):
        raise
    except Exception as error:  # whatever it raises, it has just scored the same document among others
        return Company(False, f"It cannot score a document alone ({type(error).__name__}: {error}). {_AS_LISTS}")
    for scores in others:
        there, beside = scores, together[: len(scores)]
        finite = np.isfinite(there) & np.isfinite(beside)
        largest = np.abs(together[np.isfinite(together)]).max(initial=0.0)
        apart = np.where(finite, np.abs(there - beside), np.where(there == beside, 0.0, np.inf))
        row = int(apart.argmax())
        if apart[row] > (OF_PAID if paid else ROUNDING[dtype]) * largest:
            return Company(
                False,
                f"Its score of a document depends on what stands beside it: {beside[row]:.4g} in one list, "
                f"{there[row]:.4g} in another. {_AS_LISTS}",
            )
    return Company(True, _ASKED if paid else "")


def _scores(reranker: Reranker, query: str, documents: Sequence[str]) -> Any:
    return np.asarray(reranker.score([query] * len(documents), list(documents), no_progress), dtype=np.float64)


def in_context(query: str, documents: Sequence[str], scores: FloatArray) -> str:
    """Return a query with its candidates, as one text: what a list reranker's order depends on. Equal texts count
    once.
    """
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
        """Return scores of the pairs: float64 of shape (n_pairs,). Raises ScoreError for an order that is none."""
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

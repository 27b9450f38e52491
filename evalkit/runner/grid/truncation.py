"""How much of texts, and of pairs, a model reads: what is longer than its maximum length is cut off."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evalkit.contracts import CountsPairTokens, CountsTokens
from evalkit.results.facts import MOST_COUNTED
from evalkit.types import IntArray, RetrievalTask

Count = Callable[[list[str], list[str]], IntArray]
"""Tokens of the pairs of a query and a document: int64 of shape (n_pairs,)."""


@dataclass(frozen=True)
class Reading:
    """The tokens of documents, of pairs or of sentences, if none were cut off.

    `counted` is how many were counted, `p50`, `p95` and `largest` are percentiles 50 and 95 and the largest number of
    tokens, `limit` is how many the model reads (None: all), and `truncated` the share that is longer, a fraction (NaN
    where there are none). `relevant` counts the pairs of a query and a relevant document of the corpus, and `cut`
    names those (by their ids) of which the model reads only a part.
    """

    limit: int | None
    counted: int
    p50: float
    p95: float
    largest: float
    truncated: float
    relevant: int = 0
    cut: tuple[tuple[str, str], ...] = ()

    @property
    def as_data(self) -> dict[str, Any]:
        """The reading as plain data, for run.json; without the names of what is cut."""
        numbers = {key: None if isinstance(n, float) and math.isnan(n) else n for key, n in asdict(self).items()}
        return {**numbers, "cut": len(self.cut)}

    def notes(self, what: str) -> tuple[str, ...]:
        """Say that relevant documents (or any sentences, where none is relevant to another) are read only in part."""
        if not self.truncated and not self.cut:
            return ()
        longer = f"{round(self.truncated * self.counted):,} of {self.counted:,} {what}"
        sentence = f"It reads {self.limit:,} tokens and cuts off the rest. Longer: {longer}"
        sentence += f" (up to {self.largest:,.0f} tokens)"
        if not self.relevant:
            return (f"{sentence}.",)
        return (f"{sentence}, {len(self.cut):,} of {self.relevant:,} relevant ones.",) if self.cut else ()


def read_documents(model: object, task: RetrievalTask) -> Reading | None:
    """Count how a model reads the documents; None if it does not count tokens.

    Documents are read in order, a few at a time, since they may be on disk.
    """
    if not isinstance(model, CountsTokens):
        return None
    contents, count = task.contents, _of_documents(model)
    sample = [contents[row] for row in sampled(len(contents)).tolist()]
    return _reading(count([], sample), model.max_tokens, task, count)


def read_pairs(reranker: object, task: RetrievalTask, pairs: Sequence[tuple[str, str]]) -> Reading | None:
    """Count how a reranker reads pairs of a query and a document; one that reads documents alone, how it reads those.

    None if it does not count tokens.
    """
    count: Count
    if isinstance(reranker, CountsPairTokens):
        count, limit = reranker.pair_tokens, reranker.max_tokens
    elif isinstance(reranker, CountsTokens):
        count, limit = _of_documents(reranker), reranker.max_tokens
    else:
        return None
    counts = count([query for query, _ in pairs], [document for _, document in pairs])
    return _reading(counts, limit, task, count)


def read_texts(model: object, texts: Sequence[str]) -> Reading | None:
    """Count how a model reads texts that are neither documents nor queries; None if it does not count tokens."""
    if not isinstance(model, CountsTokens):
        return None
    sample = [texts[row] for row in sampled(len(texts)).tolist()]
    return _summed(model.tokens(sample, "sentence"), model.max_tokens)


def sampled(count: int) -> IntArray:
    """Return rows of a sample of so many texts or pairs, in order."""
    return np.sort(np.random.default_rng(0).permutation(count)[:MOST_COUNTED])


def _of_documents(model: CountsTokens) -> Count:
    """Count the tokens of documents alone, each document once, however often it comes."""
    known: dict[str, int] = {}

    def count(_: list[str], documents: list[str]) -> IntArray:
        new = [document for document in dict.fromkeys(documents) if document not in known]
        known.update(zip(new, model.tokens(new, "document").tolist(), strict=True))
        return np.array([known[document] for document in documents], dtype=np.int64)

    return count


def _reading(counts: IntArray, limit: int | None, task: RetrievalTask, count: Count) -> Reading:
    judged = {document for grades in task.qrels.values() for document, grade in grades.items() if grade > 0}
    rows = {identifier: row for row, identifier in enumerate(task.document_ids) if identifier in judged}
    contents = task.contents
    texts = {identifier: contents[row] for identifier, row in rows.items()}
    relevant = [
        (query, document)
        for query in task.queries
        for document, grade in task.qrels[query.id].items()
        if grade > 0 and document in texts
    ]
    lengths = count([query.text for query, _ in relevant], [texts[document] for _, document in relevant])
    most = math.inf if limit is None else limit
    cut = tuple((query.id, document) for (query, document), n in zip(relevant, lengths, strict=True) if n > most)
    return _summed(counts, limit, len(relevant), cut)


def _summed(counts: IntArray, limit: int | None, relevant: int = 0, cut: tuple[tuple[str, str], ...] = ()) -> Reading:
    most = math.inf if limit is None else limit
    p50, p95, largest = np.percentile(counts, [50, 95, 100]).tolist() if len(counts) else (math.nan,) * 3
    truncated = float(np.mean(counts > most)) if len(counts) else math.nan
    return Reading(limit, len(counts), p50, p95, largest, truncated, relevant, cut)

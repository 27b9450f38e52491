"""How much of documents, and of pairs, a model reads."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.contracts import CountsPairTokens, CountsTokens
from evalkit.grid.live import Found
from evalkit.types import IntArray, RetrievalTask

MOST_COUNTED = 10_000
"""Documents whose tokens are counted; of a larger corpus, a sample."""


@dataclass(frozen=True)
class Reading:
    """The tokens of documents (or of pairs) if none were cut off: percentiles 50 and 95, the largest number, and the
    share that is read only in part; and the relevant pairs of query and document that are.
    """

    p50: float
    p95: float
    largest: float
    truncated: float
    cut: tuple[tuple[str, str], ...]


def read_documents(model: object, task: RetrievalTask, seed: int) -> Reading | None:
    """How a model reads the documents; None if it does not count tokens."""
    if not isinstance(model, CountsTokens):
        return None
    contents = [document.content for document in task.corpus]
    rows = np.random.default_rng(seed).permutation(len(contents))[:MOST_COUNTED]
    counts = model.tokens([contents[row] for row in rows], "document")

    def relevant(queries: list[str], documents: list[str]) -> IntArray:
        return model.tokens(documents, "document")

    return _reading(counts, model.max_tokens, task, relevant)


def read_pairs(
    reranker: object, task: RetrievalTask, queries: Sequence[str], found: Sequence[tuple[Found, ...]]
) -> Reading | None:
    """How a reranker reads what was found; one that reads documents by themselves, as in `read_documents`."""
    pairs = [
        (query, document.content) for query, of_query in zip(queries, found, strict=True) for document, _ in of_query
    ]
    asked, documents = [query for query, _ in pairs], [document for _, document in pairs]
    if isinstance(reranker, CountsPairTokens):
        counts = reranker.pair_tokens(asked, documents)
        return _reading(counts, reranker.max_tokens, task, reranker.pair_tokens)
    if isinstance(reranker, CountsTokens):
        counts = reranker.tokens(documents, "document")
        return _reading(
            counts, reranker.max_tokens, task, lambda _, documents: reranker.tokens(documents, "document")
        )
    return None


def _reading(
    counts: IntArray,
    limit: int | None,
    task: RetrievalTask,
    count: Callable[[list[str], list[str]], IntArray],
) -> Reading:
    texts = {document.id: document.content for document in task.corpus}
    relevant = [
        (query, document)
        for query in task.queries
        for document, grade in task.qrels[query.id].items()
        if grade > 0 and document in texts
    ]
    most = math.inf if limit is None else limit
    lengths = count([query.text for query, _ in relevant], [texts[document] for _, document in relevant])
    cut = tuple((query.id, document) for (query, document), n in zip(relevant, lengths, strict=True) if n > most)
    p50, p95, largest = np.percentile(counts, [50, 95, 100]).tolist() if len(counts) else (math.nan,) * 3
    return Reading(p50, p95, largest, float(np.mean(counts > most)) if len(counts) else np.nan, cut)

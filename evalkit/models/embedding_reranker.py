"""Any embedder as a reranker: the pair's score is the similarity of its two vectors."""

from collections.abc import Mapping, Sequence

import numpy as np

from evalkit.contracts import Advance, Embedder, no_progress
from evalkit.metrics.similarity import paired_similarities
from evalkit.types import FloatArray


class EmbeddingReranker:
    """Scores pairs by an embedder's own similarity; each distinct text is encoded once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.identity: Mapping[str, object] = {"reranker": "embedding", **embedder.identity}

    def score(self, queries: Sequence[str], documents: Sequence[str], advance: Advance = no_progress) -> FloatArray:
        """Similarities of the pairs: float64 of shape (n_pairs,).

        A pair in which one text has no representation (a zero vector) scores -inf: it is ranked last.
        """
        distinct_queries, query_rows = _distinct(queries)
        distinct_documents, document_rows = _distinct(documents)
        query_vectors = self._embedder.encode(distinct_queries, "query")[query_rows]
        document_vectors = self._embedder.encode(distinct_documents, "document")[document_rows]
        advance(len(queries))
        scores = paired_similarities(query_vectors, document_vectors)[self._embedder.similarity]
        return np.where(np.isnan(scores), -np.inf, scores)


def _distinct(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    return list(row_of), [row_of[text] for text in texts]

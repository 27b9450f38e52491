"""An embedder as a reranker: the similarity of a pair's vectors."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from evalkit.models.embedding_reranker import EmbeddingReranker

TABLE = {"east": [2, 0], "north": [0, 3], "both": [1, 1], "west": [-1, 0], "": [0, 0]}
QUERIES = ["east", "both", "east", "", "north"]
DOCUMENTS = ["both", "both", "west", "east", ""]


class Table:
    """Looks vectors up, other ones for queries; keeps what it was asked for."""

    def __init__(self, similarity: str = "cosine", kind: Callable = np.asarray):
        self.similarity, self.kind, self.asked = similarity, kind, []
        self.identity = {"family": "table", "similarity": similarity}

    def encode(self, texts: Sequence[str], role: str, advance: object = None):
        self.asked.append((role, list(texts)))
        shift = {"query": 1, "document": 2}[role]
        return self.kind(np.array([TABLE[text] for text in texts], dtype=np.float32) * shift)


def expected(similarity: str) -> np.ndarray:
    q = np.array([TABLE[text] for text in QUERIES], dtype=float)
    d = np.array([TABLE[text] for text in DOCUMENTS], dtype=float) * 2
    with np.errstate(invalid="ignore"):
        scores = {
            "cosine": (q * d).sum(axis=1) / np.linalg.norm(q, axis=1) / np.linalg.norm(d, axis=1),
            "dot": (q * d).sum(axis=1),
            "euclidean": -np.linalg.norm(q - d, axis=1),
            "manhattan": -np.abs(q - d).sum(axis=1),
        }[similarity]
    scores[[3, 4]] = -np.inf  # a blank text stands in these pairs
    return scores


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_scores_are_the_embedders_similarity_and_blank_texts_come_last(similarity: str, kind: Callable):
    finished: list[int] = []
    found = EmbeddingReranker(Table(similarity, kind)).score(QUERIES, DOCUMENTS, finished.append)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected(similarity), atol=1e-6)
    assert sum(finished) == len(QUERIES)


def test_each_text_is_encoded_once_in_its_role():
    embedder = Table()
    EmbeddingReranker(embedder).score(QUERIES, DOCUMENTS)
    assert embedder.asked == [("query", ["east", "both", "", "north"]), ("document", ["both", "west", "east", ""])]


def test_identity_holds_the_embedders():
    assert EmbeddingReranker(Table("dot")).identity == {
        "reranker": "embedding", "family": "table", "similarity": "dot",
    }  # fmt: skip

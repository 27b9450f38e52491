"""An embedder as a reranker: candidates in the order of its own similarity, computed again in numpy."""

import numpy as np
import pytest
from fakes import FakeEmbedder, FakeVocabulary, ranked, retrieval_task, run

from evalkit.cell import Cell

VECTORS = {"east": [2, 0], "north": [0, 3], "both": [1, 1], "west": [-1, 0.5], "up": [0.5, 4]}
CORPUS = {"d1": "east", "d2": "north", "d3": "", "d4": "both", "d5": "west"}
QUERIES = {"q1": "east", "q2": "up", "q3": ""}
FIRST = FakeEmbedder({text: [1, row] for row, text in enumerate([*CORPUS.values(), "up"])})
SIMILARITIES = {
    "cosine": lambda q, d: q @ d / np.linalg.norm(q) / np.linalg.norm(d),
    "dot": lambda q, d: q @ d,
    "euclidean": lambda q, d: -np.linalg.norm(q - d),
    "manhattan": lambda q, d: -np.abs(q - d).sum(),
}


def expected(similarity: str, query: str, document: str) -> float:
    if not query or not document:
        return -np.inf
    return SIMILARITIES[similarity](np.array(VECTORS[query], dtype=float), np.array(VECTORS[document], dtype=float))


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_scores_are_the_embedders_similarity_and_blank_texts_come_last(similarity: str):
    task = retrieval_task(CORPUS, QUERIES)
    reranker = FakeVocabulary(VECTORS, similarity)
    outcome = run([task], {"first": FIRST}, {"again": reranker}, candidates=5, depth=5)
    scores = outcome.rankings[Cell(task.name, task.split, "first", "again")].scores
    order = ranked(outcome, task, "first", "again")
    for row, (query_id, query) in enumerate(QUERIES.items()):
        by_hand = {document_id: expected(similarity, query, text) for document_id, text in CORPUS.items()}
        assert order[query_id] == sorted(CORPUS, key=lambda d: (by_hand[d], d), reverse=True)
        np.testing.assert_allclose(scores[row], sorted(by_hand.values(), reverse=True), atol=1e-6)

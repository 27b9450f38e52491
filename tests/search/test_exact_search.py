"""Exact search against brute force in plain Python: score descending, then document id descending."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from evalkit.search import _filter as filter
from evalkit.search import exact
from evalkit.search.exact import search
from evalkit.search.ranking import best, id_ranks
from evalkit.terms import SIMILARITIES

# Each has a length of 1, 2 or 4, so that even a cosine is exact in float64 and ties are ties.
EXACT = [
    (1, 0, 0, 0), (2, 0, 0, 0), (0, -1, 0, 0), (1, 1, 1, 1), (-1, 1, 1, -1), (2, 2, 2, 2),
    (0, 0, 4, 0), (1, -1, 1, 1), (0, 2, 0, 0), (-1, -1, -1, -1), (0, 0, 0, 1), (2, -2, 2, 2),
]  # fmt: skip


def similarity_of(query, document, similarity):
    query, document = [float(x) for x in query], [float(x) for x in document]
    dot = math.fsum(x * y for x, y in zip(query, document, strict=True))
    return {
        "dot": dot,
        "cosine": dot / (math.hypot(*query) * math.hypot(*document) or math.nan),
        "euclidean": -math.dist(query, document),
        "manhattan": -math.fsum(abs(x - y) for x, y in zip(query, document, strict=True)),
    }[similarity]


def brute_force(queries, corpus, ids, similarity, depth):
    """Per query (row, score), best first; zero vectors have no part."""
    runs = []
    for query in queries:
        scored = [
            (similarity_of(query, document, similarity), ids[row], row)
            for row, document in enumerate(corpus)
            if any(query) and any(document)
        ]
        runs.append([(row, score) for score, _, row in sorted(scored, reverse=True)[:depth]])
    return runs


def found(run):
    return [
        [(int(row), float(score)) for row, score in zip(rows, scores, strict=True) if row >= 0]
        for rows, scores in zip(run.documents, run.scores, strict=True)
    ]


def assert_equal_to_brute_force(queries, corpus, ids, similarity, depth, kind):
    convert = csr_matrix if kind == "sparse" else np.asarray
    run = search(convert(queries), convert(corpus), ids, similarity, depth)
    expected = brute_force(queries, corpus, ids, similarity, depth)
    assert run.documents.shape == run.scores.shape == (len(queries), min(depth, len(corpus)))
    assert (run.documents.dtype, run.scores.dtype) == (np.int64, np.float64)
    for got, wanted in zip(found(run), expected, strict=True):
        assert [row for row, _ in got] == [row for row, _ in wanted]
        np.testing.assert_allclose(
            [score for _, score in got], [score for _, score in wanted], rtol=1e-12, atol=1e-12
        )
    empty = run.documents == -1
    assert np.isnan(run.scores[empty]).all()
    assert (np.diff(empty.astype(int), axis=1) >= 0).all(), "padding stands at the end of a row only"


@pytest.mark.parametrize("depth", [1, 3, 17, 100])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("similarity", SIMILARITIES)
class TestAgainstBruteForce:
    def test_integer_vectors_full_of_ties(self, similarity, kind, depth):
        rng = np.random.default_rng(1)
        corpus = np.array(EXACT, dtype=np.float32)[rng.integers(len(EXACT), size=40)]
        queries = np.array(EXACT, dtype=np.float32)
        ids = [str(number) for number in rng.permutation(40)]
        assert_equal_to_brute_force(queries, corpus, ids, similarity, depth, kind)

    def test_real_vectors_with_duplicates(self, similarity, kind, depth):
        rng = np.random.default_rng(2)
        distinct = rng.normal(size=(9, 33)).astype(np.float32)
        corpus = distinct[rng.integers(9, size=50)]
        queries = np.concatenate([rng.normal(size=(6, 33)).astype(np.float32), distinct[:2]])
        ids = [str(number) for number in rng.permutation(50)]
        assert_equal_to_brute_force(queries, corpus, ids, similarity, depth, kind)

    def test_zero_vectors_are_no_results(self, similarity, kind, depth):
        rng = np.random.default_rng(3)
        corpus = rng.integers(-1, 2, size=(30, 2)).astype(np.float32)
        corpus[::4] = 0
        queries = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)
        ids = [str(number) for number in rng.permutation(30)]
        assert_equal_to_brute_force(queries, corpus, ids, similarity, depth, kind)

    def test_one_document(self, similarity, kind, depth):
        assert_equal_to_brute_force(
            np.array([[1, 2]], dtype=np.float32), np.array([[2, 1]], dtype=np.float32), ["x"], similarity, depth, kind
        )


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_equal_cosines_of_counts_tie(kind):
    """In exact arithmetic many cosines of word counts are equal; rounding must not rank them."""
    rng = np.random.default_rng(6)
    counts = rng.integers(0, 3, size=(70, 8)).astype(np.float32)
    counts[counts.sum(axis=1) == 0, 0] = 1
    corpus, queries = counts[:60], counts[60:]
    ids = [str(number) for number in rng.permutation(60)]
    convert = csr_matrix if kind == "sparse" else np.asarray
    run = search(convert(queries), convert(corpus), ids, "cosine", 60)
    for query, got in zip(queries, run.documents, strict=True):
        squares = [Fraction(int(query @ document) ** 2, int(document @ document)) for document in corpus]
        assert got.tolist() == sorted(range(60), key=lambda row: (squares[row], ids[row]), reverse=True)


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("spare", [0, 32])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_near_ties_that_single_precision_cannot_tell_apart(monkeypatch, similarity, spare, offset):
    """Far from the origin, all of a crowd of vectors differ in their last bits only."""
    monkeypatch.setattr(exact, "SPARE", spare)
    rng = np.random.default_rng(7)
    crowd = (offset + rng.normal(size=6)).astype(np.float32)
    steps = rng.integers(-3, 4, size=(300, 6)).astype(np.float32)
    corpus = crowd + steps * np.spacing(np.abs(crowd))
    queries = (offset + rng.normal(size=(5, 6))).astype(np.float32)
    run = search(queries, corpus, [f"{row:03d}" for row in range(300)], similarity, 10)
    for query, got in zip(queries, run.documents, strict=True):
        scores = np.array([similarity_of(query, document, similarity) for document in corpus])
        # float64 has its own last bits: what is kept may differ from the true best by those only.
        kept, best_there = scores[got], np.sort(scores)[::-1][:10]
        np.testing.assert_allclose(kept, best_there, rtol=1e-14, atol=1e-14 * max(1, offset))


@pytest.mark.parametrize("spare", [0, 1, 32])
@pytest.mark.parametrize("size", [1, 45, 160, 10**9])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_blocks_change_nothing(monkeypatch, similarity, kind, size, spare):
    monkeypatch.setattr(exact, "BLOCK_BYTES", size)
    monkeypatch.setitem(filter.DOCUMENTS_AT_ONCE, "cpu", 1)  # no block is smaller
    monkeypatch.setattr(exact, "BLOCK_CELLS", size)
    monkeypatch.setattr(exact, "SPARE", spare)
    rng = np.random.default_rng(4)
    corpus, queries = (rng.normal(size=(rows, 5)).astype(np.float32) for rows in (20, 7))
    corpus[10:] = corpus[:10]
    corpus[3] = queries[5] = 0
    assert_equal_to_brute_force(queries, corpus, [f"d{row}" for row in range(20)], similarity, 8, kind)


@pytest.mark.parametrize("queries_at_once", [1, 3, 7, 1_000])
@pytest.mark.parametrize("documents_at_once", [1, 6, 20, 1_000])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_tiles_of_the_filter_change_nothing(monkeypatch, similarity, documents_at_once, queries_at_once):
    monkeypatch.setattr(filter, "QUERIES_AT_ONCE", queries_at_once)
    monkeypatch.setitem(filter.DOCUMENTS_AT_ONCE, "cpu", documents_at_once)
    monkeypatch.setattr(exact, "SPARE", 1)
    rng = np.random.default_rng(4)
    corpus, queries = (rng.normal(size=(rows, 5)).astype(np.float32) for rows in (20, 7))
    corpus[10:] = corpus[:10]
    corpus[3] = queries[5] = 0
    assert_equal_to_brute_force(queries, corpus, [f"d{row}" for row in range(20)], similarity, 8, "dense")


class RowsOnDemand:
    """A corpus that is nowhere as a whole: the sine of its cell numbers, made when rows are asked for."""

    def __init__(self, n_documents, dim):
        self.shape = (n_documents, dim)
        self.most_at_once = 0

    def __getitem__(self, index):
        rows = np.arange(self.shape[0])[index]
        self.most_at_once = max(self.most_at_once, len(rows))
        return np.sin(rows[:, None] * self.shape[1] + np.arange(self.shape[1]), dtype=np.float32)


def peak_of_search(n_documents):
    corpus = RowsOnDemand(n_documents, 64)
    queries = np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)
    ids = [f"d{row}" for row in range(n_documents)]
    tracemalloc.start()
    try:
        run = search(queries, corpus, ids, "dot", 10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    whole = RowsOnDemand(n_documents, 64)[:]
    np.testing.assert_array_equal(run.documents, search(queries, whole, ids, "dot", 10).documents)
    return corpus.most_at_once, peak


def test_memory_does_not_grow_with_the_corpus(monkeypatch):
    monkeypatch.setattr(exact, "BLOCK_BYTES", 1 << 20)  # 4,096 documents of 64 dimensions
    few, peak_of_few = peak_of_search(10_000)
    many, peak_of_many = peak_of_search(160_000)
    assert few == many == 4_096
    # The order of the ids, by which near-ties are broken, takes 24 bytes a document; the vectors would take 256.
    assert peak_of_many < peak_of_few + 24 * 150_000 + 2**20


def test_ids_compare_as_strings():
    corpus = np.ones((4, 1), dtype=np.float32)
    run = search(corpus[:1], corpus, ["10", "9", "100", "1"], "dot", 4)
    assert run.documents.tolist() == [[1, 2, 0, 3]]  # "9" > "100" > "10" > "1"
    assert id_ranks(["10", "9", "100", "1"]).tolist() == [1, 3, 2, 0]


def test_no_queries():
    corpus = np.ones((3, 2), dtype=np.float32)
    run = search(corpus[:0], corpus, ["a", "b", "c"], "cosine", 2)
    assert run.documents.shape == run.scores.shape == (0, 2)


@pytest.mark.parametrize("scale", [1e-18, 1e18], ids=["tiny", "huge"])
def test_cosine_knows_no_scale(scale):
    vectors = np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32)
    run = search(vectors[:1] * np.float32(scale), vectors * np.float32(scale), ["a", "b", "c"], "cosine", 3)
    assert run.documents.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(run.scores, [[1, math.sqrt(0.5), 0]], rtol=1e-7)


@pytest.mark.parametrize("depth", [0, 1, 2, 5, 12, 50])
@pytest.mark.parametrize("values", ["ties", "real", "none", "few"])
def test_best_is_sorting(values, depth):
    rng = np.random.default_rng(5)
    scores = {
        "ties": rng.integers(0, 3, size=(8, 12)).astype(float),
        "real": rng.normal(size=(8, 12)),
        "none": np.full((8, 12), -np.inf),
        "few": np.where(rng.random((8, 12)) < 0.3, 1.0, -np.inf),
    }[values]
    ids = [str(number) for number in rng.permutation(12)]
    run = best(scores, id_ranks(ids), depth)
    assert run.documents.shape == (8, min(depth, 12))
    for row, got in zip(scores, found(run), strict=True):
        order = sorted(((score, ids[at], at) for at, score in enumerate(row) if score > -np.inf), reverse=True)
        assert got == [(at, score) for score, _, at in order[:depth]]

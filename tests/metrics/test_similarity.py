"""Paired similarities against scipy's distances and scikit-learn; correlations against scipy and by hand."""

import warnings

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.spatial import distance
from sklearn.metrics import pairwise

from evalkit.errors import VectorError
from evalkit.metrics.similarity import paired_similarities, pearson, spearman
from evalkit.terms import SIMILARITIES


def vectors(seed: int, rows: int = 50, dim: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def expected(a: np.ndarray, b: np.ndarray) -> dict[str, list[float]]:
    rows = list(zip(a.astype(np.float64), b.astype(np.float64), strict=True))
    return {
        "cosine": [1 - distance.cosine(x, y) for x, y in rows],
        "dot": [float(np.dot(x, y)) for x, y in rows],
        "euclidean": [-distance.euclidean(x, y) for x, y in rows],
        "manhattan": [-distance.cityblock(x, y) for x, y in rows],
    }


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_agrees_with_scipy_distances(convert):
    a, b = vectors(0), vectors(1)
    a[np.abs(a) < 0.7] = b[np.abs(b) < 0.7] = 0
    ours = paired_similarities(convert(a), convert(b))
    assert tuple(ours) == SIMILARITIES
    for name, values in expected(a, b).items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-12, atol=1e-12, err_msg=name)
        assert ours[name].dtype == np.float64


def test_agrees_with_scikit_learn_over_several_blocks():
    a, b = vectors(2, rows=9000), vectors(3, rows=9000)
    ours = paired_similarities(a, b)
    a, b = a.astype(np.float64), b.astype(np.float64)
    np.testing.assert_allclose(ours["cosine"], 1 - pairwise.paired_cosine_distances(a, b), atol=1e-12)
    np.testing.assert_allclose(ours["euclidean"], -pairwise.paired_euclidean_distances(a, b), atol=1e-12)
    np.testing.assert_allclose(ours["manhattan"], -pairwise.paired_manhattan_distances(a, b), atol=1e-12)
    in_blocks = paired_similarities(sparse.csr_matrix(a), sparse.csr_matrix(b))
    for name in SIMILARITIES:
        np.testing.assert_allclose(in_blocks[name], ours[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_a_zero_vector_has_no_similarity_of_any_kind(convert):
    a, b = vectors(4, rows=4), vectors(5, rows=4)
    a[0] = b[1] = 0
    a[2] = b[2] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = paired_similarities(convert(a), convert(b))
    for values in ours.values():
        np.testing.assert_array_equal(np.isnan(values), [True, True, True, False])


def test_equal_vectors_tie_at_exactly_1():
    a = vectors(6, rows=500, dim=100)
    ours = paired_similarities(a, a)
    assert (ours["cosine"] == 1).all()
    assert (ours["euclidean"] == 0).all()


def test_computes_in_float64():
    a = np.full((1, 3), 1e-30, np.float32)
    assert paired_similarities(a, a)["dot"][0] == pytest.approx(3e-60, rel=1e-6)


def test_sides_that_do_not_match_are_refused():
    with pytest.raises(VectorError, match=r"\(50, 16\) and ndarray \(49, 16\)"):
        paired_similarities(vectors(0), vectors(0, rows=49))
    with pytest.raises(VectorError, match=r"ndarray .* and csr_matrix"):
        paired_similarities(vectors(0), sparse.csr_matrix(vectors(0)))


def test_correlations_agree_with_their_definitions():
    rng = np.random.default_rng(8)
    gold = rng.integers(0, 6, 200).astype(np.float64)
    predicted = (gold + rng.normal(0, 2, 200)).round(1)
    assert pearson(predicted, gold) == pytest.approx(np.corrcoef(predicted, gold)[0, 1], abs=1e-12)
    by_ranks = np.corrcoef(stats.rankdata(predicted), stats.rankdata(gold))[0, 1]
    assert spearman(predicted, gold) == pytest.approx(by_ranks, abs=1e-12)


def test_spearman_sees_order_and_pearson_a_line():
    gold = np.arange(20.0)
    assert spearman(np.exp(gold), gold) == pytest.approx(1, abs=1e-12)
    assert pearson(np.exp(gold), gold) < 0.9
    assert pearson(-2 * gold, gold) == pytest.approx(-1, abs=1e-12)


@pytest.mark.parametrize("correlation", [spearman, pearson])
def test_pairs_without_a_prediction_are_left_out(correlation):
    rng = np.random.default_rng(9)
    predicted, gold = rng.random(30), rng.random(30)
    holes = predicted.copy()
    holes[[3, 7, 20]] = [np.nan, np.inf, -np.inf]
    kept = np.isfinite(holes)
    assert correlation(holes, gold) == correlation(predicted[kept], gold[kept])


@pytest.mark.parametrize("correlation", [spearman, pearson])
@pytest.mark.parametrize(
    ("predicted", "gold"),
    [
        ([], []),
        ([1.0], [2.0]),
        ([np.nan, 1.0], [1.0, 2.0]),
        ([0.5, 0.5, 0.5], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]),
        ([1.0, 2.0, np.nan], [4.0, 4.0, 5.0]),
    ],
)
def test_undefined_correlations_are_nan_and_silent(correlation, predicted, gold):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(correlation(np.array(predicted), np.array(gold)))


@pytest.mark.parametrize("correlation", [spearman, pearson])
def test_two_pairs_and_nearly_constant_predictions_are_silent(correlation):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert correlation(np.array([1.0, 2.0]), np.array([3.0, 5.0])) == pytest.approx(1)
        nearly = 1 + np.array([0, 1, 2, 3]) * 2.3e-16
        assert -1 <= correlation(nearly, np.arange(4.0)) <= 1

"""Paired comparisons against scipy and statsmodels, and by simulation where the truth is known."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from evalkit.errors import ConfigError
from evalkit.stats.correlation import resampled_spearman
from evalkit.stats.intervals import percentiles
from evalkit.stats.paired import compare_correlations, compare_means, holm

FIRST_TWO = np.array([[0, 1]])


@pytest.fixture(scope="module")
def hits():
    """Hit or miss of three cells on 120 queries; the third is better than the first by a tenth."""
    rng = np.random.default_rng(0)
    hard = rng.random(120)
    return np.stack([hard + 0.2 * rng.random(120) < limit for limit in (0.6, 0.62, 0.7)], axis=1).astype(float)


@pytest.mark.parametrize("other", [1, 2])
def test_agrees_with_scipys_permutation_test(hits, other):
    found = compare_means(hits, np.array([[0, other]]), seed=0)
    peer = stats.permutation_test(
        (hits[:, 0], hits[:, other]),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=20_000,
        rng=1,
    )
    assert found.difference[0] == pytest.approx(peer.statistic)
    assert found.p[0] == pytest.approx(peer.pvalue, abs=5 * np.sqrt(peer.pvalue * (1 - peer.pvalue) * 1.5 / 10_000))


def test_small_samples_agree_with_the_exact_test():
    values = np.array([[0.9, 0.1], [0.8, 0.3], [0.7, 0.2], [0.6, 0.7], [0.5, 0.1], [0.9, 0.0]])
    exact = stats.permutation_test(
        (values[:, 0], values[:, 1]), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert compare_means(values, FIRST_TWO, seed=0).p[0] == pytest.approx(exact.pvalue, abs=0.01)


def test_the_interval_agrees_with_scipys_bootstrap_where_there_are_many_queries(hits):
    difference = hits[:, 2] - hits[:, 0]
    found = compare_means(hits, np.array([[2, 0]]), seed=0)
    peer = stats.bootstrap((difference,), np.mean, n_resamples=20_000, method="percentile", rng=1)
    assert found.low[0] == pytest.approx(peer.confidence_interval.low, abs=0.01)
    assert found.high[0] == pytest.approx(peer.confidence_interval.high, abs=0.01)
    assert found.sd[0] == pytest.approx(difference.std(ddof=1))


def test_p_is_never_0_and_1_for_equal_cells():
    values = np.stack([np.ones(500), np.zeros(500), np.ones(500)], axis=1)
    found = compare_means(values, np.array([[0, 1], [0, 2]]), seed=0, resamples=999)
    assert found.p.tolist() == [0.001, 1.0]
    assert (found.low[1], found.high[1], found.sd[1]) == (0, 0, 0)


def test_false_positives_under_the_null():
    """2,000 comparisons of cells that differ by chance alone: 5 % are found at 5 %."""
    values = np.random.default_rng(2).exponential(size=(150, 4000))
    found = compare_means(values, np.arange(4000).reshape(-1, 2), seed=0, resamples=999)
    assert np.mean(found.p <= 0.05) == pytest.approx(0.05, abs=0.015)
    excludes_zero = (found.low > 0) | (found.high < 0)
    assert np.mean(excludes_zero) == pytest.approx(0.05, abs=0.015)


def test_hits_and_misses_are_found_different_no_more_often_than_that():
    """Many of their differences are equal, and ties count for the null."""
    values = (np.random.default_rng(2).random((150, 4000)) < 0.7).astype(float)
    found = compare_means(values, np.arange(4000).reshape(-1, 2), seed=0, resamples=999)
    assert 0.02 < np.mean(found.p <= 0.05) <= 0.05


def test_intervals_cover_the_true_difference():
    rng = np.random.default_rng(3)
    values = rng.normal((0.1, 0.0) * 2000, 0.3, size=(200, 4000))
    found = compare_means(values, np.arange(4000).reshape(-1, 2), seed=0, resamples=2000)
    assert np.mean((found.low <= 0.1) & (found.high >= 0.1)) == pytest.approx(0.95, abs=0.015)


def test_a_query_that_is_nan_is_left_out_of_its_comparison(hits):
    spoiled = hits.copy()
    spoiled[:20, 1] = np.nan
    found = compare_means(spoiled, np.array([[0, 1], [0, 2]]), seed=0)
    assert found.n.tolist() == [100, 120]
    assert found.difference[0] == pytest.approx((hits[20:, 0] - hits[20:, 1]).mean())
    nothing = compare_means(np.full((5, 2), np.nan), FIRST_TWO, seed=0)
    assert np.isnan([nothing.difference, nothing.low, nothing.p, nothing.p_holm, nothing.sd]).all()
    assert nothing.n[0] == 0


def test_confidence_must_be_a_share():
    with pytest.raises(ConfigError, match=r"open interval \(0, 1\), got 95"):
        compare_means(np.ones((3, 2)), FIRST_TWO, seed=0, confidence=95)


def test_holm_by_hand():
    """The smallest of three p-values counts threefold, the next twofold; none falls below the one before."""
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, np.nan, 0.03])), [0.03, 0.06, np.nan, 0.06])


def test_holm_as_statsmodels():
    p = np.random.default_rng(0).random(30) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def _sentences(n, sd, seed):
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 6, size=n).astype(float)
    return gold[:, None] + rng.normal(size=(n, len(sd))) * sd, gold


def test_correlations_agree_with_the_bootstrap_of_their_difference_where_there_are_many_pairs():
    predicted, gold = _sentences(300, (1, 1.2, 3), 0)
    found = compare_correlations(predicted, gold, np.array([[0, 1], [0, 2], [2, 0]]), seed=0)
    rho = [stats.spearmanr(column, gold).statistic for column in predicted.T]
    np.testing.assert_allclose(found.difference, [rho[0] - rho[1], rho[0] - rho[2], rho[2] - rho[0]])
    resampled = resampled_spearman(predicted, gold, seed=0)
    bounds = percentiles((resampled[0] - resampled[2])[None])[:, 0]
    np.testing.assert_allclose((found.low[1], found.high[1]), bounds, atol=0.01)
    assert (found.low[2], found.high[2]) == pytest.approx((-found.high[1], -found.low[1]))
    assert found.p[1] == found.p[2] == pytest.approx(1 / 10_001)
    assert found.sd[1] == pytest.approx(np.std(resampled[0] - resampled[2], ddof=1) * 300**0.5, rel=0.05)


def test_pairs_without_a_similarity_are_left_out_of_their_comparison():
    predicted, gold = _sentences(100, (1, 1, 1), 1)
    predicted[:30, 1] = np.nan
    found = compare_correlations(predicted, gold, np.array([[0, 1], [0, 2]]), seed=0, resamples=500)
    assert found.n.tolist() == [70, 100]
    alone = compare_correlations(predicted[30:], gold[30:], FIRST_TWO, seed=0, resamples=500)
    assert found.difference[0] == pytest.approx(alone.difference[0])
    assert found.low[0] == pytest.approx(alone.low[0], abs=0.03)
    beside = compare_correlations(predicted[:, :2], gold, FIRST_TWO, seed=0, resamples=500)
    assert (beside.difference[0], beside.low[0], beside.p[0]) == (found.difference[0], found.low[0], found.p[0])


def _swapped(predicted, seed):
    """Two models that might as well be each other: at each pair of sentences either gives the other's rank."""
    ranks = stats.rankdata(predicted, axis=0)
    swap = np.random.default_rng(seed).random(len(ranks)) < 0.5
    return np.where(swap[:, None], ranks[:, ::-1], ranks)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "repeats"), [(20, 300), (50, 400)])
def test_correlations_under_the_null(n, repeats, ties):
    found = []
    for seed in range(repeats):
        predicted, gold = _sentences(n, (1, 2), [seed, n])
        predicted = _swapped(predicted.round() if ties else predicted, [seed, n, 1])
        found.append(compare_correlations(predicted, gold, FIRST_TWO, seed=seed, resamples=199).p[0])
    wrong = np.sum(np.array(found) <= 0.05)
    assert stats.binom.ppf(0.001, repeats, 0.01) <= wrong <= stats.binom.ppf(0.99, repeats, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("n", [50])
def test_intervals_of_correlations_cover_the_true_difference(n):
    everyone, truth = _sentences(200_000, (1, 2), 7)
    true = np.subtract(*(stats.spearmanr(column, truth).statistic for column in everyone.T))
    covered = []
    for seed in range(500):
        predicted, gold = _sentences(n, (1, 2), [seed, n, 2])
        found = compare_correlations(predicted, gold, FIRST_TWO, seed=seed, resamples=399)
        covered.append(found.low[0] <= true <= found.high[0])
    assert np.sum(covered) >= stats.binom.ppf(0.01, 500, 0.945)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.15])
def test_the_interval_has_0_where_the_test_does_not_reject_it(shift):
    values = np.random.default_rng(4).exponential(size=(40, 400))
    values[:, ::2] += shift
    found = compare_means(values, np.arange(400).reshape(-1, 2), seed=0, resamples=1999)
    has_0 = (found.low <= 0) & (found.high >= 0)
    clear = np.abs(found.p - 0.05) > 0.01
    assert (has_0 == (found.p > 0.05))[clear].all()


def test_few_items_bound_nothing():
    """Of 5 items a 32nd of all sign patterns flips none: no mean is rejected at 5 %."""
    values = np.random.default_rng(0).random((5, 2))
    found = compare_means(values, FIRST_TWO, seed=0)
    assert np.isnan([found.low[0], found.high[0]]).all()
    assert found.p[0] > 0.05
    assert np.isfinite(compare_means(np.vstack([values, values]), FIRST_TWO, seed=0).low[0])


def test_a_constant_model_has_no_comparison():
    _, gold = _sentences(50, (1,), 0)
    found = compare_correlations(np.stack([gold, np.ones(50)], axis=1), gold, FIRST_TWO, seed=0, resamples=100)
    assert np.isnan([found.difference, found.p, found.low]).all()
    assert found.n[0] == 50

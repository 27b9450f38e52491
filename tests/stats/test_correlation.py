"""Resampled correlations against scipy on each resample, drawn out."""

import numpy as np
import pytest
from scipy import stats

from evalkit.stats.correlation import resampled_pearson, resampled_spearman
from evalkit.stats.intervals import draws, percentiles

METHODS = [(resampled_spearman, stats.spearmanr), (resampled_pearson, stats.pearsonr)]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    gold = np.round(rng.normal(size=40), 1)  # with ties, as gold scores have
    predicted = gold[:, None] + rng.normal(size=(40, 3)) * (0.1, 1, 10)
    predicted[:, 2] = np.round(predicted[:, 2])
    return predicted, gold


@pytest.mark.parametrize(("ours", "scipys"), METHODS)
def test_equals_scipy_on_every_resample(data, ours, scipys):
    predicted, gold = data
    found = ours(predicted, gold, seed=3, resamples=200)
    (_, counts), *more = draws(len(gold), 3, 200)
    assert not more
    for resample, drawn in enumerate(counts.astype(int)):
        rows = np.repeat(np.arange(len(gold)), drawn)
        expected = [scipys(column[rows], gold[rows]).statistic for column in predicted.T]
        np.testing.assert_allclose(found[:, resample], expected, atol=1e-12)


@pytest.mark.parametrize(("ours", "scipys"), METHODS)
def test_a_constant_side_is_undefined(ours, scipys):
    found = ours(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([0.0, 1.0, 2.0]), seed=0, resamples=50)
    assert np.isnan(found[0]).all()
    # Three pairs, three times the same: no correlation there either.
    assert np.isnan(found[1]).any()
    np.testing.assert_allclose(found[1][np.isfinite(found[1])], 1)


@pytest.mark.slow
def test_intervals_cover_the_true_correlation():
    """Of bivariate normals Spearman's correlation is 6 / pi * arcsin(rho / 2)."""
    rho, runs, n = 0.6, 400, 120
    truth = 6 / np.pi * np.arcsin(rho / 2)
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(runs):
        x, y = rng.multivariate_normal((0, 0), ((1, rho), (rho, 1)), size=n).T
        low, high = percentiles(resampled_spearman(x[:, None], y, seed=seed, resamples=400))[:, 0]
        covered += low <= truth <= high
    # 400 runs have a standard error of 1.1 %.
    assert covered / runs == pytest.approx(0.95, abs=0.033)

"""All pairs of cells tested together: against brute force, and by simulation where the truth is known."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom, rankdata, spearmanr

from evalkit.stats.correlation import spearman_influence
from evalkit.stats.paired import compare_means, holm, signs
from evalkit.stats.step_down import told_apart

SIMULATIONS = 400
DRAWS = 300


def graded(n, cells, seed):
    """Values like those of a ranking metric: hard and easy queries, many zeros and ones, skill apart by little."""
    rng = np.random.default_rng(seed)
    return np.round(np.clip(rng.beta(0.5, 0.5, (n, 1)) + rng.normal(0, 0.25, (n, cells)), 0, 1) * 4) / 4


def by_hand(values, level, seed, resamples):
    """The same with loops: a step around each cell until no other one leaves."""
    cells = values.shape[1]
    draws = np.concatenate([drawn for _, drawn in signs(len(values), seed, resamples)])
    statistic, drawn = {}, {}
    for a, b in combinations(range(cells), 2):
        differences = np.nan_to_num(values[:, a] - values[:, b])
        statistic[a, b] = abs(differences.sum()) / np.sqrt((differences**2).sum())
        drawn[a, b] = np.abs(draws @ differences) / np.sqrt((differences**2).sum())
    p = np.full((cells, cells), np.nan)
    for cell in range(cells):
        left = set(range(cells)) - {cell}
        while left:
            largest = np.max([drawn[pair] for pair in combinations(sorted({cell, *left}), 2)], axis=0)
            for other in left:
                own = statistic[min(cell, other), max(cell, other)]
                p[cell, other] = (1 + (largest >= own - 1e-9).sum()) / (1 + resamples)
            told = {other for other in left if p[cell, other] <= level}
            left -= told
            if not told:
                break
    return np.minimum(p, p.T)


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_as_by_hand(missing):
    values = graded(80, 5, seed=0) + np.array([0, 0, 0.05, 0.1, 0.3])
    values[np.random.default_rng(1).random(values.shape) < missing] = np.nan
    statistics, p = told_apart(values, level=0.05, seed=3, resamples=500)
    expected = by_hand(values, 0.05, 3, 500)
    np.testing.assert_allclose(p, expected, atol=2.1 / 501)
    assert 0 < (p <= 0.05).sum() < 20, "some are told apart, and some are not"
    assert (np.sign(statistics) == -np.sign(statistics.T)).all()


def test_two_cells_are_tested_as_a_pair_is():
    values = graded(60, 2, seed=1) + np.array([0, 0.05])
    alone = compare_means(values, np.array([[0, 1]]), seed=0).p[0]
    assert told_apart(values, level=0.05, seed=0)[1][0, 1] == pytest.approx(alone, abs=2e-4)


def test_copies_and_cells_without_queries_in_common():
    values = graded(30, 3, seed=2)
    values[:, 1] = values[:, 0]
    values[:, 2] = np.nan
    statistics, p = told_apart(values, level=0.05, seed=0, resamples=100)
    assert (statistics[0, 1], p[0, 1]) == (0, 1)
    assert np.isnan(p[:2, 2]).all()
    alone, _ = told_apart(values[:, :2], level=0.05, seed=0, resamples=100)
    np.testing.assert_array_equal(statistics[:2, :2], alone)


@pytest.mark.parametrize(("cells", "n"), [(2, 100), (4, 50), (10, 100), (20, 50)])
def test_equal_cells_are_told_apart_as_often_as_stated(cells, n):
    rng = np.random.default_rng(cells + n)
    false = 0
    for number in range(SIMULATIONS):
        values = rng.permuted(graded(n, cells, seed=(n, number)), axis=1)
        _, p = told_apart(values, level=0.05, seed=number, resamples=DRAWS)
        false += (p[values.mean(axis=0).argmax()] <= 0.05).any()
    assert binom.ppf(0.001, SIMULATIONS, 0.035) <= false <= binom.ppf(0.999, SIMULATIONS, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("cells", [2, 10])
def test_equal_correlations_are_told_apart_as_often_as_stated(cells):
    rng = np.random.default_rng(cells)
    false = 0
    for number in range(SIMULATIONS):
        gold = rng.integers(0, 6, 50).astype(float)
        ranks = rankdata(gold[:, None] + rng.normal(0, 2, (50, 1)) + rng.normal(0, 2, (50, cells)), axis=0)
        correlations, influence = spearman_influence(rng.permuted(ranks, axis=1), gold)
        _, p = told_apart(influence, correlations, level=0.05, seed=number, resamples=DRAWS)
        false += (p[correlations.argmax()] <= 0.05).any()
    assert binom.ppf(0.001, SIMULATIONS, 0.035) <= false <= binom.ppf(0.999, SIMULATIONS, 0.05)


def test_equal_cells_beside_better_and_worse_ones_are_told_apart_at_most_as_often():
    """The four best are equal; six worse ones are told from them, leave, and must not make the rest too easy."""
    rng = np.random.default_rng(0)
    false = 0
    for number in range(SIMULATIONS):
        values = graded(100, 10, seed=(7, number))
        values[:, :4] = rng.permuted(values[:, :4], axis=1)
        values[:, 4:] -= np.array([0.05, 0.1, 0.2, 0.2, 0.3, 0.4])
        _, p = told_apart(values, level=0.05, seed=number, resamples=DRAWS)
        false += (p[:4, :4] <= 0.05).any()
    assert false <= binom.ppf(0.999, SIMULATIONS, 0.05)


def test_finds_at_least_as_much_as_holms_correction_of_all_pairs():
    found = by_holm = 0
    pairs = np.array(list(combinations(range(10), 2)))
    for number in range(30):
        values = graded(100, 10, seed=(8, number)) - np.linspace(0, 0.15, 10)
        _, p = told_apart(values, level=0.05, seed=number, resamples=1000)
        tests = compare_means(values, pairs, seed=number, resamples=1000)
        found += (p[pairs[:, 0], pairs[:, 1]] <= 0.05).sum()
        by_holm += (holm(tests.p) <= 0.05).sum()
    assert found > by_holm > 0


def test_the_influence_of_pairs_on_a_correlation():
    """What a little more weight of a pair does to Spearman's correlation, by repeating all pairs but for one more."""
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 6, 40).astype(float)
    predicted = np.column_stack([np.round(gold + rng.normal(0, 2, 40)), gold + rng.normal(0, 3, 40), np.ones(40)])
    predicted[3, 1] = np.nan
    correlations, influence = spearman_influence(predicted, gold)
    for column in range(2):
        rows = np.isfinite(predicted[:, column])
        peer = spearmanr(predicted[rows, column], gold[rows]).statistic
        assert correlations[column] == pytest.approx(peer)
        assert np.nansum(influence[:, column]) == pytest.approx(0, abs=1e-9)
    many = 300
    for pair in (0, 5, 20):
        heavier = [np.append(np.repeat(side, many), side[pair]) for side in (predicted[:, 0], gold)]
        moved = (spearmanr(*heavier).statistic - correlations[0]) * many * len(gold)
        assert influence[pair, 0] == pytest.approx(moved * np.sqrt(40 / 37), rel=0.02, abs=1e-3)
    assert np.isnan(correlations[2])
    assert np.isnan(influence[:, 2]).all()
    assert np.isnan(influence[3, 1])

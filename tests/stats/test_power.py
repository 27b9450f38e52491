"""Power: against statsmodels, by integration and by simulation."""

import math

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.power import TTestPower

from evalkit.stats.paired import queries_needed, smallest_difference


@pytest.mark.parametrize(("sd", "n"), [(0.4, 50), (0.3, 800)])
def test_the_smallest_difference_is_found_with_the_power_it_promises(sd, n):
    difference = smallest_difference(sd, n)
    sample = np.random.default_rng(n).normal(difference, sd, size=(4000, n))
    assert np.mean(stats.ttest_1samp(sample, 0, axis=1).pvalue <= 0.05) == pytest.approx(0.8, abs=0.02)
    assert queries_needed(difference, sd) == pytest.approx(n, abs=1)


def integrated_power(effect: float, n: int, alpha: float) -> float:
    """The chance that the mean of n normal differences of this effect is significant and above 0.

    Over the distribution of their standard deviation: given it, the mean is normal.
    """
    critical = stats.t.ppf(1 - alpha / 2, n - 1)
    root = math.sqrt(n - 1)

    def chance(x: float) -> float:
        return stats.norm.sf(critical * x / root - effect * math.sqrt(n)) * stats.chi.pdf(x, n - 1)

    low, high = stats.chi.ppf([1e-12, 1 - 1e-12], n - 1)
    return integrate.quad(chance, low, high, epsabs=1e-10, limit=200)[0]


NUMBERS = range(2, 3001)


@pytest.mark.parametrize("power", [0.8, 0.95])
def test_every_number_of_queries_shows_a_difference_that_needs_it(power):
    differences = np.array([smallest_difference(0.3, n, power=power) for n in NUMBERS])
    assert np.isfinite(differences).all()
    assert (np.diff(differences) < 0).all()
    shown = stats.nct.sf(stats.t.ppf(0.975, np.array(NUMBERS) - 1), np.array(NUMBERS) - 1,
                         differences / 0.3 * np.sqrt(NUMBERS))  # fmt: skip
    np.testing.assert_allclose(shown, power, atol=1e-6)


@pytest.mark.parametrize("n", [*range(2, 130), 250, 999, 1379, 1500, 2883, 3000])
def test_every_number_of_queries_is_what_its_difference_needs(n):
    assert queries_needed(smallest_difference(0.3, n), 0.3) == n


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 73, 120, 1379])
def test_power_by_integration(n, alpha):
    effect = smallest_difference(1.0, n, alpha=alpha)
    assert integrated_power(effect, n, alpha) == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize("n", [4, 30, 73, 120, 400, 1379, 3000])
def test_power_as_statsmodels(n):
    difference = smallest_difference(0.3, n)
    theirs = TTestPower().power(effect_size=difference / 0.3, nobs=n, alpha=0.05)
    assert theirs == pytest.approx(0.8, abs=1e-4)  # it counts a significant difference of the wrong sign, too


def test_fewer_queries_show_less_and_larger_differences_need_fewer():
    assert smallest_difference(0.3, 100) > smallest_difference(0.3, 400) > 0
    assert queries_needed(0.01, 0.3) > queries_needed(-0.1, 0.3) > 2
    assert smallest_difference(0.3, 100, power=0.9) > smallest_difference(0.3, 100)


def test_what_no_number_of_queries_tells_is_said():
    assert queries_needed(0.0, 0.3) == math.inf
    assert math.isnan(queries_needed(math.nan, 0.3))
    assert math.isnan(smallest_difference(0.3, 1))
    assert smallest_difference(0.0, 10) == 0
    assert queries_needed(0.5, 0.0) == 2
    assert queries_needed(1.0, 0.2) == 3
    assert queries_needed(1e-30, 0.2) == math.inf

"""What a number of queries can show: the power of a paired t-test (Cohen 1988, ch. 2)."""

import math

from scipy.stats import norm
from statsmodels.stats.power import TTestPower


def smallest_difference(sd: float, n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference that a comparison of `n` queries finds with this power, in the units of `sd`.

    `sd` is the standard deviation of one query's difference. 0 where no query differs; NaN for a NaN `sd` or fewer
    than 2 queries.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    return sd * float(TTestPower().solve_power(nobs=n, alpha=alpha, power=power)) if sd else 0.0


def queries_needed(difference: float, sd: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """How many queries a comparison needs to find a true `difference` with this power: a whole number, at least 2.

    Infinite for a difference of 0; NaN if either is NaN.
    """
    if math.isnan(difference) or math.isnan(sd):
        return math.nan
    if difference == 0:
        return math.inf
    effect = abs(difference) / sd if sd else math.inf
    if effect > 3:  # two queries or three tell it; the solver finds no root there
        return 3.0 if math.isfinite(effect) else 2.0
    return float(math.ceil(TTestPower().solve_power(effect_size=effect, alpha=alpha, power=power)))


def queries_needed_within(difference: float, margin: float, sd: float, confidence: float) -> float:
    """How many queries put a two-sided interval of this confidence above, or below, -margin, for this difference.

    By the normal approximation, with even odds: ((z · sd) / |difference + margin|)². Infinite if the difference is
    just the margin; NaN for a NaN.
    """
    distance = abs(difference + margin)
    if math.isnan(distance) or math.isnan(sd):
        return math.nan
    z = float(norm.ppf(0.5 + confidence / 2))
    return math.inf if distance == 0 else max(2.0, float(math.ceil((z * sd / distance) ** 2)))


def chance_to_catch(loss: float, margin: float, sd: float, n: int, confidence: float) -> float:
    """The probability that the interval of a true `loss` over `n` queries is below -margin: what a gate's power is.

    By the normal approximation, one-sided: Phi((loss - margin) · sqrt(n) / sd - z).
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    z = float(norm.ppf(0.5 + confidence / 2))
    return float(norm.cdf((loss - margin) * math.sqrt(n) / sd - z)) if sd else float(loss > margin)

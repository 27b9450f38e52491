"""What a number of queries can show: the power of a paired t-test (Cohen 1988, ch. 2)."""

import math
from bisect import bisect_left

from scipy.special import nctdtrinc, ndtr, ndtri, stdtrit

MOST = 2**53
"""Queries: a larger number is not told from an infinite one."""


def smallest_difference(sd: float, n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest true difference that a comparison of `n` queries finds with this power, in the units
    of `sd`.

    `sd` is the standard deviation of one query's difference. To find it is to call it significant at `alpha`,
    two-sided, and with the right sign: the statistic has a noncentral t distribution with n - 1 degrees of freedom,
    which is solved for the noncentrality, difference · sqrt(n) / sd. 0 where no query differs; NaN for a NaN `sd` or
    fewer than 2 queries.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    critical = stdtrit(n - 1, 1 - alpha / 2)
    return sd * float(nctdtrinc(n - 1, 1 - power, critical)) / math.sqrt(n)


def queries_needed(difference: float, sd: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return how many queries a comparison needs to find a true `difference` with this power: whole, at least 2.

    The inverse of `smallest_difference`. Infinite for a difference of 0, or where it takes more than `MOST`; NaN if
    either is NaN.
    """
    if math.isnan(difference) or math.isnan(sd):
        return math.nan

    def enough(n: int) -> bool:
        return smallest_difference(sd, n, power=power, alpha=alpha) <= abs(difference)

    if difference == 0 or not enough(MOST):
        return math.inf
    return float(range(2, MOST)[bisect_left(range(2, MOST), True, key=enough)])


def queries_needed_within(difference: float, margin: float, sd: float, confidence: float) -> float:
    """Tell how many queries put a two-sided interval of this confidence above, or below, -margin, for this
    difference.

    By the normal approximation, with even odds: ((z · sd) / |difference + margin|)². Infinite if the difference is
    just the margin; NaN for a NaN.
    """
    distance = abs(difference + margin)
    if math.isnan(distance) or math.isnan(sd):
        return math.nan
    z = float(ndtri(0.5 + confidence / 2))
    return math.inf if distance == 0 else max(2.0, float(math.ceil((z * sd / distance) ** 2)))


def chance_to_catch(loss: float, margin: float, sd: float, n: int, confidence: float) -> float:
    """Return the probability that the interval of a true `loss` over `n` queries is below -margin: what a gate's
    power is.

    By the normal approximation, one-sided: Phi((loss - margin) · sqrt(n) / sd - z).
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    z = float(ndtri(0.5 + confidence / 2))
    return float(ndtr((loss - margin) * math.sqrt(n) / sd - z)) if sd else float(loss > margin)

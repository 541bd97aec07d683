"""How often a test over seeds finds a difference, the smallest that it finds, and how many seeds one needs."""

import bisect
import math

import numpy as np

from maskwright.reports.statistics.estimate import check_between

MOST_SEEDS = 100_000  # where the search for a number of seeds ends


def power(difference: float, deviation: float, n: int, alpha: float = 0.05) -> float:
    """Returns how often the t-test of n differences finds a true one at the level alpha.

    Own code, since `TTestPower` of statsmodels and `nct` of scipy fail for two and three seeds. Given the sample's
    standard deviation, the mean is normal; that is averaged over quantiles of the chi distribution.
    """
    from scipy import special, stats

    check_between("deviation", deviation, 0)
    check_between("alpha", alpha, 0, 1)
    if n < 2:
        raise ValueError(f"n is {n}; a test over seeds needs at least two")
    chi = np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, n - 1) / (n - 1))
    threshold = float(stats.t.ppf(1 - alpha / 2, n - 1)) * chi
    shift = abs(difference) / deviation * math.sqrt(n)
    return float((special.ndtr(shift - threshold) + special.ndtr(-shift - threshold)).mean())


def smallest_difference(deviation: float, n: int, chance: float = 0.8, alpha: float = 0.05) -> float:
    """Returns the true difference that the t-test of n differences finds with a given chance, its power.

    Args:
        deviation: the standard deviation of the differences of single seeds.
        alpha: the level of the test, of one comparison.

    Raises:
        ValueError: an argument is out of its range.
    """
    from scipy import optimize

    check_between("chance", chance, alpha, 1)
    high = deviation
    while power(high, deviation, n, alpha) < chance:
        high *= 2
    return float(optimize.brentq(lambda found: power(found, deviation, n, alpha) - chance, 0, high))


def seeds_needed(difference: float, deviation: float, chance: float = 0.8, alpha: float = 0.05) -> int:
    """Returns how many seeds the t-test needs to find a true difference with a given chance.

    Raises:
        ValueError: an argument is out of its range, or it would be more than 100,000.
    """
    check_between("chance", chance, alpha, 1)
    check_between("difference", abs(difference), 0)
    n = bisect.bisect_left(range(MOST_SEEDS), chance, lo=2, key=lambda n: power(difference, deviation, n, alpha))
    if n == MOST_SEEDS:
        raise ValueError(f"a difference of {difference:g} would need more than {MOST_SEEDS:,} seeds")
    return n

"""Two arms compared over seeds: interval, tests, equivalence; and what a family of tests says.

Runs with the same seed are pairs: they share the order of texts and, where the shapes are equal, the initial
weights, so that a difference varies less than a run does. With n seeds there are n differences, and all below is
about their mean. Student's t takes them to be normal. The sign-flip test does not, but has only 2**n outcomes: its
p is at least 2 / 2**n, which is 0.25 for three seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from maskwright.reports.statistics.estimate import Estimate, Floats, check_between, finite


@dataclass(frozen=True)
class Comparison:
    """How an arm differs from another.

    Attributes:
        n: the number of seeds.
        difference: the mean difference and its interval, by Student's t.
        deviation: the standard deviation of the differences.
        p: of the t-test that there is no difference.
        p_sign_flip: of the sign-flip test of the same.
        p_equivalence: of the two one-sided tests that the difference is not within the margin; None without one.
    """

    n: int
    difference: Estimate
    deviation: float
    p: float
    p_sign_flip: float
    p_equivalence: float | None


def compare(
    own: Mapping[int, float], baseline: Mapping[int, float], margin: float | None = None, level: float = 0.95
) -> Comparison:
    """Compares two arms by their values by seed.

    Raises:
        ValueError: the arms have other seeds, fewer than two, equal differences, or a value that is not finite.
    """
    found = paired_differences(own, baseline)
    return Comparison(
        n=len(found),
        difference=t_interval(found, level),
        p=t_test(found),  # which refuses equal differences
        deviation=float(found.std(ddof=1)),
        p_sign_flip=sign_flip_test(found),
        p_equivalence=None if margin is None else equivalence_test(found, margin),
    )


def paired_differences(own: Mapping[int, float], baseline: Mapping[int, float]) -> Floats:
    """Returns own - baseline (n,), by seed in ascending order.

    Raises:
        ValueError: the arms have other seeds, or a value is not finite.
    """
    if own.keys() != baseline.keys():
        raise ValueError(
            f"one arm has the seeds {sorted(own)} and the other {sorted(baseline)}; pairs need the same seeds"
        )
    seeds = sorted(own)
    return finite([own[seed] for seed in seeds], "values") - finite([baseline[seed] for seed in seeds], "values")


def t_interval(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Returns the mean of values (n,), one of each seed, and its interval by Student's t.

    Raises:
        ValueError: there are fewer than two values, or one is not finite.
    """
    from scipy import stats

    check_between("level", level, 0, 1)
    array = _several(values)
    mean, error = float(array.mean()), float(array.std(ddof=1)) / math.sqrt(len(array))
    half = float(stats.t.ppf((1 + level) / 2, len(array) - 1)) * error
    return Estimate(mean, mean - half, mean + half)


def t_test(differences: ArrayLike) -> float:
    """Returns the two-sided p of the paired t-test that the mean of differences (n,) is 0.

    Raises:
        ValueError: there are fewer than two differences, they are all equal, or one is not finite.
    """
    from scipy import stats

    return float(stats.ttest_1samp(_varied(differences), 0.0).pvalue)


def sign_flip_test(differences: ArrayLike) -> float:
    """Returns the two-sided p of the exact permutation test that differences (n,) are symmetric about 0.

    If they are, each is as likely with the other sign. All 2**n choices of signs are counted up to 13 seeds, and
    9,999 of them, the same ones in each call, are drawn for more.

    Raises:
        ValueError: there are fewer than two differences, or one is not finite.
    """
    from scipy import stats

    data = (_several(differences),)
    draws = np.random.default_rng(1)
    return float(stats.permutation_test(data, np.mean, permutation_type="samples", rng=draws).pvalue)


def equivalence_test(differences: ArrayLike, margin: float) -> float:
    """Returns the p of the two one-sided t-tests (TOST) that the mean of differences (n,) is not within ±margin.

    A small p says that the arms are equivalent up to the margin, which has to be chosen beforehand. At 5 %, that is
    when the 90 % interval lies within it (Schuirmann, 1987).

    Raises:
        ValueError: the margin is not positive, there are fewer than two differences, they are all equal, or one is
            not finite.
    """
    from statsmodels.stats.weightstats import DescrStatsW

    check_between("margin", margin, 0)
    return float(DescrStatsW(_varied(differences)).ttost_mean(-margin, margin)[0])


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values of a family of tests corrected so that any error among them is as rare as stated.

    Raises:
        ValueError: one is not between 0 and 1.
    """
    if not len(p_values):
        return []
    from statsmodels.stats.multitest import multipletests

    array = finite(p_values, "p-values")
    if ((array < 0) | (array > 1)).any():
        raise ValueError(f"p-values are between 0 and 1, not {array.min():g} to {array.max():g}")
    return [float(p) for p in multipletests(array, method="holm")[1]]


def _several(values: ArrayLike) -> Floats:
    array = finite(values, "values")
    if array.ndim != 1:
        raise ValueError(f"values have the shape {array.shape}; one for each seed is meant, (n,)")
    if len(array) < 2:
        raise ValueError("there is one seed, which says nothing about how seeds vary; at least two are needed")
    return array


def _varied(differences: ArrayLike) -> Floats:
    array = _several(differences)
    if np.allclose(array, array[0], rtol=1e-9, atol=1e-12):
        raise ValueError(
            f"all {len(array)} differences are {array[0]:g}, so that nothing is known of how seeds vary. Do the "
            "runs follow the seed?"
        )
    return array

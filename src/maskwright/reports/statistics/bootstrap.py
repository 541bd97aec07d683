"""Intervals for what was tested on many items: over seeds and items, and over groups of items.

Resampling is a pure function of the arguments, `seed` among them. The intervals are those of percentiles.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from maskwright.reports.statistics.estimate import Estimate, Floats, check_between, finite, percentiles

AT_ONCE = 4_000_000  # resampled values in memory, 8 bytes each and as much for their positions


def hierarchical_bootstrap(
    own: ArrayLike,
    baseline: ArrayLike | None = None,
    *,
    paired: bool = True,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 1,
) -> Estimate:
    """Returns the mean of own (S, N), or of own - baseline, with an interval over seeds and test items jointly.

    The multi-bootstrap of Sellam et al., 2022 (MultiBERTs, arXiv:2106.16163): each resample draws S seeds and N
    items with replacement, and takes the mean over all pairs of them. Both arms get the same items. It answers
    whether a difference would be found again with other seeds and on other items; the t interval over seeds is
    about these items. Few seeds are resampled too narrowly: where seeds matter more than items, intervals of 95 %
    hold the true difference in about 75 % of cases with three seeds, 86 % with five and 92 % with ten (simulated).
    Use `compare` beside it.

    Args:
        own: what each seed scores on each item, such as 0 or 1 for wrong or right.
        baseline: the same for another arm, on the same items in the same order.
        paired: whether the arms' rows belong together by seed; else their seeds are resampled apart.

    Raises:
        ValueError: fewer than two seeds, items or seeds that do not fit, or a value that is not finite.
    """
    arms = [_scores(own, "own")] + ([] if baseline is None else [_scores(baseline, "baseline")])
    shapes = {arm.shape[1 - paired :] for arm in arms}
    if len(shapes) > 1:
        raise ValueError(
            f"own has the shape {arms[0].shape} and baseline {arms[1].shape}, seeds by items; both arms are "
            f"tested on the same items{', and paired arms have the same seeds' * paired}"
        )
    _check(level, resamples)
    if baseline is not None:  # the mean is the sum of the arms' means from here on
        arms = [arms[0] - arms[1]] if paired else [arms[0], -arms[1]]
    draws, items = np.random.default_rng(seed), arms[0].shape[1]
    picked = [draws.integers(0, len(arm), (resamples, len(arm))) for arm in arms]
    weights = [(p[:, :, None] == np.arange(len(arm))).mean(1) for p, arm in zip(picked, arms, strict=True)]
    found = np.empty(resamples)
    step = max(AT_ONCE // items, 1)
    for begin in range(0, resamples, step):
        rows = slice(begin, begin + step)
        means = sum(weight[rows] @ arm for weight, arm in zip(weights, arms, strict=True))
        found[rows] = np.take_along_axis(means, draws.integers(0, items, means.shape), 1).mean(1)
    return percentiles(sum(arm.mean() for arm in arms), found, level)


def grouped_bootstrap(
    outcomes: Sequence[ArrayLike], *, level: float = 0.95, resamples: int = 2000, seed: int = 1
) -> Estimate:
    """Returns the mean of the groups' means, with an interval over groups and over the items in them.

    Each resample draws as many groups as there are, with replacement, and of each drawn group as many of its items.
    Every group counts the same, whatever its size. For minimal pairs, groups are paradigms and outcomes 0, 0.5 or 1
    by pair. The interval of one group is over its items alone. Few groups are resampled too narrowly: an interval
    of 95 % holds the true mean in about 78 % of cases with three groups, 85 % with five and 92 % with ten
    (simulated).

    Args:
        outcomes: for each of G groups, its outcomes (n,); differences between two models on the same items will do.

    Raises:
        ValueError: there is no group, a group is empty, or an outcome is not finite.
    """
    _check(level, resamples)
    if not len(outcomes):
        raise ValueError("there are no groups")
    groups = [finite(group, f"outcomes in group {number}").ravel() for number, group in enumerate(outcomes)]
    draws = np.random.default_rng(seed)
    picked = draws.integers(0, len(groups), (resamples, len(groups)))
    means = np.empty(picked.shape)
    for number, group in enumerate(groups):
        # outcomes have few distinct values: how often each is drawn is multinomial, whatever the size of the group
        values, counts = np.unique(group, return_counts=True)
        at = picked == number
        drawn = draws.multinomial(len(group), counts / len(group), int(at.sum()))
        means[at] = drawn @ values / len(group)
    return percentiles(np.mean([group.mean() for group in groups]), means.mean(1), level)


def _scores(scores: ArrayLike, name: str) -> Floats:
    array = finite(scores, f"scores of {name}")
    if array.ndim != 2:
        raise ValueError(f"{name} has the shape {array.shape}; seeds by items are meant, (S, N)")
    if len(array) < 2:
        raise ValueError(f"{name} has one seed, which says nothing about how seeds vary; at least two are needed")
    return array


def _check(level: float, resamples: int) -> None:
    check_between("level", level, 0, 1)
    if resamples < 100:
        raise ValueError(f"resamples is {resamples}; percentiles need at least 100")

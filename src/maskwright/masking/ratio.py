"""How much is masked: the share of a row's maskable tokens, as a function of the run's progress.

A ratio has `maximum`, the largest share that it ever returns. It is called with the progress of training in
[0, 1] and the batch's draws, and returns a float, or a (B,) tensor of one share for each row.
"""

import itertools
import math
from typing import Literal

import torch
from torch import Tensor

from maskwright.masking.draws import Draws
from maskwright.masking.protocols import Ratio


def _check(name: str, value: float) -> float:
    if isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError(f"{name} is {value}; a share of the tokens lies above 0 and is at most 1")
    return float(value)


class Constant(Ratio):
    """Always the same share.

    Raises:
        ValueError: the share is not in (0, 1].
    """

    def __init__(self, value: float):
        self.value = self.maximum = _check("value", value)

    def __call__(self, progress: float, draws: Draws) -> float | Tensor:
        return self.value


class Linear(Ratio):
    """From `start` to `end` along a straight line (down from 0.3 to 0.15: Ankner et al., 2023).

    Raises:
        ValueError: a share is not in (0, 1].
    """

    def __init__(self, start: float, end: float):
        self.start, self.end = _check("start", start), _check("end", end)
        self.maximum = max(self.start, self.end)

    def __call__(self, progress: float, draws: Draws) -> float | Tensor:
        return min(self.start + (self.end - self.start) * progress, self.maximum)


class Cosine(Linear):
    """From `start` to `end` along half a cosine, slow at both ends (Yang et al., 2023).

    Raises:
        ValueError: a share is not in (0, 1].
    """

    def __call__(self, progress: float, draws: Draws) -> float | Tensor:
        return min(self.end + (self.start - self.end) * (1 + math.cos(math.pi * progress)) / 2, self.maximum)


class Steps(Ratio):
    """One share after another.

    Args:
        values: the shares.
        boundaries: rising points of the run's progress, in (0, 1), at which the next share begins; one
            fewer than there are shares.
    Raises:
        ValueError: a share is not in (0, 1], or the boundaries do not fit.
    """

    def __init__(self, values: list[float], boundaries: list[float]):
        self.values = [_check(f"values[{i}]", value) for i, value in enumerate(values)]
        inside = [0.0, *boundaries, 1.0]
        if len(values) != len(boundaries) + 1 or any(not a < b for a, b in itertools.pairwise(inside)):
            raise ValueError(
                f"boundaries is {boundaries} for the {len(values)} shares of values; it "
                "takes one number fewer, rising, between 0 and 1: where the next share begins"
            )
        self.boundaries, self.maximum = boundaries, max(self.values)

    def __call__(self, progress: float, draws: Draws) -> float | Tensor:
        return self.values[sum(progress >= boundary for boundary in self.boundaries)]


class Sampled(Ratio):
    """A share of its own for each example and epoch.

    Args:
        distribution: `uniform` between `low` and `high`; `cosine`, low + (high - low) * cos(pi / 2 * u)
            with a uniform u, which prefers large shares (MaskGIT, Chang et al., 2022); or `set`, one of
            `values` with equal chances.
    Raises:
        ValueError: the distribution is unknown, or a share is not in (0, 1]; `low` itself, which is
            never drawn, may be 0.
    """

    def __init__(
        self,
        distribution: Literal["uniform", "cosine", "set"],
        low: float = 0.0,
        high: float = 1.0,
        values: list[float] | None = None,
    ):
        if distribution not in ("uniform", "cosine", "set"):
            raise ValueError(f"distribution is '{distribution}'; it is one of 'uniform', 'cosine', 'set'")
        if distribution == "set":
            if not values:
                raise ValueError("values is empty; distribution=set draws from it")
            self.values = [_check(f"values[{i}]", value) for i, value in enumerate(values)]
        elif not 0 <= low < high <= 1:
            raise ValueError(f"low={low} to high={high} is no range of shares: 0 <= low < high <= 1 must hold")
        self.distribution, self.low, self.high = distribution, float(low), float(high)
        self.maximum = max(self.values) if distribution == "set" else self.high

    def __call__(self, progress: float, draws: Draws) -> float | Tensor:
        u = draws.row("ratio")[:, 0]
        if self.distribution == "set":
            # comparisons instead of a table: a list copied to a GPU would make the host wait
            share = torch.full_like(u, self.values[-1])
            for i in range(len(self.values) - 1, 0, -1):
                share = torch.where(u < i / len(self.values), self.values[i - 1], share)
            return share
        if self.distribution == "cosine":
            u = (u * (math.pi / 2)).cos()
        return (self.low + (self.high - self.low) * u).clamp(max=self.high)

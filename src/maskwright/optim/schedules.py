"""Learning rate as a function of progress.

A schedule returns the factor on the optimizer's learning rate at `progress`, the share of the run
that is done, in [0, 1]: of its steps, or of its time where it is bounded by a clock. Each starts with
a linear warm-up over the first `warmup` of the run.
"""

import math
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

ShareOfRun = Annotated[float, Ge(0), Lt(1)]


class Constant:
    """Warm-up, then the full rate to the end.

    Args:
        warmup: share of the run, in [0, 1).
    Raises:
        ValueError: a share is out of range.
    """

    def __init__(self, warmup: ShareOfRun = 0.0):
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup is {warmup}; it is a share of the run, at least 0 and below 1")
        self.warmup = warmup

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return self.after_warmup((min(progress, 1.0) - self.warmup) / (1 - self.warmup))

    def after_warmup(self, share: float) -> float:
        """The factor when `share` of the time after the warm-up is over."""
        return 1.0


class _Decaying(Constant):
    """Warm-up, then down to `final` times the full rate."""

    def __init__(self, warmup: ShareOfRun = 0.0, final: Annotated[float, Ge(0), Le(1)] = 0.0):
        super().__init__(warmup)
        if not 0 <= final <= 1:
            raise ValueError(f"final is {final}; it is a factor on the learning rate from 0 to 1")
        self.final = final

    def after_warmup(self, share: float) -> float:
        return self.final + (1 - self.final) * self.decay(share)

    def decay(self, share: float) -> float:
        """From 1 at share 0 to 0 at share 1."""
        raise NotImplementedError


class Linear(_Decaying):
    """Down along a straight line (Devlin et al., 2019)."""

    def decay(self, share: float) -> float:
        return 1 - share


class Cosine(_Decaying):
    """Down along half a cosine wave (Loshchilov and Hutter, 2017)."""

    def decay(self, share: float) -> float:
        return (1 + math.cos(math.pi * share)) / 2


class WarmupStableDecay(_Decaying):
    """Full rate until the last `cooldown` of the run, then down (Hu et al., 2024).

    Args:
        cooldown: share of the run, in (0, 1 - warmup].
        shape: `1-sqrt` (Hägele et al., 2024) or `linear`.
    """

    def __init__(
        self,
        warmup: ShareOfRun = 0.0,
        final: Annotated[float, Ge(0), Le(1)] = 0.0,
        cooldown: Annotated[float, Gt(0), Le(1)] = 0.2,
        shape: Literal["1-sqrt", "linear"] = "1-sqrt",
    ):
        super().__init__(warmup, final)
        if not 0 < cooldown <= 1 - warmup:
            raise ValueError(
                f"cooldown is {cooldown} and warmup is {warmup}; "
                "together they are shares of one run and at most 1, and cooldown lies above 0"
            )
        if shape not in ("1-sqrt", "linear"):
            raise ValueError(f"shape is '{shape}'; it is one of '1-sqrt', 'linear'")
        self.cooldown, self.shape = cooldown, shape

    def decay(self, share: float) -> float:
        remaining = (1 - share) * (1 - self.warmup) / self.cooldown  # in cooldowns
        if remaining >= 1:
            return 1.0
        return remaining if self.shape == "linear" else 1 - math.sqrt(1 - remaining)

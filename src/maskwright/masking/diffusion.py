"""The ratio of masked diffusion: of each example any share of the tokens, and what a loss under it counts for.

With a ratio r, drawn with density q(r), and each token masked with probability r, a bound on the negative
log-likelihood of an example is the mean over r of the summed cross-entropy of its masked tokens times 1 / (r q(r)).
MDLM (Sahoo et al., 2024, arXiv 2406.07524) has the weight -alpha' / (1 - alpha) of the ratio 1 - alpha(t) at a
uniform t, LLaDA (Nie et al., 2025, arXiv 2502.09992) has 1 / t; both are of this form.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from maskwright.masking.draws import Draws
from maskwright.masking.protocols import Ratio

Schedule = Literal["linear", "cosine", "bimodal"]
_SCHEDULES = ("linear", "cosine", "bimodal")


class Diffusion(Ratio):
    """A ratio of its own for each example and epoch, by which each unit is masked independently of the others.

    Ratios lie between `low` and `high`. The weight of one grows as 1 / ratio: with ratios near 0 the loss has the
    same mean, and a variance that grows as log(1 / low). What smaller ratios would add to the bound is taken to be
    the mean of the others, which is too much, since fewer masked tokens are easier to predict.

    Args:
        schedule: `linear`, all ratios are equally likely; `cosine`, r = cos(pi / 2 * t) at a uniform t, mostly
            large ones; `bimodal`, two normal distributions, cut at `low` and `high`, and a share that is uniform.
        low, high: the smallest and the largest ratio.
        modes: of `bimodal`, the means of its two distributions, each of which has half of what is not uniform.
        deviation: of `bimodal`, their standard deviation.
        uniform: of `bimodal`, the share of the examples whose ratio is uniform, which bounds the weights: at most
            1 / (uniform * ratio).
    Raises:
        ValueError: the schedule is unknown, or a value is out of its range.
    """

    independent = True

    def __init__(
        self,
        schedule: Schedule = "linear",
        low: float = 0.001,
        high: float = 1.0,
        modes: tuple[float, float] = (0.15, 0.65),
        deviation: float = 0.1,
        uniform: float = 0.1,
    ):
        if schedule not in _SCHEDULES:
            raise ValueError(f"schedule is '{schedule}'; it is one of {', '.join(_SCHEDULES)}")
        if not 0 < low < high <= 1:
            raise ValueError(f"low={low} to high={high} is no range of ratios: 0 < low < high <= 1 must hold")
        least, most = (low, high) if schedule == "bimodal" else (0, 1)
        if len(modes) != 2 or not all(least <= mode <= most for mode in modes):
            raise ValueError(f"modes is {list(modes)}; it is two ratios from {least} to {most}")
        if not deviation > 0:
            raise ValueError(f"deviation is {deviation}; it is more than 0")
        if not 0 < uniform <= 1:
            raise ValueError(f"uniform is {uniform}; it is more than 0, which bounds the weights, and at most 1")
        self.schedule, self.low, self.high, self.maximum = schedule, float(low), float(high), float(high)
        self.modes, self.deviation, self.uniform = tuple(modes), deviation, uniform

    def __call__(self, progress: float, draws: Draws) -> Tensor:
        return self.at(draws.row("ratio")[:, 0])

    def at(self, u: Tensor) -> Tensor:
        """Returns the ratios (...) of numbers in (0, 1), which follow the schedule where these are uniform."""
        if self.schedule == "bimodal":
            return self._bimodal(u)
        share = (u * (math.pi / 2)).cos() if self.schedule == "cosine" else u
        return (self.low + (self.high - self.low) * share).clamp(self.low, self.high)

    def weight(self, ratio: Tensor) -> Tensor:
        """Returns what the summed cross-entropy of an example counts for (...), where this ratio (...) was drawn.

        It is 1 / (ratio * q), with q the density of ratios relative to the uniform one between `low` and `high`.
        """
        if self.schedule == "linear":
            return 1 / ratio
        share = (ratio - self.low) / (self.high - self.low)
        if self.schedule == "cosine":  # -alpha' / (1 - alpha) with low = 0 and high = 1
            return (math.pi / 2) * (1 - share.square()).clamp(min=0).sqrt() / ratio
        return 1 / (ratio * self._density(ratio))

    def _bimodal(self, u: Tensor) -> Tensor:
        of_mode = (1 - self.uniform) / 2
        found = self.low + (self.high - self.low) * (u / self.uniform).clamp(max=1)
        for number, mode in enumerate(self.modes):
            first = self.uniform + number * of_mode
            begin, end = self._ends(mode)
            inside = ((u - first) / max(of_mode, 1e-12)).clamp(0, 1)
            own = mode + self.deviation * torch.special.ndtri(begin + (end - begin) * inside)
            found = torch.where(u < first, found, own)
        return found.clamp(self.low, self.high)

    def _density(self, ratio: Tensor) -> Tensor:
        width = self.high - self.low
        found = torch.full_like(ratio, self.uniform)
        for mode in self.modes:
            begin, end = self._ends(mode)
            bell = (-((ratio - mode) / self.deviation).square() / 2).exp() / math.sqrt(2 * math.pi)
            found += (1 - self.uniform) / 2 * width * bell / (self.deviation * (end - begin))
        return found

    def _ends(self, mode: float) -> tuple[float, float]:
        """Returns the shares of a normal distribution that lie below `low` and below `high`."""
        below = [(1 + math.erf((end - mode) / self.deviation / math.sqrt(2))) / 2 for end in (self.low, self.high)]
        return below[0], below[1]

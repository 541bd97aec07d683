"""How likely a unit is to be masked, relative to the other units of its row.

A weight function takes the batch and returns (B, T) float: the weight, >= 0, of each position; or None
where all units are equally likely. A unit weighs the mean of its positions. Units of weight 0 are never
masked, also where the budget is not met without them.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from maskwright.annotations import frequency, lexicon


class Uniform:
    """All units of a row are equally likely."""

    def __call__(self, batch: dict[str, Tensor]) -> Tensor | None:
        return None


class Frequency(frequency.Frequency):
    """Words by their frequency in training, count^-alpha: rare ones more often, as XLM samples tokens."""

    def __call__(self, batch: dict[str, Tensor]) -> Tensor | None:
        return batch[self.name]


class Tfidf(frequency.Tfidf):
    """Words by their tf-idf in their document: keywords more often."""

    def __call__(self, batch: dict[str, Tensor]) -> Tensor | None:
        return batch[self.name]


class Lexicon(lexicon.Lexicon):
    """Words by their score in a word list, and nothing else or little else."""

    def __call__(self, batch: dict[str, Tensor]) -> Tensor | None:
        return batch[self.name]


class Adaptive(nn.Module):
    """Tokens by how badly their type was predicted of late (AMLM, Edman and Fraser, 2025, hard variant).

    The difficulty of a token type starts at 1. Every so many steps it becomes
    decay * difficulty + (1 - decay) * (1 - accuracy), with the smoothed accuracy (right + 1/2) / (masked + 1)
    of its masked positions since. As the budget of a row does not depend on weights, the ratio of masked
    tokens stays what it is set to.

    Args:
        vocabulary_size: number of token types.
        decay: the share of the past, lambda.
        every: optimizer steps between two updates.
        floor: the least weight, so that a type that is always right is masked again some time.
    Raises:
        ValueError: a setting is out of its range.
    """

    difficulty: Tensor
    counts: Tensor

    def __init__(self, vocabulary_size: int, decay: float = 0.2, every: int = 200, floor: float = 0.01):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"mask.weights.decay is {decay}; it is at least 0 and below 1")
        if every < 1:
            raise ValueError(f"mask.weights.every is {every}; it is at least 1 step")
        if not (0 < floor <= 1):
            raise ValueError(f"mask.weights.floor is {floor}; it lies above 0 and is at most 1")
        self.decay, self.every, self.floor = decay, every, floor
        self.register_buffer("difficulty", torch.ones(vocabulary_size, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(2, vocabulary_size, dtype=torch.int64))  # masked, right

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Adaptive":
        """Moves to another device, but not to another precision: a run in bf16 masks what others mask."""
        difficulty = self.difficulty
        super()._apply(fn, recurse)
        self.difficulty = difficulty.to(self.counts.device)
        return self

    def forward(self, batch: dict[str, Tensor]) -> Tensor | None:
        return self.difficulty[batch["input_ids"]].clamp(min=self.floor)

    @torch.no_grad()
    def observe(self, targets: Tensor, right: Tensor, valid: Tensor) -> None:
        """Counts which `targets` (B, K) were predicted `right` (B, K) bool, where `valid` (B, K) bool.

        Counts those of all ranks, so that all know the same.
        """
        found = torch.stack((valid.flatten(), (right & valid).flatten())).long()
        counts = torch.zeros_like(self.counts).index_add_(1, targets.flatten(), found)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
        self.counts += counts

    @torch.no_grad()
    def begin_step(self, step: int) -> None:
        """Updates the difficulties where `step`, the number of optimizer steps done, says so."""
        if step == 0 or step % self.every:
            return
        masked, right = self.counts.double()
        self.difficulty.mul_(self.decay).add_((1 - self.decay) * (1 - (right + 0.5) / (masked + 1)))
        self.counts.zero_()

"""How likely a unit is to be masked, relative to the other units of its row.

Weights are called with the batch and return (B, T) float: the weight, at least 0, of each position; or None
where all units are equally likely. A unit weighs the mean of its positions. Units of weight 0 are never
masked, not even where the budget is not met without them. Weights that learn are notified of steps and
predictions, see `protocols.Weights`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from maskwright.core.distributed import sum_over_ranks
from maskwright.masking.protocols import Batch, Weights
from maskwright.masking.vocabulary import Vocabulary


class Uniform(Weights):
    """All units of a row are equally likely."""

    def __call__(self, batch: Batch) -> Tensor | None:
        return None


class Adaptive(nn.Module, Weights):
    """Weighs tokens by how badly their type was predicted recently (AMLM, Edman and Fraser, 2025, hard variant).

    The difficulty of a token type starts at 1. Every `every` steps it becomes
    decay * difficulty + (1 - decay) * (1 - accuracy), with the smoothed accuracy (right + 1/2) / (masked + 1)
    of its masked positions since. As the budget of a row does not depend on weights, the ratio of masked
    tokens stays what it is set to.

    Args:
        decay: the share of the past, lambda.
        every: optimizer steps between two updates.
        floor: the least weight, so that a type that is always predicted correctly is still masked at times.
    Raises:
        ValueError: a setting is out of its range.
    """

    learns = True

    difficulty: Tensor  # (V,) float64
    counts: Tensor  # (2, V) int64, since the last update: how often each type was masked, and predicted right

    def __init__(self, decay: float = 0.2, every: int = 200, floor: float = 0.01):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; it is at least 0 and below 1")
        if every < 1:
            raise ValueError(f"every is {every}; it is at least 1 step")
        if not (0 < floor <= 1):
            raise ValueError(f"floor is {floor}; it lies above 0 and is at most 1")
        self.decay, self.every, self.floor = decay, every, floor
        self.register_buffer("difficulty", torch.ones(0, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(2, 0, dtype=torch.int64))

    def bind(self, vocabulary: Vocabulary) -> None:
        """Allocates the difficulties of a vocabulary; those of a vocabulary of the same size are kept."""
        if len(self.difficulty) != vocabulary.size:
            self.difficulty = self.difficulty.new_ones(vocabulary.size)
            self.counts = self.counts.new_zeros(2, vocabulary.size)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Adaptive":
        """Moves to another device, but not to another precision, so that a run in bf16 draws the same masks."""
        difficulty = self.difficulty
        super()._apply(fn, recurse)
        self.difficulty = difficulty.to(self.counts.device)
        return self

    def forward(self, batch: Batch) -> Tensor | None:
        return self.difficulty[batch["input_ids"]].clamp(min=self.floor)

    @torch.no_grad()
    def observe(self, targets: Tensor, right: Tensor, valid: Tensor) -> None:
        """Counts which targets were predicted correctly, over all ranks, so that all have the same counts."""
        found = torch.stack((valid.flatten(), (right & valid).flatten())).long()
        counts = torch.zeros_like(self.counts).index_add_(1, targets.flatten(), found)
        self.counts += sum_over_ranks(counts)

    @torch.no_grad()
    def begin_step(self, step: int) -> None:
        """Updates the difficulties every `every` steps."""
        if step == 0 or step % self.every:
            return
        masked, right = self.counts.double()
        self.difficulty.mul_(self.decay).add_((1 - self.decay) * (1 - (right + 0.5) / (masked + 1)))
        self.counts.zero_()

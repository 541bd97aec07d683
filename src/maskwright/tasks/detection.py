"""How well replaced tokens are told from original ones, over the batches of a split."""

import torch
import torchmetrics
from torch import Tensor

from maskwright.tasks.spec import Metric

METRICS = (Metric("accuracy", "max"), Metric("f1", "max"), Metric("auc", "max"))
BINS = 2048  # of probabilities; an even number, so that one ends at 1/2


class Detection(torchmetrics.Metric):
    """Counts tokens by the probability that they are replaced, and by whether they are, on all ranks."""

    full_state_update = False
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        # whole numbers: half of the states of a run may be in bfloat16
        self.add_state("counts", torch.zeros(2, BINS, dtype=torch.long), "sum")

    def update(self, logits: Tensor, replaced: Tensor, counted: Tensor) -> None:
        """Adds a batch.

        Args:
            logits: (B, T) above 0 where a token is taken for a replaced one.
            replaced, counted: (B, T) bool, what is true, and which tokens count.
        """
        bins = (logits.detach().double().sigmoid() * BINS).long().clamp(max=BINS - 1)
        bins = bins + BINS * replaced
        self.counts.view(-1).scatter_add_(0, bins.flatten(), counted.flatten().long())

    def compute(self) -> dict[str, Tensor]:
        """Returns the metrics since the last `reset`, and the share of tokens that are replaced, as `share`.

        F1 is that of replaced tokens. `auc` is the probability that a replaced token has a higher score than an
        original one, where equal ones count one half; those of a bin count as equal. Both are 0 without any.
        """
        original, replaced = self.counts.double()
        half = BINS // 2
        found, missed, wrong = replaced[half:].sum(), replaced[:half].sum(), original[half:].sum()
        total = (original.sum() + replaced.sum()).clamp(min=1)
        below = original.cumsum(0) - original / 2
        pairs = (original.sum() * replaced.sum()).clamp(min=1)
        values = {
            "accuracy": (found + original[:half].sum()) / total,
            "f1": 2 * found / (2 * found + missed + wrong).clamp(min=1),
            "auc": (replaced * below).sum() / pairs,
            "share": replaced.sum() / total,
        }
        return {name: value.float() for name, value in values.items()}

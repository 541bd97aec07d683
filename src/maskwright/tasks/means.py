"""Metrics that are means over the targets of a split."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torchmetrics import SumMetric


class Means(nn.Module):
    """Means over the targets of all batches, on all ranks, since the last `compute`.

    Each target has the same weight, whatever its batch: the means of batches are weighted by their counts.

    Args:
        names: the names of the metrics.
    """

    def __init__(self, names: Iterable[str]):
        super().__init__()
        self.sums: Mapping[str, SumMetric] = nn.ModuleDict({name: _sum() for name in names})  # type: ignore[assignment]
        self.count = _sum()

    def update(self, values: dict[str, Tensor], count: Tensor) -> None:
        """Adds the means of a batch over its `count` targets."""
        for name, value in values.items():
            self.sums[name].update(value.double() * count)
        self.count.update(count)

    def compute(self) -> dict[str, Tensor]:
        """Returns the means, 0 where there were no targets, and resets them."""
        count = self.count.compute().clamp(min=1)
        values = {name: (total.compute() / count).float() for name, total in self.sums.items()}
        for metric in (self.count, *self.sums.values()):
            metric.reset()
        return values


def _sum() -> SumMetric:
    # A MeanMetric drops its weights with this strategy (torchmetrics 1.9). The other strategies hide losses that
    # are not finite, or make the host wait for the device at each batch.
    return SumMetric(nan_strategy="disable").set_dtype(torch.float64)  # type: ignore[return-value]

"""Metrics that are means over the targets of a split."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torchmetrics import MeanMetric


class Means(nn.Module):
    """Means over all batches, on all ranks, since the last `compute`.

    Args:
        names: the names of the metrics.
    """

    def __init__(self, names: Iterable[str]):
        super().__init__()
        # by default, torchmetrics ignores losses that are not finite
        self.metrics: Mapping[str, MeanMetric] = nn.ModuleDict(  # type: ignore[assignment]
            {name: MeanMetric(nan_strategy="disable") for name in names}
        )

    def update(self, values: dict[str, Tensor], count: Tensor) -> None:
        """Adds the means of a batch over its `count` targets."""
        for name, value in values.items():
            self.metrics[name].update(value, count)

    def compute(self) -> dict[str, Tensor]:
        """Returns the means, and resets them."""
        values = {name: metric.compute() for name, metric in self.metrics.items()}
        for metric in self.metrics.values():
            metric.reset()
        return values

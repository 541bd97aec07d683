"""Text regression."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional import mean_absolute_error, pearson_corrcoef, r2_score, spearman_corrcoef

from maskwright.data.corpus import Corpus
from maskwright.data.predicted import per_text
from maskwright.reports import predictions
from maskwright.tasks.spec import Metric
from maskwright.tasks.text import TextTask


class Regression(TextTask):
    """Predicts a number for a text, standardised by the mean and the standard deviation of the training split.

    Args:
        labels: holds the mean and the standard deviation.
        task: see `TextTask`.
    """

    label_kind = "value"
    metrics: ClassVar[tuple[Metric, ...]] = (
        *(Metric(name, "min") for name in ("loss", "rmse", "mae")),
        *(Metric(name, "max") for name in ("r2", "pearson", "spearman")),
    )
    baseline_name = "variance, in units of itself (guessing the mean)"

    def __init__(self, **task: Any):
        super().__init__(outputs=1, **task)
        self.mean, self.deviation = self.labels.mean, self.labels.std or 1.0

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        targets = (batch["targets"] - self.mean) / self.deviation
        loss = F.mse_loss(self.forward(batch, input_ids)[:, 0].float(), targets)
        return loss, targets.new_zeros(0)

    def outputs(self, batch: dict[str, Tensor]) -> Tensor:
        return self.forward(batch).float() * self.deviation + self.mean

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        # a run in bf16-true rounds the floats of a batch, but not their bits
        targets = batch["target_bits"].view(torch.float32)
        return batch["texts"], self.outputs(batch), targets

    def collect(self, seen: list[np.ndarray]) -> dict[str, np.ndarray]:
        return per_text(*seen)

    def shown(self, predicted: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        return [{"predicted": float(value)} for (value,) in predicted["outputs"]]

    def measure(self, seen: list[np.ndarray]) -> dict[str, float]:
        self.predicted = self.collect(seen)
        predicted, targets = torch.tensor(self.predicted["outputs"][:, 0]), torch.tensor(self.predicted["targets"])
        predicted, targets = predicted.double(), targets.double()
        squared = ((predicted - targets) ** 2).mean()
        values = {
            "loss": squared / self.deviation**2,
            "rmse": squared.sqrt(),
            "mae": mean_absolute_error(predicted, targets),
        }
        if len(targets) > 1:
            values |= {
                "r2": r2_score(predicted, targets),
                "pearson": pearson_corrcoef(predicted, targets),
                "spearman": spearman_corrcoef(predicted, targets),
            }
        return {name: float(value) for name, value in values.items()}

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        """Also prints the largest errors, and writes `predictions.jsonl`."""
        super().report(split, metrics, data, folder)
        examples, found = data.examples(split), self.predicted
        rows = [
            {**examples[number], "label": float(target), **shown}
            for number, target, shown in zip(found["texts"], found["targets"], self.shown(found), strict=True)
        ]
        predictions.write(rows, folder)
        predictions.show_largest_errors(rows, self.trainer)

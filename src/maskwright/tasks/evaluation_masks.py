"""Further masks that a model is evaluated under, beside that of its task."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.masking import Masked, Masker
from maskwright.tasks.means import Means
from maskwright.tasks.spec import Metric
from maskwright.tasks.token_prediction import share

METRICS = (Metric("loss", "min"), Metric("bits_per_byte", "min"), Metric("accuracy", "max"))

# what `token_loss` returns of a batch under a mask
Loss = Callable[[dict[str, Tensor], Masked], tuple[Tensor, Tensor, Tensor]]


class EvaluationMasks(nn.Module):
    """What a model predicts of the same batches under several masks.

    Args:
        maskers: by their names.
        byte_lengths: (V,) the bytes of the text that each token stands for.
    """

    byte_lengths: Tensor

    def __init__(self, maskers: Mapping[str, Masker], byte_lengths: np.ndarray):
        super().__init__()
        self.names = tuple(maskers)
        self.maskers = nn.ModuleList(maskers.values())
        self.means = nn.ModuleList(Means(("loss", "accuracy", "bytes")) for _ in maskers)
        self.register_buffer("byte_lengths", torch.from_numpy(byte_lengths), persistent=False)

    def update(self, batch: dict[str, Tensor], loss: Loss) -> None:
        """Adds a batch, once under each mask."""
        for masker, means in zip(self.maskers, self.means, strict=True):
            masked = masker(batch)
            value, right, count = loss(batch, masked)
            text = self.byte_lengths[masked.targets].where(masked.valid, 0)
            values = {"loss": value, "accuracy": share(right, count), "bytes": share(text, count)}
            means.update(values, count)  # type: ignore[operator]

    def compute(self) -> dict[str, Tensor]:
        """Returns the metrics since the last call, by the names `<mask>/<metric>`.

        `bits_per_byte` is the loss of all masked tokens over the bytes of their text, which compares models with
        different tokenizers.
        """
        found: dict[str, Tensor] = {}
        for name, means in zip(self.names, self.means, strict=True):
            of = means.compute()  # type: ignore[operator]
            of["bits_per_byte"] = of["loss"] / (of["bytes"] * math.log(2)).clamp(min=1e-6)
            found |= {f"{name}/{metric.name}": of[metric.name] for metric in METRICS}
        return found

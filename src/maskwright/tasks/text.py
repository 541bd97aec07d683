"""The base class of tasks that make one prediction per text."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.core.types import Share
from maskwright.data.predicted import per_text
from maskwright.models.encoder import types_of
from maskwright.models.layers.linear import ReadoutLinear
from maskwright.models.layers.pooling import Pool, Pooling
from maskwright.tasks.labelled import LabelledTask


class TextTask(LabelledTask):
    """Maps a text to a vector of outputs: an encoder, pooling of its hidden states, and a linear layer.

    Args:
        outputs: O, the number of outputs.
        pooling: see `Pool`.
        dropout: the dropout of the pooled vector.
        task: see `LabelledTask`.
    Attributes:
        predicted: after an evaluation, `texts` (D,), `outputs` (D, O) and `targets` (D,), one entry per text.
    """

    label_weights: ClassVar[tuple[str, ...]] = ("output.",)
    fixed_settings = (*LabelledTask.fixed_settings, "pooling")

    def __init__(self, outputs: int, pooling: Pooling = "mean", dropout: Share = 0.1, **task: Any):
        super().__init__(**task)
        self.pool = Pool(self.encoder.hidden_size, pooling)
        self.dropout = nn.Dropout(dropout)
        self.output = ReadoutLinear(self.encoder.hidden_size, outputs)

    def forward(self, batch: dict[str, Tensor], input_ids: Tensor | None = None) -> Tensor:
        """Returns outputs (B, O) for a batch; `input_ids` replaces its ids, e.g. by masked ones."""
        input_ids = batch["input_ids"] if input_ids is None else input_ids
        first = input_ids.new_zeros(len(input_ids), 1) if self.pool.kind == "cls" else None
        hidden = self.encoder(input_ids, batch.get("attention_mask"), first, **types_of(self.encoder, batch))
        return self.output(self.dropout(self.pool(hidden, batch.get("attention_mask"))))

    def read_from(self, batch: dict[str, Tensor]) -> Tensor:
        """See `LabelledTask`. What `max` and `attention` choose depends on the text; they count as the mean."""
        seen = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).float()
        if self.pool.kind == "cls":
            return torch.eye(seen.shape[1], device=seen.device)[0].expand_as(seen)
        return seen / seen.sum(1, keepdim=True)

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return batch["texts"], self.outputs(batch), batch["targets"]

    def collect(self, seen: list[np.ndarray]) -> dict[str, np.ndarray]:
        texts, outputs, targets = seen
        return per_text(texts, outputs, targets.astype(np.int64))

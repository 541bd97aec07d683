"""A finished run that makes predictions for texts in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from torch import Tensor

from maskwright.corpora.inputs import Input
from maskwright.data.batching import MicroBatch, RowReader, cut_by_budget
from maskwright.data.loader import to_tensors
from maskwright.data.unlabelled import rows_of_inputs
from maskwright.run.machine import on_gpu
from maskwright.run.saved import SavedRun
from maskwright.settings.hardware import Hardware


def one_device(hardware: Hardware) -> Fabric:
    """Returns what places modules and tensors on one device of this hardware, and computes in its precision.

    `auto` is float32, unlike in training: what is asked are probabilities, whose digits half precision would lose.
    """
    gpu = on_gpu(hardware)
    return Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=1,
        precision="32-true" if hardware.precision == "auto" else hardware.precision,
        plugins=[LightningEnvironment()],  # one process, whatever a cluster says
    )


class Predictor:
    """Maps texts to rows of a file of predictions.

    Args:
        tokens_per_batch: positions of a batch, padding included; None takes as many as the run's evaluation.
    """

    def __init__(self, saved: SavedRun, hardware: Hardware, tokens_per_batch: int | None):
        assert saved.labels is not None
        self.fabric = one_device(hardware)
        self.task: Any = saved.task
        self.fabric.setup_module(self.task)  # in place; what it returns would round the predictions once more
        self.kind, self.tokenizer, self.data = saved.labels.kind, saved.tokenizer, saved.settings.data.arguments
        self.tokens_per_batch = tokens_per_batch or self.data["evaluation_tokens_per_batch"]

    def __call__(
        self, before: Sequence[Input], own: Sequence[Input], after: Sequence[Input]
    ) -> list[dict[str, Any]]:
        """Returns a row for each text of `own`, in order; the others are their context."""
        before, after = ([text for text in texts if not text.is_empty] for texts in (before, after))
        chosen = [text for text in own if not text.is_empty]
        shown = iter(self._shown([*before, *chosen, *after], len(before), len(chosen)))
        return [self._row(text, None if text.is_empty else next(shown)) for text in own]

    def _row(self, text: Input, shown: dict[str, Any] | None) -> dict[str, Any]:
        row = self.task.row(text.text, text.words, shown)
        return row if text.second is None else {"text": text.text, "text_pair": text.second, **row}

    def _shown(self, texts: Sequence[Input], first: int, number: int) -> list[dict[str, Any]]:
        """Returns what is predicted for `number` texts from the `first` on."""
        if not number:
            return []
        rows = rows_of_inputs(texts, self.kind, self.tokenizer, self.data)
        own = np.flatnonzero((rows.documents >= first) & (rows.documents < first + number))
        # longest first, as evaluation has them
        own = own[np.argsort(-rows.lengths[own], kind="stable")]
        read = RowReader(rows, gold=True)
        seen = []
        for batch in cut_by_budget(own, rows.lengths, self.tokens_per_batch):
            tensors = to_tensors(read.__getitems__(MicroBatch(batch)))
            tensors["texts"] = tensors["texts"] - first
            seen.append(self._predict(tensors))
        columns = [np.concatenate(column) for column in zip(*seen, strict=True)]
        return self.task.shown(self.task.collect(columns))

    @torch.inference_mode()
    def _predict(self, batch: dict[str, Tensor]) -> tuple[np.ndarray, ...]:
        with self.fabric.autocast():
            found = self.task.predict_batch(self.fabric.to_device(batch))
        # NumPy has no bfloat16
        return tuple((t.float() if t.is_floating_point() else t).cpu().numpy() for t in found)

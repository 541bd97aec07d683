"""Masked language modelling (Devlin et al., 2019)."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from maskwright.masking import Masked, Masker
from maskwright.models.flops import forward_flops
from maskwright.tasks.task import Task


class MaskedLanguageModeling(Task):
    """Hides tokens of a batch and learns to predict them.

    Args:
        head: `forward(hidden) -> (B, K, V)` and `loss(hidden, targets, valid)`.
        masker: masks the training batches.
        evaluation_masker: masks validation and test batches, the same in every epoch and run.
        task: see `Task`.
    """

    metrics: tuple[str, ...] = ("loss", "perplexity", "accuracy")

    def __init__(self, head: nn.Module, masker: Masker, evaluation_masker: Masker, **task: Any):
        super().__init__(**task)
        self.head = head
        self.masker, self.evaluation_masker = masker, evaluation_masker
        self._shape: tuple[int, int, int] | None = None  # B, T and K of the last training step
        self._forward_flops: dict[tuple[int, int], tuple[int, int]] = {}  # with one position a row, and with two
        # torchmetrics would leave out losses that are no numbers
        self.evaluation_loss = MeanMetric(nan_strategy="disable")
        self.evaluation_accuracy = MeanMetric(nan_strategy="disable")

    def forward(self, batch: dict[str, Tensor], masked: Masked) -> Tensor:
        """Logits (B, K, V) at the masked positions."""
        return self.head(self._hidden(batch, masked))

    def _hidden(self, batch: dict[str, Tensor], masked: Masked) -> Tensor:
        return self.encoder(masked.input_ids, self.attention(batch), masked.positions)

    def loss(self, batch: dict[str, Tensor], masked: Masked) -> tuple[Tensor, Tensor, Tensor]:
        """Mean cross-entropy in nats, share predicted right, and number, of the masked tokens.

        The loss of a batch with nothing to predict is 0, and so are its gradients.
        """
        loss, right, count = self._score(batch, masked)
        return loss, right.sum() / count.clamp(min=1), count

    def _score(self, batch: dict[str, Tensor], masked: Masked) -> tuple[Tensor, Tensor, Tensor]:
        """Mean loss, which of the masked tokens (B, K) are predicted right, and their number."""
        loss, right = self.head.loss(self._hidden(batch, masked), masked.targets, masked.valid)  # type: ignore[operator]
        return loss, right & masked.valid, masked.valid.sum()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        micro = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1
        if micro % self.trainer.accumulate_grad_batches == 0:
            self.masker.begin_step(self.trainer.global_step)
        masked = self.masker(batch, self.progress())
        loss, right, count = self._score(batch, masked)
        self.masker.observe(masked, right)
        self._shape = (*masked.input_ids.shape, masked.positions.shape[1])
        self.log_step(loss, right.sum() / count.clamp(min=1))
        return loss

    def training_flops(self) -> int:
        """Floating-point operations of the last training step's products of matrices, as `forward_flops` counts.

        Documents that are kept apart count as if they saw each other. An encoder that cannot be counted (it looks
        at its data) has 0.
        """
        if self._shape is None:
            return 0
        rows, length, positions = self._shape
        if (rows, length) not in self._forward_flops:
            self._forward_flops[rows, length] = self._count(rows, length, 1), self._count(rows, length, 2)
        with_one, with_two = self._forward_flops[rows, length]
        return 3 * (with_one + (positions - 1) * (with_two - with_one))

    def _count(self, rows: int, length: int, positions: int) -> int:
        asked = torch.zeros(rows, positions, dtype=torch.long)
        hidden = torch.empty((rows, positions, self.encoder.hidden_size), device="meta")  # type: ignore[arg-type]
        try:
            everywhere = torch.zeros(rows, length, dtype=torch.long)
            return forward_flops(self.encoder, everywhere, None, asked) + forward_flops(self.head, hidden)
        except (RuntimeError, NotImplementedError):
            return 0

    def _evaluate(self, batch: dict[str, Tensor]) -> None:
        loss, accuracy, count = self.loss(batch, self.evaluation_masker(batch))
        self.evaluation_loss.update(loss, count)
        self.evaluation_accuracy.update(accuracy, count)

    def _log_evaluation(self, split: str) -> None:
        loss, accuracy = self.evaluation_loss.compute(), self.evaluation_accuracy.compute()
        self.evaluation_loss.reset()
        self.evaluation_accuracy.reset()
        values = {"loss": loss, "perplexity": loss.exp(), "accuracy": accuracy}
        self.log_dict({f"{split}/{name}": value for name, value in values.items()})

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("validation")

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

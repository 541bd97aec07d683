"""What tasks that learn from labels share: masks while training, predictions while evaluating."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.masking import Masked, Masker, Nothing
from maskwright.models.flops import forward_flops
from maskwright.tasks.finetuning import FineTuning, depths_of
from maskwright.tasks.task import Task

_LENGTHS = (16, 32, 48)  # operations are a polynomial of the length; three values tell its coefficients


class LabelledTask(Task):
    """Learns from labels, and keeps what it predicts when it is evaluated.

    Args:
        masker: masks the training batches, and no others.
        finetuning: which parameters learn, and how fast; None lets all learn alike.
        task: see `Task`.
    Raises:
        ValueError: more layers are to be frozen than there are, or the mask goes by predictions of tokens, and
            there are none.
    Attributes:
        predicted: what was predicted in the last evaluation, as the class below says.
    """

    predicts_tokens = False  # beside labels

    def __init__(self, masker: Masker, finetuning: FineTuning | None = None, **task: Any):
        super().__init__(**task)
        self.masker, self.finetuning = masker, finetuning or FineTuning()
        self.finetuning.check(self.encoder)
        if hasattr(masker.weights, "observe") and not self.predicts_tokens:
            raise ValueError(
                f"{type(masker.weights).__name__} goes by which hidden tokens are predicted right, and "
                f"{type(self).__name__} predicts none; choose another mask, or task=multitask"
            )
        self.predicted: Any = None
        self._seen: list[tuple[np.ndarray, ...]] = []
        self._shape = (0, 0)
        self._polynomial: np.ndarray | None = None
        self._layers = depths_of(self.encoder)[1]

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch with these ids, and which of its targets are predicted right."""
        raise NotImplementedError

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """What `measure` is to get of a batch."""
        raise NotImplementedError

    def measure(self, split: str, seen: list[np.ndarray]) -> dict[str, float]:
        """The metrics of a split.

        Args:
            seen: what `predict_batch` answered, of all batches and devices one behind the other.
        """
        raise NotImplementedError

    def learn(self, batch: dict[str, Tensor], masked: Masked) -> tuple[Tensor, Tensor]:
        """The loss of a training batch under its mask, and which of its targets are predicted right."""
        return self.score(batch, masked.input_ids)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        if self.finetuning.thaw:
            self._thaw()
        micro = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1
        if micro % self.trainer.accumulate_grad_batches == 0:
            self.masker.begin_step(self.trainer.global_step)
        masked = self.masker(batch, self.progress())
        self._shape = masked.input_ids.shape[0], masked.input_ids.shape[1]
        loss, right = self.learn(batch, masked)
        self.log_step(loss, right.float().mean() if len(right) else None)
        if not isinstance(self.masker.units, Nothing):
            self.log("train/masked", masked.valid.sum() / (batch["words"] >= 0).sum().clamp(min=1))
        return loss * batch["weight"][0]  # of this piece of the step

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        # NumPy has no bfloat16
        found = (t.float() if t.is_floating_point() else t for t in self.predict_batch(batch))
        self._seen.append(tuple(tensor.cpu().numpy() for tensor in found))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._measure("validation")

    def on_test_epoch_end(self) -> None:
        self._measure("test")

    def _measure(self, split: str) -> None:
        columns = [np.concatenate(column) for column in zip(*self._seen, strict=True)]
        self._seen = []
        if self.trainer.world_size > 1:
            others: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(others, columns)
            columns = [np.concatenate(column) for column in zip(*others, strict=True)]
        found = {f"{split}/{name}": value for name, value in self.measure(split, columns).items()}
        self.log_dict(found, sync_dist=True)  # all devices found the same

    def on_train_start(self) -> None:
        super().on_train_start()
        self._thaw()

    def _thaw(self) -> None:
        self.finetuning.apply(self.encoder, self.progress())

    def configure_optimizers(self) -> Any:
        self.finetuning.apply(self.encoder, 1.0)  # what learns at any time has a place in the optimizer
        return super().configure_optimizers()

    def make_optimizer(self) -> torch.optim.Optimizer:
        optimizer = super().make_optimizer()
        self.finetuning.regroup(optimizer, self.encoder)
        return optimizer

    def training_flops(self) -> int:
        rows, length = self._shape
        if self._polynomial is None:
            self._polynomial = np.polyfit(_LENGTHS, [self._count(number) for number in _LENGTHS], 2)
        # backward, layers that learn take twice what they took forward
        share = self.finetuning.learning(self._layers, self.progress())
        return round((1 + 2 * share) * rows * float(np.polyval(self._polynomial, length)))

    def _count(self, length: int) -> int:
        try:
            return forward_flops(self.encoder, torch.zeros(1, length, dtype=torch.long), None)
        except (RuntimeError, NotImplementedError, ValueError):
            return 0


def weigh(
    class_weights: list[float] | Literal["balanced"] | None, names: list[str], counts: list[int]
) -> Tensor | None:
    """(C,) the weight of each class in the loss; None where all weigh the same.

    Args:
        class_weights: the numbers, or `balanced`, one over their frequency, of 1 on the average example.
        counts: how often each occurs in training.
    Raises:
        ValueError: there are not as many weights as classes, or one is not above 0.
    """
    if class_weights is None:
        return None
    if class_weights == "balanced":
        there = torch.tensor(counts, dtype=torch.float32)
        return torch.where(there > 0, there.sum() / (there.clamp(min=1) * (there > 0).sum()), 0)
    weights = torch.tensor(class_weights, dtype=torch.float32)
    if len(weights) != len(names) or (weights <= 0).any():
        raise ValueError(
            f"class_weights is {class_weights}; it is 'balanced', or a number above 0 for each of "
            f"{', '.join(names)}"
        )
    return weights


def linear(hidden_size: int, outputs: int) -> nn.Linear:
    """The last map of a head, which starts at zero: every answer is as likely as every other."""
    layer = nn.Linear(hidden_size, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    layer.reads_out = True  # type: ignore[assignment]  # Muon is for matrices between hidden states
    return layer

"""The base class of all tasks: masks, evaluation, progress, dropout, the optimizer and its schedule."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from maskwright.core import hashing, sharding
from maskwright.core.distributed import from_main, rank_of, sum_over_ranks
from maskwright.core.renamed import with_new_shapes
from maskwright.core.terminal import console
from maskwright.corpora.recipe import REPLAY
from maskwright.data.batching import STEP
from maskwright.data.corpus import Corpus
from maskwright.data.label_spec import LabelKind, LabelSpec
from maskwright.loggers import TOKENS
from maskwright.masking import Masker
from maskwright.models import BigramHead, Encoder, MaskedLMHead, complete
from maskwright.models.cooccurrence import (
    MOST_TOKENS,
    begins_with_counts,
    fill,
    neighbour_counts,
    start_from_counts,
)
from maskwright.models.flops import without_weights
from maskwright.models.layers.attention_mask import documents_apart
from maskwright.models.layers.bfloat16_attention import attention_gradients
from maskwright.models.layers.causal import Bidirectional
from maskwright.models.layers.varlen_attention import Sequences, runs_flash
from maskwright.models.new_tokens import vocabulary_weights
from maskwright.optim.gradients import clip_gradients
from maskwright.tasks.finetuning import FineTuning
from maskwright.tasks.means import Means
from maskwright.tasks.new_rows import NewRows
from maskwright.tasks.spec import Baseline, Metric, TaskSpec

MASKERS = ("masker.", "evaluation_masker.", "evaluation_masks.")  # prefixes of the state of maskers in a state_dict


def count_neighbours(data: Corpus, vocabulary_size: int) -> tuple[csr_matrix, float]:
    """Returns how often tokens follow others in the training split (V, V), and the share of it that was counted."""
    rows = (ids for ids, _ in data.training_rows(MOST_TOKENS))
    counted = min(MOST_TOKENS / max(data.tokens["train"].count, 1), 1.0)
    return neighbour_counts(rows, vocabulary_size), counted


class Task(LightningModule):
    """An encoder with a training objective, which a subclass defines by `learn` and `evaluate`.

    Attributes:
        label_kind: the kind of labels that the data must have; None for text alone, in packed blocks.
        metrics: the metrics of an evaluation.
        primary: the name of the metric that models are compared by.
        averaged: the metrics that `evaluate` returns; a class with other metrics overrides `evaluation_metrics`.
        label_weights: prefixes of the names of weights that cannot be used for other labels.
        fixed_settings: keys below `task` that must not change when a run is resumed, because they determine which
            weights there are, or how the optimizer groups them.
        can_be_sharded: whether it learns with weights that are sharded over devices (FSDP2).
        head: the head for masked tokens; None if the task does not predict them.
        labels: the labels that the task learns from; None if it learns from text alone.
        counting: the seconds that `count` took, where neighbours were counted.
    Args:
        encoder: see `Encoder`; `complete` adds what it lacks.
        optimizer: a function from a module to its optimizer.
        schedule: a function from the progress of the run, in [0, 1], to the factor on the learning rate.
        seed: the seed of dropout.
        masker: masks the training batches; None if the task does not mask.
        cross_document_attention: whether documents that are packed into one block attend to each other.
        finetuning: which parameters are trained, and how fast; None trains all of them alike.
        hyperparameters: plain containers, stored in the checkpoints.
    """

    label_kind: ClassVar[LabelKind | None] = None
    metrics: ClassVar[tuple[Metric, ...]] = ()
    primary: ClassVar[str] = "loss"
    averaged: ClassVar[tuple[str, ...]] = ("loss",)
    label_weights: ClassVar[tuple[str, ...]] = ()
    fixed_settings: ClassVar[tuple[str, ...]] = tuple(
        f"finetuning.{name}" for name in ("freeze", "layer_decay", "head_lr", "head_weight_decay")
    )
    can_be_sharded: ClassVar[bool] = True

    head: nn.Module | None
    labels: LabelSpec | None
    counting = 0.0

    def __init__(
        self,
        encoder: nn.Module,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Callable[[float], float],
        seed: int,
        masker: Masker | None = None,
        cross_document_attention: bool = True,
        finetuning: FineTuning | None = None,
        hyperparameters: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.encoder = complete(encoder)
        self.finetuning = finetuning or FineTuning()
        self.finetuning.check(self.encoder)
        self.new_rows: NewRows | None = None  # of the vocabulary
        self.optimizer, self.schedule = optimizer, schedule
        self.seed, self.cross_document_attention = seed, cross_document_attention
        self.masker = masker
        self.head = None
        self.labels = None
        self.means = Means(self.averaged)
        self._of_sources: dict[str, Means] = {}  # of the sources of the data that is evaluated
        self._totals: dict[str, Tensor] = {}  # of the current step
        self._logged: dict[str, Tensor] = {}
        self._tokens_of_step = torch.zeros(())
        self.tokens: Tensor | int = 0  # trained on so far, over all devices, without padding
        self._shapes: dict[str, nn.Module] = {}  # of a sharded model, its parts without their weights
        self._clock = -1, 0.0  # the last step, and the progress when it began, of a run that is limited by time
        self.save_hyperparameters(hyperparameters or {}, logger=False)

    @classmethod
    def spec(cls, settings: Mapping[str, Any]) -> TaskSpec:
        """Returns the specification of the task with these settings, the keys below `task`."""
        return TaskSpec(cls.label_kind, cls.metrics, cls.primary, predicts_tokens=False)

    # Methods for subclasses to implement

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Returns the loss of a training batch, a scalar, and the accuracy of its predictions or None.

        Where `hardware.accumulate_grad_batches` cuts a step into micro-batches, the loss of the step is the mean of
        what this returns for each. `weigh` makes that the mean over all targets of the step.
        """
        raise NotImplementedError

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the number of targets of a step, or the sum of their weights, by the names that `weigh` takes.

        Args:
            step: the rows of all micro-batches of the step on this device, as one batch.
        """
        return {}

    def evaluate(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Returns means over the targets of a batch, by the names in `averaged`, and the number of targets."""
        raise NotImplementedError

    def evaluation_metrics(self, split: str) -> dict[str, Any]:
        """Returns the metrics of a split by name, after all its batches have been evaluated."""
        return self.means.compute()

    def baseline(self, data: Corpus) -> Baseline | None:
        """Returns the loss of guessing without looking at the input; None if it is unknown."""
        return None

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        """Prints the results of a split, right after its evaluation; may also write files.

        Args:
            metrics: the metrics of the run, by the names `<split>/<name>`.
            folder: where files are written.
        """
        values = ((metric.name, metrics.get(f"{split}/{metric.name}")) for metric in self.metrics)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in values if value is not None)
        console().print(f"\n{split.capitalize()}: {shown}")

    def training_flops(self) -> int:
        """Returns the FLOPs of the matrix products in the last training step, as `forward_flops` counts them.

        0 if they are not counted.
        """
        return 0

    def count(self, data: Corpus, new_encoder: bool, new_head: bool) -> str | None:
        """Counts the training split, for what begins with counts, before the first step of a run.

        Counts of another corpus are not kept.

        Args:
            new_encoder, new_head: whether they begin here, and not where another run has ended.
        Returns:
            What was counted of neighbours, or why nothing was, in a line; None if nothing was to be.
        """
        encoder, head = self.encoder, self.head
        bigrams = head if isinstance(head, BigramHead) and (new_head or head.bigrams.known) else None
        beginner = encoder if new_encoder and begins_with_counts(encoder) else None
        if beginner is None and bigrams is None:
            learned = "no counts are added to the logits of a head that has learned to predict without them"
            return learned if isinstance(head, BigramHead) else None
        began = time.perf_counter()
        counts, share = count_neighbours(data, len(encoder.embedding.weight))
        special = data.tokenizer.is_special
        if beginner is not None:
            own = head if type(head) is MaskedLMHead and self.token_encoder is encoder else bigrams
            start_from_counts(beginner, own, counts, special)
        if bigrams is not None:
            fill(bigrams.bigrams, counts, special, share)
        self.counting = time.perf_counter() - began
        return f"from {counts.sum():,.0f} pairs of neighbours in the training split, {self.counting:.1f} s"

    # Sharding

    def configure_model(self) -> None:
        """Shards the weights, if the strategy of the trainer is to; see `core.sharding`."""
        if self.device_mesh is None or sharding.is_sharded(self):
            return
        self._shapes = {name: without_weights(part) for name, part in self._counted_parts.items()}
        mesh = self.device_mesh["data_parallel"]
        sharding.shard(self, self.encoder.layers_in_order(), mesh, "training_step")

    @property
    def _counted_parts(self) -> dict[str, nn.Module]:
        """What `to_count` returns."""
        parts: dict[str, Any] = {"encoder": self.encoder, "head": self.head}
        return {name: part for name, part in parts.items() if part is not None}

    def to_count(self, name: str) -> nn.Module:
        """Returns the `encoder` or a head, whose FLOPs `forward_flops` can count, also where it is sharded."""
        return self._shapes[name] if name in self._shapes else getattr(self, name)

    # Training and evaluation

    @property
    def token_encoder(self) -> Encoder:
        """The encoder whose hidden states `head` takes: at each position is what predicts the token there."""
        return self.encoder

    @property
    def vocabulary_heads(self) -> list[nn.Module]:
        """The heads that predict tokens, with a row for each."""
        return [] if self.head is None else [self.head]

    @property
    def another_predicts_tokens(self) -> bool:
        """Whether `token_encoder` is another encoder, and not the same one read in another way."""
        return [*self.token_encoder.layers_in_order()] != [*self.encoder.layers_in_order()]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        number = self._micro_batch() % self.trainer.accumulate_grad_batches
        if number == 0:
            if self.masker is not None:
                self.masker.begin_step(self.trainer.global_step)
            self._totals = self._totals_of_step(batch)
            self._logged = {}
        with attention_gradients(self.device, self.dtype):
            loss, accuracy = self.learn(batch)
        self._tokens_of_step = _tokens(batch) if number == 0 else self._tokens_of_step + _tokens(batch)
        self.log_step("loss", loss)
        if accuracy is not None:
            self.log_step("accuracy", accuracy)
        if number == self.trainer.accumulate_grad_batches - 1:
            values = sum_over_ranks(torch.stack([*self._logged.values(), self._tokens_of_step.float()]))
            means = zip(self._logged, values[:-1] / rank_of(self.trainer).world_size, strict=True)
            self.tokens = self.tokens + values[-1].long()
            self.log_dict({f"train/{name}": value for name, value in means} | {TOKENS: self.tokens.float()})
        if self._logs_step():
            # a Python number: copying it to a GPU at each step would make the host wait
            self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])
        return loss

    def _logs_step(self) -> bool:
        """Whether the metrics of the current step are written to the loggers."""
        return (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def _totals_of_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Returns `step_totals` over all devices; nothing where a step has one micro-batch on one device.

        Args:
            batch: the first micro-batch of the step.
        """
        step = batch.get(STEP)  # only if there are several micro-batches
        if step is None and rank_of(self.trainer).world_size == 1:
            return {}
        totals = self.step_totals(batch if step is None else step)
        values = sum_over_ranks(torch.stack([total.double() for total in totals.values()]))
        return dict(zip(totals, values, strict=True))

    def weigh(self, name: str, amount: Tensor) -> Tensor | float:
        """Returns the weight of a mean over a micro-batch; 1 where a step has one micro-batch.

        With it, the mean over the micro-batches of a step is the mean over all targets of the step.

        Args:
            name: a key of `step_totals`.
            amount: the number of targets of the micro-batch, or the sum of their weights.
        """
        if (total := self._totals.get(name)) is None:
            return 1.0
        pieces = self.trainer.accumulate_grad_batches * rank_of(self.trainer).world_size
        return (amount.double() * pieces / total.double().clamp(min=1e-6)).float()

    def total(self, name: str, amount: Tensor) -> Tensor:
        """Returns a total of the step, as `step_totals` names it; `amount` where a step has one micro-batch."""
        return self._totals.get(name, amount)

    def log_step(self, name: str, value: Tensor) -> None:
        """Logs `train/<name>` at the end of the step: the mean of the values of its micro-batches."""
        share = value.detach() / self.trainer.accumulate_grad_batches
        self._logged[name] = self._logged[name] + share if name in self._logged else share

    def source_metrics(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the metrics of one source of the data by name, from the means of what `evaluate` returns."""
        return means

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self._update(batch, *self.evaluate(batch))

    def _update(self, batch: dict[str, Tensor], values: dict[str, Tensor], count: Tensor) -> None:
        """Adds the return values of `evaluate` to the means over the split, and over the source of the batch."""
        source = self._source(batch)
        if source in self._of_sources:
            self._of_sources[source].update(values, count)
        if self._counts(batch):
            self.means.update(values, count)

    def _counts(self, batch: dict[str, Tensor]) -> bool:
        """Returns whether an evaluation batch counts in the metrics of the split; one of replayed text does not."""
        return self._source(batch) != REPLAY

    def _source(self, batch: dict[str, Tensor]) -> str:
        """Returns the name of the source that an evaluation batch is of; "" if there is only one."""
        if "source" not in batch:
            return ""
        return self.trainer.datamodule.source_names[int(batch["source"][0])]  # type: ignore[attr-defined]

    def on_validation_epoch_start(self) -> None:
        self._begin_evaluation("validation")

    def on_test_epoch_start(self) -> None:
        self._begin_evaluation("test")

    def _begin_evaluation(self, split: str) -> None:
        evaluated = getattr(self.trainer, "datamodule", None)
        names = evaluated.evaluated_sources(split) if isinstance(evaluated, Corpus) else ()
        self._of_sources = {name: Means(self.averaged).to(self.device) for name in names}

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("validation")

    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    def _log_evaluation(self, split: str) -> None:
        values = {f"{split}/{name}": value for name, value in self.evaluation_metrics(split).items()}
        for source, means in self._of_sources.items():
            own = self.source_metrics(means.compute())
            values |= {f"{split}/{source}/{name}": value for name, value in own.items()}
        if self.trainer.loggers:  # the x axis of a dashboard
            values[TOKENS] = torch.as_tensor(self.tokens).float()
        # all ranks have the same values; without `sync_dist`, Lightning would warn that they may differ
        self.log_dict(values, sync_dist=True)

    def _micro_batch(self) -> int:
        """Returns how many micro-batches the run has begun before this one."""
        return self.trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1

    def progress(self, step: float | None = None) -> float:
        """Returns the share of the run that is done, in [0, 1].

        It is the share of `trainer.max_steps` at `step`, by default the current step. If `trainer.max_steps` is -1,
        it is the share of `trainer.max_time` that has elapsed.
        """
        trainer = self.trainer
        if trainer.max_steps > 0:
            return min((trainer.global_step if step is None else step) / trainer.max_steps, 1.0)
        timer = next(c for c in trainer.callbacks if isinstance(c, Timer))  # type: ignore[attr-defined]
        elapsed, remaining = timer.time_elapsed(), timer.time_remaining()
        assert remaining is not None  # max_time is set where max_steps is not
        if self._clock[0] != trainer.global_step:  # all micro-batches of a step have the same progress
            # clocks may differ between devices, but learning rates must not
            now = from_main(min(elapsed / (elapsed + remaining), 1.0))
            self._clock = trainer.global_step, now
        return self._clock[1]

    def attention_mask(self, batch: dict[str, Tensor]) -> Bidirectional:
        """Returns which positions attend to which.

        None if all attend to all, and (B, T) if some are padding. If documents are kept apart, their `Sequences`
        where flash attention is available, else (B, T, T).
        """
        if self.cross_document_attention:
            return batch.get("attention_mask")
        documents = batch["documents"]
        if (
            "sequence_ends" in batch
            and not self.has_dropout
            and runs_flash(documents.device, self.encoder.head_size)
        ):
            return Sequences(batch["sequence_ends"], documents.shape[1])
        return documents_apart(documents)

    @property
    def trains_all_parameters(self) -> bool:
        """Whether each training step has a gradient for each parameter."""
        return self.encoder.uses_all_parameters and not self._learns_partly

    @property
    def _learns_partly(self) -> bool:
        """Whether parameters are frozen, for a time or for good."""
        return bool(self.finetuning.freeze or self.finetuning.changes or self.encoder.frozen_weights)

    def begin_new_tokens(self, first: int, end: int) -> None:
        """Notes that the tokens from `first` up to `end` are new to this run, see `FineTuning`."""
        self.new_rows = NewRows(vocabulary_weights(self.encoder, self.vocabulary_heads), first, end)

    def set_learning(self, progress: float) -> None:
        """Sets which parameters are trained when the share `progress` of the run is done."""
        if self.new_rows is None and not self._learns_partly:  # an encoder may itself have frozen some
            return
        if self.new_rows is not None:
            for parameter in self.parameters():  # of heads
                parameter.requires_grad_(True)
        self.finetuning.apply(self.encoder, progress)
        if self.new_rows is not None:
            self.new_rows.apply(self, alone=progress < self.finetuning.new_tokens_first)

    @cached_property
    def has_dropout(self) -> bool:
        """Whether a training step draws random numbers."""
        # besides nn.Dropout, recurrent layers have dropout, and so do heads of other libraries
        return any(
            isinstance(p := getattr(m, "p", getattr(m, "dropout", 0)), float) and p > 0 for m in self.modules()
        )

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        if self.finetuning.changes:
            self.set_learning(self.progress())
        if self.has_dropout:  # dropout depends on the step, so that a resumed run draws the same numbers
            torch.manual_seed(hashing.start(self.seed, self._micro_batch() + 1, rank_of(self.trainer).number))

    # The optimizer

    def make_optimizer(self) -> Optimizer:
        """Returns a new optimizer of all parameters that are trained."""
        optimizer = self.optimizer(self)
        if self.finetuning.regroups:
            self.finetuning.regroup(optimizer, self.encoder)
        return optimizer

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        self.set_learning(1.0)  # the optimizer gets all parameters that are ever trained
        optimizer = self.make_optimizer()
        # the progress at the middle of a step, so that neither the first nor the last step has a rate of 0
        schedule = LambdaLR(optimizer, lambda step: self.schedule(self.progress(step + 0.5)))
        self._settings = [
            {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
        ]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Restores the optimizer settings of the config, which those of a resumed checkpoint have replaced."""
        factor = self.schedule(self.progress(self.trainer.global_step + 0.5))
        for group, settings in zip(self.trainer.optimizers[0].param_groups, self._settings, strict=True):
            group.update(settings)
            group["lr"] = settings["initial_lr"] * factor
        self.lr_schedulers().base_lrs = [settings["initial_lr"] for settings in self._settings]  # type: ignore[union-attr]
        self.set_learning(self.progress())

    def optimizer_step(self, *arguments: Any, **keywords: Any) -> None:
        with nullcontext() if self.new_rows is None else self.new_rows.held():
            super().optimizer_step(*arguments, **keywords)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the gradients of the step, and logs their norm before that.

        Lightning refuses to clip for fused optimizers in mixed precision.
        """
        if self.new_rows is not None:
            self.new_rows.hide_other_gradients()
        scale = 1.0
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            if gradient_clip_val:
                scaler.unscale_(optimizer)  # a fused optimizer would unscale only in its step
            elif self._logs_step():
                scale = scaler.get_scale()
        norm = clip_gradients(self.parameters(), gradient_clip_val, gradient_clip_algorithm, self._logs_step())
        if norm is not None:
            self.log("train/gradient_norm", norm / scale)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["tokens"] = int(self.tokens)

    def fit_maskers(self, saved: dict[str, Tensor]) -> None:
        """Changes a saved state so that it has the maskers of this run.

        Their state is kept where it fits, and is that of this run otherwise.
        """
        own = self.state_dict()
        for name in [name for name in {**saved, **own} if name.startswith(MASKERS)]:
            if name not in own:
                del saved[name]
            elif name not in saved or saved[name].shape != own[name].shape:
                saved[name] = own[name]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adapts a checkpoint to a run with other settings, or a younger version, than the run that wrote it."""
        with_new_shapes(checkpoint)
        self.tokens = checkpoint.get("tokens", 0)  # older checkpoints have none
        self.fit_maskers(checkpoint["state_dict"])
        # the state of early stopping includes its patience, which is a setting
        for callback in self.trainer.early_stopping_callbacks:
            saved_state = checkpoint.get("callbacks", {}).get(callback.state_key, {})
            if "patience" in saved_state:
                saved_state["patience"] = callback.patience
        # micro-batches are recounted, since this run may cut its steps into another number of them
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        ready = checkpoint["global_step"] * self.trainer.accumulate_grad_batches
        for counts in (progress["total"], progress["current"]):
            lags = {name: counts["ready"] - counts[name] for name in ("started", "processed", "completed")}
            counts["ready"] = ready
            counts.update({name: ready - lag for name, lag in lags.items()})


def _tokens(batch: dict[str, Tensor]) -> Tensor:
    """Returns how many positions of a batch are no padding; 0 where its rows only fill in."""
    ids, mask = batch["input_ids"], batch.get("attention_mask")
    count = torch.full((), ids.numel(), device=ids.device) if mask is None else mask.sum()
    return count * (batch["weight"][0] > 0) if "weight" in batch else count

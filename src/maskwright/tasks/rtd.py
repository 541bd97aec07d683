"""Replaced-token detection (ELECTRA, Clark et al., 2020, arXiv 2003.10555).

Shapes: B examples, T positions, K masked positions, H hidden size, V vocabulary.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maskwright.core.terminal import console
from maskwright.core.types import Rate
from maskwright.data.corpus import Corpus
from maskwright.masking import Masked, Masker
from maskwright.models import DetectionHead, Encoder, MaskedLMHead
from maskwright.models.flops import forward_flops
from maskwright.tasks import detection
from maskwright.tasks.detection import Detection
from maskwright.tasks.means import Means
from maskwright.tasks.mlm import MaskedLanguageModeling
from maskwright.tasks.spec import Baseline, Metric, TaskSpec
from maskwright.tasks.token_prediction import head_flops, share, token_loss

_CHUNK_CPU, _CHUNK_GPU = 128, 4096  # positions whose distributions over the vocabulary exist at the same time


def _checked_share(share: float) -> float:
    if not 0 < share <= 1:
        raise ValueError(
            "generator_share must be above 0 and at most 1, where the generator is as large as the discriminator"
        )
    return share


GeneratorShare: TypeAlias = Annotated[float, AfterValidator(_checked_share)]


class Detected(NamedTuple):
    """What the discriminator says of a batch."""

    loss: Tensor  # the mean over the tokens that count
    logits: Tensor  # (B, T) above 0 where a token is taken for a replaced one
    replaced: Tensor  # (B, T) bool
    counted: Tensor  # (B, T) bool, False at padding

    @property
    def number(self) -> Tensor:
        return self.counted.sum()

    @property
    def accuracy(self) -> Tensor:
        return share(((self.logits > 0) == self.replaced) & self.counted, self.number)


class ReplacedTokenDetection(MaskedLanguageModeling):
    """Detects which tokens a small masked language model, the generator, has replaced.

    The generator reads rows as the masker leaves them and learns to predict all masked tokens. Its encoder is of
    the kind of the task's, and shares the token embeddings with it. A token is sampled from its distribution at
    each masked position. The task's encoder, the discriminator, reads the rows with these tokens, and predicts for
    each token that is no padding whether it is another than the original. A sampled token that equals the original
    counts as original. The loss is the mean cross-entropy of the generator plus `discriminator_weight` times that
    of the discriminator, of which no gradient reaches the generator.

    With `all_tokens`, the discriminator predicts the original of each token instead: it is the token that stands
    there, with the probability that this was not replaced, or else one from a head for masked tokens. That is the
    all-tokens MLM, with a copy mechanism, of the same paper. Its vocabulary projection reads all B T positions.

    `encoder` is the discriminator, from which fine-tuning starts. `head` and `token_encoder`, which predict masked
    tokens, are those of the generator.

    Args:
        smaller_encoder: a function from a share to a new encoder of the same kind, whose widths are that share.
        head_settings: of the generator's head, see `MaskedLMHead`.
        generator_share: the widths of the generator, relative to those of the encoder, in (0, 1].
        discriminator_weight: the weight of the loss of the discriminator, where that of the generator has 1.
        all_tokens: see above.
        head: for masked tokens, over the hidden states of the encoder; only used with `all_tokens`.
        task: see `MaskedLanguageModeling`.
    Raises:
        ValueError: the generator would be larger than the encoder, or have no width; or a mask hides nothing.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "min"),
        *detection.METRICS,
        Metric("generator_loss", "min"),
        Metric("generator_accuracy", "max"),
    )
    can_be_sharded = False
    fixed_settings = (*MaskedLanguageModeling.fixed_settings, "generator_share", "all_tokens")

    def __init__(
        self,
        smaller_encoder: Callable[[float], Encoder],
        head_settings: Mapping[str, Any],
        head: nn.Module,
        generator_share: GeneratorShare = 0.25,
        discriminator_weight: Rate = 50.0,
        all_tokens: bool = False,
        **task: Any,
    ):
        _checked_share(generator_share)
        super().__init__(head=head, **task)
        _check_masks(self.masker, self.evaluation_masker)
        self.discriminator_weight = discriminator_weight
        self.generator = smaller_encoder(generator_share)
        self.generator.share_embedding(self.encoder.embedding)
        self.original_head = head if all_tokens else None
        self.head = MaskedLMHead(self.encoder.embedding, hidden_size=self.generator.hidden_size, **head_settings)
        self.detection_head = DetectionHead(self.encoder.hidden_size)
        self.detection_means, self.detection = Means(("loss",)), Detection()
        self._replaced = 0.0  # the share of tokens in the last evaluation

    @property
    def vocabulary_heads(self) -> list[nn.Module]:
        return [*super().vocabulary_heads, *filter(None, [self.original_head])]

    @classmethod
    def spec(cls, settings: Mapping[str, Any]) -> TaskSpec:
        return replace(super().spec(settings), needs_masks=True, learns_counts=False)

    @property
    def token_encoder(self) -> Encoder:
        return self.generator

    @property
    def trains_all_parameters(self) -> bool:
        return super().trains_all_parameters and self.generator.uses_all_parameters

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        assert self.masker is not None
        masked = self.masker(batch, self.progress())
        hidden = self._hidden(batch, masked)
        generator_loss, right, count = token_loss(self.head, hidden, masked)
        self.masker.observe(masked, right)
        found = self._detect(batch, masked, hidden, self.masker)
        self._shape = (*masked.input_ids.shape, masked.positions.shape[1])
        of_tokens = self.weigh("counted", found.number)
        generator_loss = generator_loss * self.weigh("tokens", count)
        loss = found.loss * of_tokens
        self.log_step("generator_loss", generator_loss)
        self.log_step("discriminator_loss", loss)
        return generator_loss + self.discriminator_weight * loss, found.accuracy * of_tokens

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**super().step_totals(step), "counted": _counted(step).sum()}

    def _detect(self, batch: dict[str, Tensor], masked: Masked, hidden: Tensor, masker: Masker) -> Detected:
        """Returns what the discriminator says of a batch, whose masked tokens the generator replaces.

        Args:
            hidden: (B, K, H) the hidden states of the generator at the masked positions.
            masker: that masked the batch; tokens are sampled by its random numbers.
        """
        originals, counted = batch["input_ids"], _counted(batch)
        chance = masker.draws(batch).uniform("replacement", masked.positions)
        sampled = sample(self.head, hidden.detach(), chance)
        shown = replace_tokens(originals, masked, sampled)
        states = self.encoder(shown, self.attention_mask(batch))
        logits, replaced = self.detection_head(states).float(), shown != originals
        if self.original_head is None:
            losses = F.binary_cross_entropy_with_logits(logits, replaced.float(), reduction="none")
        else:
            losses = copy_losses(logits, _log_probabilities(self.original_head, states, originals), replaced)
        loss = losses.where(counted, 0.0).sum() / counted.sum().clamp(min=1)
        return Detected(loss, logits, replaced, counted)

    def _validate(self, batch: dict[str, Tensor], masker: Masker) -> None:
        masked = masker(batch)
        hidden = self._hidden(batch, masked)
        loss, right, count = token_loss(self.head, hidden, masked)
        self._update(batch, {"loss": loss, "accuracy": share(right, count)}, count)
        if self._counts(batch):
            found = self._detect(batch, masked, hidden, masker)
            self.detection_means.update({"loss": found.loss}, found.number)
            self.detection.update(found.logits, found.replaced, found.counted)

    def evaluation_metrics(self, split: str) -> dict[str, Tensor]:
        metrics = {} if self.evaluation_masks is None else self.evaluation_masks.compute()
        if self.evaluation_masker is None:
            return metrics
        found = self.detection.compute()
        self.detection.reset()
        self._replaced = float(found.pop("share"))
        return self.detection_means.compute() | found | self.source_metrics(self.means.compute()) | metrics

    def source_metrics(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"generator_{name}": value for name, value in means.items()}

    def baseline(self, data: Corpus) -> Baseline | None:  # type: ignore[override]
        """Returns the entropy of the share of tokens that are masked; None with `all_tokens`.

        It is the least loss of a guess at each token that ignores the row, if the generator replaces all masked
        tokens by others.
        """
        if self.original_head is not None or self.evaluation_masker is None:
            return None
        rows = data.sample(64)
        masked = float(self.evaluation_masker.select(rows).valid.sum() / _counted(rows).sum())
        return Baseline(_entropy(masked), "entropy of the masked share, nats (guessing by frequency)")

    def print_metrics(self, split: str, metrics: Mapping[str, float], data: Corpus) -> None:
        own = {metric.name: metrics[f"{split}/{metric.name}"] for metric in self.metrics}
        console().print(
            f"\n{split.capitalize()}: discriminator loss {own['loss']:.4f} nats, accuracy {own['accuracy']:.2%}, "
            f"F1 {own['f1']:.2%}, AUC {own['auc']:.4f}; {self._replaced:.2%} of tokens are replaced (guessing by "
            f"frequency: {_entropy(self._replaced):.4f} nats)\n"
            f"  generator: loss {own['generator_loss']:.4f} nats, masked accuracy {own['generator_accuracy']:.2%}"
        )
        for source in data.evaluated_sources(split):
            console().print(f"  {source}: generator loss {metrics[f'{split}/{source}/generator_loss']:.4f} nats")

    def _count(self, rows: int, length: int, positions: int) -> int:
        asked = torch.zeros(rows, positions, dtype=torch.long)
        everywhere = torch.zeros(rows, length, dtype=torch.long)
        try:
            of_head = head_flops(self.head, rows, positions, self.generator.hidden_size)
            generator = forward_flops(self.generator, everywhere, None, asked) + of_head
            discriminator = forward_flops(self.encoder, everywhere, None)
            for head in filter(None, (self.detection_head, self.original_head)):
                discriminator += head_flops(head, rows, length, self.encoder.hidden_size)
        except (RuntimeError, NotImplementedError):
            return 0
        return generator + of_head // 3 + discriminator  # the head is applied once more to sample, with no gradient


@torch.no_grad()
def sample(head: nn.Module, hidden_BKH: Tensor, chance: Tensor) -> Tensor:
    """Returns a token of the distribution that a head gives at each position, (B, K), a few positions at a time.

    Args:
        chance: (B, K) float64, uniform in (0, 1); where in the cumulative distribution the token is.
    """
    hidden_NH, chance_N1 = hidden_BKH.flatten(0, 1), chance.flatten()[:, None]
    chunk = _chunk(hidden_BKH)
    found = []
    for start in range(0, len(hidden_NH), chunk):
        rows = slice(start, start + chunk)
        cumulative = head(hidden_NH[None, rows])[0].double().softmax(-1).cumsum(-1)
        at = torch.searchsorted(cumulative, chance_N1[rows] * cumulative[:, -1:])[:, 0]
        found.append(at.clamp(max=cumulative.shape[1] - 1))
    return torch.cat(found).view(chance.shape) if found else chance.long()


def replace_tokens(input_ids: Tensor, masked: Masked, sampled: Tensor) -> Tensor:
    """Returns the ids (B, T) with those at the masked positions replaced by `sampled` (B, K)."""
    rows = torch.arange(len(input_ids), device=input_ids.device)[:, None].expand_as(sampled)
    # positions that are not valid are 0, which may be valid too: these write to a column beyond the row
    beyond = masked.positions.where(masked.valid, input_ids.shape[1])
    return F.pad(input_ids, (0, 1)).index_put((rows, beyond), sampled)[:, :-1]


def copy_losses(logits: Tensor, log_probabilities: Tensor, replaced: Tensor) -> Tensor:
    """Returns minus the log-probability (B, T) of each original token, with a copy mechanism.

    Args:
        logits: (B, T) of another token standing there than the original; else it is copied.
        log_probabilities: (B, T) of the original, if it is not copied.
        replaced: (B, T) bool, where copying is wrong.
    """
    predicted = F.logsigmoid(logits) + log_probabilities
    copied = F.logsigmoid(-logits).masked_fill(replaced, -torch.inf)
    return -torch.logaddexp(copied, predicted)


def _log_probabilities(head: nn.Module, hidden_BTH: Tensor, targets: Tensor) -> Tensor:
    """Returns the log-probabilities (B, T) of targets (B, T); for gradients, distributions are computed anew."""

    def some(hidden: Tensor, targets: Tensor) -> Tensor:
        return head(hidden[None])[0].float().log_softmax(-1).gather(1, targets[:, None])[:, 0]

    chunk = _chunk(hidden_BTH)
    parts = zip(hidden_BTH.flatten(0, 1).split(chunk), targets.flatten().split(chunk), strict=True)
    found = [checkpoint(some, *part, use_reentrant=False) for part in parts]
    return torch.cat(found).view_as(targets)


def _chunk(tensor: Tensor) -> int:
    return _CHUNK_CPU if tensor.device.type == "cpu" else _CHUNK_GPU


def _counted(batch: dict[str, Tensor]) -> Tensor:
    """Returns which tokens of a batch are no padding, (B, T) bool."""
    seen = batch.get("attention_mask")
    return torch.ones_like(batch["input_ids"], dtype=torch.bool) if seen is None else seen


def _entropy(share: float) -> float:
    """Returns the entropy, in nats, of something that is true with this probability."""
    return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)


def _check_masks(*maskers: Masker | None) -> None:
    if any(masker is not None and not masker.masks for masker in maskers):
        raise ValueError("a mask hides no token, which leaves nothing to replace; choose another mask")

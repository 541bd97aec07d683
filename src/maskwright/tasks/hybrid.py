"""Causal and masked prediction on one encoder (GPT-BERT, Charpentier and Samuel, 2024, arXiv 2410.24159)."""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from maskwright.core import hashing
from maskwright.core.terminal import console
from maskwright.data.corpus import Corpus
from maskwright.masking import Draws, Masked, Masker
from maskwright.models import Encoder, Shifted
from maskwright.models.layers.causal import Causal
from maskwright.models.layers.gather import gather
from maskwright.tasks.means import Means
from maskwright.tasks.mlm import MaskedLanguageModeling
from maskwright.tasks.phases import Phase, phases_of
from maskwright.tasks.spec import Metric, TaskSpec
from maskwright.tasks.token_prediction import METRICS, at_positions, only_valid, share, token_loss

CAUSAL_LOSS = Metric("causal_loss", "min")


class _Part(NamedTuple):
    """One of the two objectives in a batch: mean loss, which targets are right, and how many targets and rows."""

    loss: Tensor
    right: Tensor
    number: Tensor
    rows: Tensor


class Hybrid(MaskedLanguageModeling):
    """Learns to predict the next token in some examples, and masked tokens in the others, with one head.

    An example with causal prediction is not masked, no position sees a later one, and each of its tokens that could
    be masked is predicted from the position before. The loss of a step is the mean over its examples: that of the
    tokens that are predicted causally and that of the masked tokens, each in the share of its examples.

    The model is evaluated, from the first step on, and used as its last phase reads: masked tokens are predicted
    from their own position, or from the position before (`shift`), or, where the last phase is causal, from the
    tokens before alone.

    Args:
        causal_share: of the examples that predict the next token.
        causal_per: whether this is drawn for each `example`, or for each `step` and all its examples.
        shift: whether a masked token is predicted from the hidden state of the position before it (masked
            next-token prediction), so that both objectives read the head in one way.
        phases: objectives one after the other, see `phases_of`; None for both throughout.
        task: see `MaskedLanguageModeling`.
    """

    def __init__(
        self,
        causal_share: Annotated[float, Ge(0), Le(1)] = 0.5,
        causal_per: Literal["example", "step"] = "example",
        shift: bool = True,
        phases: list[Any] | None = None,
        **task: Any,
    ):
        super().__init__(**task)
        self.phases = phases_of({"causal_share": causal_share, "shift": shift, "phases": phases})
        self.causal_per = causal_per
        self.causal_means = Means(("loss",)) if _reads_causally(self.phases) else None

    @classmethod
    def spec(cls, settings: Mapping[str, Any]) -> TaskSpec:
        causal = _reads_causally(phases_of(settings))
        metrics = (*METRICS, CAUSAL_LOSS) if causal else METRICS
        return replace(super().spec(settings), metrics=metrics, reads_causally=causal, learns_counts=False)

    @property
    def token_encoder(self) -> Encoder:
        last = self.phases[-1]
        return Shifted(self.encoder, causal=last.causal_share == 1) if last.shift else self.encoder

    @property
    def phase(self) -> Phase:
        """The phase that the current step belongs to."""
        progress = self.progress()
        return next((phase for phase in self.phases if progress < phase.until), self.phases[-1])

    def causal_rows(self, batch: dict[str, Tensor]) -> Tensor | bool:
        """Returns which rows of a training batch predict the next token, (B,) bool; or whether all do, or none."""
        chance = self.phase.causal_share
        if chance in (0, 1):
            return chance == 1
        if self.causal_per == "example":
            return Draws(self.seed, batch["epochs"], batch["examples"]).row("causal")[:, 0] < chance
        key = hashing.start(self.seed, zlib.crc32(b"causal"), self.trainer.global_step)
        return bool(hashing.uniform(np.array(key)) < chance)

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        causal, rows = self.causal_rows(batch), torch.tensor(len(batch["input_ids"]))
        parts: dict[str, _Part] = {}
        if causal is True:
            parts["causal"] = _Part(*self._next_token_loss(batch), rows)
            self._shape = (*batch["input_ids"].shape, batch["input_ids"].shape[1] - 1)
        elif causal is False:
            masked = self._masked(batch)
            encoder = Shifted(self.encoder) if self.phase.shift else self.encoder
            hidden = encoder(masked.input_ids, self.attention_mask(batch), masked.positions)
            parts["masked"] = self._observed(masked, _Part(*token_loss(self.head, hidden, masked), rows))
            self._shape = (*masked.input_ids.shape, masked.positions.shape[1])
        else:
            parts = self._learn_both(batch, causal)
        loss, accuracy = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for name, part in parts.items():
            # over the whole step: the part of its examples, and the mean over its targets
            of_rows = (self.total(f"{name}_rows", part.rows) / self.total("rows", rows)).float()
            own = of_rows * self.weigh(name, part.number)
            loss, accuracy = loss + part.loss * own, accuracy + share(part.right, part.number) * own
        return loss, accuracy

    def _next_token_loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns what `token_loss` does, of the next tokens in all rows of a batch."""
        following = next_tokens(batch)
        hidden = self.encoder(following.input_ids, Causal(self.attention_mask(batch)))
        return token_loss(self.head, hidden[:, :-1], following)

    def _learn_both(self, batch: dict[str, Tensor], causal: Tensor) -> dict[str, _Part]:
        """Returns the objectives of a batch of which some rows (B,) predict the next token, in one forward pass."""
        masked, following = self._masked(batch), next_tokens(batch)
        masked = masked._replace(
            input_ids=torch.where(causal[:, None], batch["input_ids"], masked.input_ids),
            valid=masked.valid & ~causal[:, None],
        )
        following = following._replace(valid=following.valid & causal[:, None])
        hidden_BTH = self.encoder(masked.input_ids, Causal(self.attention_mask(batch), causal))
        self._shape = (*masked.input_ids.shape, masked.positions.shape[1])
        states_BKH = gather(hidden_BTH, (masked.positions - int(self.phase.shift)).clamp(min=0))
        of_masked = self._observed(masked, self._of_valid(states_BKH, masked, ~causal))
        return {"causal": self._of_valid(hidden_BTH[:, :-1], following, causal), "masked": of_masked}

    def _of_valid(self, hidden_BKH: Tensor, asked: Masked, rows: Tensor) -> _Part:
        """Returns the loss of the valid tokens, which are those of some of the rows (B,)."""
        loss, right, count = token_loss(self.head, *only_valid(hidden_BKH, asked))
        return _Part(loss, at_positions(right, asked.valid), count, rows.sum())

    def _masked(self, batch: dict[str, Tensor]) -> Masked:
        assert self.masker is not None
        return self.masker(batch, self.progress())

    def _observed(self, masked: Masked, part: _Part) -> _Part:
        assert self.masker is not None
        self.masker.observe(masked, part.right)
        return part

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        assert self.masker is not None
        length, device = len(step["input_ids"]), step["input_ids"].device
        causal = self.causal_rows(step)
        rows = torch.full((length,), causal, device=device) if isinstance(causal, bool) else causal
        masked = torch.zeros((), device=device)
        if causal is not True:
            masked = (self.masker.select(step, self.progress()).valid & ~rows[:, None]).sum()
        return {
            "causal": (next_tokens(step).valid & rows[:, None]).sum(),
            "masked": masked,
            "causal_rows": rows.sum(),
            "masked_rows": (~rows).sum(),
            "rows": torch.full((), length, device=device),
        }

    def _validate(self, batch: dict[str, Tensor], masker: Masker) -> None:
        super()._validate(batch, masker)
        if self.causal_means is not None and self._counts(batch):
            loss, _, count = self._next_token_loss(batch)
            self.causal_means.update({"loss": loss}, count)

    def evaluation_metrics(self, split: str) -> dict[str, Tensor]:
        found = super().evaluation_metrics(split)
        if self.causal_means is not None and self.evaluation_masker is not None:
            found[CAUSAL_LOSS.name] = self.causal_means.compute()["loss"]
        return found

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        if (loss := metrics.get(f"{split}/{CAUSAL_LOSS.name}")) is not None:
            console().print(f"\n{split.capitalize()}: next token, loss {loss:.4f} nats")
        super().report(split, metrics, data, folder)


def next_tokens(batch: dict[str, Tensor]) -> Masked:
    """Returns a batch that is not masked, and each of its tokens that could be masked as a target, (B, T - 1).

    Hidden states (B, T - 1) before them are those of all positions but the last.
    """
    ids = batch["input_ids"]
    positions = torch.arange(1, ids.shape[1], device=ids.device).expand(len(ids), -1)
    return Masked(ids, positions, ids[:, 1:], batch["words"][:, 1:] >= 0)


def _reads_causally(phases: list[Phase]) -> bool:
    return any(phase.causal_share > 0 for phase in phases)

"""Translation by a masked model (CMLM; Ghazvininejad et al., 2019, arXiv:1904.09324)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from maskwright.core import hashing
from maskwright.core.distributed import gather
from maskwright.core.errors import UserError
from maskwright.core.types import PositiveCount, Rate, Share
from maskwright.data.corpus import Corpus
from maskwright.data.label_spec import LabelSpec
from maskwright.masking import Corruption, Masked, Masker, Sampled, Tokens, Uniform, Vocabulary
from maskwright.masking.protocols import Ratio
from maskwright.models.cooccurrence import begins_with_counts
from maskwright.models.encoder import types_of
from maskwright.models.flops import forward_flops
from maskwright.models.layers.attention_mask import source_first
from maskwright.reports import translations
from maskwright.tasks.drafts import Sources, drafts
from maskwright.tasks.mask_predict import mask_predict
from maskwright.tasks.means import Means
from maskwright.tasks.spec import Baseline, Metric, TaskSpec
from maskwright.tasks.target_length import TargetLength
from maskwright.tasks.task import Task
from maskwright.tasks.token_prediction import MEANS, METRICS, head_flops, share, token_metrics

_TARGET = 0x746172676574  # "target": its masks are drawn independently of those of the source
_EVALUATION = 0  # the seed of the masks of all evaluations, whatever that of the run is
_LOGITS_AT_ONCE = 2**25  # numbers: 128 MiB
_SIZES = (16, 32, 48)  # FLOPs are a quadratic polynomial of the length, which three values determine
# what a batch says of each position that is neither a unit nor a weight of masks
_NO_UNITS = ("input_ids", "documents", "token_types", "attention_mask")


class Translated(NamedTuple):
    """The translations of a batch.

    Attributes:
        ids: the tokens of each.
        scores: their mean log-probability, by which the best of several lengths is chosen.
    """

    ids: list[list[int]]
    scores: list[float]


class Translation(Task):
    """Predicts the second text of each pair from the first.

    Both stand in one row. In training, tokens of the target are masked, and predicted from the source and from the
    other tokens of the target. To translate, `mask_predict` writes a target of a length that was predicted before.

    The source does not see the target (`source_first`). So the length is predicted from the hidden state of the
    first token in the same pass as the tokens, and depends on nothing that is unknown when a text is translated.

    Args:
        head: for masked tokens, see `MaskedLanguageModeling`.
        labels: of the data, which are translations.
        masker: masks tokens of the source in training.
        ratio: the share of a target's tokens that are masked, at least one; None draws one for each example
            uniformly between 0 and 1.
        label_smoothing: the share of the probability of a token that is spread over the vocabulary in training.
        length_weight: the weight of the loss of the length.
        length_range: the largest difference between the lengths of source and target, see `TargetLength`.
        iterations: how often tokens of a translation are predicted.
        length_candidates: how many of the likeliest lengths are tried; the best translation is taken.
        test_iterations: other numbers of iterations that a test is done with as well.
        validation_texts: how many texts are translated at each validation of a training run.
        bleu_tokenizer: how sacrebleu splits text into words; 13a suits languages with blanks between them.
        task: see `Task`.
    Raises:
        ValueError: the encoder cannot hide the target from the source, or the mask learns from what is predicted.
    """

    label_kind = "translation"
    metrics: ClassVar[tuple[Metric, ...]] = (
        *METRICS,
        Metric("length_accuracy", "max"),
        Metric("bleu", "max"),
        Metric("chrf", "max"),
    )
    primary = "bleu"
    averaged = MEANS
    label_weights: ClassVar[tuple[str, ...]] = ("length.",)
    fixed_settings = (*Task.fixed_settings, "length_range")
    head: nn.Module
    masker: Masker
    labels: LabelSpec

    def __init__(
        self,
        head: nn.Module,
        labels: LabelSpec,
        masker: Masker,
        ratio: Ratio | None = None,
        label_smoothing: Share = 0.1,
        length_weight: Rate = 0.1,
        length_range: PositiveCount = 40,
        iterations: PositiveCount = 4,
        length_candidates: PositiveCount = 3,
        test_iterations: Sequence[PositiveCount] = (),
        validation_texts: PositiveCount = 200,
        bleu_tokenizer: str = "13a",
        **task: Any,
    ):
        super().__init__(masker=masker, **task)
        if begins_with_counts(self.encoder):
            # the neighbours of a hidden token of a target are mostly hidden too
            self.encoder.initial_embeddings = "random"
        if not self.encoder.keeps_documents_apart:
            raise ValueError(
                f"{type(self.encoder).__name__} cannot hide the target from the source in its row; take "
                "model=transformer"
            )
        if masker.learns:
            raise ValueError(
                f"{type(masker.weights).__name__} learns from which masked tokens are predicted correctly, but "
                "those of the source are not predicted; choose another mask"
            )
        self.head, self.labels = head, labels
        self.length = TargetLength(self.encoder.hidden_size, length_range)
        self.length_means = Means(("length_accuracy",))
        self.label_smoothing, self.length_weight = label_smoothing, length_weight
        self.iterations, self.length_candidates = iterations, length_candidates
        self.test_iterations = tuple(test_iterations)
        self.validation_texts, self.bleu_tokenizer = validation_texts, bleu_tokenizer
        ratio = ratio or Sampled("uniform", 0.0, 1.0)
        self.target_masker = _of_targets(masker, ratio, masker.seed)
        self.evaluation_target_masker = _of_targets(masker, ratio, _EVALUATION)
        self._seen: dict[int, dict[int, list[int]]] = {}  # ids, by iterations and the number of the text
        self.translated: dict[int, list[str]] = {}  # of the last evaluation, by iterations
        self._shape = 0, 0, 0  # B, T and K of the last training step
        self._polynomials: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def spec(cls, settings: Mapping[str, Any]) -> TaskSpec:
        return replace(super().spec(settings), predicts_tokens=True, translates=True)

    # Training

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        progress, present = self.progress(), batch["weight"][0]  # 0 where the rows only fill in
        masked = self.target_masker(only(batch, ~is_source(batch)), progress)
        if self.masker.masks:
            hidden_source = self.masker(only(batch, is_source(batch)), progress).input_ids
            ids = torch.where(is_source(batch), hidden_source, masked.input_ids)
            masked = masked._replace(input_ids=ids)
        self._shape = (*masked.input_ids.shape, masked.positions.shape[1])
        loss, length_loss, right, _ = self._losses(batch, masked, self.label_smoothing)
        count = masked.valid.sum()
        tokens = self.weigh("tokens", count * present)
        rows = self.weigh("rows", present * len(right))
        self.log_step("token_loss", loss * tokens)
        self.log_step("length_loss", length_loss * rows)
        return loss * tokens + self.length_weight * length_loss * rows, share(right, count) * tokens

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        count = self.target_masker.select(only(step, ~is_source(step)), self.progress()).valid.sum()
        rows = torch.full_like(count, len(step["targets"]))
        return {name: total * step["weight"][0] for name, total in {"tokens": count, "rows": rows}.items()}

    def _losses(
        self, batch: dict[str, Tensor], masked: Masked, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the losses of tokens and of lengths, which tokens are right (B, K), and which lengths (B,)."""
        first = torch.zeros_like(masked.positions[:, :1])
        hidden = self.encoder(
            masked.input_ids,
            source_first(_real(batch), batch["begins"]),
            torch.cat([first, masked.positions], dim=1),
            **types_of(self.encoder, batch),
        )
        options = {"smoothing": smoothing} if smoothing else {}
        loss, right = self.head.loss(hidden[:, 1:], masked.targets, masked.valid, **options)  # type: ignore[operator]
        length_loss, right_length = self.length.loss(hidden[:, 0], batch["source_tokens"], batch["targets"])
        return loss, length_loss, right & masked.valid, right_length

    # Translating

    @torch.no_grad()
    def translate(
        self, sources: Sources, sep_id: int, longest: int, iterations: int, length_candidates: int
    ) -> Translated:
        """Returns the translations of texts.

        Args:
            sep_id: the id of the separator that ends a row.
            longest: the most positions of a row.
            iterations, length_candidates: see the class.
        """
        real = torch.arange(sources.input_ids.shape[1], device=self.device) < sources.begins[:, None]
        first = torch.zeros_like(sources.begins)[:, None]
        types = types_of(self.encoder, {"token_types": sources.token_types})
        hidden = self.encoder(sources.input_ids, source_first(real, sources.begins), first, **types)[:, 0]
        room = (longest - 1 - sources.begins).clamp(min=1)
        lengths, possible = self.length.candidates(hidden, sources.tokens, room, length_candidates)
        number = lengths.shape[1]
        at_once = max(_LOGITS_AT_ONCE // (number * int(lengths.max()) * self.encoder.embedding.weight.shape[0]), 1)
        ids: list[list[int]] = []
        scores: list[float] = []
        for start in range(0, len(lengths), at_once):
            rows = slice(start, start + at_once)
            own = Sources(*(tensor[rows] for tensor in sources)).repeated(number)
            draft = drafts(own, lengths[rows].flatten(), self.masker.mask_id, sep_id)
            types = types_of(self.encoder, {"token_types": draft.token_types})

            def predict(written: Tensor, positions: Tensor, draft: Any = draft, types: Any = types) -> Tensor:
                hidden = self.encoder(written, draft.attention_mask, positions, **types)
                logits = self.head(hidden).float()
                allowed = torch.full_like(logits[0, 0], -torch.inf)
                allowed[self.masker.ordinary_ids] = 0
                return logits.log_softmax(-1) + allowed

            written, certainty = mask_predict(predict, draft.input_ids, draft.free, self.masker.mask_id, iterations)
            means = certainty.sum(1) / draft.free.sum(1)
            means = means.view(-1, number).masked_fill(~possible[rows], -torch.inf)
            best = means.argmax(1) + number * torch.arange(len(means), device=means.device)
            ids += [written[row][draft.free[row]].tolist() for row in best.tolist()]
            scores += means.max(1).values.tolist()
        return Translated(ids, scores)

    # Evaluation

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        masked = self.evaluation_target_masker(only(batch, ~is_source(batch)))
        loss, _, right, right_length = self._losses(batch, masked)
        count = masked.valid.sum()
        self.means.update({"loss": loss, "accuracy": share(right, count)}, count)
        rows = torch.full_like(count, len(right_length))
        self.length_means.update({"length_accuracy": right_length.float().mean()}, rows)
        self._translate(batch)

    def _translate(self, batch: dict[str, Tensor]) -> None:
        """Translates those texts of an evaluation batch that are to be translated."""
        texts, training = batch["texts"], self._is_training
        chosen = texts < self.validation_texts if training else torch.ones_like(texts, dtype=torch.bool)
        if not chosen.any():
            return
        needed = ("input_ids", "token_types", "begins", "source_tokens", "texts")
        own = {name: batch[name][chosen] for name in needed}
        sep_id = int(batch["input_ids"][0, batch["begins"][0] + batch["targets"][0]])
        longest = self.trainer.datamodule.block_size  # type: ignore[attr-defined]
        others = () if training else self.test_iterations
        for iterations in dict.fromkeys((self.iterations, *others)):
            found = self.translate(Sources.of(own), sep_id, longest, iterations, self.length_candidates)
            seen = self._seen.setdefault(iterations, {})
            seen |= dict(zip(own["texts"].tolist(), found.ids, strict=True))

    @property
    def _is_training(self) -> bool:
        """Whether an evaluation is one of those during a training run."""
        return self.trainer.state.fn == TrainerFn.FITTING

    def evaluation_metrics(self, split: str) -> dict[str, Any]:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        references = data.targets(split)
        of_tokens: dict[str, Any] = token_metrics(self.means.compute()) | self.length_means.compute()
        seen = gather(self._seen)
        self._seen, self.translated = {}, {}
        if not any(seen):
            raise UserError(
                f"task.validation_texts={self.validation_texts} leaves no text to translate. Raise it, or "
                "trainer.limit_val_batches."
            )
        for iterations in dict.fromkeys(chain.from_iterable(seen)):  # a rank may have had no text
            ids = {number: own for rank in seen for number, own in rank.get(iterations, {}).items()}
            texts = [data.tokenizer.decode(ids[number]).strip() for number in sorted(ids)]
            self.translated[iterations] = texts
            found = translations.scores(texts, [references[number] for number in sorted(ids)], self.bleu_tokenizer)
            if iterations == self.iterations:
                of_tokens |= found
            if iterations in self.test_iterations and not self._is_training:
                of_tokens |= {f"{name}_{iterations}": value for name, value in found.items()}
        return of_tokens

    def baseline(self, data: Corpus) -> Baseline:
        return Baseline(data.tokens["train"].unigram_entropy, "unigram entropy, nats (guessing by frequency)")

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        """Also prints BLEU by iterations and a few translations, and writes all into `predictions.jsonl`."""
        super().report(split, metrics, data, folder)
        sources, references = data.texts(split), data.targets(split)  # type: ignore[attr-defined]
        by_iterations = {n: metrics[f"{split}/bleu_{n}"] for n in self.test_iterations if n in self.translated}
        rows = translations.rows(sources, references, self.translated[self.iterations])
        translations.report(rows, by_iterations, folder, self.trainer)

    def training_flops(self) -> int:
        """See `Task`. FLOPs that depend on the data count as 0."""
        rows, length, positions = self._shape
        if self._polynomials is None:
            one, two = (np.array([self._count(size, number) for size in _SIZES]) for number in (1, 2))
            self._polynomials = np.polyfit(_SIZES, one, 2), np.polyfit(_SIZES, two - one, 2)
        first, further = (float(np.polyval(polynomial, length)) for polynomial in self._polynomials)
        of_head = head_flops(self.to_count("head"), rows, positions, self.encoder.hidden_size)
        return 3 * (round(rows * (first + positions * further)) + of_head)

    def _count(self, length: int, positions: int) -> int:
        asked, row = torch.zeros(1, positions, dtype=torch.long), torch.zeros(1, length, dtype=torch.long)
        try:
            return forward_flops(self.to_count("encoder"), row, None, asked)
        except (RuntimeError, NotImplementedError):
            return 0


def is_source(batch: dict[str, Tensor]) -> Tensor:
    """Returns which positions (B, T) are before the target."""
    position = torch.arange(batch["input_ids"].shape[1], device=batch["input_ids"].device)
    return position < batch["begins"][:, None]


def only(batch: dict[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """Returns a batch of whose tokens only those at the chosen positions (B, T) may be masked.

    The other tokens belong to no unit, and their weights are 0.
    """
    left = dict(batch)
    for name, values in batch.items():
        if name not in _NO_UNITS and isinstance(values, Tensor) and values.shape == chosen.shape:
            left[name] = values.masked_fill(~chosen, 0 if values.is_floating_point() else -1)
    return left


def _of_targets(masker: Masker, ratio: Ratio, seed: int) -> Masker:
    """Returns what masks single tokens of targets."""
    vocabulary = Vocabulary(0, masker.mask_id, masker.ordinary_ids.tolist())
    drawn = hashing.start(seed, _TARGET)
    return Masker(Tokens(), Uniform(), ratio, Corruption(1.0, 0.0, 0.0), vocabulary, drawn, masker.dynamic)


def _real(batch: dict[str, Tensor]) -> Tensor:
    seen = batch.get("attention_mask")
    return torch.ones_like(batch["input_ids"], dtype=torch.bool) if seen is None else seen

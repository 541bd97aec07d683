"""What is exported: an encoder and one head as a module with plain tensors for arguments.

Shapes: B rows, T positions, K of them, C outputs of a head, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.core.hub import first_line
from maskwright.data.label_spec import LabelSpec
from maskwright.models import BigramHead, Encoder, read_by
from maskwright.models.layers.crf import LinearChainCRF
from maskwright.models.layers.gather import gather
from maskwright.text.tokenizer import Tokenizer

Kind = Literal["tokens", "class", "labels", "value", "tags", "answers"]
INPUTS: dict[str, tuple[str, ...]] = {
    "tokens": ("input_ids", "attention_mask", "positions"),
    "class": ("input_ids", "attention_mask"),
    "labels": ("input_ids", "attention_mask"),
    "value": ("input_ids", "attention_mask"),
    "tags": ("input_ids", "attention_mask", "positions"),
    "answers": ("input_ids", "attention_mask"),
}
"""The arguments of the modules below by what they predict, all int64: ids (B, T), 1 at tokens and 0 at padding
(B, T), and positions (B, K). Tags that depend on the case of words take `cases` (B, K) too, and what is predicted
of pairs of texts the types of their tokens, `token_type_ids` (B, T), where the encoder has any."""


class TokenLogits(nn.Module):
    """Logits (B, K, V) of the tokens at masked positions."""

    def __init__(self, encoder: Encoder, head: nn.Module):
        super().__init__()
        self.encoder, self.head = encoder, head
        if isinstance(head, BigramHead):
            head.bigrams.prepare()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, positions: Tensor) -> Tensor:
        return self.head(read_by(self.head, self.encoder)(input_ids, attention_mask.bool(), positions))


class TextOutputs(nn.Module):
    """Logits (B, C) of the classes or labels of a text, or of a pair, or its value (B, 1)."""

    def __init__(self, task: Any):
        super().__init__()
        self.encoder, self.pool, self.output = task.encoder, task.pool, task.output
        self.scale = (task.deviation, task.mean) if task.labels.kind == "value" else None

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        seen = attention_mask.bool()
        first = input_ids.new_zeros(len(input_ids), 1) if self.pool.kind == "cls" else None
        types = {} if token_type_ids is None else {"token_types": token_type_ids}
        outputs = self.output(self.pool(self.encoder(input_ids, seen, first, **types), seen)).float()
        return outputs if self.scale is None else outputs * self.scale[0] + self.scale[1]


class WordLogits(nn.Module):
    """Scores (B, K, C) of the tags of words, each read at its first token. With a CRF they are its emissions."""

    def __init__(self, task: Any):
        super().__init__()
        self.encoder, self.case, self.output = task.encoder, task.case, task.output

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, positions: Tensor, cases: Tensor | None = None
    ) -> Tensor:
        hidden = gather(self.encoder(input_ids, attention_mask.bool()), positions)
        if self.case is not None:
            hidden = torch.cat([hidden, self.case(cases)], -1)
        return self.output(hidden).float()


class SpanLogits(nn.Module):
    """Logits (B, T, 2) of where an answer begins and ends, at all positions."""

    def __init__(self, task: Any):
        super().__init__()
        self.encoder, self.output = task.encoder, task.output

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        types = {} if token_type_ids is None else {"token_types": token_type_ids}
        return self.output(self.encoder(input_ids, attention_mask.bool(), **types)).float()


@dataclass(frozen=True)
class Exportable:
    """An encoder with one head, in evaluation mode on the CPU in float32, and what belongs to them.

    Attributes:
        kind: what the head predicts.
        module: of `TokenLogits`, `TextOutputs`, `WordLogits` or `SpanLogits`.
        labels: of the head; None where it predicts tokens.
        max_length: the most positions of a row, special tokens included; None if there is no limit.
        about: what describes it: its `name`, the settings of its `model`, `facts` by their titles, its `license`.
        reading: how texts are cleaned (`cleaning`) and cut into rows, see `data.unlabelled.rows_of_inputs`.
        crf: what makes sequences of tags of the scores of words; None if the best score of each word wins.
        paired: whether something is predicted of pairs of texts, or of a question and a context.
    """

    kind: Kind
    module: nn.Module
    encoder: Encoder
    tokenizer: Tokenizer
    labels: LabelSpec | None = None
    max_length: int | None = None
    crf: LinearChainCRF | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    paired: bool = False

    @property
    def inputs(self) -> Sequence[str]:
        """The names of the module's arguments, in order."""
        cases = ("cases",) if getattr(self.module, "case", None) is not None else ()
        return (*INPUTS[self.kind], *cases, *(("token_type_ids",) if self.has_types else ()))

    @property
    def has_types(self) -> bool:
        """Whether the module reads which text of a pair a token is of."""
        return self.paired and self.encoder.token_types > 0


def refuse_pairs(form: str, own: Exportable) -> None:
    """Raises a UserError if something is predicted of pairs of texts, which programs of this format do not read."""
    if own.paired:
        raise UserError(
            f"format={form} is written for single texts alone, and this run learned from pairs. Set format=hf, "
            "which writes what reads two."
        )


def untraceable(form: str, own: Exportable, error: BaseException) -> UserError:
    """Returns the error of a model that PyTorch cannot trace, which says why: `error`, or what caused it."""
    while error.__cause__ is not None:  # exporters put advice for their own developers around it
        error = error.__cause__
    return UserError(
        f"format={form} cannot express a model of the class {type(own.encoder).__name__}, which PyTorch cannot "
        f"trace: {first_line(error)}"
    )

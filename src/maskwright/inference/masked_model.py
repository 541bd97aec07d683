"""A masked language model as something that is asked which tokens stand at which positions.

Shapes: B rows, T positions, K of them, N asked positions of a batch, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.data.batching import cut_by_budget
from maskwright.inference.text_rows import Encoded
from maskwright.models import Encoder
from maskwright.text.tokenizer import Tokenizer

Long = Literal["refuse", "windows"]  # what is done with a text that does not fit in a row

TOKENS_PER_BATCH = 4096
_LOGITS_AT_ONCE = 2**25  # numbers: 128 MiB


class Query(NamedTuple):
    """One row, and what is asked about it.

    Attributes:
        ids: (T,) int64, special tokens included, see `MaskedModel.row`. Queries may share it.
        hidden: positions that show the mask token.
        asked: positions at which tokens are predicted.
    """

    ids: np.ndarray
    hidden: Sequence[int] | np.ndarray
    asked: Sequence[int] | np.ndarray


@dataclass(frozen=True)
class MaskedModel:
    """An encoder with its head for masked tokens and its tokenizer.

    Args:
        encoder, head: in evaluation mode, on one device.
        max_length: the most positions of a row, special tokens included; None if there is no limit.
        tokens_per_batch: positions of a forward pass, padding included.
        autocast: makes the context of a forward pass.
    """

    encoder: Encoder
    head: nn.Module
    tokenizer: Tokenizer
    max_length: int | None = None
    tokens_per_batch: int = TOKENS_PER_BATCH
    autocast: Callable[[], AbstractContextManager] = nullcontext

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    @property
    def room(self) -> int | None:
        """The most tokens of a text in a row."""
        return None if self.max_length is None else self.max_length - 2

    def encode(self, texts: Sequence[str], long: Long = "windows") -> list[Encoded]:
        """Returns texts as tokens.

        Args:
            long: `refuse` raises an error for a text that does not fit in a row.
        Raises:
            UserError: there is one.
        """
        found = [
            Encoded(text, *arrays)
            for text, arrays in zip(texts, self.tokenizer.encode(texts, offsets=True), strict=True)
        ]
        most = max((text for text in found), key=lambda text: len(text.ids), default=None)
        if long == "refuse" and most is not None and self.room is not None and len(most.ids) > self.room:
            instead = "Shorten it, or set long=windows, which reads it in overlapping windows."
            raise too_long(most.text, len(most.ids), self.room, instead)
        return found

    def row(self, ids: np.ndarray) -> np.ndarray:
        """Returns tokens between the special tokens at both ends of a row; the first of them is at position 1."""
        return np.concatenate([[self.tokenizer.cls_id], ids, [self.tokenizer.sep_id]])

    @torch.inference_mode()
    def logits(self, queries: Sequence[Query]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yields, batch by batch, the float32 logits of what is asked.

        Rows of similar length share a batch, so the answers come in another order than the queries.

        Yields:
            `(numbers, logits)`: (N,) the numbers of the asked positions, counted over `queries` in order, and
            (N, V) their logits. With one position asked in each, they are the numbers of the queries.
        """
        lengths = np.array([len(query.ids) for query in queries], dtype=np.int64)
        counts = np.array([len(query.asked) for query in queries], dtype=np.int64)
        firsts = np.cumsum(counts) - counts
        order = np.lexsort((-counts, -lengths))
        order = order[counts[order] > 0]
        for batch in cut_by_budget(order, lengths, self.tokens_per_batch):
            rows = [queries[number] for number in batch]
            valid = np.arange(counts[batch].max()) < counts[batch][:, None]
            numbers = (firsts[batch][:, None] + np.arange(valid.shape[1]))[valid]
            hidden = self._hidden(rows, valid)
            step = max(_LOGITS_AT_ONCE // len(self.tokenizer), 1)
            for first in range(0, len(numbers), step):
                with self.autocast():
                    logits = self.head(hidden[None, first : first + step])[0]
                yield numbers[first : first + step], logits.float()

    def _hidden(self, rows: Sequence[Query], valid: np.ndarray) -> Tensor:
        """Returns the hidden states (N, H) at the asked positions of the rows of a batch.

        Args:
            valid: (B, K) bool, which of K positions each row has.
        """
        length = max(len(row.ids) for row in rows)
        ids = np.full((len(rows), length), self.tokenizer.pad_id, dtype=np.int64)
        positions = np.zeros(valid.shape, dtype=np.int64)
        seen = np.zeros(ids.shape, dtype=bool)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = row.ids
            ids[number, row.hidden] = self.tokenizer.mask_id if len(row.hidden) else 0
            positions[number, : len(row.asked)] = row.asked
            seen[number, : len(row.ids)] = True
        mask = None if seen.all() else torch.from_numpy(seen).to(self.device)
        with self.autocast():
            found = self.encoder(
                torch.from_numpy(ids).to(self.device), mask, torch.from_numpy(positions).to(self.device)
            )
        return found[torch.from_numpy(valid).to(self.device)]


def too_long(text: str, tokens: int, room: int, instead: str) -> UserError:
    """Returns the error of a text that does not fit in a row.

    Args:
        room: the most tokens of a text in a row.
        instead: what to do, as a sentence.
    """
    return UserError(
        f"The text {shortened(text)} has {tokens:,} tokens, but the model reads rows of {room:,}. {instead}"
    )


def shortened(text: str, length: int = 60) -> str:
    """Returns the beginning of a text in quotes, for messages."""
    return repr(text if len(text) <= length else f"{text[:length]}…")

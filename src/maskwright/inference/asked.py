"""What a masked language model is asked, whatever computes the answers.

Shapes: B rows, T positions, K of them, N asked positions of a batch, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from maskwright.data.batching import cut_by_budget
from maskwright.text.text_rows import Encoded, Long, encode
from maskwright.text.tokenizer import Tokenizer

TOKENS_PER_BATCH = 4096


class Query(NamedTuple):
    """One row, and what is asked about it.

    Attributes:
        ids: (T,) int64, special tokens included, see `AskedModel.row`. Queries may share it.
        hidden: positions that show the mask token.
        asked: positions at which tokens are predicted.
    """

    ids: np.ndarray
    hidden: Sequence[int] | np.ndarray
    asked: Sequence[int] | np.ndarray


class Batch(NamedTuple):
    """Queries of similar length as rows.

    Attributes:
        numbers: (N,) the numbers of the asked positions, counted over all queries in order.
        ids, seen: (B, T) int64, and bool, False at padding.
        positions, valid: (B, K) int64, the asked positions of each row, and bool, how many it has.
    """

    numbers: np.ndarray
    ids: np.ndarray
    seen: np.ndarray
    positions: np.ndarray
    valid: np.ndarray


class AskedModel:
    """A masked language model with its tokenizer.

    Attributes:
        max_length: the most positions of a row, special tokens included; None if there is no limit.
        tokens_per_batch: positions of a forward pass, padding included.
    """

    tokenizer: Tokenizer
    max_length: int | None
    tokens_per_batch: int

    # Methods for subclasses to implement

    def best(self, queries: Sequence[Query], ids: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the most probable tokens at each asked position, counted over `queries` in order.

        Args:
            ids: (I,) int64, those that are chosen from.
            number: how many of them.
        Returns:
            Their ids (N, number) int64, most probable first, and their log-probabilities over all tokens in nats
            (N, number) float32.
        """
        raise NotImplementedError

    def log_probabilities(self, queries: Sequence[Query], ids: np.ndarray) -> np.ndarray:
        """Returns (N,) float32, the log-probability in nats of a token (N,) at each asked position; see `best`."""
        raise NotImplementedError

    # Methods that subclasses share

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
        return encode(texts, self.tokenizer, self.room, long)

    def row(self, ids: np.ndarray) -> np.ndarray:
        """Returns tokens between the special tokens at both ends of a row; the first of them is at position 1."""
        return np.concatenate([[self.tokenizer.cls_id], ids, [self.tokenizer.sep_id]])

    def batches(self, queries: Sequence[Query]) -> Iterator[Batch]:
        """Yields queries as batches; those of similar length share one, so they come in another order."""
        lengths = np.array([len(query.ids) for query in queries], dtype=np.int64)
        counts = np.array([len(query.asked) for query in queries], dtype=np.int64)
        firsts = np.cumsum(counts) - counts
        order = np.lexsort((-counts, -lengths))
        order = order[counts[order] > 0]
        for chosen in cut_by_budget(order, lengths, self.tokens_per_batch):
            valid = np.arange(counts[chosen].max()) < counts[chosen][:, None]
            numbers = (firsts[chosen][:, None] + np.arange(valid.shape[1]))[valid]
            yield Batch(numbers, *self._rows([queries[number] for number in chosen], valid), valid)

    def _rows(self, queries: Sequence[Query], valid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        length = max(len(query.ids) for query in queries)
        ids = np.full((len(queries), length), self.tokenizer.pad_id, dtype=np.int64)
        positions = np.zeros(valid.shape, dtype=np.int64)
        seen = np.zeros(ids.shape, dtype=bool)
        for number, query in enumerate(queries):
            ids[number, : len(query.ids)] = query.ids
            ids[number, query.hidden] = self.tokenizer.mask_id if len(query.hidden) else 0
            positions[number, : len(query.asked)] = query.asked
            seen[number, : len(query.ids)] = True
        return ids, seen, positions

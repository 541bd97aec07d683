"""Tokens as rows between [CLS] and [SEP]: a corpus packed into blocks of one length, or one text in each row.

For blocks, all documents, each closed by [SEP], follow one another; block b shows the b-th stretch of T - 2 tokens
between a [CLS] and a [SEP] (the FULL-SENTENCES format of RoBERTa, Liu et al., 2019). A long document continues in
the next block; no token is lost, and none is in two blocks. The last block is padded.
"""

from collections.abc import Sequence

import numpy as np

from maskwright.text.joined import Joined
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import WORD_START, Tokens


class PackedBlocks:
    """Blocks of `block_size` positions, read from disk on demand.

    Args:
        annotations: (N,) of all tokens, by name.
        runs: the tokens [first, last) of each run of documents whose blocks are cut apart from those of the others;
            None packs all documents together.
    Attributes:
        sizes: the number of blocks of each run; they follow one another.
    """

    def __init__(
        self,
        tokens: Tokens,
        tokenizer: Tokenizer,
        block_size: int,
        annotations: dict[str, np.ndarray] | None = None,
        runs: Sequence[tuple[int, int]] | None = None,
    ):
        self.tokens, self.tokenizer, self.block_size = tokens, tokenizer, block_size
        self.annotations = annotations or {}
        edges = np.array([(0, len(tokens.ids))] if runs is None else runs, dtype=np.int64).reshape(-1, 2)
        self._first, self._last = edges.T
        self.sizes = [-(-length // (block_size - 2)) for length in (self._last - self._first).tolist()]
        self._before = np.cumsum([0, *self.sizes])  # blocks of the runs before each

    def __len__(self) -> int:
        return int(self._before[-1])

    def read(self, blocks: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the blocks numbered `blocks` (B,); see `rows_at`."""
        content = self.block_size - 2
        blocks = np.asarray(blocks, dtype=np.int64)
        run = np.searchsorted(self._before[1:], blocks, side="right")
        begin = self._first[run] + (blocks - self._before[run]) * content
        index = begin[:, None] + np.arange(content)
        real = index < self._last[run][:, None]
        tokens = self.tokens
        return rows_at(index, real, tokens.ids, tokens.flags, self.annotations, self.tokenizer, packed=True)


def rows_at(
    index: np.ndarray,
    real: np.ndarray,
    ids: np.ndarray | Joined,
    flags: np.ndarray | Joined,
    annotations: dict[str, np.ndarray],
    tokenizer: Tokenizer,
    packed: bool = False,
    inserted: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Returns rows of tokens, each between a [CLS] and a [SEP], padded to the longest.

    Args:
        index: (B, T - 2) which tokens are in each row; anything after its end.
        real: (B, T - 2) bool, False after the end of a row.
        ids, flags: (N,) of all tokens; bit 0 of a flag, or True, marks the start of a word.
        annotations: (N,) of all tokens, by name; those of whole numbers are left out.
        packed: whether a [SEP] among the tokens ends a document; a row is one document otherwise.
        inserted: (B, T - 2) ids of special tokens that stand in the place of tokens, where `real` is True; -1 where
            there are none. A unit begins after each. None inserts none.
    Returns:
        input_ids: (B, T) int64.
        words: (B, T) int64, numbering the words of each row from 0; -1 at special tokens.
        documents: (B, T) int64, numbering the documents of each row from 0; -1 at padding.
        attention_mask: (B, T) bool, False at padding; only where there is any.
        And each annotation under its name, (B, T): units, numbered as `words` are, or float32 weights, 0 at special
        tokens.
    """
    padded = ~real
    index = np.where(real, index, 0)
    shown = np.where(real, ids[index], ids.dtype.type(tokenizer.pad_id))
    between = np.zeros_like(real) if inserted is None else inserted >= 0
    if inserted is not None:
        shown = np.where(between, inserted, shown)
    after = np.pad(between, ((0, 0), (1, 0)))[:, :-1]
    special = tokenizer.is_special[shown] | padded
    closes = shown == tokenizer.sep_id if packed else np.zeros_like(real)
    separates = closes | padded | between
    starts = (flags[index] & WORD_START).astype(bool) | after
    rows = {"words": _frame(number_units(starts, special, separates))}
    for name, numbers in annotations.items():
        if numbers.dtype == bool:
            rows[name] = _frame(number_units(numbers[index] | after, special, separates))
        elif numbers.dtype == np.float32:
            rows[name] = _frame(np.where(special, np.float32(0), numbers[index]))
    row, end = np.arange(len(index)), real.sum(axis=1) + 1  # of the [SEP] that closes each row
    input_ids = _frame(shown, tokenizer.pad_id)
    input_ids[:, 0] = tokenizer.cls_id
    input_ids[row, end] = tokenizer.sep_id
    documents = _frame(np.where(real, np.cumsum(closes, axis=1) - closes, -1))
    documents[:, 0] = 0
    documents[row, end] = documents[row, end - 1]
    rows |= {"input_ids": input_ids, "documents": documents}
    seen = documents >= 0
    return rows if seen.all() else rows | {"attention_mask": seen}


def pair_rows_at(
    index: np.ndarray,
    real: np.ndarray,
    firsts: np.ndarray,
    ids: np.ndarray | Joined,
    flags: np.ndarray | Joined,
    annotations: dict[str, np.ndarray],
    tokenizer: Tokenizer,
) -> dict[str, np.ndarray]:
    """Returns rows of two texts each, laid out as the tokenizer does it; see `PairLayout`.

    Args:
        index: (B, N) which tokens are in each row: those of the first text, then those of the second; anything
            after the end.
        real: (B, N) bool, False after the end of the second text.
        firsts: (B,) how many tokens of each row are of the first text.
        ids, flags, annotations: see `rows_at`.
    Returns:
        What `rows_at` returns, and `token_types` (B, T) int64, 0 at padding.
    """
    layout = tokenizer.pair_layout
    number = len(layout.between)
    column, firsts = np.arange(index.shape[1] + number), firsts[:, None]
    is_first, is_between = column < firsts, (column >= firsts) & (column < firsts + number)
    taken = np.where(is_first, column, np.maximum(column - number, 0))
    taken = np.minimum(taken, max(index.shape[1] - 1, 0))
    source = np.take_along_axis(index, taken, axis=1) if index.shape[1] else np.zeros_like(taken)
    shown = np.take_along_axis(real, taken, axis=1) if index.shape[1] else np.zeros_like(taken, bool)
    shown = shown | is_between
    ids_between = np.array(layout.between)[np.clip(column - firsts, 0, number - 1)]
    inserted = np.where(is_between, ids_between, -1)
    rows = rows_at(source, shown, ids, flags, annotations, tokenizer, inserted=inserted)
    opens, first, between, second, closes = layout.types
    types = np.where(is_first, first, np.where(is_between, between, second))
    framed = _frame(np.where(shown, types, 0), 0)
    framed[:, 0] = opens
    framed[np.arange(len(index)), shown.sum(axis=1) + 1] = closes
    return rows | {"token_types": framed}


def number_units(starts: np.ndarray, special: np.ndarray, separates: np.ndarray) -> np.ndarray:
    """Returns (B, T) int64: the units of each row numbered from 0, -1 at special tokens.

    Args:
        starts: (B, T) bool, where units begin; the first token of a row begins one in any case.
        special: (B, T) bool, tokens that belong to no unit.
        separates: (B, T) bool, tokens that begin no unit although `starts` says so.
    """
    opens = starts & ~separates
    opens[:, :1] = ~separates[:, :1]  # rows may be empty
    return np.where(special, -1, np.cumsum(opens, axis=1) - 1)


def _frame(array: np.ndarray, fill: int = -1) -> np.ndarray:
    """Returns (B, T): an array (B, T - 2) with `fill`, or 0.0 in weights, at both ends of each row."""
    weights = array.dtype == np.float32
    framed = np.full((len(array), array.shape[1] + 2), 0 if weights else fill, array.dtype if weights else np.int64)
    framed[:, 1:-1] = array
    return framed

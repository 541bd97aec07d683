"""Documents packed into blocks of one length.

All documents, each closed by [SEP], stand one behind the other; block b shows the b-th stretch of
T - 2 of them between a [CLS] and a [SEP] (the FULL-SENTENCES format of RoBERTa, Liu et al., 2019).
A long document continues in the next block; no token is lost, none stands in two blocks. The last
block is padded.
"""

import numpy as np

from maskwright.annotations.annotation import Piece
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import WORD_START, Tokens


class PackedBlocks:
    """Blocks of `block_size` positions, read from disk as they are asked for."""

    def __init__(
        self,
        tokens: Tokens,
        tokenizer: Tokenizer,
        block_size: int,
        annotations: dict[str, np.ndarray] | None = None,
    ):
        self.tokens, self.block_size = tokens, block_size
        self.annotations = annotations or {}
        self.pad_id, self.cls_id, self.sep_id = tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id
        self.is_special = tokenizer.is_special

    def __len__(self) -> int:
        return -(-len(self.tokens.ids) // (self.block_size - 2))

    def read(self, blocks: np.ndarray) -> dict[str, np.ndarray]:
        """The blocks numbered `blocks` (B,).

        Returns:
            input_ids: (B, T) int64.
            words: (B, T) int64, numbering the words of each block from 0; -1 at special tokens.
            documents: (B, T) int64, numbering the documents of each block from 0; -1 at padding.
            And each annotation under its name, (B, T): units numbered as `words` are, or float32 weights,
            0 at special tokens.
        """
        content = self.block_size - 2
        index = np.asarray(blocks, dtype=np.int64)[:, None] * content + np.arange(content)
        real = index < len(self.tokens.ids)
        index = np.minimum(index, len(self.tokens.ids) - 1)
        ids = np.where(real, self.tokens.ids[index], self.pad_id)
        special = self.is_special[ids] | ~real
        separates = (ids == self.sep_id) | ~real

        open_units = {"words": (self.tokens.flags[index] & WORD_START).astype(bool)}
        weights: dict[str, np.ndarray] = {}
        for name, numbers in self.annotations.items():
            (open_units if numbers.dtype == bool else weights)[name] = numbers[index]
        inside = {name: number_units(starts, special, separates) for name, starts in open_units.items()}
        inside |= {name: np.where(special, np.float32(0), array) for name, array in weights.items()}
        closed = np.cumsum(ids == self.sep_id, axis=1)
        documents = np.where(real, closed - (ids == self.sep_id), -1)

        rows = len(ids)
        input_ids = np.full((rows, self.block_size), self.pad_id, dtype=np.int64)
        input_ids[:, 0] = self.cls_id
        input_ids[:, 1:-1] = ids
        framed = {name: frame(array) for name, array in inside.items()}
        documents_out = np.full_like(input_ids, -1)
        documents_out[:, 0] = 0
        documents_out[:, 1:-1] = documents
        # the block's own [SEP] stands behind its last token
        last = real.sum(axis=1)
        row = np.arange(rows)
        input_ids[row, last + 1] = self.sep_id
        documents_out[row, last + 1] = documents[row, last - 1]
        return {"input_ids": input_ids, "documents": documents_out} | framed


def number_units(starts: np.ndarray, special: np.ndarray, separates: np.ndarray) -> np.ndarray:
    """(B, T) int64: the units of each row numbered from 0, -1 at special tokens.

    Args:
        starts: (B, T) bool, where units begin; a row begins with one, though it began before.
        special: (B, T) bool, what belongs to no unit.
        separates: (B, T) bool, what is no unit by itself.
    """
    opens = starts & ~separates
    opens[:, :1] = ~separates[:, :1]  # rows may be empty
    return np.where(special, -1, np.cumsum(opens, axis=1) - 1)


def frame(array: np.ndarray) -> np.ndarray:
    """(B, T + 2): with a place before and behind each row for [CLS] and [SEP], which -1 or 0.0 marks."""
    framed = np.zeros((len(array), array.shape[1] + 2), array.dtype)
    if array.dtype != np.float32:
        framed -= 1
    framed[:, 1:-1] = array
    return framed


def rows_at(
    index: np.ndarray,
    real: np.ndarray,
    ids: np.ndarray,
    starts: np.ndarray,
    annotations: dict[str, np.ndarray],
    tokenizer: Tokenizer,
) -> dict[str, np.ndarray]:
    """Rows of tokens, [CLS] before and [SEP] behind each, padded to the longest.

    Args:
        index: (B, T - 2) which tokens stand in each row; anything behind its end.
        real: (B, T - 2) bool, False behind the end of a row.
        ids, starts: (N,) of all tokens, and whether each starts a word.
        annotations: (N,) of all tokens, by name; those of whole numbers are left out.
    Returns:
        What `PackedBlocks.read` does, and `attention_mask` (B, T) bool where rows are padded.
    """
    index = np.where(real, index, 0)
    shown = np.where(real, ids[index], tokenizer.pad_id).astype(np.int64)
    special = tokenizer.is_special[shown] | ~real
    rows = {"words": number_units(starts[index].astype(bool), special, ~real)}
    for name, numbers in annotations.items():
        if numbers.dtype == bool:
            rows[name] = number_units(numbers[index], special, ~real)
        elif numbers.dtype == np.float32:
            rows[name] = np.where(special, np.float32(0), numbers[index])
    rows = {name: frame(array) for name, array in rows.items()}
    lengths = real.sum(axis=1)
    rows["input_ids"] = np.pad(shown, ((0, 0), (1, 1)), constant_values=tokenizer.pad_id)
    rows["input_ids"][:, 0] = tokenizer.cls_id
    rows["input_ids"][np.arange(len(index)), lengths + 1] = tokenizer.sep_id
    seen = np.arange(index.shape[1] + 2) < lengths[:, None] + 2
    rows["documents"] = np.where(seen, 0, -1)
    return rows if seen.all() else rows | {"attention_mask": seen}


def rows_of_piece(piece: Piece, annotations: dict[str, np.ndarray], tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Each document of a piece in a row of its own, as `rows_at`."""
    begins = np.concatenate([[0], piece.ends[:-1]])
    lengths = piece.ends - begins - 1  # the separator is put behind each row
    index = begins[:, None] + np.arange(lengths.max(initial=0))
    real = np.arange(index.shape[1]) < lengths[:, None]
    return rows_at(index, real, piece.ids, piece.starts, annotations, tokenizer)

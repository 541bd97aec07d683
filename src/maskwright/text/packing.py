"""Documents packed into blocks of one length.

All documents, each closed by [SEP], stand one behind the other; block b shows the b-th stretch of
T - 2 of them between a [CLS] and a [SEP] (the FULL-SENTENCES format of RoBERTa, Liu et al., 2019).
A long document continues in the next block; no token is lost, none stands in two blocks. The last
block is padded.
"""

import numpy as np

from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import WORD_START, Tokens


class PackedBlocks:
    """Blocks of `block_size` positions, read from disk as they are asked for."""

    def __init__(self, tokens: Tokens, tokenizer: Tokenizer, block_size: int):
        self.tokens, self.block_size = tokens, block_size
        self.pad_id, self.cls_id, self.sep_id = tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id
        self.is_special = np.zeros(len(tokenizer), dtype=bool)
        self.is_special[tokenizer.special_ids] = True

    def __len__(self) -> int:
        return -(-len(self.tokens.ids) // (self.block_size - 2))

    def read(self, blocks: np.ndarray) -> dict[str, np.ndarray]:
        """The blocks numbered `blocks` (B,).

        Returns:
            input_ids: (B, T) int64.
            words: (B, T) int64, numbering the words of each block from 0; -1 at special tokens.
            documents: (B, T) int64, numbering the documents of each block from 0; -1 at padding.
        """
        content = self.block_size - 2
        index = np.asarray(blocks, dtype=np.int64)[:, None] * content + np.arange(content)
        real = index < len(self.tokens.ids)
        index = np.minimum(index, len(self.tokens.ids) - 1)
        ids = np.where(real, self.tokens.ids[index], self.pad_id)
        special = self.is_special[ids] | ~real
        separates = (ids == self.sep_id) | ~real

        starts = (self.tokens.flags[index] & WORD_START).astype(bool)
        starts[:, 0] = True  # a word that the previous block began
        words = np.where(special, -1, np.cumsum(starts & ~separates, axis=1) - 1)
        closed = np.cumsum(ids == self.sep_id, axis=1)
        documents = np.where(real, closed - (ids == self.sep_id), -1)

        rows = len(ids)
        input_ids = np.full((rows, self.block_size), self.pad_id, dtype=np.int64)
        input_ids[:, 0] = self.cls_id
        input_ids[:, 1:-1] = ids
        words_out = np.full_like(input_ids, -1)
        words_out[:, 1:-1] = words
        documents_out = np.full_like(input_ids, -1)
        documents_out[:, 0] = 0
        documents_out[:, 1:-1] = documents
        # the block's own [SEP] stands behind its last token
        last = real.sum(axis=1)
        row = np.arange(rows)
        input_ids[row, last + 1] = self.sep_id
        documents_out[row, last + 1] = documents[row, last - 1]
        return {"input_ids": input_ids, "words": words_out, "documents": documents_out}

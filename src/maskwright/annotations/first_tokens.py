"""Which token represents each word of a corpus of tagged words: its first."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.annotations.annotation import Annotate, BaseAnnotation
from maskwright.annotations.shards import Shard
from maskwright.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class FirstTokens(BaseAnnotation):
    """For the first token of each word, the number of the word in its text, from 0; -1 for all other tokens.

    A word of which the tokenizer leaves nothing has no token.
    """

    name = "first_tokens"
    kind = "numbers"
    reads_text = True

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        return self.annotate

    def annotate(self, shard: Shard) -> np.ndarray:
        """(N,) int32."""
        assert shard.marks is not None
        assert shard.offsets is not None
        numbers = np.full(len(shard.ids), -1, np.int32)
        begin = 0
        for marks, end in zip(shard.marks, shard.ends.tolist(), strict=True):
            assert marks is not None
            first, last = np.array(marks.words, np.int64).reshape(-1, 2).T
            offsets = shard.offsets[begin : end - 1]
            # the first token that ends after the word begins
            token = np.searchsorted(offsets[:, 1], first, side="right")
            word = np.flatnonzero((token < len(offsets)) & (first < last))
            word = word[offsets[token[word], 0] < last[word]]
            numbers[begin + token[word]] = word
            begin = end
        return numbers

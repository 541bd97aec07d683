"""Which token stands for each word of a corpus of tagged words: its first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.annotations.annotation import Annotate, Piece
from maskwright.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class FirstPieces:
    """Numbers: that of the word, counted from 0 in its text, whose first token a token is; -1 at all others.

    A word that the tokenizer leaves nothing of has no token.
    """

    name = "first_pieces"
    kind = "numbers"
    reads_text = True

    def settings(self) -> Any:
        return []

    def learn(self, folder: Path, pieces: Callable[[], Iterator[Piece]], tokenizer: Tokenizer) -> None:
        """There is nothing to learn."""

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        return self.annotate

    def annotate(self, piece: Piece) -> np.ndarray:
        """(N,) int32."""
        assert piece.marks is not None
        assert piece.offsets is not None
        numbers = np.full(len(piece.ids), -1, np.int32)
        begin = 0
        for marks, end in zip(piece.marks, piece.ends.tolist(), strict=True):
            assert marks is not None
            first, last = np.array(marks.words, np.int64).reshape(-1, 2).T
            offsets = piece.offsets[begin : end - 1]
            token = np.searchsorted(
                offsets[:, 1], first, side="right"
            )  # the first that ends behind the word's start
            word = np.flatnonzero((token < len(offsets)) & (first < last))
            word = word[offsets[token[word], 0] < last[word]]
            numbers[begin + token[word]] = word
            begin = end
        return numbers

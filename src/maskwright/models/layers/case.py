"""The case of words, for encoders whose tokenizer lowercases (Collobert et al., 2011, section 4.1).

Shapes: B texts, K words.
"""

from enum import IntEnum

import torch.nn.functional as F
from torch import Tensor, nn

_SIZE, _REACH = 16, 2


class Case(IntEnum):
    """The case of a word."""

    NO_LETTERS = 0
    LOWER = 1
    FIRST = 2  # the first letter is a capital, but not all are
    CAPITALS = 3  # several letters, all capitals
    OTHER = 4  # a capital inside

    @classmethod
    def of(cls, word: str) -> "Case":
        letters = [letter for letter in word if letter.isalpha()]
        if not letters:
            return cls.NO_LETTERS
        if not any(letter.isupper() for letter in letters):
            return cls.LOWER
        if len(letters) > 1 and all(letter.isupper() for letter in letters):
            return cls.CAPITALS
        return cls.FIRST if letters[0].isupper() else cls.OTHER


class CaseFeatures(nn.Module):
    """The case of each word, and of the two words on either side, as features.

    Attributes:
        size: the number of features.
    """

    size = 4 * _SIZE

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(Case), _SIZE, padding_idx=Case.NO_LETTERS)
        self.mixing = nn.Conv1d(_SIZE, self.size, 2 * _REACH + 1, padding=_REACH)

    def forward(self, cases: Tensor) -> Tensor:
        """(B, K) of `Case`, NO_LETTERS at padding -> (B, K, size)."""
        return F.gelu(self.mixing(self.embedding(cases).transpose(1, 2))).transpose(1, 2)

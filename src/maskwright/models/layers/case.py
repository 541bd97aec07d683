"""The case of words, for encoders whose tokenizer lowercases (Collobert et al., 2011, section 4.1).

Shapes: B texts, K words.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.case import Case

_SIZE, _REACH = 16, 2


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

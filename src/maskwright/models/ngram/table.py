"""How often each token occurs in each context: sorted arrays, searched by bisection.

Shapes: C contexts, E pairs of a context and a token in it, N positions, V vocabulary.
"""

import torch
from torch import Tensor

from maskwright.models.layers.any_size import AnySize

_ARRAYS = ("contexts", "totals", "pairs", "counts")


class CountTable(AnySize):
    """Counts of tokens in contexts. A checkpoint holds them, of whatever size.

    Attributes:
        contexts: (C,) int64, sorted, see `contexts`.
        totals: (C,) int32, how often each context occurs.
        pairs: (E,) int64, sorted: the number of a context times V, plus a token.
        counts: (E,) int32, how often the token occurs in the context.
    """

    contexts: Tensor
    totals: Tensor
    pairs: Tensor
    counts: Tensor

    def __init__(self, vocabulary_size: int):
        super().__init__()
        self.vocabulary_size = vocabulary_size
        for name in _ARRAYS:
            long = name in ("contexts", "pairs")
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64 if long else torch.int32))

    def fill(self, keys: Tensor, tokens: Tensor, minimum: int) -> None:
        """Counts tokens (N,) in the contexts with these keys (N,); rarer contexts than the minimum are left out."""
        contexts, number, totals = keys.unique(return_inverse=True, return_counts=True)
        pairs, counts = (number * self.vocabulary_size + tokens).unique(return_counts=True)
        if minimum > 1:
            enough = totals >= minimum
            kept = enough[pairs // self.vocabulary_size]
            renumbered = (enough.cumsum(0) - 1)[pairs // self.vocabulary_size]
            pairs = (renumbered * self.vocabulary_size + pairs % self.vocabulary_size)[kept]
            contexts, totals, counts = contexts[enough], totals[enough], counts[kept]
        self.contexts, self.totals = contexts, totals.int()
        self.pairs, self.counts = pairs, counts.int()

    def find(self, keys: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the numbers (N,) of the contexts with these keys, and how often they occur, 0 for those that are
        not in the table, or not `known` (N,)."""
        if not len(self.contexts):
            return torch.zeros_like(keys), torch.zeros_like(keys)
        at = torch.searchsorted(self.contexts, keys).clamp(max=len(self.contexts) - 1)
        found = known & (self.contexts[at] == keys)
        return at, torch.where(found, self.totals[at], 0)

    def count(self, numbers: Tensor, tokens: Tensor) -> Tensor:
        """Returns how often tokens (N,) occur in contexts, given by their numbers (N,), which `find` returns."""
        if not len(self.pairs):
            return torch.zeros_like(tokens)
        wanted = numbers * self.vocabulary_size + tokens
        at = torch.searchsorted(self.pairs, wanted).clamp(max=len(self.pairs) - 1)
        return torch.where(self.pairs[at] == wanted, self.counts[at], 0)

    def add(self, onto: Tensor, numbers: Tensor, weights: Tensor) -> None:
        """Adds the counts in contexts (N,), times weights (N,), to `onto` (N, V), where these are not 0."""
        (rows,) = weights.nonzero(as_tuple=True)
        first = torch.searchsorted(self.pairs, numbers[rows] * self.vocabulary_size)
        end = torch.searchsorted(self.pairs, (numbers[rows] + 1) * self.vocabulary_size)
        sizes = end - first
        row = rows.repeat_interleave(sizes)
        before = sizes.cumsum(0) - sizes
        entry = torch.arange(len(row), device=row.device) + (first - before).repeat_interleave(sizes)
        flat = row * self.vocabulary_size + self.pairs[entry] % self.vocabulary_size
        onto.view(-1).index_add_(0, flat, weights[row] * self.counts[entry])

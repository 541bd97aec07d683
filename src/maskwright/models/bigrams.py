"""What the two neighbours of a token say of it, by counts, added to the logits of a network.

The logits are those of a product of experts (Hinton, 2002): of the network, and for each neighbour of the log of
how much more often than by chance the token stands beside it. As with the n-grams of Li et al. (2022, arXiv
2210.14431), the network then learns what counts do not tell. The embeddings of `cooccurrence` hold as much of these
logs as their rank allows; here are all pairs that were counted.

Shapes: B rows, T positions, K of them, N of all, H hidden size, V vocabulary, E pairs of tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.models.encoder import Encoder
from maskwright.models.heads import CHUNK_CPU, MaskedLMHead
from maskwright.models.layers.any_size import AnySize
from maskwright.models.layers.attention_mask import AttentionMask, sees_neighbour
from maskwright.models.layers.causal import Causal
from maskwright.models.layers.gather import gather
from maskwright.models.wrapped import Wrapped

# a token with entries for more than this share of the vocabulary has many
_DENSE = 1 / 8
_UNITS = 1024  # of which values are multiples


class WithNeighbours(Wrapped):
    """An encoder whose hidden states (B, T, H + 2) end with the ids of the tokens to the left and to the right.

    They are -1 where there is none that the position may attend to, and exact up to 2^24.
    """

    def __init__(self, encoder: Encoder):
        super().__init__(encoder)
        self.hidden_size = encoder.hidden_size + 2

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """(B, T, H + 2) of input_ids (B, T)."""
        return _beside(self.encoder.embed(input_ids, attention_mask), neighbours_of(input_ids, attention_mask))

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        states, neighbours = hidden_BTH[..., :-2], hidden_BTH[..., -2:]
        return _beside(self.encoder.encode(states, attention_mask, positions), neighbours, positions)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: AttentionMask = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H + 2) of input_ids (B, T), or (B, K, H + 2) at positions (B, K)."""
        states = self._states(input_ids, attention_mask, positions, token_types)
        return _beside(states, neighbours_of(input_ids, attention_mask), positions)


def neighbours_of(input_ids: Tensor, attention_mask: AttentionMask) -> Tensor:
    """Returns the ids to the left and to the right of each position (B, T, 2), -1 where it sees none."""
    if isinstance(attention_mask, Causal):
        raise ValueError("counts of neighbours on both sides cannot be read from left to right alone")
    padded = F.pad(input_ids, (1, 1), value=-1)
    sides = []
    for offset, ids in ((-1, padded[:, :-2]), (1, padded[:, 2:])):
        if attention_mask is not None:
            ids = ids.masked_fill(~sees_neighbour(attention_mask, offset, len(input_ids)), -1)
        sides.append(ids)
    return torch.stack(sides, -1)


def _beside(states: Tensor, neighbours: Tensor, positions: Tensor | None = None) -> Tensor:
    if positions is not None:
        neighbours = gather(neighbours, positions)
    dtype = torch.promote_types(states.dtype, torch.float32)
    return torch.cat([states.to(dtype), neighbours.to(dtype)], -1)


class BigramHead(MaskedLMHead):
    """A `MaskedLMHead` on the hidden states of `WithNeighbours`, to whose logits counts are added.

    In training, the occurrence of a token that is to be predicted is taken out of the counts.

    Args:
        embedding, norm_epsilon, initial_std, hidden_size: see `MaskedLMHead`; the hidden size is H, without the two
            neighbours.
        scale, entries: see `Bigrams`.
    """

    def __init__(self, *settings: Any, scale: float, entries: tuple[int, int] = (0, 0), **others: Any):
        super().__init__(*settings, **others)
        self.bigrams = Bigrams(len(self.decoder.weight), scale, entries)

    def forward(self, hidden_BKH: Tensor) -> Tensor:
        """Returns logits (B, K, V) of hidden states (B, K, H + 2)."""
        states, neighbours = _apart(hidden_BKH, self.dense.weight.dtype)
        logits = super().forward(states)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if logits.is_meta or not self.bigrams.known:  # the former where FLOPs are counted
            return logits
        if torch.compiler.is_exporting():
            return self.bigrams.traced(logits.flatten(0, 1), neighbours.flatten(0, 1)).view_as(logits)
        return logits + self.bigrams(neighbours)

    def loss(
        self,
        hidden_BKH: Tensor,
        targets: Tensor,
        valid: Tensor,
        factors: Tensor | None = None,
        smoothing: float = 0.0,
        add: Callable[[Tensor, slice], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `MaskedLMHead.loss`."""
        states, neighbours = _apart(hidden_BKH, self.dense.weight.dtype)
        neighbours_N2 = neighbours.masked_fill(~valid[..., None], -1).flatten(0, 1)

        def add_counts(logits: Tensor, rows: slice) -> None:
            self.bigrams.add(logits, neighbours_N2[rows], targets.flatten()[rows] if self.training else None)

        return super().loss(states, targets, valid, factors, smoothing, add_counts if self.bigrams.known else add)


def _apart(hidden: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return hidden[..., :-2].to(dtype), hidden[..., -2:].long()


class Bigrams(AnySize):
    """What counts say of a token between two others; `cooccurrence.fill` sets them.

    Args:
        vocabulary_size: V.
        scale: what the logs are multiplied by. Both neighbours say in part the same, so that less than 1 is best.
        entries: of the tables of the neighbour to the left and of that to the right, see `PairTable`.
    Attributes:
        chance: (V,) how often each token would stand beside another by chance, if that was seen as often as the
            prior says.
        counted: a scalar, how often an occurrence in the training split was counted.
    """

    chance: Tensor
    counted: Tensor

    def __init__(self, vocabulary_size: int, scale: float, entries: tuple[int, int]):
        super().__init__()
        self.scale = scale
        self.left, self.right = (PairTable(vocabulary_size, number) for number in entries)
        self.register_buffer("chance", torch.ones(vocabulary_size))
        self.register_buffer("counted", torch.zeros(()))

    @property
    def known(self) -> bool:
        """Whether there are any counts."""
        return len(self.left.tokens) > 0

    def forward(self, neighbours: Tensor) -> Tensor:
        """Returns what neighbours (..., 2) say (..., V)."""
        return self.scale * (self.left(neighbours[..., 0]) + self.right(neighbours[..., 1]))

    def add(self, logits: Tensor, neighbours: Tensor, targets: Tensor | None = None) -> None:
        """Adds to logits (N, V) what neighbours (N, 2) say.

        Args:
            targets: (N,) tokens that were counted here, and are taken out of the counts; None for none.
        """
        for table, ids in zip((self.left, self.right), neighbours.unbind(1), strict=True):
            if targets is None:
                table.add(logits, ids, self.scale)
                continue
            before = logits.gather(1, targets[:, None])
            table.add(logits, ids, self.scale)
            ratio = (logits.gather(1, targets[:, None]) - before).div_(self.scale).exp_()
            without = (ratio - self.counted / self.chance[targets][:, None]).clamp_(min=1.0).log_()
            logits.scatter_(1, targets[:, None], before + self.scale * without)

    def prepare(self) -> None:
        """Makes what the tables need before they can be traced."""
        self.left.rows(), self.right.rows()

    def traced(self, logits: Tensor, neighbours: Tensor) -> Tensor:
        """Returns what `add` makes of logits (N, V), by tensors of sizes that do not depend on the data."""
        logits = self.left.traced(logits, neighbours[:, 0], self.scale)
        return self.right.traced(logits, neighbours[:, 1], self.scale)


class PairTable(AnySize):
    """For each token, which others stand beside it, and how much more often than by chance. A checkpoint holds it.

    Args:
        vocabulary_size: V.
        entries: E, of a table that is about to be loaded.
    Attributes:
        starts: (V + 1,) int64, where the entries of each token begin, and where those of the last one end.
        tokens: (E,) int32, the other tokens.
        values: (E,) int32, log (1 + c / (p u)) in units of 1 / 1024, of a pair's count c, the other token's share u
            of all, and a prior p. Integers stay as they are where a model is turned to another precision, and of
            those gloo and NCCL send no smaller ones.
    """

    starts: Tensor
    tokens: Tensor
    values: Tensor

    def __init__(self, vocabulary_size: int, entries: int = 0):
        super().__init__()
        self.register_buffer("starts", torch.zeros(vocabulary_size + 1, dtype=torch.int64))
        self.register_buffer("tokens", torch.zeros(entries, dtype=torch.int32))
        self.register_buffer("values", torch.zeros(entries, dtype=torch.int32))
        self._rows: _Rows | None = None

    def fill(self, starts: np.ndarray, tokens: np.ndarray, values: np.ndarray) -> None:
        """Sets the table; the values are float, not yet in units."""
        own = (starts.astype(np.int64), tokens.astype(np.int32), np.rint(values * _UNITS).astype(np.int32))
        device = self.starts.device
        self.starts, self.tokens, self.values = (torch.from_numpy(array).to(device) for array in own)
        self._rows = None

    def rows(self) -> "_Rows":
        """Returns the entries of tokens with many, made when they are first needed."""
        if self._rows is None or self._rows.rows.device != self.starts.device:
            self._rows = _Rows.of(self)
        return self._rows

    def forward(self, ids: Tensor) -> Tensor:
        """Returns the entries (..., V) of tokens ids (...), -1 for none."""
        said = torch.zeros(*ids.shape, len(self.starts) - 1, device=ids.device)
        for part, own in zip(said.flatten(0, -2).split(CHUNK_CPU), ids.flatten().split(CHUNK_CPU), strict=True):
            self.add(part, own, 1.0)
        return said

    def add(self, logits: Tensor, ids: Tensor, scale: float) -> None:
        """Adds the entries of tokens ids (N,), -1 for none, times a scale, to logits (N, V)."""
        if logits.is_cuda:  # sizes that depend on the data would make the host wait
            logits.copy_(self.traced(logits, ids, scale))
            return
        rows, known = self.rows(), ids.clamp(min=0)
        first, own = self.starts[known], rows.number[known].masked_fill(ids < 0, -1)
        (many,) = (own >= 0).nonzero(as_tuple=True)
        logits.index_add_(0, many, rows.rows[own[many]].to(logits.dtype), alpha=scale / _UNITS)
        sizes = (self.starts[known + 1] - first).masked_fill((ids < 0) | (own >= 0), 0)
        ends = sizes.cumsum(0)
        row = torch.arange(len(ids), device=ids.device).repeat_interleave(sizes)
        entry = torch.arange(len(row), device=ids.device) + (first - ends + sizes)[row]
        flat = self.tokens[entry] + row * logits.shape[1]
        logits.view(-1).index_add_(0, flat, self.values[entry].to(logits.dtype), alpha=scale / _UNITS)

    def traced(self, logits: Tensor, ids: Tensor, scale: float) -> Tensor:
        """See `Bigrams.traced`."""
        rows, known, seen = self.rows(), ids.clamp(min=0), (ids >= 0)[:, None]
        first, own = self.starts[known], rows.number[known]
        if len(rows.rows):
            whole = rows.rows[own.clamp(min=0)].to(logits.dtype) * (scale / _UNITS)
            logits = logits + whole * (seen & (own >= 0)[:, None])
        if rows.widest:
            place = torch.arange(rows.widest, device=ids.device)
            inside = seen & (own < 0)[:, None] & (place < (self.starts[known + 1] - first)[:, None])
            entry = (first[:, None] + place).clamp(max=len(self.tokens) - 1)
            values = self.values[entry].to(logits.dtype) * (scale / _UNITS) * inside
            logits = logits.scatter_add(1, self.tokens[entry].long(), values)
        return logits

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._rows = None


@dataclass(frozen=True)
class _Rows:
    """The entries of the tokens with many, spread over the vocabulary, in which form they are added sooner.

    Attributes:
        rows: (D, V) int32.
        number: (V,) int64, the row of each token; -1 if it has few.
        widest: the most entries of a token with few.
    """

    rows: Tensor
    number: Tensor
    widest: int

    @classmethod
    def of(cls, table: PairTable) -> "_Rows":
        sizes = table.starts.diff()
        is_many = sizes > _DENSE * len(sizes)
        number = torch.where(is_many, is_many.cumsum(0) - 1, -1)
        rows = table.values.new_zeros(int(is_many.sum()), len(sizes))
        for row, first, end in zip(rows, table.starts[:-1][is_many], table.starts[1:][is_many], strict=True):
            row[table.tokens[first:end].long()] = table.values[first:end]
        return cls(rows, number, int(sizes.masked_fill(is_many, 0).max()))

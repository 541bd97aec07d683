"""Attention within documents that are packed into the same rows, without a mask (B, T, T)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

_STEP = 64  # the number of sequences is rounded up to a multiple, so that code is compiled for few of them


@dataclass(frozen=True)
class Sequences:
    """Where the sequences of a flattened batch begin and end.

    Attributes:
        ends: (S + 1,) int32, cumulative lengths from 0 to B * T; there may be empty sequences at the end.
        max_length: T; no sequence has more positions.
    """

    ends: Tensor
    max_length: int

    def numbers(self, rows: int) -> Tensor:
        """Returns for B `rows` the number of the sequence that each position is in, (B, T), from 1 on."""
        position = torch.arange(rows * self.max_length, device=self.ends.device, dtype=self.ends.dtype)
        return torch.searchsorted(self.ends, position, right=True).view(rows, self.max_length)

    def attend(self, query_BTND: Tensor, key_BTND: Tensor, value_BTND: Tensor, causal: bool = False) -> Tensor:
        """(B, T, N, D): attention in which each position sees its own sequence (flash attention, Dao, 2023).

        Args:
            causal: whether it sees no later positions.
        """
        mixed = varlen_attn(
            query_BTND.flatten(0, 1),
            key_BTND.flatten(0, 1),
            value_BTND.flatten(0, 1),
            self.ends,
            self.ends,
            self.max_length,
            self.max_length,
            window_size=(-1, 0 if causal else -1),  # how far to the left and to the right; -1 has no limit
        )
        assert isinstance(mixed, Tensor)
        return mixed.view_as(query_BTND)


def sequence_ends(documents: np.ndarray) -> np.ndarray:
    """`Sequences.ends` of documents (B, T); padding, which they number -1, is a sequence too."""
    opens = np.ones(documents.shape, dtype=bool)
    opens[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = np.flatnonzero(opens)
    ends = np.full(-(-(len(starts) + 1) // _STEP) * _STEP, documents.size, dtype=np.int32)
    ends[: len(starts)] = starts
    return ends


def runs_flash(device: torch.device, head_size: int | None) -> bool:
    """Whether flash attention runs on this device, in autocast's current type, in heads of this size.

    Args:
        head_size: see `Encoder`; None for an encoder that does not use it.
    """
    if head_size is None or head_size % 8 or head_size > 256:
        return False
    if device.type != "cuda" or not torch.is_autocast_enabled(device.type):
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0) and torch.get_autocast_dtype(device.type) in (
        torch.bfloat16,
        torch.float16,
    )

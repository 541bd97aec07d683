"""Attention weights, which the fused attention of PyTorch computes but does not return."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class RecordedAttention(TorchFunctionMode):
    """Keeps the weights of every call of `F.scaled_dot_product_attention` inside its context, in order.

    They are computed beside the call, from the same queries and keys, so that the layers stay as they are.

    Attributes:
        weights: (B, N, T, S) of each call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self.weights.append(_weights(*args, **kwargs))
        return func(*args, **kwargs)


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Returns the weights by the definition in the documentation of `F.scaled_dot_product_attention`."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~allowed, float("-inf"))
    if attn_mask is not None:
        scores = (
            scores.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else scores + attn_mask
        )
    return scores.softmax(-1)


def recorded_attention(encoder: Any, input_ids: Tensor) -> list[Tensor]:
    """Returns the weights (B, N, T, T) of each layer that attends by `F.scaled_dot_product_attention`."""
    with RecordedAttention() as recorded:
        encoder(input_ids)
    return recorded.weights

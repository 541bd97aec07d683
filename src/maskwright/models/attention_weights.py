"""Attention weights, which the fused attention of PyTorch computes but does not return."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class AttentionCall(NamedTuple):
    """The arguments of `F.scaled_dot_product_attention`."""

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    def weights(self) -> Tensor:
        """The weights (B, N, T, S), without dropout."""
        key = self.key
        if self.enable_gqa:
            key = key.repeat_interleave(self.query.shape[-3] // key.shape[-3], -3)
        return attention_weights(self.query, key, self.attn_mask, self.is_causal, self.scale)


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
            self.weights.append(AttentionCall(*args, **kwargs).weights())
        return func(*args, **kwargs)


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | None = None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """Returns the weights by the definition in the documentation of `F.scaled_dot_product_attention`.

    Where a position sees no other, they are 0.

    Args:
        query, key: (B, N, T, D) and (B, N, S, D).
        mask: True where a position sees another, or what is added to the scores; broadcasts to (B, N, T, S).
    """
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is None:
        return scores.softmax(-1)
    if mask.dtype != torch.bool:
        return (scores + mask).softmax(-1)
    return scores.masked_fill(~mask, float("-inf")).softmax(-1).masked_fill(~mask, 0.0)


def recorded_attention(encoder: Any, input_ids: Tensor) -> list[Tensor]:
    """Returns the weights (B, N, T, T) of each layer that attends by `F.scaled_dot_product_attention`."""
    with RecordedAttention() as recorded:
        encoder(input_ids)
    return recorded.weights

"""Gradients of attention in bfloat16 on CPUs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from maskwright.models.attention_weights import attention_weights

_SCORES = 1 << 20  # of rows whose gradients are computed at a time, so that they stay in the cache


class Bfloat16Attention(TorchFunctionMode):
    """Makes the gradients of `F.scaled_dot_product_attention` in bfloat16 on a CPU from products of matrices.

    PyTorch's own kernel for them is slower than the one for float32, up to five times with 128 positions
    (docs/speed.md). Calls inside this context that need gradients take its kernel for the result alone, whatever
    model they are in. Those with dropout, with a mask that learns, or with heads that share keys stay as they are.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return _attend(*args, **kwargs or {})
        return func(*args, **kwargs or {})


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    learns_mask = attn_mask is not None and attn_mask.requires_grad
    if (
        query.device.type == "cpu"
        and query.ndim == 4
        and (autocast or query.dtype == torch.bfloat16)
        and torch.is_grad_enabled()
        and not (dropout_p or learns_mask or enable_gqa)
    ):
        parts = (part.to(torch.bfloat16) for part in (query, key, value))
        return _Attention.apply(*parts, attn_mask, is_causal, scale)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )


class _Attention(torch.autograd.Function):
    """`F.scaled_dot_product_attention`, whose weights are computed once more for the gradients."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.causal, ctx.scale = causal, query.shape[-1] ** -0.5 if scale is None else scale
        return F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal, scale=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        query, key, value, mask = ctx.saved_tensors
        found = tuple(map(torch.empty_like, (query, key, value)))
        rows = max(_SCORES // (query.shape[1] * query.shape[2] * key.shape[2]), 1)
        for first in range(0, len(query), rows):
            own = slice(first, first + rows)
            own_mask = mask if mask is None or mask.ndim < 4 or len(mask) == 1 else mask[own]
            weights = attention_weights(query[own], key[own], own_mask, ctx.causal, ctx.scale)
            of_weights = gradient[own] @ value[own].mT
            of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            found[0][own] = of_scores @ key[own] * ctx.scale
            found[1][own] = of_scores.mT @ query[own] * ctx.scale
            found[2][own] = weights.mT @ gradient[own]
        return *found, None, None, None

"""Gradients of attention in bfloat16 on CPUs."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from maskwright.models.attention_weights import AttentionCall, attention_weights

_SCORES = 1 << 20  # of rows whose gradients are computed at a time, so that they stay in the cache


def attention_gradients(device: torch.device, dtype: torch.dtype | str) -> AbstractContextManager:
    """Returns `Bfloat16Attention` for a model of this type that computes in bfloat16 on a CPU, else no context: it
    costs each operation some Python, which tiny models notice."""
    return Bfloat16Attention() if device.type == "cpu" and _in_bfloat16(dtype) else nullcontext()


class Bfloat16Attention(TorchFunctionMode):
    """Makes the gradients of `F.scaled_dot_product_attention` in bfloat16 on a CPU from products of matrices.

    PyTorch's own kernel for them takes longer than in float32 (docs/speed.md). Calls inside this context that need
    gradients take its kernel for the result alone, whatever model they are in. Those with dropout, with a mask that
    learns, or with heads that share keys stay as they are.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and _is_slow(call := AttentionCall(*args, **kwargs)):
            parts = (part.to(torch.bfloat16) for part in call[:3])
            return _Attention.apply(*parts, call.attn_mask, call.is_causal, call.scale)
        return func(*args, **kwargs)


def _in_bfloat16(dtype: torch.dtype | str) -> bool:
    """Whether attention to tensors of this type on a CPU is computed in bfloat16."""
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return autocast or dtype == torch.bfloat16


def _is_slow(call: AttentionCall) -> bool:
    mask = call.attn_mask
    return (
        call.query.device.type == "cpu"
        and call.query.ndim == 4
        and _in_bfloat16(call.query.dtype)
        and torch.is_grad_enabled()
        and not (call.dropout_p or call.enable_gqa or (mask is not None and mask.requires_grad))
    )


class _Attention(torch.autograd.Function):
    """`F.scaled_dot_product_attention`, whose weights are computed once more for the gradients."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.causal, ctx.scale = causal, query.shape[-1] ** -0.5 if scale is None else scale
        return F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal, scale=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
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

"""Rotary positions (Su et al., 2021) of queries and keys, which may be normalised first (Henry et al., 2020).

Shapes: B examples, T positions, K of them, N heads, D the size of a head. Pairs of channels are (d, d + D/2).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Rotary = tuple[Tensor, Tensor]  # cosines and sines of the angles, that broadcast to (B, T, N, D / 2)


def turned(x_BTND: Tensor, rotary: Rotary, normalise: bool) -> Tensor:
    """Queries or keys, each pair turned by the angle of its position.

    Args:
        normalise: whether each is scaled to a root mean square of 1 before.
    """
    if torch.is_grad_enabled() and x_BTND.requires_grad and not torch.compiler.is_compiling():
        return _Turned.apply(x_BTND, *rotary, normalise)
    return turned_by_operations(x_BTND, rotary, normalise)


def turned_by_operations(x_BTND: Tensor, rotary: Rotary, normalise: bool) -> Tensor:
    """What `turned` returns, with the gradients of each operation."""
    return rotate(F.rms_norm(x_BTND, x_BTND.shape[-1:]) if normalise else x_BTND, rotary)


def rotate(x_BTND: Tensor, rotary: Rotary) -> Tensor:
    """Turns each pair (d, d + D/2) by the angle of its position."""
    cosine, sine = rotary
    first, second = x_BTND.chunk(2, dim=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.stack(turned, dim=-2).flatten(-2).to(x_BTND.dtype)


def rotary_at(rotary: Rotary, positions: Tensor) -> Rotary:
    """(B, K, 1, D / 2) at positions (B, K) of (T, 1, D / 2), the same for all rows, or of (B, T, 1, D / 2)."""
    cosine, sine = rotary
    if cosine.ndim == 3:
        return cosine[positions], sine[positions]
    index = positions[:, :, None, None].expand(-1, -1, *cosine.shape[2:])
    return cosine.gather(1, index), sine.gather(1, index)


class _Turned(torch.autograd.Function):
    """`turned` with gradients that take half as many passes over the data as those of its operations."""

    @staticmethod
    def forward(ctx: Any, x_BTND: Tensor, cosine: Tensor, sine: Tensor, normalise: bool) -> Tensor:
        x = x_BTND.float() if x_BTND.dtype in (torch.bfloat16, torch.float16) else x_BTND
        scale = None
        if normalise:
            mean = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
            scale = mean.add_(torch.finfo(x.dtype).eps).rsqrt_()
            x = x * scale
        ctx.save_for_backward(cosine, sine, scale, x if normalise else None)
        ctx.dtype = x_BTND.dtype
        return _turn(x, cosine, sine).to(x_BTND.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        cosine, sine, scale, x = ctx.saved_tensors
        found = _turn(gradient.to(torch.promote_types(gradient.dtype, cosine.dtype)), cosine, -sine)
        if x is not None:
            found.addcmul_(x, (found * x).mean(-1, keepdim=True), value=-1).mul_(scale)
        return found.to(ctx.dtype), None, None, None


def _turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """What `rotate` returns, by operations on whole heads."""
    half = x.shape[-1] // 2
    return (x * torch.cat([cosine, cosine], -1)).addcmul_(x.roll(half, -1), torch.cat([-sine, sine], -1))

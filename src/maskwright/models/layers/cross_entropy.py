"""Cross-entropy of a projection onto the vocabulary, without the logits of all positions at once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_PART = 128  # logits of a row whose maximum is found together


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    valid: Tensor,
    chunk: int,
    factors: Tensor | None = None,
    smoothing: float = 0.0,
    add: Callable[[Tensor, slice], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy over the valid rows of `hidden @ weight.T + bias`, and where its argmax is right.

    The gradient of the logits is known as soon as the logits are. Each chunk of rows is therefore projected only
    once, and its contribution to the three gradients is added at once (Hsu et al., 2024, Liger kernels). The logits
    of at most `chunk` rows exist at any time. Products are computed in the type of autocast if that is enabled.

    Args:
        hidden: (N, H).
        weight: (V, H).
        bias: (V,).
        targets: (N,) ids in [0, V), also where a row is not valid.
        valid: (N,) bool.
        chunk: rows projected at a time.
        factors: (N,) what the cross-entropy of each row is multiplied by; None for 1. The mean is still one over
            the number of valid rows.
        smoothing: the share of the target probability that is spread over all V (Szegedy et al., 2016).
        add: adds constants to the logits (C, V) of so many rows, in place; None adds nothing.
    Returns:
        The loss in nats, a scalar, 0 where no row is valid; and (N,) bool.
    """
    device = hidden.device.type
    # norms return float32 under autocast, so the type of the products is taken from autocast itself
    low = torch.is_autocast_enabled(device) and hidden.dtype != torch.float64
    dtype = torch.get_autocast_dtype(device) if low else hidden.dtype
    learns = torch.is_grad_enabled()
    loss, right = _LinearCrossEntropy.apply(
        hidden, weight, bias, targets, valid, factors, add, chunk, smoothing, dtype, learns
    )
    return loss, right


def _argmax(x_CV: Tensor) -> Tensor:
    """(C,) what `x_CV.argmax(-1)` is, by the maxima of parts of a row, which CPUs find six times as fast."""
    whole = x_CV.shape[1] // _PART * _PART
    if x_CV.device.type != "cpu" or not whole:
        return x_CV.argmax(-1)
    parts = x_CV[:, :whole].unflatten(1, (-1, _PART))
    part = parts.amax(-1).argmax(-1)
    value, place = parts.gather(1, part[:, None, None].expand(-1, -1, _PART))[:, 0].max(-1)
    place += part * _PART
    if whole < x_CV.shape[1]:
        last_value, last_place = x_CV[:, whole:].max(-1)
        place = torch.where(last_value > value, whole + last_place, place)
    return place


def _add_product(onto: Tensor, left: Tensor, right: Tensor) -> None:
    if onto.dtype == left.dtype:
        onto.addmm_(left, right)
    else:
        onto += left @ right


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        valid: Tensor,
        factors: Tensor | None,
        add: Callable[[Tensor, slice], None] | None,
        chunk: int,
        smoothing: float,
        dtype: torch.dtype,
        learns: bool,
    ) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(dtype, torch.float32)
        weight_VH, bias_V = weight.to(dtype), bias.to(dtype)
        weight_N = valid.to(exact) if factors is None else valid * factors.to(exact)
        share = 1 / valid.sum().clamp(min=1).to(exact)  # of a row in the mean
        # float16 has no numbers as small as the share of a token in a gradient, which a loss scale would come too
        # late to save
        late = dtype == torch.float16
        share_N = weight_N * share
        losses, rights = [], []
        inputs = (hidden, weight, bias)
        gradients = [
            torch.zeros_like(tensor) if learns and needed else None
            for tensor, needed in zip(inputs, ctx.needs_input_grad, strict=False)
        ]
        of_hidden, of_weight, of_bias = gradients
        for start in range(0, len(hidden), chunk):
            rows = slice(start, start + chunk)
            with torch.autocast(hidden.device.type, enabled=False):
                hidden_CH, targets_C = hidden[rows].to(dtype), targets[rows, None]
                logits = torch.addmm(bias_V, hidden_CH, weight_VH.T).to(exact)
                if add is not None:
                    add(logits, rows)
                rights.append(_argmax(logits) == targets_C[:, 0])
                logits = torch.log_softmax(logits, -1)
                of_target = logits.gather(1, targets_C)[:, 0]
                if smoothing:
                    of_target = of_target.lerp(logits.mean(-1), smoothing)
                losses.append(-of_target * share_N[rows])
                if not learns:
                    continue
                gradient = logits.exp_()
                gradient.scatter_add_(1, targets_C, torch.full_like(targets_C, smoothing - 1, dtype=exact))
                if smoothing:
                    gradient.sub_(smoothing / gradient.shape[1])
                gradient.mul_((weight_N if late else share_N)[rows, None])
                if of_bias is not None:
                    of_bias += gradient.sum(0)
                gradient = gradient.to(dtype)
                if of_hidden is not None:
                    of_hidden[rows] = gradient @ weight_VH
                if of_weight is not None:
                    _add_product(of_weight, gradient.T, hidden_CH)
        ctx.save_for_backward(*gradients, share if late else None)
        right = torch.cat(rights) if rights else torch.zeros_like(valid)
        ctx.mark_non_differentiable(right)
        return (torch.cat(losses).sum() if losses else hidden.new_zeros((), dtype=exact)), right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, loss_gradient: Tensor, _: Tensor) -> tuple[Any, ...]:
        *gradients, share = ctx.saved_tensors
        if share is not None:
            loss_gradient = loss_gradient * share
        # multiplying by 1 would cost a pass over the vocabulary; comparing on a GPU would make the host wait
        if loss_gradient.is_cuda or loss_gradient != 1:
            gradients = [None if gradient is None else gradient * loss_gradient for gradient in gradients]
        return *gradients, *[None] * 8

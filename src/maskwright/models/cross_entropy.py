"""Cross-entropy of a projection onto the vocabulary, without the logits of all positions at once."""

from typing import Any

import torch
from torch import Tensor


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, valid: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy over the valid rows of `hidden @ weight.T + bias`, and where its argmax is right.

    The gradient of the logits is known as soon as they are, so each chunk of rows is projected once, and
    what it adds to the three gradients is taken on the spot (Hsu et al., 2024, Liger kernels): logits of
    `chunk` rows are all that ever exists.

    Args:
        hidden: (N, H), in the type of the products: `weight` is cast to it.
        weight: (V, H).
        bias: (V,).
        targets: (N,) ids in [0, V), also where a row is not valid.
        valid: (N,) bool.
        chunk: rows projected at a time.
    Returns:
        The loss in nats, a scalar, 0 where no row is valid; and (N,) bool.
    """
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (hidden, weight, bias))
    loss, right = _LinearCrossEntropy.apply(hidden, weight, bias, targets, valid, chunk, learns)
    return loss, right


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        valid: Tensor,
        chunk: int,
        learns: bool,
    ) -> tuple[Tensor, Tensor]:
        weight_VH, bias_V = weight.to(hidden.dtype), bias.to(hidden.dtype)
        exact = torch.promote_types(hidden.dtype, torch.float32)
        share_N = valid.to(exact) / valid.sum().clamp(min=1)  # of a row in the mean
        losses, rights = [], []
        hidden_gradient = torch.empty_like(hidden) if learns else None
        weight_gradient = torch.zeros_like(weight) if learns else None
        bias_gradient = torch.zeros_like(bias) if learns else None
        for start in range(0, len(hidden), chunk):
            rows = slice(start, start + chunk)
            with torch.autocast(hidden.device.type, enabled=False):
                logits = torch.addmm(bias_V, hidden[rows], weight_VH.T).to(exact)
                targets_C = targets[rows, None]
                rights.append(logits.argmax(-1, keepdim=True) == targets_C)
                logits = torch.log_softmax(logits, -1)
                losses.append(-logits.gather(1, targets_C)[:, 0] * share_N[rows])
                if learns:
                    gradient = logits.exp_()
                    gradient.scatter_add_(1, targets_C, -torch.ones_like(targets_C, dtype=gradient.dtype))
                    gradient = gradient.mul_(share_N[rows, None]).to(hidden.dtype)
                    hidden_gradient[rows] = gradient @ weight_VH
                    if weight.dtype == hidden.dtype:
                        weight_gradient.addmm_(gradient.T, hidden[rows])
                    else:
                        weight_gradient += gradient.T @ hidden[rows]
                    bias_gradient += gradient.sum(0)
        if learns:
            ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        right = torch.cat(rights)[:, 0] if rights else torch.zeros_like(valid)
        ctx.mark_non_differentiable(right)
        return (torch.cat(losses).sum() if losses else hidden.new_zeros((), dtype=exact)), right

    @staticmethod
    def backward(ctx: Any, loss_gradient: Tensor, _: Tensor) -> tuple[Any, ...]:
        gradients = ctx.saved_tensors
        # multiplying by 1 takes a pass over the vocabulary; a GPU is not asked, since it would have to answer
        if loss_gradient.is_cuda or loss_gradient != 1:
            gradients = tuple(gradient * loss_gradient.to(gradient.dtype) for gradient in gradients)
        return *gradients, None, None, None, None

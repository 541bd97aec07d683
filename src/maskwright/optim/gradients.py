"""The norm of gradients, and clipping."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def clip_gradients(
    parameters: Iterable[nn.Parameter], limit: float | None, algorithm: str | None, measure: bool
) -> Tensor | None:
    """Clips gradients in place, and returns their norm before that, a scalar; None unless `measure`.

    The host does not wait for the device. Of gradients that are sharded over ranks, the norm is that of the whole,
    for which all ranks have to measure at the same step.

    Args:
        limit: the largest norm of all gradients together, or the largest absolute value of one of their numbers;
            None or 0 does not clip.
        algorithm: `norm` or `value`.
    """
    parameters = list(parameters)
    norm = None
    if limit and algorithm != "value":
        norm = nn.utils.clip_grad_norm_(parameters, limit)
    elif measure:
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if limit and algorithm == "value":
        nn.utils.clip_grad_value_(parameters, limit)
    if not measure or norm is None:
        return None
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # a DTensor has the part of one rank

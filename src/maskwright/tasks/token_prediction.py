"""The loss and the metrics of masked tokens, for every task that predicts them."""

import torch
from torch import Tensor, nn

from maskwright.masking import Masked
from maskwright.models.flops import forward_flops
from maskwright.tasks.spec import Metric

METRICS = (Metric("loss", "min"), Metric("perplexity", "min"), Metric("accuracy", "max"))
MEANS = ("loss", "accuracy")


def token_loss(
    head: nn.Module, hidden: Tensor, masked: Masked, factors: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns mean cross-entropy in nats, which masked tokens are predicted correctly (B, K), and their number.

    Loss and gradients of a batch with nothing to predict are 0.

    Args:
        head: `loss(hidden, targets, valid) -> (mean loss, right (B, K))`.
        hidden: (B, K, H) hidden states at the masked positions.
        factors: (B, K) what the cross-entropy of each token is multiplied by; None for 1. See `MaskedLMHead.loss`.
    """
    given = (hidden, masked.targets, masked.valid)
    loss, right = head.loss(*given) if factors is None else head.loss(*given, factors)  # type: ignore[operator]
    return loss, right & masked.valid, masked.valid.sum()


def only_valid(hidden: Tensor, masked: Masked) -> tuple[Tensor, Masked]:
    """Returns hidden states (1, N, H) and targets (1, N) of the valid positions alone.

    Where most positions of most rows are not valid, this saves the logits of the others; on a GPU, the host waits.

    Args:
        hidden: (B, K, H) hidden states at the positions of `masked`.
    """
    valid = masked.valid
    targets = masked.targets[valid][None]
    return hidden[valid][None], Masked(
        masked.input_ids, targets, targets, torch.ones_like(targets, dtype=torch.bool)
    )


def at_positions(right: Tensor, valid: Tensor) -> Tensor:
    """Returns (B, K): what is said of the valid positions alone, (1, N) bool, and False at the others."""
    return torch.zeros_like(valid).masked_scatter(valid, right)


def share(right: Tensor, count: Tensor) -> Tensor:
    """Returns the accuracy; 0 if there is nothing to predict."""
    return right.sum() / count.clamp(min=1)


def token_metrics(means: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns loss, perplexity and accuracy, from the means of loss and accuracy."""
    return {"loss": means["loss"], "perplexity": means["loss"].exp(), "accuracy": means["accuracy"]}


def head_flops(head: nn.Module, rows: int, positions: int, hidden_size: int) -> int:
    """Returns the FLOPs of the forward pass of the head over (rows, positions) hidden states."""
    return forward_flops(head, torch.empty((rows, positions, hidden_size), device="meta"))

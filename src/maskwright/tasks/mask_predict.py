"""Mask-predict: all tokens of a text at once, then the least certain ones again (Ghazvininejad et al., 2019).

Shapes: B rows, T positions, K of them asked for, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]  # ids (B, T), positions (B, K) -> log-probabilities (B, K, V)


def mask_predict(
    predict: Predict, input_ids: Tensor, free: Tensor, mask_id: int, iterations: int
) -> tuple[Tensor, Tensor]:
    """Returns rows whose free positions are written, and how certain each is.

    The first iteration predicts all N free positions of a row. After iteration t of `iterations`, the
    N (iterations - t) / iterations least certain ones, rounded down, are masked and predicted again, given the
    others. A token keeps the log-probability that it had when it was predicted last.

    Args:
        predict: `predict(ids, positions)`: the log-probabilities of tokens at positions of rows.
        input_ids: (B, T), with anything at free positions.
        free: (B, T) bool, the positions that are written.
        mask_id: the id of the mask token.
        iterations: how often tokens are predicted, at least 1.
    Returns:
        ids (B, T), and the log-probabilities of their tokens (B, T), 0 where a position is not free.
    """
    number = free.sum(1)
    ids, masked = input_ids, free
    certainty = torch.zeros(free.shape, device=free.device)
    for done in range(1, iterations + 1):
        positions, valid = places_of(masked)
        ids = ids.masked_fill(masked, mask_id)
        best, tokens = predict(ids, positions).max(-1)
        # the padding of a row writes back what is there; its position, the first one, is never free
        ids = ids.scatter(1, positions, torch.where(valid, tokens, ids.gather(1, positions)))
        certainty = certainty.scatter(1, positions, torch.where(valid, best, certainty.gather(1, positions)))
        again = number * (iterations - done) // iterations
        if done == iterations or not again.any():
            break
        order = certainty.masked_fill(~free, torch.inf).argsort(dim=1, stable=True)
        rank = order.argsort(dim=1)
        masked = free & (rank < again[:, None])
    return ids, certainty


def places_of(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the chosen positions (B, T) of each row in order, (B, K), 0 after the last, and which are valid."""
    most = max(int(chosen.sum(1).max()), 1)
    positions = (~chosen).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    valid = chosen.gather(1, positions)
    return positions.where(valid, 0), valid

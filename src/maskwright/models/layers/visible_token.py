"""What a token that stands at a predicted position says about the true one.

A corruption does not always hide a masked token: BERT's leaves some and replaces others by random tokens (Devlin et
al., 2019). A network learns how much to trust what it sees there. The models of counts are told: with a share
`kept` it is the true token, else one that was drawn at random, so that p(token | seen) is proportional to
p(token) (kept [token = seen] + (1 - kept) / V).

Shapes: N positions, V vocabulary. `seen` (N,) is the token that stands there, -1 where it is hidden.
"""

import math
from typing import Annotated, TypeAlias

import torch
from annotated_types import Ge, Lt
from torch import Tensor

Kept: TypeAlias = Annotated[float, Ge(0), Lt(1)]


def with_seen(log_probabilities: Tensor, seen: Tensor, kept: float) -> Tensor:
    """Returns log-probabilities (N, V) of the true token, from those that its neighbours give (N, V)."""
    log_NV, at = log_probabilities, seen.clamp(min=0)[:, None]
    changed, same, total = _terms(log_NV.gather(1, at), log_NV.shape[1], kept)
    found = (log_NV + changed - total).scatter(1, at, same - total)
    return torch.where(seen[:, None] < 0, log_NV, found)


def score_with_seen(
    target: Tensor, best: Tensor, of_seen: Tensor, is_target: Tensor, seen: Tensor, kept: float, size: int
) -> tuple[Tensor, Tensor]:
    """Returns what `with_seen` gives targets, and where it takes the token that is seen for the likeliest.

    Args:
        target, best, of_seen: (N,) the log-probabilities that the neighbours give to the target, to the likeliest
            token, and to the token that is seen.
        is_target: (N,) whether that token is the target.
        size: V.
    """
    changed, same, total = _terms(of_seen, size, kept)
    score = torch.where(is_target, same, target + changed) - total
    hidden = seen < 0
    return torch.where(hidden, target, score), ~hidden & (same >= best + changed)


def _terms(of_seen: Tensor, size: int, kept: float) -> tuple[float, Tensor, Tensor]:
    """Returns the factor of other tokens, the product of the token that is seen, and the sum; their logs."""
    changed = math.log((1 - kept) / size)
    same = of_seen + math.log(kept + (1 - kept) / size)
    total = (kept * of_seen.exp() + (1 - kept) / size).log()
    return changed, same, total

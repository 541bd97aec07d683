"""Inference in a hidden Markov model, in log space, over all rows of a batch at once (Rabiner, 1989).

Shapes: B rows, T positions, S states. The functions take

- evidence (B, T, S): log p(token | state), 0 where nothing is known of the token;
- starts (B, T) bool, or None: where a chain begins, besides the first position; positions before it tell nothing
  about those after it;
- initial (S,) and transitions (S, S): log-probabilities of the first state, and of the next one given each state.

Products with the matrix of transitions are computed on probabilities, which sum to 1 at each position.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Chain(NamedTuple):
    """What forward-backward finds.

    Attributes:
        log_likelihood: (B,) of all that is known of a row.
        before: (B, T, S) log p(state | what stands before the position), normalised.
        after: (B, T, S) log p(what stands after the position | state), up to a constant at each position.
        forward: (B, T, S) `before`, with the evidence of the position itself, normalised.
    """

    log_likelihood: Tensor
    before: Tensor
    after: Tensor
    forward: Tensor

    def posterior(self) -> Tensor:
        """(B, T, S): p(state | the row)."""
        return (self.forward + self.after).softmax(-1)

    def without_own(self) -> Tensor:
        """(B, T, S): p(state | the row without the token of the position itself)."""
        return (self.before + self.after).softmax(-1)


def forward_backward(evidence: Tensor, initial: Tensor, transitions: Tensor, starts: Tensor | None = None) -> Chain:
    """Returns the distributions over states at each position, from both sides."""
    moves = transitions.exp()
    fresh = initial.log_softmax(-1)
    known = evidence.transpose(0, 1).contiguous().unbind()  # T of (B, S)
    begins = [None] * len(known) if starts is None else starts.T[..., None].unbind()
    before = fresh.expand_as(known[0])
    befores = [before]
    for own, begin in zip(known[:-1], begins[1:], strict=True):
        before = _product(before + own, moves)
        if begin is not None:
            before = torch.where(begin, fresh, before)
        befores.append(before)
    after = torch.zeros_like(known[0])
    afters = [after]
    for own, begin in zip(known[:0:-1], begins[:0:-1], strict=True):
        after = _product(own + after, moves.T)
        if begin is not None:
            after = after.masked_fill(begin, 0.0)
        afters.append(after)
    stacked = torch.stack(befores, 1)
    joint = stacked + evidence
    totals = joint.logsumexp(-1, keepdim=True)
    return Chain(totals.sum((1, 2)), stacked, torch.stack(afters[::-1], 1), joint - totals)


def _product(log_BS: Tensor, matrix_SS: Tensor) -> Tensor:
    """log(exp(log_BS) @ matrix), up to a constant of each row: that by which exp(log_BS) sums to 1."""
    product = log_BS.softmax(-1) @ matrix_SS
    return product.clamp_min(torch.finfo(product.dtype).tiny).log()


def expected_moves(chain: Chain, evidence: Tensor, transitions: Tensor, counted: Tensor | None = None) -> Tensor:
    """Returns how often each state follows each other one, expected over all rows, (S, S).

    Args:
        counted: (B, T) bool, False where the state at a position is not that of a move from the one before.
    """
    moves = transitions.exp()
    told = evidence[:, 1:] + chain.after[:, 1:]
    to = (told - told.amax(-1, keepdim=True)).exp()
    source = chain.forward[:, :-1].exp()
    shares = ((source @ moves) * to).sum(-1, keepdim=True).clamp_min(torch.finfo(to.dtype).tiny)
    to = to / shares
    if counted is not None:
        to = to * counted[:, 1:, None]
    return moves * (source.flatten(0, 1).T @ to.flatten(0, 1))


def viterbi(
    evidence: Tensor, initial: Tensor, transitions: Tensor, starts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the likeliest states (B, T) of each row, and their log-probability (B,) together with the row."""
    fresh, length = initial.expand_as(evidence[:, 0]), evidence.shape[1]
    best, origins = fresh + evidence[:, 0], []
    for at in range(1, length):
        reached, origin = (best[:, :, None] + transitions).max(1)  # (B, S)
        if starts is not None:
            begins = starts[:, at, None]
            score, end = best.max(-1, keepdim=True)
            reached = torch.where(begins, score + fresh, reached)
            origin = torch.where(begins, end, origin)
        origins.append(origin)
        best = reached + evidence[:, at]
    score, state = best.max(-1)
    path = [state]
    for origin in reversed(origins):
        path.append(origin.gather(1, path[-1][:, None])[:, 0])
    return torch.stack(path[::-1], 1), score

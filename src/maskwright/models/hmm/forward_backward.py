"""Inference in a hidden Markov model, in log space, over all rows of a batch at once (Rabiner, 1989).

Shapes: B rows, T positions, S states. The functions take

- evidence (B, T, S): log p(token | state), 0 where nothing is known of the token;
- starts (B, T) bool, or None: where a chain begins, besides the first position; positions before it tell nothing
  about those after it;
- initial (S,) and transitions (S, S): log-probabilities of the first state, and of the next one given each state.

Products with the matrix of transitions are computed on probabilities, which are relative to the largest of their row.
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
    length, moves = evidence.shape[1], transitions.exp()
    fresh = initial - initial.logsumexp(-1)
    befores, forwards, totals = [fresh.expand_as(evidence[:, 0])], [], []
    for at in range(length):
        joint = befores[-1] + evidence[:, at]
        totals.append(joint.logsumexp(-1, keepdim=True))
        forwards.append(joint - totals[-1])
        if at + 1 < length:
            following = _product(forwards[-1], moves)
            if starts is not None:
                following = torch.where(starts[:, at + 1, None], fresh, following)
            befores.append(following)
    afters = [torch.zeros_like(evidence[:, 0])]
    for at in range(length - 1, 0, -1):
        told = _product(evidence[:, at] + afters[-1], moves.T)
        if starts is not None:
            told = told.masked_fill(starts[:, at, None], 0.0)
        afters.append(told)
    likelihood = torch.cat(totals, 1).sum(1)
    return Chain(likelihood, torch.stack(befores, 1), torch.stack(afters[::-1], 1), torch.stack(forwards, 1))


def _product(log_BS: Tensor, matrix_SS: Tensor) -> Tensor:
    """log(exp(log_BS) @ matrix), up to a constant of each row if the largest of it is far from 0."""
    largest = log_BS.amax(-1, keepdim=True)
    product = (log_BS - largest).exp() @ matrix_SS
    log = product.clamp_min(torch.finfo(product.dtype).tiny).log()
    return log + largest


def expected_moves(
    chain: Chain, evidence: Tensor, transitions: Tensor, counted: Tensor | None = None
) -> Tensor:
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
    """Returns the likeliest states (B, T) of each row, and the log-probability (B,) of these and the row together."""
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

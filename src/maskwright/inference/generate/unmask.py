"""Text by unmasking: at each pass some of the masked tokens are drawn, and stay as they are.

- `ancestral`: each masked token is unmasked with the probability that the schedule gives it, independently of the
  others: the reverse process of masked diffusion (MDLM, Sahoo et al., 2024, arXiv 2406.07524).
- `confidence`: all masked tokens are drawn, and those of which the model is most certain stay, as many as the
  schedule says; the others are masked again (low-confidence remasking of LLaDA, Nie et al., 2025, arXiv
  2502.09992).

Shapes: C chains, T positions, N of them to be written, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from maskwright.inference.generate.conditionals import Conditionals
from maskwright.inference.generate.mask_predict import Decay, masked_share, still_masked
from maskwright.inference.generate.proposals import Proposals, draw
from maskwright.inference.generate.randomness import Randomness


@dataclass(frozen=True)
class Unmasking:
    """How tokens are unmasked.

    Args:
        order: which ones a pass unmasks.
        passes: forward passes of the whole text. Blocks share them evenly, and each has one at least.
        decay: how the share of masked tokens falls from pass to pass.
        block_length: tokens of a block. A block is written when those to its left are complete, while those to its
            right are masked (semi-autoregressive); None for one block.
    Raises:
        ValueError: there are no passes, or blocks of no tokens.
    """

    order: Literal["ancestral", "confidence"] = "ancestral"
    passes: int = 10
    decay: Decay = "linear"
    block_length: int | None = None

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"passes is {self.passes}; it is at least 1")
        if self.block_length is not None and self.block_length < 1:
            raise ValueError(f"block_length is {self.block_length}; it is at least 1")

    def blocks(self, free: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """Returns the positions `free` (N,) as blocks from left to right, each with the number of its passes."""
        ordered = np.sort(free)
        size = self.block_length or max(len(free), 1)
        found = [ordered[first : first + size] for first in range(0, len(free), size)]
        ends = [number * self.passes // len(found) for number in range(len(found) + 1)]
        return [(own, max(end - begin, 1)) for own, begin, end in zip(found, ends, ends[1:], strict=False)]


def unmask(
    ask: Conditionals,
    rows: np.ndarray,
    free: np.ndarray,
    randomness: Randomness,
    proposals: Proposals,
    how: Unmasking,
    progress: Callable[[str], None] = lambda said: None,
) -> np.ndarray:
    """Returns rows (C, T) in which the positions `free` (N,) are written.

    Args:
        rows: (C, T), with anything at `free`.
        progress: called with what has been done.
    """
    rows = rows.copy()
    rows[:, free] = ask.mask_id
    blocks = how.blocks(free)
    step, steps = 0, sum(passes for _, passes in blocks)
    for block, passes in blocks:
        positions = np.tile(block, (len(rows), 1))
        masked = np.ones(positions.shape, dtype=bool)
        for done in range(1, passes + 1):
            step += 1
            remaining = still_masked(len(block), done, passes, how.decay)
            if how.order == "confidence" and masked[0].sum() == remaining:  # as in all chains
                continue
            # all positions of the block are asked, so that shapes, and rounding, are the same for any chains
            logits = ask.logits(rows, positions, masks=False).cpu().double()
            distribution = proposals.log_probabilities(logits, ask.ordinary)
            tokens = draw(distribution, randomness.uniform("token", step, positions))
            if how.order == "ancestral":
                chance = 1 - masked_share(done, passes, how.decay) / masked_share(done - 1, passes, how.decay)
                chosen = masked & (randomness.uniform("unmask", step, positions).numpy() < chance)
            else:
                chosen = _most_certain(logits, tokens, masked, remaining)
            rows[:, block] = np.where(chosen, tokens.numpy(), rows[:, block])
            masked &= ~chosen
            progress(f"pass {step} of {steps}")
    return rows


def _most_certain(logits: Tensor, tokens: Tensor, masked: np.ndarray, remaining: int) -> np.ndarray:
    """Returns which of the masked positions (C, N) are unmasked so that so many remain in each chain.

    Args:
        logits: (C, N, V).
        tokens: (C, N), those that were drawn.
    """
    certainty = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0].numpy()
    order = np.argsort(np.where(masked, -certainty, np.inf), axis=1, kind="stable")
    number = masked.sum(1, keepdims=True) - remaining
    chosen = np.zeros_like(masked)
    np.put_along_axis(chosen, order, np.arange(masked.shape[1]) < number, axis=1)
    return chosen

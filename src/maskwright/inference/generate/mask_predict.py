"""Text by predicting all masked tokens at once, then the least certain ones again (Ghazvininejad et al., 2019).

Shapes: C chains, T positions, N of them to be written, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from maskwright.inference.generate.conditionals import Conditionals
from maskwright.inference.generate.proposals import Proposals, draw
from maskwright.inference.generate.randomness import Randomness

Decay = Literal["linear", "cosine"]


def masked_share(done: int, passes: int, decay: Decay) -> float:
    """Returns the share of the tokens that is masked after `done` of `passes` passes.

    `linear` is that of Ghazvininejad et al. (2019); `cosine`, which changes few tokens at first, that of MaskGIT
    (Chang et al., 2022).
    """
    if done >= passes:
        return 0.0
    return 1 - done / passes if decay == "linear" else math.cos(math.pi / 2 * done / passes)


def still_masked(number: int, done: int, passes: int, decay: Decay) -> int:
    """Returns how many of `number` tokens are masked again after `done` of `passes` passes, rounded down."""
    if decay == "linear":  # exact
        return number * max(passes - done, 0) // passes
    return int(number * masked_share(done, passes, decay))


def mask_predict(
    ask: Conditionals,
    rows: np.ndarray,
    free: np.ndarray,
    randomness: Randomness,
    proposals: Proposals,
    passes: int = 10,
    decay: Decay = "linear",
    progress: Callable[[str], None] = lambda said: None,
) -> np.ndarray:
    """Returns rows (C, T) in which the positions `free` (N,) are written.

    A token that is not masked again keeps the probability that it had when it was drawn, and is masked later if
    others have become more certain. The paper takes the likeliest token each time, which is `top_k=1`.

    Args:
        rows: (C, T), with anything at `free`.
        progress: called with what has been done.
    """
    rows = rows.copy()
    chains = np.arange(len(rows))[:, None]
    certainty = np.zeros((len(rows), len(free)))
    masked = np.tile(np.arange(len(free)), (len(rows), 1))  # places in `free`
    for done in range(1, passes + 1):
        rows[chains, free[masked]] = ask.mask_id
        logits = ask.logits(rows, free[masked]).cpu().double()
        tokens = draw(
            proposals.log_probabilities(logits, ask.ordinary), randomness.uniform("token", done, free[masked])
        )
        drawn = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        rows[chains, free[masked]] = tokens.numpy()
        certainty[chains, masked] = drawn.numpy()
        progress(f"pass {done} of {passes}")
        number = still_masked(len(free), done, passes, decay)
        if number == 0:
            break
        masked = np.argsort(certainty, axis=1, kind="stable")[:, :number]
    return rows

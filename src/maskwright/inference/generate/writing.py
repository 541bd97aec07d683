"""Writes the masked tokens of a text, by one of several methods, in several chains.

Shapes: C chains, T positions, N of them to be written, S samples of a chain, W sweeps.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from maskwright.inference.generate.conditionals import Conditionals, Energy
from maskwright.inference.generate.markov import Chains, Plan, Sampler, Target, joined, run_chains
from maskwright.inference.generate.mask_predict import Decay, mask_predict
from maskwright.inference.generate.proposals import Proposals
from maskwright.inference.generate.randomness import Randomness
from maskwright.inference.generate.unmask import Unmasking, unmask
from maskwright.inference.masked_model import MaskedModel
from maskwright.text.masked_text import MaskedText

Method = Literal["mask_predict", "gibbs", "metropolis", "ancestral", "confidence"]
CHAINS = ("gibbs", "metropolis")  # of which each chain has several samples

# Chains run in groups of this size, and a last group is filled up with more, whose text is not used: what a chain
# writes would else depend, through the rounding of matrix products, on how many there are.
_TOGETHER = 8


@dataclass(frozen=True)
class Recipe:
    """How text is written.

    Args:
        proposals: how tokens are drawn.
        plan: how long the chains of `gibbs` and `metropolis` run.
        energy, energy_temperature: of what `metropolis` draws from, see `Target`.
        passes, decay: of the methods that are no Markov chains.
        block_length: of `ancestral` and `confidence`, see `unmask`.
        traced: whether the energies of `gibbs`, which do not need them, are computed after each sweep.
    """

    method: Method = "gibbs"
    proposals: Proposals = field(default_factory=Proposals)
    plan: Plan = field(default_factory=Plan)
    energy: Energy = "local"
    energy_temperature: float = 1.0
    passes: int = 10
    decay: Decay = "linear"
    block_length: int | None = None
    traced: bool = False


@dataclass(frozen=True)
class Written:
    """What C chains wrote for a text.

    Attributes:
        tokens: (C, S, N) int64, in place of the masks.
        chains: how the chains of `gibbs` and `metropolis` went; their rows are (C, S, T).
    """

    tokens: np.ndarray
    chains: Chains | None


def write(
    model: MaskedModel,
    template: MaskedText,
    recipe: Recipe,
    chains: int,
    seed: int = 0,
    progress: Callable[[str], None] = lambda said: None,
) -> Written:
    """Returns what chains write for a text.

    The tokens of a chain are a function of model, text, recipe, seed and the number of the chain: the number of
    chains and the size of batches do not change them.

    Args:
        progress: called with what has been done.
    """
    ask = Conditionals(model)
    row, free = model.row(template.ids), template.masks + 1
    found = []
    for first in range(0, chains, _TOGETHER):
        end = first + _TOGETHER
        of = f", chains {first + 1} to {min(end, chains)} of {chains}" if chains > _TOGETHER else ""
        randomness = Randomness(seed, np.arange(first, end))
        rows = np.tile(row, (_TOGETHER, 1))
        found.append(_write(ask, rows, free, randomness, recipe, _followed_by(of, progress)))
    whole = joined(found, chains)
    return Written(whole.rows[..., free], whole if recipe.method in CHAINS else None)


def _followed_by(end: str, progress: Callable[[str], None]) -> Callable[[str], None]:
    return lambda said: progress(said + end)


def _write(
    ask: Conditionals,
    rows: np.ndarray,
    free: np.ndarray,
    randomness: Randomness,
    recipe: Recipe,
    progress: Callable[[str], None],
) -> Chains:
    if recipe.method == "mask_predict":
        written = mask_predict(ask, rows, free, randomness, recipe.proposals, recipe.passes, recipe.decay, progress)
        return Chains(written[:, None])
    if recipe.method in ("ancestral", "confidence"):
        how = Unmasking(recipe.method, recipe.passes, recipe.decay, recipe.block_length)
        return Chains(unmask(ask, rows, free, randomness, recipe.proposals, how, progress)[:, None])
    target = Target(range(1, rows.shape[1] - 1), recipe.energy, recipe.energy_temperature)
    moves = target if recipe.method == "metropolis" else None
    sampler = Sampler(ask, randomness, recipe.proposals, moves)
    return run_chains(sampler, rows, free, recipe.plan, target if recipe.traced else None, progress)

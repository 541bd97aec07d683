"""Text by Markov chains that draw a few tokens anew at each step, given all others.

- `gibbs`: each draw is kept (Wang & Cho, 2019). The conditional distributions of a masked model are in general not
  those of one joint distribution, so what the chains converge to depends on the order of the steps.
- `metropolis`: a draw is kept with the probability of Metropolis and Hastings, so that the chains converge to a
  stated distribution, p(row) proportional to exp(-energy(row) / temperature) (Goyal et al., 2022).

Shapes: C chains, T positions, N of them to be written, K drawn at once, S samples, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwright.inference.generate.conditionals import Conditionals, Energy
from maskwright.inference.generate.proposals import Proposals, draw
from maskwright.inference.generate.randomness import Randomness


@dataclass(frozen=True)
class Target:
    """The distribution of Metropolis-Hastings: exp(-energy / temperature), up to a factor.

    Args:
        positions: of the tokens whose energies count.
        energy: see `Conditionals.energies`.
        temperature: below 1 prefers likely rows more than the model does.
    Raises:
        ValueError: the temperature is not above 0.
    """

    positions: Sequence[int]
    energy: Energy = "local"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"The temperature of the energy is {self.temperature}; it is more than 0.")


@dataclass(frozen=True)
class Plan:
    """How long chains run. A sweep draws each free position once, in an order of its own.

    Args:
        burn_in: sweeps before the first sample.
        samples: S, of each chain.
        thin: sweeps from one sample to the next.
        block: K, positions that are masked and drawn at once, each independently of the others.
    """

    burn_in: int = 20
    samples: int = 1
    thin: int = 10
    block: int = 1

    @property
    def sweeps(self) -> int:
        return self.burn_in + (self.samples - 1) * self.thin

    def samples_at(self, sweep: int) -> bool:
        """Returns whether a sample is taken after so many sweeps."""
        return sweep >= self.burn_in and (sweep - self.burn_in) % self.thin == 0


@dataclass(frozen=True)
class Chains:
    """What C chains wrote in W sweeps.

    Attributes:
        rows: (C, S, T), the samples.
        energies: (C, W + 1) float64, before the first sweep and after each; None if nothing needed them.
        accepted: (C, W) the share of the steps of a sweep whose draw was kept, also where it was what stood there.
        changed: (C, W) the share of the steps of a sweep that changed the row.
        impossible: (C, W) the share of the steps rejected because `top_k` or `top_p` exclude the way back.
    """

    rows: np.ndarray
    energies: np.ndarray | None = None
    accepted: np.ndarray | None = None
    changed: np.ndarray | None = None
    impossible: np.ndarray | None = None


def joined(groups: Sequence[Chains], number: int) -> Chains:
    """Returns the first `number` chains of several groups, which wrote the same text in the same way."""

    def first(name: str) -> Any:
        values = [getattr(group, name) for group in groups]
        return None if values[0] is None else np.concatenate(values)[:number]

    return Chains(*(first(own.name) for own in fields(Chains)))


class Sampler:
    """Draws tokens anew.

    Args:
        proposals: what is drawn.
        target: the distribution of Metropolis-Hastings; None keeps each draw, as Gibbs sampling does.
    """

    def __init__(
        self, ask: Conditionals, randomness: Randomness, proposals: Proposals, target: Target | None = None
    ):
        self.ask, self.randomness, self.proposals, self.target = ask, randomness, proposals, target

    def begin(self, rows: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Returns rows (C, T) with a first token at each of `free` (N,).

        They are drawn one by one, in an order of its own for each chain, while those without one are masked.
        """
        rows = rows.copy()
        rows[:, free] = self.ask.mask_id
        for positions in self.randomness.shuffled("order", 0, free).T:
            rows, _, _ = self._propose(rows, positions[:, None], 0)
        return rows

    def step(
        self, rows: np.ndarray, energies: np.ndarray, positions: np.ndarray, sweep: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draws the tokens at positions (C, K) anew.

        Returns:
            The rows (C, T), their energies (C,), whether each chain accepted (C,), and whether it could not because
            there is no way back (C,).
        """
        drawn, forward, back = self._propose(rows, positions, sweep)
        changed = (drawn != rows).any(1)
        none = np.zeros(len(rows), dtype=bool)
        if self.target is None or not changed.any():
            return drawn, energies, ~none, none
        proposed = self.energies(drawn)
        with np.errstate(invalid="ignore"):
            # the same positions are masked on the way back, so it is drawn from the same distribution
            ratio = (energies - proposed) / self.target.temperature + back - forward
        uniform = self.randomness.uniform("accept", sweep, positions[:, :1])[:, 0].numpy()
        impossible = changed & np.isneginf(back)
        accepted = ~changed | ((np.log(uniform) < ratio) & ~impossible)
        rows = np.where(accepted[:, None], drawn, rows)
        return rows, np.where(accepted & changed, proposed, energies), accepted, impossible

    def energies(self, rows: np.ndarray) -> np.ndarray:
        """Returns the energies (C,) of rows; zeros without a target."""
        if self.target is None:
            return np.zeros(len(rows))
        return self.ask.energies(rows, self.target.positions, self.target.energy)

    def _propose(
        self, rows: np.ndarray, positions: np.ndarray, sweep: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns rows with tokens drawn at positions (C, K), the log-probability (C,) of drawing them, and that of
        drawing those that are there, which is -inf where they are never drawn."""
        logits = self.ask.logits(rows, positions).cpu()
        log_probabilities = self.proposals.log_probabilities(logits, self.ask.ordinary)
        tokens = draw(log_probabilities, self.randomness.uniform("token", sweep, positions))
        drawn = rows.copy()
        np.put_along_axis(drawn, positions, tokens.numpy(), axis=1)
        present = torch.from_numpy(np.take_along_axis(rows, positions, axis=1))
        return drawn, _picked(log_probabilities, tokens), _picked(log_probabilities, present)


def _picked(log_probabilities: Tensor, tokens: Tensor) -> np.ndarray:
    return log_probabilities.gather(-1, tokens[..., None])[..., 0].sum(-1).numpy()


def run_chains(
    sampler: Sampler,
    rows: np.ndarray,
    free: np.ndarray,
    plan: Plan,
    trace: Target | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> Chains:
    """Runs chains that write the positions `free` (N,) of rows (C, T), which may have anything there.

    Args:
        trace: energies to note after each sweep of a sampler without a target.
        progress: called with what has been done.
    """
    state = sampler.begin(rows, free)
    energies = sampler.energies(state)
    traced = sampler.target or trace
    noted, shares, samples = [_noted(sampler, state, energies, trace)], [], []
    for sweep in range(1, plan.sweeps + 1):
        order = sampler.randomness.shuffled("order", sweep, free)
        steps = []
        for first in range(0, len(free), plan.block):
            before, positions = state, order[:, first : first + plan.block]
            state, energies, accepted, impossible = sampler.step(state, energies, positions, sweep)
            steps.append([accepted, (state != before).any(1), impossible])
        noted.append(_noted(sampler, state, energies, trace))
        shares.append(np.mean(steps, axis=0))
        if plan.samples_at(sweep):
            samples.append(state)
        progress(f"sweep {sweep} of {plan.sweeps}")
    accepted, changed, impossible = np.stack(shares, axis=-1)
    kept = None if traced is None else np.stack(noted, axis=1)
    return Chains(np.stack(samples, axis=1), kept, accepted, changed, impossible)


def _noted(sampler: Sampler, rows: np.ndarray, energies: np.ndarray, trace: Target | None) -> np.ndarray:
    if sampler.target is not None or trace is None:
        return energies
    return sampler.ask.energies(rows, trace.positions, trace.energy)

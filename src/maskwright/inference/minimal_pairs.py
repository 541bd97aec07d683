"""Minimal pairs: which of two sentences a model prefers (BLiMP: Warstadt et al., 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.corpora.pairs import Pair
from maskwright.reports.statistics import Estimate, grouped_bootstrap

TIE = 1e-4  # nats; how rows are batched changes a sum by less than that


@dataclass(frozen=True)
class Accuracy:
    """How often a model prefers the right sentence.

    Attributes:
        outcomes: the pairs of each paradigm: 1 where the right sentence has the higher score, 0 where the wrong one
            has, one half where both have the same.
        phenomena: the phenomenon of each paradigm.
    """

    outcomes: dict[str, np.ndarray]
    phenomena: dict[str, str]

    @property
    def by_paradigm(self) -> dict[str, float]:
        return {paradigm: float(outcomes.mean()) for paradigm, outcomes in self.outcomes.items()}

    @property
    def by_phenomenon(self) -> dict[str, float]:
        """The mean over the paradigms of each phenomenon."""
        shares = self.by_paradigm
        names = dict.fromkeys(self.phenomena.values())
        return {
            name: float(np.mean([share for paradigm, share in shares.items() if self.phenomena[paradigm] == name]))
            for name in names
        }

    @property
    def overall(self) -> float:
        """The mean over all paradigms."""
        return float(np.mean([*self.by_paradigm.values()]))

    def interval(self, seed: int, paradigms: Sequence[str]) -> Estimate:
        """Returns the mean over some paradigms with its bootstrap interval, over paradigms and the pairs in them.

        The interval of a single paradigm is over its pairs alone.
        """
        return grouped_bootstrap([self.outcomes[paradigm] for paradigm in paradigms], seed=seed)


def accuracy(pairs: Sequence[Pair], good: Sequence[float], bad: Sequence[float]) -> Accuracy:
    """Returns how often the right sentence has the higher score.

    Args:
        good, bad: the scores of the sentences of each pair, in nats. Those that differ by less than `TIE` are
            equal, and count one half.
    """
    difference = np.asarray(good, np.float64) - np.asarray(bad, np.float64)
    outcomes = np.where(np.abs(difference) < TIE, 0.5, difference > 0)
    places: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        places.setdefault(pair.paradigm, []).append(number)
    phenomena = {pair.paradigm: pair.phenomenon for pair in pairs}
    return Accuracy({paradigm: outcomes[own] for paradigm, own in places.items()}, phenomena)

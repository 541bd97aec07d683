"""Minimal pairs: which of two sentences a model prefers (BLiMP: Warstadt et al., 2020)."""

from collections.abc import Iterable, Sequence
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
    def paradigms(self) -> dict[str, list[str]]:
        """The paradigms of each phenomenon."""
        found: dict[str, list[str]] = {}
        for paradigm, phenomenon in self.phenomena.items():
            found.setdefault(phenomenon, []).append(paradigm)
        return found

    def mean(self, paradigms: Iterable[str]) -> float:
        """Returns the mean over some paradigms, each of which counts the same."""
        return float(np.mean([self.outcomes[paradigm].mean() for paradigm in paradigms]))

    @property
    def by_paradigm(self) -> dict[str, float]:
        return {paradigm: self.mean([paradigm]) for paradigm in self.outcomes}

    @property
    def by_phenomenon(self) -> dict[str, float]:
        """The mean over the paradigms of each phenomenon."""
        return {phenomenon: self.mean(own) for phenomenon, own in self.paradigms.items()}

    @property
    def overall(self) -> float:
        """The mean over all paradigms."""
        return self.mean(self.outcomes)

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

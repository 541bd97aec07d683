"""Whether units that are said to matter do: comprehensiveness and sufficiency (ERASER, DeYoung et al., 2020)."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from maskwright.core import hashing
from maskwright.inference.explain.prediction import Prediction

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of the units, as in ERASER
RANDOM = "random"
_RANKINGS = 5  # random ones


class Faithfulness(NamedTuple):
    """How well an explanation tells what a prediction depends on, each a mean over `SHARES`.

    Attributes:
        comprehensiveness: how far the number falls when the units with the highest values are hidden: the more, the
            better.
        sufficiency: how far it falls when all others are hidden: the less, the better.
    """

    comprehensiveness: float
    sufficiency: float


def faithfulness(
    prediction: Prediction, values: Mapping[str, np.ndarray], seed: int = 0
) -> dict[str, Faithfulness]:
    """Returns the scores of each method, and, as a control, those of random values, under `RANDOM`.

    Args:
        values: the values (U,) of each method.
        seed: of the random values.
    """
    units = np.arange(prediction.count)
    rankings = {name: [own] for name, own in values.items()}
    rankings[RANDOM] = [
        hashing.uniform(hashing.fold(np.full_like(units, hashing.start(seed, number)), units))
        for number in range(_RANKINGS)
    ]
    tops = np.stack([_top(own) for each in rankings.values() for own in each])  # (rankings, shares, U)
    rows, of = np.unique(np.concatenate([tops, ~tops]).reshape(-1, prediction.count), axis=0, return_inverse=True)
    falls = (prediction.whole - prediction.scores(rows))[of.reshape(-1)].reshape(2, len(tops), -1).mean(-1)
    found, first = {}, 0
    for name, each in rankings.items():
        own = falls[:, first : first + len(each)].mean(1)
        found[name] = Faithfulness(float(own[0]), float(own[1]))
        first += len(each)
    return found


def _top(values: np.ndarray) -> np.ndarray:
    """Returns which units have the highest values, (shares, U) bool: of each share, at least one of them."""
    rank = np.empty(len(values), np.int64)
    rank[np.argsort(-values, kind="stable")] = np.arange(len(values))
    return rank < np.array([[math.ceil(share * len(values))] for share in SHARES])

"""A number and its confidence interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def finite(values: ArrayLike, what: str) -> Floats:
    """Returns an array of float64.

    Raises:
        ValueError: it is empty, or a value is not finite.
    """
    array = np.asarray(values, np.float64)
    if not array.size:
        raise ValueError(f"there are no {what}")
    if bad := int((~np.isfinite(array)).sum()):
        raise ValueError(f"{bad} of {array.size} {what} are not finite (nan or inf)")
    return array


def check_between(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raises ValueError unless low < value < high."""
    if not low < value < high:
        bounds = f"above {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ValueError(f"{name} is {value}; it has to be {bounds}")


def percentiles(value: float, resampled: Floats | Sequence[float], level: float) -> Estimate:
    """Returns the percentile interval of resampled values (R,)."""
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))

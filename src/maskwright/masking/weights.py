"""How likely a unit is to be masked, relative to the other units of its row.

A weight function takes the batch and the unit ids (B, T) and returns (B, T) float: at each position
the weight, >= 0, of the unit there; or None where all units are equally likely.
"""

from torch import Tensor


class Uniform:
    """All units of a row are equally likely."""

    def __call__(self, batch: dict[str, Tensor], units: Tensor) -> Tensor | None:
        return None

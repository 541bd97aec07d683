"""Types of arguments: bounds, which values are refused by before any work is done, and texts that name files."""

import math
import re
from typing import Annotated

from annotated_types import Ge, Gt, Lt
from pydantic import BeforeValidator

PositiveCount = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
PositiveRate = Annotated[float, Gt(0), Lt(math.inf)]
Rate = Annotated[float, Ge(0), Lt(math.inf)]
Share = Annotated[float, Ge(0), Lt(1)]  # of the past in a running mean, or of what is dropped


def _share(value: object) -> object:
    """Returns a text that spells a share of a whole, such as "0.1", as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("name a split of the source, or take a share of its training split, such as 0.05")
    return float(value) if isinstance(value, str) and re.fullmatch(r"0?\.\d+", value) else value


NameOrShare = Annotated[str | float, BeforeValidator(_share)]


class OnDisk:
    """Marks a text that names something on this disk."""


PathText = Annotated[str, OnDisk]  # or something else, if there is no such path: on the hub, in a package, `last`

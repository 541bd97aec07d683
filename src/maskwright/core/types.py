"""Types of arguments that have bounds, so that values out of range are refused before any work is done."""

import math
from typing import Annotated

from annotated_types import Ge, Gt, Lt

PositiveCount = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
PositiveRate = Annotated[float, Gt(0), Lt(math.inf)]
Rate = Annotated[float, Ge(0), Lt(math.inf)]
Share = Annotated[float, Ge(0), Lt(1)]  # of the past in a running mean, or of what is dropped

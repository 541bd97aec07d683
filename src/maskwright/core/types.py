"""Types of arguments that have bounds, so that values out of range are refused before any work is done."""

from typing import Annotated

from annotated_types import Ge, Gt

PositiveCount = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
PositiveRate = Annotated[float, Gt(0)]

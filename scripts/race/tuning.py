"""The settings of a peer, and the search for its best ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Tuned = TypeVar("Tuned", bound="DataclassInstance")  # what is tuned, a dataclass like `Setting`
Range = tuple[float, ...] | Literal["doubled"]  # the values to try, in rising order
Grid = Mapping[str, Range]  # by the name of what is tuned

DOUBLED: Final = "doubled"  # a value that is halved and doubled, until the best one has worse values on both sides
GRID: Grid = {
    "lr": DOUBLED,
    "rows": DOUBLED,
    "mask_ratio": (0.15, 0.3, 0.4, 0.5),
    "weight_decay": (0.01, 0.1),
    "beta2": (0.95, 0.98),
}


@dataclass(frozen=True)
class Setting:
    """What is tuned of a peer; see `Spec`. `adamw_lr` is None for peers without Muon."""

    lr: float
    rows: int
    mask_ratio: float
    weight_decay: float
    beta2: float
    adamw_lr: float | None = None

    @property
    def name(self) -> str:
        return "-".join(f"{key}{value:g}" for key, value in asdict(self).items() if value is not None)


# the best of ModernBERT in the race of 2026-11-28, on another machine
_FIRST = Setting(lr=1e-3, rows=4, mask_ratio=0.4, weight_decay=0.01, beta2=0.98)
START = {
    "bert": replace(_FIRST, lr=5e-4),
    "modernbert": _FIRST,
    "modernbert-muon": replace(_FIRST, lr=1e-2, rows=8, adamw_lr=4e-3),
}


# which of them are tuned once more in runs of full length: short ones are near the plateau, where they rank little
AGAIN = ("lr", "adamw_lr", "mask_ratio")


def grid_of(setting: Setting) -> Grid:
    """Returns the values to try of a peer that has such settings."""
    return GRID if setting.adamw_lr is None else {"lr": DOUBLED, "adamw_lr": DOUBLED, **GRID}


def search(
    starts: Sequence[Tuned],
    grid: Grid,
    losses: Callable[[list[Tuned]], list[float]],
    most: int | None = None,
) -> dict[Tuned, float]:
    """Looks for the setting with the lowest loss, one value at a time, until no single change makes it better.

    Args:
        starts: the search begins with the best of these.
        losses: returns the loss of each setting; NaN counts as the worst.
        most: no more settings than this are tried.
    Returns:
        The losses of all settings that were tried.
    """
    found: dict[Tuned, float] = {}

    def best_of(settings: list[Tuned]) -> Tuned:
        new = [setting for setting in dict.fromkeys(settings) if setting not in found]
        new = new if most is None else new[: most - len(found)]
        for setting, loss in zip(new, losses(new) if new else [], strict=True):
            found[setting] = math.inf if math.isnan(loss) else loss
        return min(found, key=found.__getitem__)

    best, before = best_of(list(starts)), None
    while best != before:
        before = best
        for name, values in grid.items():
            while (now := best_of([best, *neighbours(best, name, values)])) != best:
                best = now
    return found


def neighbours(setting: Tuned, name: str, values: Range) -> list[Tuned]:
    """Returns the settings with the next lower and the next higher value of what is tuned."""
    own: Any = getattr(setting, name)
    if values == DOUBLED:
        halved = own // 2 if isinstance(own, int) else own / 2
        others = [value for value in (halved, own * 2) if value]
    else:
        place = values.index(own)
        others = list(values[max(place - 1, 0) : place] + values[place + 1 : place + 2])
    return [replace(setting, **{name: value}) for value in others]


def at_border(found: Mapping[Setting, float], grid: Grid) -> list[str]:
    """Returns what may have better values: next ones were not tried, or the best is at an end of three or more."""
    best = ranked(found)[0]

    def alone(name: str, values: Range) -> bool:
        if not all(near in found for near in neighbours(best, name, values)):
            return True
        return values != DOUBLED and len(values) > 2 and getattr(best, name) in (values[0], values[-1])

    return [name for name, values in grid.items() if alone(name, values)]


def ranked(found: Mapping[Tuned, float]) -> list[Tuned]:
    """Returns the settings, the best one first."""
    return sorted(found, key=found.__getitem__)

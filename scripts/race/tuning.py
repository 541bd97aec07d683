"""The settings of a peer, and the search for its best ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

DOUBLED = "doubled"  # a value that is halved and doubled, until the best one has worse values on both sides
GRID: dict[str, Sequence[float] | str] = {
    "lr": DOUBLED,
    "rows": DOUBLED,
    "mask_ratio": (0.15, 0.3, 0.4),
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


_FIRST = Setting(lr=2e-3, rows=8, mask_ratio=0.3, weight_decay=0.01, beta2=0.98)
START = {
    "bert": replace(_FIRST, lr=5e-4),
    "modernbert": _FIRST,
    "modernbert-muon": replace(_FIRST, lr=1e-2, adamw_lr=4e-3),
}


def grid_of(setting: Setting) -> dict[str, Sequence[float] | str]:
    """Returns the values to try, by the name of what is tuned."""
    return GRID if setting.adamw_lr is None else {"lr": DOUBLED, "adamw_lr": DOUBLED} | GRID


def search(
    start: Setting,
    grid: Mapping[str, Sequence[float] | str],
    losses: Callable[[list[Setting]], list[float]],
    most: int | None = None,
) -> dict[Setting, float]:
    """Looks for the setting with the lowest loss, one value at a time, until no single change makes it better.

    Args:
        losses: returns the loss of each setting; NaN counts as the worst.
        most: no more settings than this are tried.
    Returns:
        The losses of all settings that were tried.
    """
    found: dict[Setting, float] = {}

    def best_of(settings: list[Setting]) -> Setting:
        new = [setting for setting in dict.fromkeys(settings) if setting not in found]
        new = new if most is None else new[: most - len(found)]
        for setting, loss in zip(new, losses(new) if new else [], strict=True):
            found[setting] = math.inf if math.isnan(loss) else loss
        return min(found, key=found.__getitem__)

    best, before = start, None
    while best != before:
        before = best
        for name, values in grid.items():
            while (now := best_of([best, *neighbours(best, name, values)])) != best:
                best = now
    return found


def neighbours(setting: Setting, name: str, values: Sequence[float] | str) -> list[Setting]:
    """Returns the settings with other values of what is tuned."""
    own: Any = getattr(setting, name)
    if values == DOUBLED:
        halved = own // 2 if isinstance(own, int) else own / 2
        others = [value for value in (halved, own * 2) if value]
    else:
        others = [value for value in values if value != own]
    return [replace(setting, **{name: value}) for value in others]


def at_border(found: Mapping[Setting, float], grid: Mapping[str, Sequence[float] | str]) -> list[str]:
    """Returns what was tuned by doubling, but has a best value without worse ones on both sides."""
    best = min(found, key=found.__getitem__)
    wanted = {name: neighbours(best, name, values) for name, values in grid.items() if values == DOUBLED}
    return [name for name, settings in wanted.items() if not all(setting in found for setting in settings)]


def ranked(found: Mapping[Setting, float]) -> list[Setting]:
    """Returns the settings, the best one first."""
    return sorted(found, key=found.__getitem__)

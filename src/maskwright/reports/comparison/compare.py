"""What differs among runs, and means over seeds with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maskwright.reports.comparison.gather import Run
from maskwright.reports.statistics import t_interval

SEED = "seed"


@dataclass
class Group:
    """Completed and other runs with the same settings except for the seed.

    Attributes:
        label: the settings that tell it from the other groups.
        values: its settings, in the order of the keys that differ.
    """

    label: str
    values: list[Any]
    runs: list[Run]

    def interval(self, metric: str) -> tuple[int, float, float] | None:
        """Returns n, the mean and half the width of its 95 % interval (nan if n = 1) of the completed runs."""
        found = [run.metrics[metric] for run in self.runs if run.status == "completed" and metric in run.metrics]
        if len(found) < 2:
            return (1, found[0], math.nan) if found else None
        value, _, high = t_interval(found)
        return len(found), value, high - value


def shown(value: Any) -> str:
    """Returns a setting as a table shows it: classes by their last name."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text.rsplit(".", 1)[-1] if text.startswith("maskwright.") else text


def differing(runs: Sequence[Run]) -> tuple[list[str], dict[str, Any]]:
    """Returns the keys whose values differ among the runs with a config, and the settings that are equal."""
    known = [run.settings for run in runs if run.settings]
    keys = list(dict.fromkeys(key for settings in known for key in settings))
    unequal = [key for key in keys if len({shown(settings.get(key)) for settings in known}) > 1]
    return unequal, {key: known[0].get(key) for key in keys if key not in unequal}


def group(runs: Sequence[Run], keys: Sequence[str]) -> list[Group]:
    """Returns the runs by all differing settings but the seed; those without a config are in no group."""
    keys = [key for key in keys if key != SEED]
    members: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        if run.settings:
            members.setdefault(tuple(shown(run.settings.get(key)) for key in keys), []).append(run)
    telling = _telling(list(members), len(keys))
    return [
        Group(label(keys, telling, values), [found[0].settings.get(key) for key in keys], found)
        for values, found in members.items()
    ]


def label(keys: Sequence[str], telling: Sequence[int], values: Sequence[str]) -> str:
    """Returns the settings at the positions `telling` in words; classes need no key."""
    parts = [values[at] if keys[at].endswith("_target_") else f"{_short(keys[at])} {values[at]}" for at in telling]
    return ", ".join(parts) or "all runs"


def _short(key: str) -> str:
    return key.removesuffix(".value").rsplit(".", 1)[-1]


def _telling(rows: list[tuple[str, ...]], count: int) -> list[int]:
    """Returns the positions that suffice to tell all rows apart, the first ones if several do."""
    kept: list[int] = []
    for at in range(count):
        if len({tuple(row[i] for i in [*kept, at]) for row in rows}) > len(
            {tuple(row[i] for i in kept) for row in rows}
        ):
            kept.append(at)
    return kept


def numeric_keys(runs: Sequence[Run], keys: Sequence[str]) -> list[str]:
    """Returns the differing keys with numbers that a plot can have on its x-axis, a ratio first."""

    def is_number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    found = [
        key
        for key in keys
        if key != SEED and len({run.settings[key] for run in runs if is_number(run.settings.get(key))}) > 1
    ]
    return sorted(found, key=lambda key: "ratio" not in key)


def lines(groups: Sequence[Group], keys: Sequence[str], key: str, metric: str) -> list[dict[str, Any]]:
    """Returns a line for each combination of the other settings: x by `key`, mean, half width, n."""
    keys = [name for name in keys if name != SEED]
    at = keys.index(key)
    others: dict[tuple[str, ...], list[list[float | None]]] = {}
    for one in groups:
        x, found = one.values[at], one.interval(metric)
        if isinstance(x, int | float) and found is not None:
            n, mean, half = found
            rest = tuple(shown(value) for i, value in enumerate(one.values) if i != at)
            others.setdefault(rest, []).append([x, mean, None if math.isnan(half) else half, n])
    rest_keys = [name for name in keys if name != key]
    telling = _telling(list(others), len(rest_keys))
    return [
        {"label": label(rest_keys, telling, rest), "points": sorted(points, key=lambda point: point[0] or 0)}
        for rest, points in others.items()
    ]

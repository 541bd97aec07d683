"""The differences between two plain configs."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Change(NamedTuple):
    """A setting whose value has changed.

    Attributes:
        key: the dotted key of the setting.
    """

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} was {self.before!r} and is {self.now!r}"


def changes(before: Any, now: Any, path: str = "") -> list[Change]:
    """Returns the settings that differ, in the order of the first config."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*before, *(key for key in now if key not in before)]
        dot = f"{path}." if path else ""
        return [change for key in keys for change in changes(before.get(key), now.get(key), f"{dot}{key}")]
    return [] if before == now else [Change(path, before, now)]


def dotted_keys(config: Any, prefix: str = "") -> list[str]:
    """Returns the dotted keys of a plain config, of groups too, without those that begin with `_`."""
    keys: list[str] = []
    for key, value in config.items() if isinstance(config, Mapping) else ():
        if not key.startswith("_"):
            keys += [f"{prefix}{key}", *dotted_keys(value, f"{prefix}{key}.")]
    return keys


def listed(found: list[Change]) -> str:
    """Returns the changes as one line."""
    return "; ".join(map(str, found))

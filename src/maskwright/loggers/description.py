"""What a dashboard knows of a run besides its metrics."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKENS = "train/tokens"  # the metric that is the x axis: tokens trained on so far
_LONGEST_TAG, _LONGEST_GROUP = 64, 128  # characters, as W&B has it
_NO_TAGS = ("logger", "callbacks")  # groups that say nothing of the experiment


@dataclass(frozen=True)
class Description:
    """By what runs are found, grouped and compared.

    Attributes:
        name: of the run: that of its directory.
        job_type: what is trained: the task.
        group: the sweep that the run is a job of; None if it is by itself.
        tags: the options that were chosen, as `group=option`.
        config: all settings, under dotted keys.
        better: which direction of a metric is better, `min` or `max`, by the name of the metric without its split.
    """

    name: str
    job_type: str = ""
    group: str | None = None
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    better: Mapping[str, str] = field(default_factory=dict)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a plain config with one dotted key for each setting; lists stay as they are."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found


def tags(choices: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the options of the main groups, as `group=option`.

    Args:
        choices: the options by their groups.
    """
    main = {group: option for group, option in choices.items() if not {"/", "@"} & {*group}}
    return tuple(f"{group}={option}"[:_LONGEST_TAG] for group, option in main.items() if group not in _NO_TAGS)


def group(sweep: str | None) -> str | None:
    """Returns the name of a group of runs: the directory of their sweep, as seen from the working directory."""
    if sweep is None:
        return None
    inside = Path(sweep).absolute().is_relative_to(Path.cwd())
    return (os.path.relpath(sweep) if inside else sweep)[-_LONGEST_GROUP:]

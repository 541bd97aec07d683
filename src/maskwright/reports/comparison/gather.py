"""Reads run directories; what is missing or damaged is noted and never stops the others."""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from maskwright.core.errors import UserError

_TOKENS = "train/tokens"
_FILES = ("summary.json", "metrics.csv", "config.yaml")
_OF_ONE_RUN = ("run_dir", "ckpt_path")  # keys that say where a run is, not what it does

Curve = list[tuple[float, float]]


@dataclass
class Run:
    """What the files of one run directory say.

    Attributes:
        path: the directory.
        status: completed, failed or interrupted; unfinished if there is no readable summary.
        error: why it did not complete; empty if nothing is known.
        settings: plain values by dotted key.
        metrics: final metrics by name, finite ones alone.
        curves: (step, value) by name of the metric, in the order of the file.
        notes: the files that are missing or damaged, and what is wrong with them.
    """

    path: Path
    status: str = "unfinished"
    error: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def gather(folders: Iterable[Path]) -> list[Run]:
    """Returns the runs in the folders, at any depth, each once, in the order of their paths.

    Raises:
        UserError: a folder does not exist, or there is no run in any of them.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Name run directories, sweeps, or folders such as logs/.")
    found = {path.resolve() for folder in folders for path in _run_directories(folder)}
    if not found:
        raise UserError(
            f"There is no run in {', '.join(map(str, folders))}: a run has {', '.join(_FILES[:2])} or {_FILES[2]}."
        )
    return [_read(path) for path in sorted(found)]


def _run_directories(folder: Path) -> Iterator[Path]:
    for here, below, files in os.walk(folder):
        if any(name in files for name in _FILES):
            yield Path(here)
            below.clear()
        else:
            below[:] = [name for name in below if not name.startswith(".")]  # .hydra has a config.yaml of its own


def _read(path: Path) -> Run:
    run = Run(path)
    # those before the run was resumed in its directory
    parts = sorted(path.glob("metrics-*.csv"), key=lambda part: (len(part.name), part.name))
    readers = [("summary.json", _summary), ("config.yaml", _config)]
    for name, read in [*readers, *((part.name, _metrics) for part in parts), ("metrics.csv", _metrics)]:
        try:
            read(run, (path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            run.notes.append(f"{name} is missing")
        except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, csv.Error, RecursionError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            run.notes.append(f"{name} is damaged or unreadable: {said}")
    return run


def _summary(run: Run, text: str) -> None:
    summary = json.loads(text)
    run.status = str(summary.get("status") or run.status)
    run.error = str(summary.get("error") or "")
    metrics = summary.get("metrics") or {}
    run.metrics = {name: float(value) for name, value in metrics.items() if _is_number(value)}


def _config(run: Run, text: str) -> None:
    config = yaml.safe_load(text)
    own = (str(config.get("run_dir") or run.path), str(run.path))
    for key, value in _flat(config):
        if key not in _OF_ONE_RUN:
            for path in own if isinstance(value, str) else ():
                value = value.replace(path, "{run_dir}")  # so that files in a run directory are no difference
            run.settings[key] = value


def _flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _metrics(run: Run, text: str) -> None:
    damaged = 0
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in csv.DictReader(text.splitlines()):
        try:
            step = float(row["step"])
            values = {name: float(value) for name, value in row.items() if name and value}
        except (KeyError, ValueError, TypeError):  # a killed run leaves half a line
            damaged += 1
            continue
        for name, value in values.items():
            if name.startswith(("train/", "validation/")) and math.isfinite(value):
                curves.setdefault(name, []).append((step, value))
    trained = (points[0][0] for name, points in curves.items() if name != _TOKENS)  # which a test has too
    begins = min(trained, default=math.inf)
    for name in {*run.curves, *curves}:  # a resumed run has repeated what came after its checkpoint
        before = [point for point in run.curves.get(name, []) if point[0] < begins]
        run.curves[name] = before + curves.get(name, [])
    if damaged:
        run.notes.append(f"metrics.csv has {damaged} damaged line{'s' * (damaged != 1)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

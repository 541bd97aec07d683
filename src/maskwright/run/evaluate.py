"""Evaluates finished runs, on any data that they can read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from maskwright.core.errors import UserError, nearest
from maskwright.core.paths import CHECKPOINTS
from maskwright.reports.matrix import Row
from maskwright.run import matrix
from maskwright.run.evaluation import Evaluation
from maskwright.run.ranks import Place, find_place, follow, hardware_of, together
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import quiet
from maskwright.settings.commands import EvaluateSettings

SPLITS = ("validation", "test")


def evaluate(cfg: DictConfig, overrides: Sequence[str] = (), multirun: bool = False) -> dict[str, float]:
    """Evaluates what a composed `conf/evaluate.yaml` describes; returns the metrics by name.

    Writes `metrics.json` and the files of the task's report into the folder `output`.

    Args:
        overrides: the overrides of the command line, as typed.
        multirun: whether this is a job of a sweep.
    Raises:
        UserError: there is no such run or split, or the data does not fit the run.
    """
    return _with_all_devices(cfg, overrides, multirun)


def compare(cfg: DictConfig, overrides: Sequence[str] = (), multirun: bool = False) -> list[Row]:
    """Evaluates several runs, or one, on several data sets or under several masks; returns a row for each.

    Writes `matrix.json` and `matrix.md` into the folder `output`. See `evaluate`.
    """
    return _with_all_devices(cfg, overrides, multirun)


def compares(cfg: DictConfig) -> bool:
    """Whether a composed `conf/evaluate.yaml` is for `compare`, and not for `evaluate`."""
    asked = _asked(cfg)
    return bool(asked.masks or matrix.data_sets(asked)) or len(_directories(asked)) > 1


def _with_all_devices(cfg: DictConfig, overrides: Sequence[str], multirun: bool) -> Any:
    quiet()
    place = find_place(hardware_of(cfg), multirun=multirun)
    if place.rank.number:
        return follow(place, lambda task, place: beside(OmegaConf.create(task[1]), task[2], place))
    _check(cfg)  # before other processes are started
    with together(place, ("evaluate", OmegaConf.to_container(cfg, resolve=True), tuple(overrides))) as place:
        return beside(cfg, overrides, place)


def beside(cfg: DictConfig, overrides: Sequence[str], place: Place) -> dict[str, float] | list[Row]:
    """Evaluates as one of the processes of the evaluation; see `evaluate` and `compare`."""
    quiet()
    asked = _asked(cfg)
    runs = [_open(asked, directory) for directory in _directories(asked)]
    if compares(cfg):
        return matrix.rows(asked, runs, overrides, place)
    evaluation = Evaluation(asked, runs[0], place, overrides)
    tested = evaluation.test(evaluation.settings)
    evaluation.report(tested, asked.output)
    return tested.metrics


def _asked(cfg: DictConfig) -> EvaluateSettings:
    asked = EvaluateSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    if asked.split not in SPLITS:
        raise UserError(
            f"split='{asked.split}' cannot be evaluated.{nearest(asked.split, SPLITS)} Choose one of: "
            f"{', '.join(SPLITS)}."
        )
    return asked


def _check(cfg: DictConfig) -> None:
    """Finds what is wrong as far as that is known before any data is prepared."""
    asked = _asked(cfg)
    runs = [_open(asked, directory) for directory in _directories(asked)]
    if compares(cfg):
        matrix.check(asked, runs)


def _directories(asked: EvaluateSettings) -> list[Path]:
    """Returns the directories of the runs; a folder that is none stands for all those in it, in natural order."""
    found: dict[Path, None] = {}
    for name in asked.runs:
        run = Path(name).expanduser()
        inside: list[Path] = []
        if run.is_dir() and not (run / CHECKPOINTS).is_dir():
            files = run.rglob(f"{CHECKPOINTS}/{asked.checkpoint}.ckpt")
            inside = sorted((file.parents[1] for file in files), key=_natural)
        found |= dict.fromkeys(inside or [run])
    return list(found)


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key for sorting by which 2 comes before 10."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", str(path))]


def _open(asked: EvaluateSettings, directory: Path) -> SavedRun:
    path = directory / CHECKPOINTS / f"{asked.checkpoint}.ckpt"
    if not path.is_file():
        raise UserError(f"run='{directory}' has no checkpoint {path}. Name the directory of a run that wrote one.")
    return SavedRun.open(path, "run")

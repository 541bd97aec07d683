"""The framework of studies: runs of `src/train.py` that are kept, and their results.

A study compares arms over seeds. One arm with one seed is a part, which is a job of Hydra's launcher: parts run one
after the other, side by side (hydra.launcher.n_jobs=2) or on a cluster (hydra/launcher=submitit_slurm). A
part consists of runs, each in a folder of its own. A run that has finished is not repeated, and one that was
stopped is resumed. A run that fails ends its part; the other parts continue. Whenever a part ends, the report of
all finished parts is written, see `reporting.py`.
"""

import json
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import reporting
import yaml
from figures import Study, Values
from filelock import FileLock

from maskwright.core.atomic import write_file
from maskwright.core.errors import USER_ERROR, UserError
from maskwright.run.jobs import Job, run_jobs

ROOT = Path(__file__).resolve().parents[2]


def settings_of(arms: dict[str, str], name: str) -> list[str]:
    """Returns the settings of an arm; by default `mask=<its name>`."""
    return shlex.split(arms.get(name, f"mask={name}"))


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Checks that the settings that all parts of a study share are those of the finished parts.

    Raises:
        UserError: a part has finished with other settings.
    """
    for name, before in _kept(folder).items():
        if name in settings and settings[name] != before:
            raise UserError(
                f"{folder} holds a study with {name}={before}, but now {name}={settings[name]}: their results "
                "cannot be compared. Choose another folder, or delete that one."
            )


def keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Records settings that all parts of a study share, as soon as a run has finished with them."""
    with FileLock(folder / ".report.lock"):
        _write(folder / "settings.json", json.dumps(_kept(folder) | settings, indent=1) + "\n")


def _kept(folder: Path) -> dict[str, Any]:
    path = folder / "settings.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def run(folder: Path, overrides: Sequence[str]) -> dict[str, float]:
    """Returns the metrics of a run of `src/train.py` with these settings, which is started unless it has finished.

    Raises:
        UserError: the settings are refused, or the folder holds a run with other settings or one in progress.
        RuntimeError: the run has failed.
    """
    written = folder / "settings.json"
    if written.is_file() and (before := json.loads(written.read_text())) != [*overrides]:
        others = ", ".join(sorted({*before} ^ {*overrides})) or "their order"
        raise UserError(
            f"{folder} holds a run with other settings ({others}). Delete it, or choose another folder."
        )
    if (metrics := finished(folder)) is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(written, lambda path: path.write_text(json.dumps([*overrides], indent=1)))
        print(f"{folder}: running; its output goes to output.log there", flush=True)
        job = call(folder, "train.py", [*overrides, f"hydra.run.dir={folder}", "ckpt_path=auto"])
        metrics = finished(folder)
        if job.status or metrics is None:
            message = f"{folder} failed with status {job.status}: {job.error()}"
            # the other parts go on, except after an error that would end them too
            begun = (folder / "config.yaml").is_file()
            raise UserError(message) if job.status == USER_ERROR and not begun else RuntimeError(message)
    print(f"{folder}: {objective(folder)} {metrics[objective(folder)]:.4f}", flush=True)
    return metrics


def for_minutes(minutes: float) -> list[str]:
    """Returns the settings of a run that trains for so long."""
    hours, rest = divmod(round(60 * minutes), 3600)
    return ["trainer.max_steps=-1", f"trainer.max_time=00:{hours:02}:{rest // 60:02}:{rest % 60:02}"]


def call(folder: Path, program: str, overrides: Sequence[str]) -> Job:
    """Returns how a command of `src/` ended, whose output goes to output.log in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(folder.name, [sys.executable, str(ROOT / "src" / program), *overrides], folder)
    run_jobs([job], 1, [{}], quiet=True)
    return job


def finished(folder: Path) -> dict[str, float] | None:
    """Returns the metrics of the run in a folder, NaN for what is not finite; None if no run has finished there."""
    path = folder / "summary.json"
    summary = json.loads(path.read_text()) if path.is_file() else {}
    if summary.get("status") != "completed":
        return None
    return {name: math.nan if value is None else value for name, value in summary["metrics"].items()}


def objective(folder: Path) -> str:
    """Returns the test metric that corresponds to the objective of the run in a folder."""
    return yaml.safe_load((folder / "config.yaml").read_text())["objective"].replace("validation/", "test/")


def parts(folder: Path) -> dict[str, dict[int, Path]]:
    """Returns the folders of the parts of a study, by arm and seed."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.glob("*-*/")):
        arm, _, seed = path.name.rpartition("-")
        if seed.isdigit():
            found.setdefault(arm, {})[int(seed)] = path
    return found


def write_report(folder: Path, collect: Callable[[], Study]) -> None:
    """Writes `study.json`, `study.md` and `study.svg`, each completely or not at all.

    Args:
        collect: returns the results of all finished parts; parts that end at the same time call it in turn.
    """
    with FileLock(folder / ".report.lock"):
        study = collect()
        _write(folder / "study.json", study.json())
        reporting.write(folder / "study.json", study)


def _write(path: Path, text: str) -> None:
    write_file(path, lambda temporary: temporary.write_text(text))


def collect(folder: Path, name: str, key: str | None = None) -> Values:
    """Returns a test metric, by default the objective, of the finished runs of this name, by arm and seed.

    Runs without this metric are left out.
    """
    found: Values = {}
    for arm, seeds in parts(folder).items():
        for seed, part in seeds.items():
            metrics = finished(part / name)
            if metrics is not None and (wanted := key or objective(part / name)) in metrics:
                found.setdefault(arm, {})[seed] = metrics[wanted]
    return found

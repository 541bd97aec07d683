"""The framework of studies: runs of `src/train.py` that are kept, and tables and pictures of their results.

A study compares arms over seeds. One arm with one seed is a part, which is a job of Hydra's launcher: parts run one
after the other, side by side (hydra.launcher.n_jobs=2) or on a cluster (hydra/launcher=submitit_slurm). A
part consists of runs, each in a folder of its own. A run that has finished is not repeated, and one that was
stopped is resumed. A run that fails ends its part; the other parts continue. Whenever a part ends, the report of
all finished parts is written.
"""

import json
import math
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock
from scipy.stats import t as student

from maskwright.cli import USER_ERROR
from maskwright.core.atomic import write_file
from maskwright.core.errors import UserError
from maskwright.run.jobs import Job, run_jobs

ROOT = Path(__file__).resolve().parents[2]
Values = dict[str, dict[int, float]]  # by arm and seed


@dataclass(frozen=True)
class Metric:
    """A figure that a study compares.

    Args:
        title: its name in tables.
        percent: whether it is a share, which is shown in per cent.
        main: whether its differences are listed and drawn.
    """

    title: str
    percent: bool = True
    main: bool = True

    def show(self, value: float, signed: bool = False) -> str:
        return f"{100 * value if self.percent else value:{'+' if signed else ''}.{2 if self.percent else 3}f}"


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


def call(folder: Path, program: str, overrides: Sequence[str]) -> Job:
    """Returns how a command of `src/` ended, whose output goes to output.log in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(folder.name, [sys.executable, str(ROOT / "src" / program), *overrides], folder)
    run_jobs([job], 1, [{}], quiet=True)
    return job


def finished(folder: Path) -> dict[str, float] | None:
    """Returns the metrics of the run in a folder; None if no run has finished there."""
    path = folder / "summary.json"
    summary = json.loads(path.read_text()) if path.is_file() else {}
    return summary["metrics"] if summary.get("status") == "completed" else None


def objective(folder: Path) -> str:
    """Returns the test metric that corresponds to the objective of the run in a folder."""
    return yaml.safe_load((folder / "config.yaml").read_text())["objective"].replace("validation/", "test/")


def compare(values: dict[int, float], baseline: dict[int, float]) -> tuple[float, float] | None:
    """Returns the mean difference over the seeds that both have, and half of its 95 % confidence interval.

    The interval is that of Student's t for paired samples. None if fewer than two seeds are shared.
    """
    differences = [values[seed] - baseline[seed] for seed in values.keys() & baseline.keys()]
    if len(differences) < 2:
        return None
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return statistics.mean(differences), float(student.ppf(0.975, len(differences) - 1)) * error


def parts(folder: Path) -> dict[str, dict[int, Path]]:
    """Returns the folders of the parts of a study, by arm and seed."""
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.glob("*-*/")):
        arm, _, seed = path.name.rpartition("-")
        if seed.isdigit():
            found.setdefault(arm, {})[int(seed)] = path
    return found


def write_report(folder: Path, title: str, collect: Callable[[], dict[Metric, Values]], baseline: str) -> None:
    """Writes `study.md`, `study.json` and `study.svg`, each completely or not at all.

    Args:
        collect: returns the results of all finished parts; parts that end at the same time call it in turn.
    """
    with FileLock(folder / ".report.lock"):
        found = collect()
        figures = {metric.title: values for metric, values in found.items()}
        _write(folder / "study.json", json.dumps(figures, indent=1) + "\n")
        _write(folder / "study.md", table(found, baseline))
        write_file(folder / "study.svg", lambda path: draw(path, title, found, baseline))


def _write(path: Path, text: str) -> None:
    write_file(path, lambda temporary: temporary.write_text(text))


def arms_of(found: dict[Metric, Values], baseline: str) -> list[str]:
    """Returns the arms that have results, the baseline first."""
    names = {arm for values in found.values() for arm in values}
    return sorted(names, key=lambda arm: (arm != baseline, arm))


def table(found: dict[Metric, Values], baseline: str) -> str:
    """Returns mean ± standard deviation of each arm, and its paired difference to the baseline, as Markdown."""
    heads = [head for metric in found for head in (metric.title, *([f"− {baseline}"] * metric.main))]
    lines = ["| | seeds | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for arm in arms_of(found, baseline):
        cells = [str(max(len(values.get(arm, {})) for values in found.values()))]
        for metric, values in found.items():
            own = values.get(arm, {})
            spread = f" ± {metric.show(statistics.stdev(own.values()))}" if len(own) > 1 else ""
            cells.append(f"{metric.show(statistics.mean(own.values()))}{spread}" if own else "")
            if not metric.main:
                continue
            difference = None if arm == baseline else compare(own, values.get(baseline, {}))
            if difference is None:
                cells.append("")
            else:
                mean, half = difference
                low, high = (metric.show(mean + side * half, signed=True) for side in (-1, 1))
                cells.append(f"{metric.show(mean, signed=True)} [{low}, {high}]")
        lines.append(f"| `{arm}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(path: Path, title: str, found: dict[Metric, Values], baseline: str) -> None:
    """Draws one panel per main metric: a dot for each seed, and mean and standard deviation of each arm."""
    from matplotlib.figure import Figure

    arms = arms_of(found, baseline)
    found = {metric: values for metric, values in found.items() if metric.main}
    figure = Figure(figsize=(3.2 * len(found) + 1, 0.4 * len(arms) + 1.6), layout="constrained")
    for number, (metric, values) in enumerate(found.items()):
        axes = figure.add_subplot(1, len(found), number + 1)
        scale = 100 if metric.percent else 1
        for place, arm in enumerate(arms):
            own = [scale * value for value in values.get(arm, {}).values()]
            if own:
                axes.plot(own, [place] * len(own), "o", color="#9aa7b8", markersize=4)
                spread = statistics.stdev(own) if len(own) > 1 else 0
                axes.errorbar(statistics.mean(own), place, xerr=spread, fmt="|", color="#1f4e8c", capsize=3)
        axes.set_yticks(range(len(arms)), arms if number == 0 else [""] * len(arms))
        axes.set_ylim(len(arms) - 0.5, -0.5)
        axes.set_title(f"{metric.title}{', %' if metric.percent else ''}", fontsize=9)
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, format="svg", metadata={"Date": None})


def collect(folder: Path, name: str, key: str | None = None) -> Values:
    """Returns a test metric, by default the objective, of the finished runs of this name, by arm and seed."""
    found: Values = {}
    for arm, seeds in parts(folder).items():
        for seed, part in seeds.items():
            if (metrics := finished(part / name)) is not None:
                found.setdefault(arm, {})[seed] = metrics[key or objective(part / name)]
    return found

"""Loss curves of contestants, which are kept in files, and the times of their steps."""

import dataclasses
import itertools
import json
import shutil
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from contestants import Contestant, Spec, start

from maskwright.core.device import device_name

# what determines a curve: all but when it is evaluated, what is kept and how it is computed
CURVE = [
    field.name
    for field in dataclasses.fields(Spec)
    if field.name not in ("evaluate_at", "in_turns", "environment", "save", "unfinished")
]


def curve(spec: Spec, name: str, folder: Path, with_model: bool = False) -> dict[str, Any]:
    """Returns the loss curve of a contestant, from its file if that exists and has as many points.

    Args:
        with_model: whether the trained model has to exist as well, see `Spec.save`.
    Raises:
        SystemExit: the file holds the curve of other settings.
    """
    path = folder / f"{name_of_run(name, spec)}.json"
    if path.exists():
        known = json.loads(path.read_text())
        _check_same(path, known["spec"], spec)
        evaluated = {point["step"] for point in known["points"]}
        without_model = with_model and spec.save is not None and not Path(spec.save).exists()
        if evaluated.issuperset(spec.evaluate_at) and not without_model:
            return known
    print(f"{path} ...", flush=True)
    part = None if spec.save is None else Path(f"{spec.save}.part")
    if part is not None:
        shutil.rmtree(part, ignore_errors=True)
    contestant = Contestant(dataclasses.replace(spec, save=None if part is None else str(part)))
    try:
        points = list(contestant.points)
        while not points or points[-1]["step"] < spec.steps:
            lap = contestant.step()
            if "loss" in lap:
                points.append({key: lap[key] for key in ("step", "loss", "clock")})
                print(f"  step {lap['step']:5}  {lap['clock']:6.0f} s  {lap['loss']:.4f}", flush=True)
        if part is not None:
            contestant.finish()
    finally:
        contestant.close()
    what = dataclasses.asdict(dataclasses.replace(spec, save=None, unfinished=None))
    found = {"spec": what, **contestant.model, "points": points}
    if part is not None:
        shutil.rmtree(str(spec.save), ignore_errors=True)
        part.rename(str(spec.save))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found) + "\n")
    if spec.unfinished is not None:
        shutil.rmtree(spec.unfinished, ignore_errors=True)
    return found


def name_of_run(name: str, spec: Spec) -> str:
    """Returns what the files of a run are called, of a contestant that has this name."""
    return f"{name}-steps{spec.steps}-seed{spec.seed}"


def _check_same(path: Path, known: dict[str, Any], spec: Spec) -> None:
    before = Spec.of(known)
    different = [key for key in CURVE if _of(before, key) != _of(spec, key)]
    if different:
        told = ", ".join(f"{key} is {_of(before, key)!r} there, {_of(spec, key)!r} here" for key in different)
        raise SystemExit(f"{path} is the curve of other settings: {told}. Delete it, or choose another --folder.")


def _of(spec: Spec, key: str) -> Any:
    value = getattr(spec, key)
    return [one for one in value if not one.startswith("data.cache_dir=")] if key == "data" else value


def curves(
    specs: list[Spec], names: list[str], folders: list[Path], jobs: int, with_models: bool = False
) -> list[dict[str, Any]]:
    """Returns the curves of several contestants, `jobs` at a time; each on one thread if that is more than one."""
    if jobs > 1:
        specs = [dataclasses.replace(spec, environment=("OMP_NUM_THREADS=1",)) for spec in specs]
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(curve, specs, names, folders, [with_models] * len(specs)))


def reached(points: list[dict[str, Any]], loss: float) -> float:
    """Returns the step at which a curve reaches a loss, by linear interpolation; infinity if it never does."""
    for before, after in itertools.pairwise(points):
        if after["loss"] <= loss < before["loss"]:
            share = (before["loss"] - loss) / (before["loss"] - after["loss"])
            return before["step"] + share * (after["step"] - before["step"])
    return points[0]["step"] if points[0]["loss"] <= loss else float("inf")


def loss_at(points: list[dict[str, Any]], step: float) -> float:
    """Returns the loss of a curve after a step, by linear interpolation."""
    return float(np.interp(step, [point["step"] for point in points], [point["loss"] for point in points]))


def marks(steps: int, number: int) -> tuple[int, ...]:
    """Returns the steps after which to evaluate, evenly spread, including the last one."""
    return tuple(sorted({max(round(steps * i / number), 1) for i in range(1, number + 1)}))


def in_turns(specs: dict[str, Spec], path: Path, repeat: int, period: int = 1) -> dict[str, float]:
    """Returns the typical seconds of a step of each contestant, from their file if that exists.

    In a turn, each takes one step.

    Args:
        path: keeps these seconds, those of all steps, and what the CPU is called.
        repeat: steps of each that are timed; at least one period of them is.
        period: see `typical`.
    Raises:
        SystemExit: the file is of another CPU.
    """
    if path.exists():
        known = json.loads(path.read_text())
        if known["device"] != device_name("cpu"):
            raise SystemExit(
                f"{path} was measured on {known['device']}, and this is {device_name('cpu')}: their seconds "
                "cannot be compared. Choose another --folder."
            )
        return known["seconds"]
    contestants = start(
        {name: dataclasses.replace(spec, in_turns=True, evaluate_at=()) for name, spec in specs.items()}
    )
    laps: dict[str, list[float]] = {name: [] for name in specs}
    for _ in range(max(repeat, period) + 2):
        for name, contestant in contestants.items():
            laps[name].append(contestant.step()["seconds"])
    for contestant in contestants.values():
        contestant.close()
    seconds = {name: typical(found[2:], period) for name, found in laps.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"device": device_name("cpu"), "seconds": seconds, "laps": laps}) + "\n")
    return seconds


def typical(laps: list[float], period: int) -> float:
    """Returns the median, over whole periods, of the mean of a period.

    Args:
        period: the number of steps after which cheap and dear ones repeat themselves.
    """
    ends = range(period, len(laps) + 1, period)
    return statistics.median(statistics.mean(laps[end - period : end]) for end in ends)

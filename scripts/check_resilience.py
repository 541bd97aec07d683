"""Kills training at random moments, starts it again, and compares the results with those of a run left alone.

    python scripts/check_resilience.py --kills 20 --devices 1 2

A run is killed several times, with SIGKILL unless --signals names others, and started again by the same command
with `ckpt_path=auto` until it is complete. Its kills are survived if its last weights and its metrics are those of
a run left alone, bit for bit. Prints one line a run, and how many kills were survived on each number of devices
(processes of the CPU). Exits with 1 if one was not.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [
    *(sys.executable, str(ROOT / "src" / "train.py"), "experiment=dry_run", "hardware=cpu", "logger=csv"),
    *("trainer.max_steps=120", "trainer.val_check_interval=6", "trainer.log_every_n_steps=1", "ckpt_path=auto"),
    *("mask=adaptive", "model.hidden_size=64", "model.layers=2", "model.intermediate_size=96", "data.batch_size=8"),
]
CLOCK = ("tokens_per_second", "utilization", "data_wait")  # metrics that no two runs share
LIMIT = 600  # seconds for one process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="on each number of devices")
    parser.add_argument("--per-run", type=int, default=4, help="kills of one run")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--signals", nargs="+", default=["SIGKILL"], help="one of which is drawn for each kill")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--overrides", nargs="*", default=[], help="further overrides of the runs")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        for devices in arguments.devices:
            command = [*COMMAND, f"hardware.devices={devices}", *arguments.overrides]
            expected, seconds = left_alone(command, Path(folder, f"{devices}-alone"))
            survived = done = number = 0
            while done < arguments.kills:
                run_dir = Path(folder, f"{devices}-{number}")
                moments = [draw.uniform(0, seconds) for _ in range(min(arguments.per_run, arguments.kills - done))]
                kills = train_and_kill(command, run_dir, moments, arguments.signals, draw)
                same = bool(expected) and result(run_dir) == expected
                print(
                    f"{devices} devices, run {number}: {kills} kills, {'equal' if same else 'NOT EQUAL'}",
                    flush=True,
                )
                done, survived, number = done + kills, survived + kills * same, number + 1
            print(f"{devices} devices: survived {survived} of {done} kills", flush=True)
            lost += done - survived
    return int(lost > 0)


def left_alone(command: Sequence[str], run_dir: Path) -> tuple[dict[str, object], float]:
    """Returns the result of a run, and the seconds from its first step to its end, once its corpus is prepared."""
    train_alone(command, run_dir.with_name("first"))
    seconds = train_alone(command, run_dir)
    return result(run_dir), seconds


def train_alone(command: Sequence[str], run_dir: Path) -> float:
    """Trains until the run is complete; returns the seconds from its first step to its end."""
    process = start(command, run_dir)
    began = wait_for_first_step(process, run_dir)
    if process.wait(LIMIT) or began is None:
        raise SystemExit(f"a run that is left alone fails: {(run_dir.with_suffix('.log')).read_text()}")
    return time.monotonic() - began


def train_and_kill(
    command: Sequence[str], run_dir: Path, moments: Sequence[float], signals: Sequence[str], draw: random.Random
) -> int:
    """Trains until the run is complete, and kills it these seconds after its first step; returns how often."""
    kills = 0
    for moment in moments:
        process = start(command, run_dir)
        if wait_for_first_step(process, run_dir) is None:
            break
        try:
            process.wait(moment)
            break  # it is complete
        except subprocess.TimeoutExpired:
            process.send_signal(signal.Signals[draw.choice(signals)])
            process.wait(LIMIT)
            kills += 1
    start(command, run_dir).wait(LIMIT)
    return kills


def start(command: Sequence[str], run_dir: Path) -> "subprocess.Popen[bytes]":
    with open(run_dir.with_suffix(".log"), "ab") as log:
        return subprocess.Popen([*command, f"hydra.run.dir={run_dir}"], cwd=run_dir.parent, stdout=log, stderr=log)


def wait_for_first_step(process: "subprocess.Popen[bytes]", run_dir: Path) -> float | None:
    """Returns when the run has logged its first step; None if the process ends before."""
    metrics = run_dir / "metrics.csv"
    before = metrics.stat().st_ino if metrics.exists() else None
    until = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < until:
        if metrics.exists() and metrics.stat().st_ino != before:
            return time.monotonic()
        time.sleep(0.02)
    return None


def result(run_dir: Path) -> dict[str, object]:
    """Returns the digest of the weights and the metrics of a run; of one that is not complete, nothing."""
    import torch

    try:
        summary = json.loads((run_dir / "summary.json").read_text())
        saved = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"{run_dir}: {error}", file=sys.stderr)
        return {}
    if summary["status"] != "completed":
        return {}
    weights = {name: weight.numpy().tobytes() for name, weight in saved["state_dict"].items()}
    metrics = {name: value for name, value in summary["metrics"].items() if not name.endswith(CLOCK)}
    return {"weights": weights, "metrics": metrics}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes on two cores compute alike
    sys.exit(main())

"""Measures how long a run takes to start: imports, and the time from the config to the first step.

    python scripts/benchmarks/startup.py

Each figure is the median over fresh processes. The corpus is the default one, prepared beforehand.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_RUN = """
import json, sys, tempfile, time
from hydra import compose, initialize_config_dir
with initialize_config_dir({conf!r}, version_base="1.3"):
    cfg = compose("train", ["trainer.max_steps=2", "run_dir=" + tempfile.mkdtemp(dir={folder!r}), "logger=csv"])
began = time.perf_counter()
from maskwright.run.train import train
imported = time.perf_counter()
from lightning import Callback
from maskwright.callbacks import TrainingBar
first = []
TrainingBar.on_train_batch_start = lambda *_: first.append(time.perf_counter())
train(cfg)
print(json.dumps({{"importing": imported - began, "config to first step": first[0] - imported}}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="fresh processes per figure")
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as folder:
        script = _RUN.format(conf=str(ROOT / "conf"), folder=folder)
        run([sys.executable, "-c", script])  # prepares the corpus, warms the disk
        runs = [json.loads(run([sys.executable, "-c", script]).splitlines()[-1]) for _ in range(repeat)]
    figures = {name: statistics.median(figures[name] for figures in runs) for name in runs[0]}
    train = [sys.executable, str(ROOT / "src" / "train.py")]
    for option in ("--help", "--cfg job"):
        timed = [*train, *option.split()]
        figures[option] = statistics.median(seconds(timed) for _ in range(repeat))
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))


def run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def seconds(command: list[str]) -> float:
    """Returns the wall-clock seconds of a whole process."""
    began = time.perf_counter()
    run(command)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

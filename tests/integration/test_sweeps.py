"""Sweeps of processes: one job fails, the whole is killed half-way, and the same command goes on."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from lightning import Callback

from maskwright.run import jobs
from tests.conftest import ROOT, TINY
from tests.programs import Forked, call

FAILS = "optimizer.lr=0.002,seed=2"
CLOCK = ("tokens_per_second", "utilization", "data_wait")


class Trouble(Callback):
    """Fails in one job of a sweep, and in another kills the sweep's own process, once."""

    def __init__(self, job: str, folder: str):
        self.job, self.once = job, Path(folder)

    def on_train_batch_end(self, trainer, *_):
        if self.job == "0.002-2":
            raise RuntimeError("out of luck")
        if self.job == "0.001-3" and trainer.global_step == 3 and self.once.exists():
            self.once.unlink()
            os.kill(os.getppid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    monkeypatch.setattr(jobs, "Popen", Forked)


def quality(folder: Path) -> dict[str, dict[str, float]]:
    found = {}
    for path in sorted(folder.glob("*/summary.json")):
        summary = json.loads(path.read_text())
        assert summary["status"] == ("failed" if path.parent.name == FAILS else "completed")
        found[path.parent.name] = {n: v for n, v in summary["metrics"].items() if not n.endswith(CLOCK)}
    return found


def test_a_killed_sweep_goes_on_as_if_it_had_not_been(corpus, cache, tmp_path):
    common = [*TINY, "data=text", f"data.source={corpus}", f"data.cache_dir={cache}", "trainer.max_steps=4"]
    once = tmp_path / "once"
    trouble = f"{{_target_: {__name__}.Trouble, job: '${{optimizer.lr}}-${{seed}}', folder: {once}}}"

    def run(folder: str, *arguments: str):
        return call(
            ROOT / "src" / "train.py",
            *("-m", "optimizer.lr=1e-3,2e-3", "seed=1,2,3", *common, f"+callbacks.trouble={trouble}"),
            *(f"hydra.sweep.dir={tmp_path}/{folder}", *arguments),
            cwd=tmp_path,
            PYTHONPATH=str(ROOT),
        )

    whole = run("whole", "hydra.launcher.n_jobs=2")
    assert whole.returncode == 1
    assert "error: 1 of 6 jobs failed:\n  #4 optimizer.lr=0.002 seed=2: " in whole.stderr
    assert "Traceback" not in whole.stderr
    once.touch()
    assert run("killed").returncode == -signal.SIGKILL
    stopped = tmp_path / "killed" / "optimizer.lr=0.001,seed=3" / "summary.json"
    while not stopped.exists():  # its process is told to end, and writes its checkpoint
        time.sleep(0.05)
    assert json.loads(stopped.read_text())["status"] == "interrupted"
    again = run("killed")
    assert again.returncode == 1
    assert again.stdout.count("is complete") == 2
    assert again.stdout.count("resuming: ") == 1
    assert quality(tmp_path / "killed") == quality(tmp_path / "whole")
    changed = run("killed", "mask.ratio=0.5")
    assert "6 of 6 jobs failed" in changed.stderr
    assert "is of another experiment: mask.ratio" in changed.stderr

"""Sweeps of processes: one job fails, the whole is killed half-way, and the same command goes on."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from lightning import Callback
from omegaconf import OmegaConf

from maskwright.run import jobs
from tests.conftest import BARE, ROOT, TINY
from tests.programs import Forked, call

FAILS = "optimizer.lr=0.002,seed=2"


class Trouble(Callback):
    """Fails in one job of a sweep, and in another kills the sweep's own process, once."""

    def __init__(self, job: str, folder: str):
        self.job, self.once = job, Path(folder)

    def on_train_batch_end(self, trainer, *_):
        if self.job == "0.002-2":
            raise RuntimeError("out of luck")
        if self.job == "0.001-2" and trainer.global_step == 3 and self.once.exists():
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
        found[path.parent.name] = summary["metrics"]
    return found


def test_a_killed_sweep_goes_on_as_if_it_had_not_been(corpus, cache, tmp_path):
    common = [*TINY, *BARE, "data=text", f"data.source={corpus}", f"data.cache_dir={cache}", "trainer.max_steps=4"]
    once = tmp_path / "once"
    trouble = f"{{_target_: {__name__}.Trouble, job: '${{optimizer.lr}}-${{seed}}', folder: {once}}}"

    def run(folder: str, *arguments: str):
        return call(
            ROOT / "src" / "train.py",
            *("-m", "optimizer.lr=1e-3,2e-3", "seed=1,2", *common, f"+callbacks.trouble={trouble}"),
            *(f"hydra.sweep.dir={tmp_path}/{folder}", *arguments),
            cwd=tmp_path,
            limit=300,
            PYTHONPATH=str(ROOT),
        )

    whole = run("whole", "hydra.launcher.n_jobs=2")
    assert whole.returncode == 1
    assert "error: 1 of 4 jobs failed:\n  #3 optimizer.lr=0.002 seed=2: " in whole.stderr
    assert "Traceback" not in whole.stderr
    once.touch()
    assert run("killed").returncode == -signal.SIGKILL
    stopped = tmp_path / "killed" / "optimizer.lr=0.001,seed=2" / "summary.json"
    while not stopped.exists():  # its process is told to end, and writes its checkpoint
        time.sleep(0.05)
    assert json.loads(stopped.read_text())["status"] == "interrupted"
    again = run("killed")
    assert again.returncode == 1
    assert again.stdout.count("is complete") == 1
    assert again.stdout.count("resuming: ") == 1
    assert quality(tmp_path / "killed") == quality(tmp_path / "whole")


def test_a_search_prunes_and_goes_on(corpus, cache, tmp_path):
    optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install -e .[optuna]")
    common = [*TINY, *BARE, "data=text", f"data.source={corpus}", f"data.cache_dir={cache}", "trainer.max_steps=4"]
    sweep = tmp_path / "sweep"

    def run(trials: int):
        return call(
            ROOT / "src" / "train.py",
            *("-m", "sweep=rate", "optimizer.lr=1e-3,1e-6", *common, "trainer.val_check_interval=2"),
            *(
                f"hydra.sweep.dir={sweep}",
                f"hydra.sweeper.n_trials={trials}",
                "hydra.sweeper.pruner.n_startup_trials=1",
            ),
            # 1e-6 and 1e-3, and in the second command the same, whose runs are complete; what can be pruned is the
            # trial that was killed, whose 1e-6 is worse than their median
            *("hydra.sweeper.sampler._target_=optuna.samplers.RandomSampler", "hydra.sweeper.sampler.seed=0"),
            cwd=tmp_path,
            limit=300,
            PYTHONPATH=str(ROOT),
        )

    first = run(2)
    assert first.returncode == 0, first.stderr
    journal = optuna.storages.journal.JournalFileBackend(str(sweep / "optuna.journal"))
    study = optuna.load_study(study_name="sweep", storage=optuna.storages.JournalStorage(journal))
    study.enqueue_trial({"optimizer.lr": 1e-6, "schedule.warmup": 0.1})
    killed = study.ask(study.trials[0].distributions)  # under way when its process was killed
    again = run(5)
    assert again.returncode == 0, again.stderr
    ends = {str(trial.state) for trial in study.trials if trial.params == killed.params}
    assert ends & {"TrialState.COMPLETE", "TrialState.PRUNED"}, ends
    assert again.stdout.count("output: ") == 3  # the first two count
    states = [json.loads(path.read_text())["status"] for path in sweep.glob("*/summary.json")]
    assert {*states} == {"completed", "pruned"}, [(t.params, t.state, t.intermediate_values) for t in study.trials]
    assert again.stdout.count("] pruned after") == states.count("pruned")
    best = OmegaConf.load(sweep / "best.yaml")
    kept = json.loads((sweep / best.folder / "summary.json").read_text())
    assert kept["metrics"]["validation/loss"] == best.objective
    assert best.settings["optimizer.lr"] in (1e-3, "0.001")

"""Runs that are stopped, killed or out of space go on as if nothing had happened, and never as something else."""

import csv
import errno
import json
import signal
from pathlib import Path

import pytest
import torch
from lightning import Callback

from maskwright.core.errors import Interrupted, UserError
from maskwright.run import checkpoints

KEEP = "trainer.log_every_n_steps=1"
SIX = ("trainer.max_steps=6", "trainer.val_check_interval=2")


class Killed(BaseException):
    """What leaves no trace: the run writes no summary."""


class Kill(Callback):
    """Ends a run at an event, as a kill does."""

    def __init__(self, event: str, step: int):
        setattr(self, event, lambda trainer, *_: self._kill(trainer, step))

    def _kill(self, trainer, step):
        if trainer.global_step == step:
            raise Killed


class Receive(Callback):
    """Sends the process a signal after a step."""

    def __init__(self, name: str, step: int):
        self.number, self.step = signal.Signals[name], step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            signal.raise_signal(self.number)


@pytest.fixture
def killed(run, monkeypatch):
    """A function that trains until an event at a step, and leaves what a killed process would."""

    def train(event: str, step: int, *overrides: str, run_dir: Path) -> None:
        kill = f"+callbacks.kill={{_target_: {__name__}.Kill, event: {event}, step: {step}}}"
        with monkeypatch.context() as patch:
            patch.setattr("maskwright.reports.summary.write", lambda *_: None)
            with pytest.raises(Killed):
                run(*overrides, kill, run_dir=run_dir)

    return train


def rows(run_dir: Path) -> dict[int, dict[str, str]]:
    """Returns the training metrics by step, of all parts of a run in one directory."""
    found = {}
    for path in [*sorted(run_dir.glob("metrics-*.csv")), run_dir / "metrics.csv"]:
        for row in csv.DictReader(path.open()):
            if row.get("train/loss"):
                found[int(row["step"])] = row["train/loss"]
    return found


def quality(metrics: dict[str, float]) -> dict[str, float]:
    """Returns the metrics that do not depend on the clock."""
    clock = ("tokens_per_second", "utilization", "data_wait")
    return {name: value for name, value in metrics.items() if not name.endswith(clock)}


def test_auto_begins_continues_and_ends(run, killed, tmp_path, capsys):
    whole = run(*SIX, KEEP, run_dir=tmp_path / "whole")
    again = (*SIX, KEEP, "ckpt_path=auto")
    here = tmp_path / "run"
    killed("on_train_batch_end", 1, *again, run_dir=here)  # before there is a checkpoint
    killed("on_train_batch_end", 3, *again, run_dir=here)
    killed("on_test_start", 6, *again, run_dir=here)
    assert not (here / "summary.json").exists()
    tested = run(*again, run_dir=here)
    assert quality(tested.metrics) == quality(whole.metrics)
    assert rows(here) == rows(whole.run_dir)
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    capsys.readouterr()
    nothing = run(*again, run_dir=here)
    assert nothing.metrics == tested.metrics
    assert nothing.objective == tested.objective
    assert f"the run in {here} is complete" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before
    # more steps are something left to do
    assert run(*again, "trainer.max_steps=8", run_dir=here).trainer.global_step == 8


def test_a_run_that_stopped_early_stays_stopped(run, killed, tmp_path):
    settings = (
        *("trainer.max_steps=20", "trainer.val_check_interval=1", "callbacks=early_stopping", KEEP),
        *(
            "callbacks.early_stopping.patience=1",
            "+callbacks.early_stopping.min_delta=9",
            "schedule=constant",
            "ckpt_path=auto",
        ),
    )
    whole = run(*settings, run_dir=tmp_path / "whole")
    assert whole.trainer.global_step == 2
    killed("on_test_start", 2, *settings, run_dir=tmp_path / "run")
    tested = run(*settings, run_dir=tmp_path / "run")
    assert tested.trainer.global_step == 2
    assert quality(tested.metrics) == quality(whole.metrics)
    assert run(*settings, run_dir=tmp_path / "run").metrics == tested.metrics


def test_passes_that_are_complete_are_not_begun_again(run, tmp_path, monkeypatch):
    settings = ("trainer.max_epochs=0.3", "trainer.max_steps=1000", "ckpt_path=auto")
    first = run(*settings, run_dir=tmp_path / "run")
    monkeypatch.setattr("maskwright.run.train.prepare", lambda *_: pytest.fail("prepares data"))
    assert run(*settings, run_dir=tmp_path / "run").metrics == first.metrics


def test_the_checkpoint_before_is_taken_where_the_last_is_damaged(run, killed, tmp_path, capsys):
    whole = run(*SIX, KEEP, run_dir=tmp_path / "whole")
    killed("on_train_batch_end", 5, *SIX, KEEP, run_dir=tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    last = folder / "last.ckpt"
    contents = last.read_bytes()
    for damaged in (contents[: len(contents) // 2], contents[:9000] + b"?" * 4096 + contents[13096:], b""):
        last.write_bytes(damaged)
        found = checkpoints._last_whole(folder)
        assert found.checkpoint == folder / "previous.ckpt"
        assert found.step == 2
        assert f"{last} is damaged" in capsys.readouterr().out
    resumed = run(*SIX, KEEP, "ckpt_path=auto", run_dir=tmp_path / "run")
    assert quality(resumed.metrics) == quality(whole.metrics)
    last.write_bytes(b"")
    (folder / "previous.ckpt").unlink()
    with pytest.raises(UserError, match=f"{last} cannot be read"):
        run(*SIX, KEEP, f"ckpt_path={tmp_path}/run", run_dir=tmp_path / "other")


@pytest.mark.parametrize("steps", [1, 3])  # before and after the first checkpoint
def test_another_experiment_is_refused_in_the_directory(killed, run, tmp_path, steps):
    killed("on_train_batch_end", steps, *SIX, run_dir=tmp_path / "run")
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    changed = (*SIX, "ckpt_path=auto", "mask=span", "mask.ratio=0.5", "seed=2")
    with pytest.raises(UserError, match=r"is of another experiment: seed was 1 and is 2; .*mask\.ratio") as refused:
        run(*changed, run_dir=tmp_path / "run")
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before
    named = str(refused.value).partition("resume.allow=")[2].rstrip(".")  # what the message says would be right
    assert run(*changed, f"resume.allow={named}", run_dir=tmp_path / "run").trainer.global_step == 6
    with pytest.raises(UserError, match=r"resume\.allow: there is no key 'maks'\. Did you mean 'mask'"):
        run(*changed, "resume.allow=[maks]", run_dir=tmp_path / "run")


def test_places_and_limits_are_not_part_of_the_experiment(run, corpus, tmp_path, monkeypatch):
    run("trainer.max_steps=2", run_dir=tmp_path / "run")
    monkeypatch.chdir(corpus.parent)
    changed = (
        "hardware.workers=1",
        "trainer.log_every_n_steps=2",
        f"data.source={corpus.name}",
        "callbacks.masks=null",
    )
    assert run("trainer.max_steps=4", "ckpt_path=auto", *changed, run_dir=tmp_path / "run").trainer.global_step == 4


def test_last_in_a_directory_that_the_user_names_is_no_other_run(tmp_path):
    settings = type("Settings", (), {"ckpt_path": "last", "run_dir": str(tmp_path / "logs" / "mlm" / "mine")})
    kept = tmp_path / "logs" / "mlm" / "other" / "checkpoints"
    kept.mkdir(parents=True)
    torch.save({}, kept / "last.ckpt")
    assert checkpoints.find_checkpoint(settings).checkpoint == kept / "last.ckpt"
    with pytest.raises(UserError, match="mine has no checkpoint yet. ckpt_path=auto begins such a run"):
        checkpoints.find_checkpoint(settings, named=True)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"])
def test_each_signal_that_ends_a_run_leaves_its_last_step(run, tmp_path, name):
    before = signal.getsignal(signal.Signals[name])
    with pytest.raises(Interrupted, match=f"Stopped by {name} after step [34]") as stopped:
        run(*SIX, f"+callbacks.send={{_target_: {__name__}.Receive, name: {name}, step: 3}}", run_dir=tmp_path)
    assert stopped.value.signal == signal.Signals[name]
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] in (3, 4)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "interrupted"
    assert signal.getsignal(signal.Signals[name]) == before


@pytest.mark.parametrize("step", [2, 5, 6])  # at a validation, and in the last step
def test_a_run_that_a_signal_stopped_goes_on_as_if_it_had_not(run, tmp_path, step):
    whole = run(*SIX, run_dir=tmp_path / "whole")
    send = f"+callbacks.send={{_target_: {__name__}.Receive, name: SIGTERM, step: {step}}}"
    with pytest.raises(Interrupted):
        run(*SIX, send, run_dir=tmp_path / "run")
    resumed = run(*SIX, "ckpt_path=auto", run_dir=tmp_path / "run")
    assert quality(resumed.metrics) == quality(whole.metrics)


@pytest.fixture
def full(monkeypatch):
    """A function that lets the device have no space at certain steps."""
    save = torch.save

    def at(*steps: int) -> None:
        def write(checkpoint, path):
            if checkpoint["global_step"] in steps:
                Path(path).write_bytes(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")
            save(checkpoint, path)

        monkeypatch.setattr("maskwright.callbacks.checkpoints.torch.save", write)

    return at


def test_training_goes_on_where_the_device_is_full_for_a_time(run, tmp_path, full, capsys):
    whole = run(*SIX, run_dir=tmp_path / "whole")
    full(4)
    result = run(*SIX, run_dir=tmp_path / "run")
    assert "the checkpoint of step 4 is not kept" in capsys.readouterr().out
    assert quality(result.metrics) == quality(whole.metrics)
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt", "previous.ckpt"]
    steps = [torch.load(folder / f"{name}.ckpt", weights_only=True)["global_step"] for name in ("previous", "last")]
    assert steps == [2, 6]


def test_a_full_device_at_the_end_is_no_success(run, tmp_path, full):
    full(6)
    with pytest.raises(UserError, match="No space left on the device of run_dir"):
        run(*SIX, run_dir=tmp_path)
    full()
    assert run(*SIX, "ckpt_path=auto", run_dir=tmp_path).trainer.global_step == 6


@pytest.mark.parametrize("task", ["span_boundary", "rtd"])
def test_options_that_leave_keys_of_their_class_out_are_resumed(run, tmp_path, task):
    settings = (f"task={task}", "trainer.val_check_interval=2", "schedule=constant")
    run(*settings, "trainer.max_steps=2", run_dir=tmp_path)
    assert run(*settings, "trainer.max_steps=4", "ckpt_path=auto", run_dir=tmp_path).trainer.global_step == 4

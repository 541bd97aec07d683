"""Runs with `logger=all`: what the loggers of metrics.csv, TensorBoard and W&B have in common, and how runs end.

W&B is only written to this disk, and read back.
"""

import csv
import errno
import json
import signal
import subprocess

import pytest
from lightning import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskwright.core.errors import Interrupted, UserError
from maskwright.loggers import TOKENS
from tests.conftest import ROOT
from tests.loggers.offline_runs import runs_in

EVERY = ("trainer.val_check_interval=2", "trainer.max_steps=6", "logger=all", "mask=token")
COMMIT = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()


class SignalAfter(Callback):
    """Simulates a scheduler that stops the run within its third step."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 3:
            signal.raise_signal(signal.SIGTERM)


def csv_values(run_dir) -> dict[str, list[tuple[int, float]]]:
    """Step and value of each metric, by its name."""
    with open(run_dir / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("step", "epoch")]
    return {name: [(int(row["step"]), float(row[name])) for row in rows if row[name]] for name in names}


def tensorboard_values(run_dir) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    names = [name for name in events.Tags()["scalars"] if name != "epoch"]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def test_a_run_is_one_wandb_run_that_has_the_names_of_the_other_loggers(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # not where the code is
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(*EVERY, f"+callbacks.stop._target_={__name__}.SignalAfter", run_dir=folder)
    stopped_at = csv_values(folder)
    [first] = runs_in(folder)
    assert (first.exit_code, first.preempting, first.summary["status"]) == (255, True, "interrupted")
    assert "Stopped by SIGTERM after step 4" in first.summary["error"]
    assert first.run.job_type == "MaskedLanguageModeling"
    assert first.run.display_name == "run"
    assert first.run.git.commit == COMMIT
    assert first.config["mask.ratio.value"] == 0.3
    assert first.config["trainer.max_steps"] == 6
    assert [step for step, _ in first.column("train/loss")] == [0, 1, 2]

    result = run(*EVERY, f"ckpt_path={folder}", run_dir=folder, pictures=True)
    assert f"wandb sync {folder}/wandb/offline-run-*" in capsys.readouterr().out
    _, second = runs_in(folder)
    assert second.run.run_id == first.run.run_id
    assert (second.exit_code, second.summary["status"], second.summary["error"]) == (0, "completed", None)
    assert second.config["resumed_from"] == str(folder / "checkpoints" / "last.ckpt")
    assert [step for step, _ in second.column("train/loss")] == [4, 5]
    assert second.column(TOKENS)[0] == (4, 5 * 8 * 32)
    assert second.summary["best/validation/loss"] == result.metrics["best/validation/loss"]
    assert "media/table/fills" in second.summary["fills/path"]
    assert "masks/filenames" in second.summary

    shown = {name for part in (first, second) for row in part.history for name in row if not name.startswith("_")}
    names = {name for name in shown if "masks/" not in name and "fills/" not in name}
    on_disk, on_board = csv_values(folder), tensorboard_values(folder)
    assert names - {"epoch"} == on_disk.keys() == on_board.keys()
    assert {TOKENS, "train/gradient_norm", "train/learning_rate", "train/utilization"} < names
    for name, values in on_disk.items():
        whole = pytest.approx(dict(stopped_at.get(name, []) + values))
        assert dict(on_board[name]) == whole
        assert dict(first.column(name) + second.column(name)) == whole


def test_labels_are_shown_as_tables_and_pictures(run, reviews):
    result = run("task=classification", "data=csv", f"data.source={reviews}", "trainer.max_steps=2", "logger=wandb")
    [found] = runs_in(result.run_dir)
    assert found.summary["confusion/filenames"]
    names = ("validation/accuracy", "validation/f1/pos", "validation/loss")
    assert [(found.metrics[name].summary.max, found.metrics[name].summary.min) for name in names] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    [errors] = result.run_dir.glob("wandb/offline-run-*/files/media/table/errors_*.json")
    rows = json.loads(errors.read_text())
    assert rows["columns"] == ["label", "predicted", "probability", "text"]
    assert all(label != predicted for label, predicted, *_ in rows["data"])


@pytest.mark.parametrize(
    ("error", "raised"),
    [(RuntimeError("a bug"), RuntimeError), (OSError(errno.ENOSPC, "No space left on device"), UserError)],
    ids=["crash", "full disk"],
)
def test_a_run_that_fails_is_not_left_open(run, tmp_path, monkeypatch, error, raised):
    ended = []
    monkeypatch.setattr("maskwright.run.lifecycle.loggers.finish", lambda *told: ended.append(told[1:]))

    def fail(*_, **given):
        raise error

    monkeypatch.setattr("lightning.Trainer.fit", fail)
    with pytest.raises(raised):
        run("callbacks=none")
    assert ended == [("failed", {"status": "failed", "error": str(error)}, False)]

"""The command line as a user meets it: a process, its output and its exit status."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
import torch

import maskwright.cli
from maskwright.cli import JobFailed, command, explain, known
from maskwright.run import jobs
from maskwright.run.evaluate import evaluate
from maskwright.run.overrides import quoted
from tests.conftest import BARE, ROOT, TINY, compose_command
from tests.loggers.offline_runs import runs_in
from tests.programs import Forked, call, start, wait_for

TRAIN = ROOT / "src" / "train.py"


def test_help_shows_what_the_command_does_and_examples(tmp_path):
    command = [sys.executable, str(TRAIN), "--help"]  # a process of its own, which imports little
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0
    assert "Train a model on hidden words" in result.stdout
    assert result.stdout.count("\n  python src/train.py") == 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "mask=wholword",
            "mask=wholword does not exist. Did you mean 'wholeword'? The options of mask are: adaptive, block,",
        ),
        (
            "optimiser=adam",
            "There is no key or group 'optimiser'. Did you mean 'optimizer'? The groups are: callbacks, data,",
        ),
        (
            "trainer.max_step=5",
            "Did you mean 'trainer.max_steps'? The keys of trainer are: trainer.max_steps,",
        ),
        ("schedule=wsd schedule.cooldwn=0.1", "Did you mean 'schedule.cooldown'?"),
        ("lr=1", "There is no key or group 'lr'. Did you mean 'optimizer.lr'?"),
        ("model/size=huge", "The options of model/size are: base, mini, small, tiny."),
        ("data=text", "data.source has no value yet. Give it one: data.source=..."),
        ("trainer.max_steps==5", "trainer.max_steps='=5': Input should be a valid integer"),
        ("mask=5", "Config group override must be a string"),
        ("~logger", "logger is missing. For none, choose logger=none."),
        ("~callbacks", "callbacks is missing. For none, choose callbacks=none."),
        ("hydra.job.chdir=true", "hydra.job.chdir=true would give relative paths another meaning."),
        ("data.block_size=0", "data.block_size=0 is not a whole number of at least 1."),
    ],
)
def test_a_mistake_is_reported_in_one_message(tmp_path, argument, message):
    cache = f"data.cache_dir={tmp_path}/cache"
    result = call(TRAIN, *argument.split(), cache, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "cache").exists()


def test_ctrl_c_leaves_a_checkpoint_and_a_summary(corpus, cache, tmp_path):
    arguments = [
        *TINY,
        "data=text",
        f"data.source={corpus}",
        f"data.cache_dir={cache}",
        "trainer.max_steps=1000000",
        "trainer.val_check_interval=1000000",
    ]
    run_dir = tmp_path / "run"
    with start(
        TRAIN, *arguments, f"hydra.run.dir={run_dir}", cwd=tmp_path, streams=tmp_path / "streams"
    ) as process:
        wait_for(run_dir / "metrics.csv", process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
        errors = process.stderr
    assert "Stopped by SIGINT after step" in errors
    assert f"ckpt_path={run_dir}/checkpoints/last.ckpt" in errors
    assert "Traceback" not in errors
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == summary["counts"]["steps"] > 0
    assert (run_dir / "losses.png").exists()


def test_a_sweep_runs_every_combination_in_a_directory_of_its_own(corpus, cache, tmp_path, monkeypatch):
    """A smaller version of the sweep in the README, in places with odd names."""
    monkeypatch.setattr(jobs, "Popen", Forked)
    odd = "it's, a=1 (2) [b] #é 中&!"
    source = shutil.copy(corpus, tmp_path / f"{odd}.jsonl")
    data = ["data=text", f"data.source={source}", f"data.cache_dir={cache}"]
    settings = [*TINY, *BARE, *data, "trainer.max_steps=2", "logger=wandb"]
    settings.append(f"hydra.sweep.dir=logs/mlm/{odd}/now")
    result = call(TRAIN, "-m", "mask=token,wholeword", *settings, cwd=tmp_path, limit=200)
    assert result.returncode == 0, result.stderr
    summaries = [json.loads(path.read_text()) for path in tmp_path.glob("logs/mlm/*/*/*/summary.json")]
    assert len(summaries) == 2
    assert {summary["status"] for summary in summaries} == {"completed"}
    assert len({summary["metrics"]["train/loss"] for summary in summaries}) == 2
    names = ["mask=token", "mask=wholeword"]
    shown = [found for name in names for found in runs_in(tmp_path / "logs" / "mlm" / odd / "now" / name)]
    assert len({found.run.run_id for found in shown}) == 2  # each run of the sweep has its own, which is ended
    assert [(found.run.display_name, found.exit_code) for found in shown] == [(name, 0) for name in names]
    assert {(found.run.run_group, found.run.job_type) for found in shown} == {(f"logs/mlm/{odd}/now", "mlm")}
    assert ["mask=token" in found.run.tags for found in shown] == [True, False]
    assert [found.config["choices.mask"] for found in shown] == ["token", "wholeword"]
    asked = [
        f"run={tmp_path}/logs/mlm/{odd}/now/mask=token",
        f"data.source={source}",
        f"output={tmp_path}/{odd}",
        "hardware=cpu",
    ]
    assert evaluate(compose_command("evaluate", *quoted(asked, str(ROOT / "conf"), "evaluate")))["test/loss"] > 0
    assert (tmp_path / odd / "metrics.json").is_file()


def test_a_sweep_goes_on_after_a_job_that_fails(corpus, cache, tmp_path):
    data = ["data=text", f"data.source={corpus}", f"data.cache_dir={cache}"]
    settings = [*TINY, *BARE, *data, "trainer.max_steps=2", "hydra/launcher=basic"]
    sweep = ["-m", "optimizer.lr=1e30,1e-3", "+trainer.limit_train_batches=1,null"]
    result = call(TRAIN, *sweep, *settings, cwd=tmp_path)
    assert result.returncode == 2
    assert "3 of 4 jobs failed:" in result.stderr
    for number, lr, batches in ((0, "1e+30", "1"), (1, "1e+30", "null"), (2, "0.001", "1")):
        start = f"#{number} (optimizer.lr={lr} +trainer.limit_train_batches={batches}):"
        assert sum(line.strip().startswith(start) for line in result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    [summary] = tmp_path.glob("logs/mlm/*/*/3/summary.json")
    assert json.loads(summary.read_text())["status"] == "completed"


def test_jobs_of_several_devices_need_processes_of_their_own(tmp_path):
    """Also where only the last of the jobs has several. hydra/launcher=basic is refused alike."""
    asked = ["hydra/launcher=joblib", "data.source=x", "mask=token,span", "hardware.devices=1,2"]
    result = call(TRAIN, "-m", *asked, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "error: -m with hardware.devices=2 needs a process for each job, which hydra/launcher=joblib " in (
        result.stderr
    )
    assert "Choose hydra/launcher=processes" in result.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("key", ["tasks_per_node", "nodes"])
def test_submitit_starts_a_job_once(tmp_path, key):
    pytest.importorskip("submitit", reason="submitit is not installed: pip install -e .[slurm]")
    asked = ["hydra/launcher=submitit_slurm", f"hydra.launcher.{key}=2", "data.source=x", "seed=1,2"]
    result = call(TRAIN, "-m", *asked, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: hydra.launcher.{key}=2 would start each job 2 times.")
    assert not [*tmp_path.iterdir()]


def test_a_refused_sweep_of_another_command_leaves_nothing(tmp_path):
    result = call(ROOT / "src" / "evaluate.py", "-m", "run=a,b", cwd=tmp_path)
    assert result.returncode == 2
    assert "error: 2 of 2 jobs failed:" in result.stderr
    assert not [*tmp_path.iterdir()]


def test_a_failure_in_a_process_of_joblib_is_reported_without_a_traceback(monkeypatch, capsys):
    def fail() -> None:
        raise JobFailed("#1 (seed=2): out of luck")

    monkeypatch.setattr(maskwright.cli.hydra, "main", lambda **_: lambda job: fail)
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "seed=1,2"])
    with pytest.raises(SystemExit) as end:
        command("train")(lambda cfg, invocation: None)()
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: #1 (seed=2): out of luck\n"


@pytest.mark.parametrize("arguments", [[], ["-m", "seed=1,2"]])
def test_where_a_run_directory_cannot_be_made_one_message_says_so(tmp_path, arguments):
    (tmp_path / "logs").write_text("a file, which root cannot write into either")
    result = call(TRAIN, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "error: run_dir: " in result.stderr
    assert "Point hydra.run.dir" in result.stderr


def test_known_keys_are_those_of_the_composed_config():
    groups, keys = known(str(ROOT / "conf"), "train", [])
    assert {"mask", "mask/units", "model/size", "experiment"} <= set(groups)
    assert {"trainer.max_steps", "optimizer.lr", "model.layers", "evaluation_mask.ratio.value"} <= set(keys)


def test_other_errors_of_composition_are_passed_on_unchanged():
    assert explain(ValueError("something else"), str(ROOT / "conf"), "train", []) == "something else"

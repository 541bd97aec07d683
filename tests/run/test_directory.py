"""Each run has its directory for itself, and a command that is refused leaves none."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.run.directory import RunDirectory
from tests.conftest import ROOT, TINY
from tests.programs import call, start

FILES = {"config.yaml", "summary.json", "metrics.csv", "masks.png", "losses.png"}


TRAIN = ROOT / "src" / "train.py"


@pytest.fixture
def settings(corpus, cache) -> list[str]:
    return [*TINY, "data=text", f"data.source={corpus}", f"data.cache_dir={cache}", "trainer.max_steps=2"]


def test_two_jobs_of_one_second_have_two_directories(settings, tmp_path):
    # a clock that stands still is the same second for both
    clock = "${hydra.runtime.cwd}/logs/mlm/now"
    conf = tmp_path / "conf" / "experiment"
    conf.mkdir(parents=True)
    (conf / "still.yaml").write_text(f"# @package _global_\nhydra:\n  run:\n    dir: {clock}\n")
    still = ["experiment=still", f"--config-dir={tmp_path / 'conf'}"]
    jobs = [
        start(TRAIN, *settings, f"seed={seed}", *still, cwd=tmp_path, streams=tmp_path / f"streams-{seed}")
        for seed in (1, 2)
    ]
    for job in jobs:
        assert job.wait(120) == 0, job.stderr
    folders = sorted((tmp_path / "logs" / "mlm").iterdir())
    assert [folder.name for folder in folders] == ["now", "now-2"]
    configs = [OmegaConf.load(folder / "config.yaml") for folder in folders]
    assert {config.seed for config in configs} == {1, 2}
    for folder, config in zip(folders, configs, strict=True):
        assert Path(config.run_dir) == folder
        assert {path.name for path in folder.iterdir() if path.is_file()} == FILES  # no train.log
        assert (folder / "checkpoints" / "best.ckpt").is_file()


def test_a_directory_that_holds_a_run_is_refused_to_another(run, tmp_path):
    first = run("trainer.max_steps=3", run_dir=tmp_path / "a")
    before = {path: path.read_bytes() for path in first.run_dir.rglob("*") if path.is_file()}
    message = rf"run_dir={tmp_path}/a holds another run\. Resume it with ckpt_path={tmp_path}/a, or name another"
    with pytest.raises(UserError, match=message):
        run("seed=2", run_dir=tmp_path / "a")
    other = run("trainer.max_steps=3", run_dir=tmp_path / "b")
    with pytest.raises(UserError, match=message):  # resuming another run there is refused as well
        run(f"ckpt_path={other.run_dir}", run_dir=tmp_path / "a")
    assert {path: path.read_bytes() for path in first.run_dir.rglob("*") if path.is_file()} == before
    resumed = run("trainer.max_steps=6", f"ckpt_path={first.run_dir}", run_dir=tmp_path / "a")
    assert resumed.trainer.global_step == 6


def test_of_two_runs_that_are_prepared_at_once_one_has_the_directory(tmp_path):
    cfg = OmegaConf.create({"run_dir": str(tmp_path / "run")})
    first, second = RunDirectory(cfg), RunDirectory(cfg)
    for one in (first, second):
        one.check(goes_on=False)
    first.begin(cfg)
    with pytest.raises(UserError, match="holds another run"), second:
        second.begin(cfg)
    assert (first.path / "config.yaml").is_file()


@pytest.mark.parametrize(
    "overrides",
    [
        ("data.block_size=0",),
        ("run_dir=mine", "data.source=none.txt"),
        ("hydra.run.dir=mine", "ckpt_path=none.ckpt"),
        ("hydra.job.chdir=true",),
    ],
    ids=["clock", "own", "hydra", "chdir"],
)
def test_a_refused_command_leaves_no_directory(settings, tmp_path, overrides):
    job = call(TRAIN, *settings, *overrides, cwd=tmp_path)
    assert job.returncode == 2, job.stderr
    assert os.listdir(tmp_path) == []


def test_a_further_rank_claims_nothing(tmp_path):
    (tmp_path / "config.yaml").touch()
    cfg = OmegaConf.create({"run_dir": str(tmp_path)})
    with RunDirectory(cfg, shared=True) as directory:
        directory.check(goes_on=False)
        directory.begin(cfg)
    assert (tmp_path / "config.yaml").read_bytes() == b""
    with pytest.raises(UserError, match="holds another run"):
        RunDirectory(cfg).check(goes_on=False)


def test_two_processes_are_not_in_one_directory_at_once(tmp_path):
    cfg = OmegaConf.create({"run_dir": str(tmp_path)})
    with RunDirectory(cfg) as first:
        first.check(goes_on=True)
        first.begin(cfg)
        with pytest.raises(UserError, match=f"run_dir={tmp_path}: another process is training there"):
            RunDirectory(cfg).check(goes_on=True)
    with RunDirectory(cfg) as later:
        later.check(goes_on=True)


def test_what_killed_writers_left_is_removed(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    left = [tmp_path / "checkpoints" / ".last.ckpt-1234", tmp_path / ".summary.json-77"]
    kept = [tmp_path / "checkpoints" / "last.ckpt", tmp_path / ".wandb-id"]
    for path in (*left, *kept):
        path.touch()
    cfg = OmegaConf.create({"run_dir": str(tmp_path)})
    with RunDirectory(cfg) as directory:
        directory.check(goes_on=True)
        directory.begin(cfg)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)

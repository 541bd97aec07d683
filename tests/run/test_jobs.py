"""Jobs of a sweep, as processes that take no time."""

import json
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hydra_plugins.processes import ProcessesLauncher
from maskwright.core.errors import UserError
from maskwright.run.jobs import Job, folder_name, names, run_jobs, sweep_name

WAIT = "import time; print('begun', flush=True); time.sleep(60)"


def job(folder: Path, program: str) -> Job:
    return Job(folder.name, [sys.executable, "-c", program], folder)


def test_a_job_that_fails_or_is_killed_stops_no_other(tmp_path, capfd):
    jobs = [
        job(tmp_path / "a", "import sys; print('error: mask=x does not exist', file=sys.stderr); sys.exit(2)"),
        job(tmp_path / "b", "import os; os.kill(os.getpid(), 9)"),
        job(tmp_path / "c", "import os; print(os.environ['SHARE'], os.getsid(0) == os.getpid())"),
        job(tmp_path / "d", "import sys; sys.exit(3)"),
    ]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.yaml").write_text("objective: validation/loss\n")
    (tmp_path / "a" / "summary.json").write_text(json.dumps({"metrics": {"validation/loss": 3.25}}))
    run_jobs(jobs, 2, [{"SHARE": "one"}, {"SHARE": "two"}])
    assert [one.status for one in jobs] == [2, -9, 0, 3]
    assert jobs[0].error() == "mask=x does not exist"
    assert jobs[1].error() == "killed by SIGKILL"
    assert jobs[2].output.read_text().split()[1] == "True"  # Ctrl-C does not reach it by itself
    shown = capfd.readouterr().out
    assert "[a] FAILED after 0 s: mask=x does not exist\n" in shown
    assert "3.25" not in shown  # of an earlier start
    assert "[d] pruned" in shown
    assert "True" not in shown  # the output of jobs side by side would be mixed


def test_the_output_of_one_job_at_a_time_is_shown(tmp_path, capfd):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "config.yaml").write_text("objective: validation/loss\n")
    (folder / "summary.json").write_text(json.dumps({"metrics": {"validation/loss": 3.25}}))
    (folder / "output.log").write_text("of an earlier start\n")
    run_jobs([job(folder, "print('épochs')")], 1, [{}])
    shown = capfd.readouterr().out
    assert "épochs\n[a] completed after 0 s, objective 3.2500" in shown
    assert "of an earlier start" not in shown
    assert (folder / "output.log").read_text() == "of an earlier start\népochs\n"


@pytest.mark.parametrize(
    ("received", "sent"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGTERM"), ("SIGUSR1", "SIGTERM")]
)
def test_a_signal_is_passed_on_to_the_jobs(tmp_path, capfd, received, sent):
    jobs = [job(tmp_path / "a", WAIT), job(tmp_path / "b", "print()")]

    def interrupt() -> None:
        while not (jobs[0].output.exists() and jobs[0].output.read_text()):
            time.sleep(0.01)
        signal.pthread_kill(main, signal.Signals[received])

    main = threading.main_thread().ident
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_jobs(jobs, 1, [{}])
    assert stopped.value.args == (signal.Signals[received],)
    assert jobs[0].status == -signal.Signals[sent] or (sent == "SIGINT" and jobs[0].status == 1)
    assert "goes on with what is left: a; b" in capfd.readouterr().err


def test_names_are_what_jobs_do_not_share():
    jobs = [["mask=token", "seed=1", "x=1"], ["mask=span", "seed=1", "x=1"]]
    assert names(jobs) == ["mask=token", "mask=span"]
    assert folder_name("mask=token seed=1") == "mask=token,seed=1"
    assert folder_name("") == "job"


def test_folders_of_odd_names_are_readable_and_differ():
    odd = [folder_name(f"data.source='{name}'") for name in ("/a b", "/a_b", "/a,b", "x" * 300)]
    assert len({*odd}) == 4
    assert all(len(name) < 120 and "/" not in name for name in odd)


def test_the_folder_of_a_sweep_is_that_of_its_command():
    first = sweep_name(["-m", "mask=token,span", "seed=1,2", "data=imdb", "hydra.launcher.n_jobs=2"])
    assert first.startswith("mask,seed-")
    assert sweep_name(["seed=1,2", "-m", "mask=token,span", "data=imdb"]) == first
    assert sweep_name(["-m", "mask=token,span", "seed=1,2", "data=conll"]) != first


def launcher(**settings) -> ProcessesLauncher:
    found = ProcessesLauncher(**settings)
    found.config = OmegaConf.create({"hydra": {"sweep": {"dir": "logs/mine"}}})
    return found


def test_jobs_of_a_command_that_writes_elsewhere_have_folders_for_their_output(monkeypatch):
    """`evaluate.py` and others have no folders for jobs: hydra.sweep.subdir=. in their configs."""
    monkeypatch.setattr(sys, "argv", ["src/evaluate.py", "-m", "split=test,validation"])
    own = launcher()
    own.config = OmegaConf.create(
        {"hydra": {"sweep": {"dir": "logs/mine", "subdir": "."}, "overrides": {"hydra": []}, "mode": None}}
    )
    folders = [job.folder for job in own.jobs([["split=test"], ["split=validation"]], 0)]
    assert folders == [Path("logs/mine/split=test"), Path("logs/mine/split=validation")]


def test_jobs_side_by_side_have_shares(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("maskwright.core.parallel.cores", lambda: 8)
    both = launcher(n_jobs=2, gpus=["0,1", "2,3"]).environments()
    assert [own["CUDA_VISIBLE_DEVICES"] for own in both] == ["0,1", "2,3"]
    assert {own["OMP_NUM_THREADS"] for own in both} == {"4"}
    assert {own["WANDB_RUN_GROUP"] for own in both} == {"logs/mine"}
    assert launcher().environments() == [{"WANDB_RUN_GROUP": "logs/mine"}]
    with pytest.raises(UserError, match=r"hydra\.launcher\.gpus has 1 shares for n_jobs=2"):
        launcher(n_jobs=2, gpus=["0"]).environments()


@pytest.mark.parametrize(
    "variables", [{"RANK": "1", "WORLD_SIZE": "2"}, {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2"}]
)
def test_a_sweep_is_started_once(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="-m under .* each of its 2 processes would begin a sweep"):
        launcher().launch([["seed=1"]], 0)

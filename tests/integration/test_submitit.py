"""A job that submitit starts goes on after it was preempted."""

import json
import os
import signal

import pytest
from lightning import Callback

from tests.conftest import ROOT, TINY
from tests.programs import call

pytest.importorskip("submitit", reason="submitit is not installed: pip install -e .[slurm]")


class Preempted(Callback):
    """Sends what submitit asks of the scheduler before the end of a job's time, in the first of its processes."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGUSR2)


def test_a_preempted_job_goes_on(corpus, cache, tmp_path):
    settings = [*TINY, "data=text", f"data.source={corpus}", f"data.cache_dir={cache}", "trainer.max_steps=6"]
    result = call(
        ROOT / "src" / "train.py",
        *("-m", "hydra/launcher=submitit_local", f"hydra.sweep.dir={tmp_path}/sweep", "seed=7", "ckpt_path=auto"),
        f"+callbacks.preempted._target_={__name__}.Preempted",
        *settings,
        cwd=tmp_path,
        limit=300,  # of three processes that import all anew
        PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT}/src",
    )
    logs = [path.read_text() for path in tmp_path.glob("sweep/.submitit/*/*.err")]
    assert result.returncode == 0, (result.stderr, logs)
    [summary] = [json.loads(path.read_text()) for path in tmp_path.glob("sweep/*/summary.json")]
    assert summary["status"] == "completed"
    assert summary["counts"]["steps"] == 6
    assert summary["resumed_from"].endswith("checkpoints/last.ckpt")

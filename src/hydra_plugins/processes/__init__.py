"""Hydra's launcher `processes`: each job of a sweep is a process of its own. See conf/hydra/launcher."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

_SUBDIR = "hydra.sweep.subdir="
# overrides of the sweep, which are none of its jobs
_OF_SWEEP = ("hydra.sweep", "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.mode", "hydra.run.dir")


class ProcessesLauncher(Launcher):
    """Starts each job by a command that a user could type.

    A job that was stopped goes on, and one that is complete is not repeated, if the same sweep is started again. A
    job that fails stops no other.

    Args:
        n_jobs: how many jobs run at a time.
        gpus: what each of those sees as CUDA_VISIBLE_DEVICES.
    """

    def __init__(self, n_jobs: int = 1, gpus: Sequence[str] | None = None):
        self.n_jobs, self.gpus = n_jobs, gpus
        self.config = DictConfig({})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs; each result is the objective of its run, `Pruned`, or a `JobsFailed` that names them all."""
        from maskwright.core.errors import JobsFailed, Pruned
        from maskwright.run.jobs import PRUNED, run_jobs

        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = self.jobs(job_overrides, initial_job_idx)
        run_jobs(jobs, self.n_jobs, self.environments())
        failed = [f"{job.name}: {job.error()}" for job in jobs if job.status not in (0, PRUNED)]
        error = JobsFailed(f"{len(failed)} of {len(jobs)} jobs failed:\n  " + "\n  ".join(failed))
        returns = []
        for job, overrides in zip(jobs, job_overrides, strict=True):
            well = job.status in (0, PRUNED)
            found = JobReturn(overrides=overrides, status=JobStatus.COMPLETED if well else JobStatus.FAILED)
            found.return_value = error if not well else Pruned() if job.status == PRUNED else job.objective()
            returns.append(found)
        return returns

    def jobs(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Returns the jobs of a sweep."""
        from maskwright.run.jobs import Job, folder_name, names

        hydra = self.config.hydra
        given = [own for own in hydra.overrides.hydra if not own.lstrip("+").startswith(_OF_SWEEP)]
        known = {*hydra.overrides.hydra, *hydra.overrides.task, "-m", "--multirun"}
        flags = [argument for argument in sys.argv[1:] if argument not in known]
        jobs = []
        for number, (overrides, name) in enumerate(zip(job_overrides, names(job_overrides), strict=True)):
            # a sweeper that does not know all jobs at once names their folders itself
            subdirs = [own.removeprefix(_SUBDIR) for own in overrides if own.startswith(_SUBDIR)]
            name, overrides = (subdirs or [name])[0], [own for own in overrides if not own.startswith(_SUBDIR)]
            folder = Path(hydra.sweep.dir) / folder_name(name)
            command = [sys.executable, sys.argv[0], *flags, *overrides, *given, f"hydra.run.dir={folder}"]
            if "ckpt_path" in self.config and not any(own.startswith("ckpt_path=") for own in overrides):
                command.append("ckpt_path=auto")
            jobs.append(Job(f"#{initial_job_idx + number} {name}".strip(), command, folder))
        return jobs

    def environments(self) -> list[dict[str, str]]:
        """Returns variables for each of the jobs that run at a time: a share of threads and GPUs, and a group."""
        from maskwright.core.errors import UserError
        from maskwright.core.parallel import cores

        if self.gpus is not None and len(self.gpus) < self.n_jobs:
            raise UserError(
                f"hydra.launcher.gpus has {len(self.gpus)} shares for n_jobs={self.n_jobs}. Give one to each, such "
                "as ['0','1'] to two jobs on a GPU each."
            )
        shared = {}
        if "WANDB_RUN_GROUP" not in os.environ:
            shared["WANDB_RUN_GROUP"] = Path(self.config.hydra.sweep.dir).name
        if self.n_jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
            shared["OMP_NUM_THREADS"] = str(max(1, cores() // self.n_jobs))
        if self.gpus is None:
            return [shared] * self.n_jobs
        return [shared | {"CUDA_VISIBLE_DEVICES": share} for share in self.gpus]

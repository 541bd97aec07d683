"""Hydra's launcher `processes`: each job of a sweep is a process of its own. See conf/hydra/launcher."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

_WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")  # flags
# overrides of the sweep, which are none of its jobs
_OF_SWEEP = ("hydra.sweep", "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.mode", "hydra.run.dir")


def _check_alone() -> None:
    """Refuses a sweep that torchrun or srun has started several times."""
    from maskwright.core.errors import UserError

    for program, size, own in (("torchrun", "WORLD_SIZE", "RANK"), ("srun", "SLURM_NTASKS", "SLURM_STEP_ID")):
        if own in os.environ and int(os.environ.get(size, 1)) > 1:
            raise UserError(
                f"-m under {program}: each of its {os.environ[size]} processes would begin a sweep of its own. "
                "Start the sweep without it; a job starts the processes of its devices itself."
            )


def _flags(arguments: Sequence[str]) -> Iterator[str]:
    """Yields what is no override, with the values of flags, and without that of the sweep."""
    for number, argument in enumerate(arguments):
        before = arguments[number - 1] if number else ""
        if argument not in ("-m", "--multirun") and (argument.startswith("-") or before in _WITH_VALUE):
            yield argument


_SHARED = ("${hydra.job.num}", ".")  # values of hydra.sweep.subdir that name no job
_LONGEST_GROUP = 128  # characters, as W&B has it


class ProcessesLauncher(Launcher):
    """Starts each job by a command that a user could type.

    A job that was stopped goes on, and one that is complete is not repeated, if the same sweep is started again. A
    job that fails stops no other.

    Args:
        n_jobs: how many jobs run at a time.
        gpus: what each of those sees as CUDA_VISIBLE_DEVICES.

    Attributes:
        raises: whether a failure is raised when all jobs have ended.
    """

    raises = True

    def __init__(self, n_jobs: int = 1, gpus: Sequence[str] | None = None):
        self.n_jobs, self.gpus = n_jobs, gpus
        self.config = DictConfig({})
        self.context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs jobs.

        Returns:
            The objective of each run, `Pruned`, or a `JobsFailed` where `raises` is false.
        Raises:
            JobsFailed: some have failed.
        """
        from maskwright.core.errors import JobsFailed, Pruned
        from maskwright.run.jobs import PRUNED, run_jobs

        _check_alone()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = self.jobs(job_overrides, initial_job_idx)
        run_jobs(jobs, self.n_jobs, self.environments())
        failed = {job.folder: f"{job.name}: {job.error()}" for job in jobs if job.status not in (0, PRUNED)}
        if failed and self.raises:
            raise JobsFailed(f"{len(failed)} of {len(jobs)} jobs failed:\n  " + "\n  ".join(failed.values()))
        returns = []
        for job, overrides in zip(jobs, job_overrides, strict=True):
            found = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
            if job.folder in failed:
                found.return_value = JobsFailed(failed[job.folder])
            else:
                found.return_value = Pruned() if job.status == PRUNED else job.objective()
            returns.append(found)
        return returns

    def jobs(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Returns the jobs of a sweep."""
        from maskwright.run.jobs import Job, folder_name, names

        hydra = self.config.hydra
        given = [own for own in hydra.overrides.hydra if not own.lstrip("+").startswith(_OF_SWEEP)]
        flags = [*_flags(sys.argv[1:])]
        jobs = []
        for number, (overrides, name) in enumerate(zip(job_overrides, names(job_overrides), strict=True)):
            folder = Path(hydra.sweep.dir) / (self.subdir(overrides) or folder_name(name))
            overrides = [own for own in overrides if not own.startswith("hydra.sweep.")]
            command = [sys.executable, sys.argv[0], *flags, *overrides, *given, f"hydra.run.dir={folder}"]
            if self.config.hydra.mode is not None and not {"-m", "--multirun"} & {*sys.argv}:
                command.append("hydra.mode=RUN")  # the config makes the command a sweep
            if "ckpt_path" in self.config and not any(own.startswith("ckpt_path=") for own in overrides):
                command.append("ckpt_path=auto")
            jobs.append(Job(f"#{initial_job_idx + number} {name}".strip(), command, folder))
        return jobs

    def subdir(self, overrides: Sequence[str]) -> str | None:
        """Returns the folder that a sweeper, the config or the user name for a job; None if they do not."""
        named = any(own.startswith("hydra.sweep.subdir=") for own in overrides)
        if not named and self.config.hydra.sweep._get_node("subdir")._value() in _SHARED:
            return None
        assert self.context is not None
        return str(self.context.config_loader.load_sweep_config(self.config, [*overrides]).hydra.sweep.subdir)

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
            shared["WANDB_RUN_GROUP"] = os.path.relpath(self.config.hydra.sweep.dir)[-_LONGEST_GROUP:]
        if self.n_jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
            shared["OMP_NUM_THREADS"] = str(max(1, cores() // self.n_jobs))
        if self.gpus is None:
            return [shared] * self.n_jobs
        return [shared | {"CUDA_VISIBLE_DEVICES": share} for share in self.gpus]

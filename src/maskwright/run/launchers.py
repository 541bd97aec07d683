"""Which of Hydra's launchers can run the jobs of a sweep."""

import itertools
from collections.abc import Iterator

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from maskwright.core.errors import UserError

_SHARED = ("basic", "joblib")  # launchers that run jobs in processes which outlive them
_SUBMITIT = ("submitit_local", "submitit_slurm")
_GROUPS = ("hardware", "experiment")  # which can say how many devices a job has


def check_launcher(config: DictConfig) -> None:
    """Refuses a sweep whose launcher does not start one process for each job.

    Args:
        config: of the sweep, whose jobs are not composed yet.
    Raises:
        UserError: submitit is to start a job several times, or a job has several devices and no process of its own.
    """
    launcher = config.hydra.runtime.choices["hydra/launcher"]
    if launcher in _SUBMITIT:
        _check_tasks(config.hydra.launcher)
    if launcher not in _SHARED or "hardware" not in config:
        return
    for job in _jobs(config):
        devices, nodes = job.hardware.devices, job.hardware.nodes
        if devices * nodes > 1:
            several = f"hardware.devices={devices}" + f" hardware.nodes={nodes}" * (nodes > 1)
            raise UserError(
                f"-m with {several} needs a process for each job, which hydra/launcher={launcher} does not start. "
                "Choose hydra/launcher=processes, or submitit_slurm on a cluster."
            )


def _check_tasks(submitit: DictConfig) -> None:
    for key in ("tasks_per_node", "nodes"):
        if submitit[key] > 1:
            raise UserError(
                f"hydra.launcher.{key}={submitit[key]} would start each job {submitit[key]} times. Leave it at 1: "
                "a job starts the processes of its devices itself, hydra.launcher.gpus_per_node=2 "
                "hardware.devices=2. A run on several nodes is no job of a sweep; docs/scale.md starts one."
            )


def _jobs(config: DictConfig) -> Iterator[DictConfig]:
    """Yields the configs of as few jobs of a sweep as have all of its devices."""
    loader = GlobalHydra.instance().config_loader()
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    given = [f"{key}={value}" for key, value in params.items()] + [*config.hydra.overrides.task]
    choices: list[list[str]] = []
    for override in OverridesParser.create(loader).parse_overrides(given):
        if not override.is_sweep_override():
            choices.append([str(override.input_line)])
        elif override.is_discrete_sweep():
            key = override.get_key_element()
            values = [f"{key}={value}" for value in override.sweep_string_iterator()]
            choices.append(values if key.lstrip("+").split(".")[0] in _GROUPS else values[:1])
    for overrides in itertools.product(*choices):
        yield loader.load_sweep_config(config, list(overrides))

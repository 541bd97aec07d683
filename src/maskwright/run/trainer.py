"""The trainer of a run: `conf/hardware`, `conf/callbacks`, `conf/logger` and the group `trainer`."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment

from maskwright.callbacks import (
    FiniteLoss,
    Interrupt,
    LossCurve,
    StayStopped,
    ValidateAtEnd,
    ValidateBetweenSteps,
    WholeCheckpoints,
)
from maskwright.core.paths import CHECKPOINTS, LAST
from maskwright.run.machine import on_gpu, precision_of
from maskwright.run.ranks import ALONE, Place, Ranks
from maskwright.run.strategies import make_strategy
from maskwright.settings.build import build
from maskwright.settings.commands import TrainSettings
from maskwright.settings.component import Component
from maskwright.tasks import Baseline


def make_trainer(
    settings: TrainSettings, run_dir: Path, baseline: Baseline | None, place: Place = ALONE
) -> Trainer:
    """Returns the trainer of a run.

    Args:
        baseline: a loss that is drawn into the loss curve.
        place: where this process stands among those of the run.
    """
    hardware, arguments = settings.hardware, settings.trainer.arguments()
    if isinstance(arguments["val_check_interval"], int):
        arguments["val_check_interval"] *= hardware.accumulate_grad_batches  # Lightning counts micro-batches
    last = run_dir / CHECKPOINTS / LAST
    callbacks: list[Callback] = [ValidateAtEnd(), ValidateBetweenSteps(), StayStopped()]
    callbacks += [FiniteLoss(last), Interrupt(last)]
    callbacks += _build_all(settings.callbacks, "callbacks")
    for callback in callbacks:
        if isinstance(callback, LossCurve) and baseline is not None:
            callback.baseline = baseline.value
    # not what Lightning finds: RANK or SLURM_PROCID, left by others, would make this a run that logs nothing
    environment: ClusterEnvironment = Ranks(place)
    if place.rank.world_size == 1:
        environment = LightningEnvironment()
        environment.set_global_rank(0)  # also what prints and logs goes by
    gpu = on_gpu(hardware)
    return build(
        Component.from_node({"_target_": "lightning.Trainer", **arguments}),
        "trainer",
        accelerator="cuda" if gpu else "cpu",
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=make_strategy(hardware),
        precision=precision_of(hardware),
        accumulate_grad_batches=hardware.accumulate_grad_batches,
        max_epochs=-1,
        callbacks=callbacks,
        plugins=[WholeCheckpoints(), environment],
        logger=_build_all(settings.logger, "logger"),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        # a folder that is not there: a fresh run would start from hpc_ckpt_*.ckpt of Slurm's restarts in run_dir
        default_root_dir=str(run_dir / "lightning"),
    )


def _build_all(nodes: Mapping[str, Component | None], group: str) -> list[Any]:
    return [build(node, f"{group}.{name}") for name, node in nodes.items() if node is not None]


def quiet() -> None:
    """Hides Lightning's informational messages; its warnings stay, except those listed here."""
    for name in ("lightning.pytorch", "lightning.fabric", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # the loaders read memory-mapped blocks in microseconds; more workers would only add overhead
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning 2.6 under torch 2.13
    warnings.filterwarnings("ignore", ".*`broadcast_buffers` is deprecated.*")  # torch 2.13; 2.10 knows no other
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")

"""The trainer on this machine: `conf/hardware` and `conf/train.yaml` -> lightning.Trainer."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from pydantic import NonNegativeInt, PositiveInt

from maskwright.callbacks import FiniteLoss, Interrupt, LossCurve, ValidateAtEnd, WholeCheckpoints
from maskwright.settings.build import build

GIVEN = (  # arguments of the trainer that are not for conf/train.yaml to set
    "accelerator devices precision accumulate_grad_batches max_epochs callbacks plugins logger "
    "check_val_every_n_epoch num_sanity_val_steps use_distributed_sampler enable_progress_bar enable_model_summary "
    "enable_checkpointing default_root_dir"
).split()


@dataclass(frozen=True)
class Hardware:
    """The keys of `conf/hardware`, which change how fast and where a run computes, never what."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: PositiveInt
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]
    workers: NonNegativeInt
    preparation_workers: PositiveInt | None
    accumulate: PositiveInt
    compile: bool


def make_trainer(config: dict[str, Any], run_dir: Path, baseline: float) -> Trainer:
    """The trainer of a run.

    Args:
        config: the whole config, plain.
        baseline: a loss in nats for the loss curve to compare with.
    """
    hardware, settings = config["hardware"], dict(config["trainer"])
    settings.pop("max_epochs", None)  # the steps that they take are in max_steps
    settings["val_check_interval"] *= hardware["accumulate"]  # Lightning counts micro-batches
    last = run_dir / "checkpoints" / "last.ckpt"
    callbacks: list[Any] = [ValidateAtEnd(), FiniteLoss(last), Interrupt(last)]
    callbacks += _build_all(config["callbacks"], "callbacks")
    for callback in callbacks:
        if isinstance(callback, LossCurve):
            callback.baseline = baseline
    gpu = hardware["accelerator"] != "cpu" and torch.cuda.is_available()
    return build(
        {"_target_": "lightning.Trainer", **settings},
        "trainer",
        accelerator="cuda" if gpu else "cpu",
        devices=hardware["devices"],
        precision=precision(hardware["precision"], gpu),
        accumulate_grad_batches=hardware["accumulate"],
        max_epochs=-1,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        logger=_build_all(config["logger"], "logger"),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        default_root_dir=str(run_dir),
    )


def _build_all(nodes: dict[str, Any], group: str) -> list[Any]:
    return [build(node, f"{group}.{name}") for name, node in nodes.items() if node is not None]


def precision(choice: str, gpu: bool) -> str:
    """What `auto` means on this machine: bf16-mixed where a GPU computes in it, else 32-true."""
    if choice != "auto":
        return choice
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def quiet() -> None:
    """Keeps what Lightning says about itself off the terminal; what it warns of stays."""
    for name in ("lightning.pytorch", "lightning.fabric", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # the loaders read memory-mapped blocks in microseconds; more workers would only cost
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning 2.6 under torch 2.13
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")

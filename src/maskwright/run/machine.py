"""What the machine must have for a run, checked before any work is done."""

import inspect
import os
import shutil
import sys
from pathlib import Path

import torch
from lightning.pytorch.loggers import WandbLogger

from maskwright.core.errors import UserError
from maskwright.settings.build import find_target
from maskwright.settings.commands import TrainSettings
from maskwright.settings.hardware import Hardware

_WITHOUT_KEY = ("offline", "disabled", "dryrun")  # values of WANDB_MODE


def the_machine_has_the_device(settings: TrainSettings) -> None:
    if settings.hardware.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("hardware.accelerator=gpu, but no GPU is visible. Use hardware=auto or hardware=cpu.")


def the_device_has_the_precision(settings: TrainSettings) -> None:
    if settings.hardware.precision == "16-mixed" and not on_gpu(settings.hardware):
        raise UserError(
            "hardware.precision=16-mixed needs a GPU; on a CPU, Lightning would compute in bf16-mixed. Set that, "
            "or 32-true."
        )


def a_compiler_is_there(settings: TrainSettings) -> None:
    """`torch.compile` looks for its compiler at the first step, as is done here."""
    if not settings.hardware.compile or sys.platform == "win32":
        return
    variable, language, usual = "CXX", "C++", ["clang++" if sys.platform == "darwin" else "g++"]
    if on_gpu(settings.hardware):  # Triton compiles C
        variable, language, usual = "CC", "C", ["gcc", "clang"]
    names = [os.environ[variable]] if os.environ.get(variable) else usual
    if not any(map(shutil.which, names)):
        raise UserError(
            f"hardware.compile=true needs a {language} compiler, but there is no {' or '.join(names)}. Install "
            f"one, name yours by the environment variable {variable}, or set hardware.compile=false."
        )


def wandb_has_a_key(settings: TrainSettings) -> None:
    for name, node in settings.logger.items():
        if node is None or not _is_wandb(find_target(node, f"logger.{name}")) or node.get("offline"):
            continue
        if os.environ.get("WANDB_MODE") in _WITHOUT_KEY or node.get("mode") in _WITHOUT_KEY:
            continue
        if not _key_of_wandb():
            raise UserError(
                f"logger.{name} needs a key of Weights & Biases, and there is none. Call `wandb login`, set the "
                f"environment variable WANDB_API_KEY, or log to this disk by logger.{name}.offline=true."
            )


def _is_wandb(logger: object) -> bool:
    return isinstance(logger, type) and issubclass(logger, WandbLogger)


def _key_of_wandb() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import wandb  # takes a second to import

    if "prompt" in inspect.signature(wandb.login).parameters:
        found = wandb.login(prompt=False, verify=False)
        if not found:
            wandb.teardown()  # or a later job of a sweep that logs to this disk would be asked for the key too
        return found
    return bool(wandb.api.api_key)  # of older versions


def run_dir_can_be_written(settings: TrainSettings) -> None:
    folder = Path(settings.run_dir).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"run_dir={settings.run_dir}: {there} is a file, so no run can be written there.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"run_dir={settings.run_dir}: {there} cannot be written. Point run_dir, or hydra.run.dir, to a folder "
            "where you can write."
        )


def on_gpu(hardware: Hardware) -> bool:
    """Whether a run on this hardware computes on a GPU."""
    return hardware.accelerator != "cpu" and torch.cuda.is_available()


RULES = (
    the_machine_has_the_device,
    the_device_has_the_precision,
    a_compiler_is_there,
    wandb_has_a_key,
    run_dir_can_be_written,
)

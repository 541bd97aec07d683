"""What the machine must have for a run, checked before any work is done."""

import os
import shutil
import sys
from pathlib import Path

import torch

from maskwright.core.bfloat16 import bfloat16_gain, has_bfloat16
from maskwright.core.errors import UserError
from maskwright.settings.commands import TrainSettings
from maskwright.settings.hardware import Hardware


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


def remark_on_precision(choice: str, precision: str, device: torch.device) -> str | None:
    """Returns a note on a precision that the CPU computes slowly, or that was chosen for it; None if there is none.

    Where oneDNN has no kernels of bfloat16 for a CPU, matrices are multiplied number by number: 120 tokens a second
    in place of 1,800, on a processor with AVX2 alone.

    Args:
        choice: `hardware.precision`.
        precision: what it became.
    """
    if device.type != "cpu" or not precision.startswith("bf16"):
        return None
    if choice == "auto":
        return f"this CPU multiplies matrices {bfloat16_gain():.1f} times as fast in bfloat16 (hardware.precision)"
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    return f"this CPU has no instructions for {precision}, which can be ten times slower than 32-true"


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


def precision_of(hardware: Hardware) -> str:
    """Returns `hardware.precision`; `auto` is bf16-mixed on a GPU that supports it and a CPU that it makes faster.

    A CPU is measured: one with instructions for bfloat16 is two to seven times as fast, far enough from a tie for a
    resumed run to find the same.
    """
    if hardware.precision != "auto":
        return hardware.precision
    gpu = on_gpu(hardware)
    faster = has_bfloat16(torch.device("cuda" if gpu else "cpu")) and (gpu or bfloat16_gain() > 1.2)
    return "bf16-mixed" if faster else "32-true"


RULES = (
    the_machine_has_the_device,
    the_device_has_the_precision,
    a_compiler_is_there,
    run_dir_can_be_written,
)

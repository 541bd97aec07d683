"""What a processor is called, for reports of what was measured on it."""

import platform
from pathlib import Path

import torch


def device_name(device: str) -> str:
    """Returns what a device is called.

    Args:
        device: "cuda" or "cpu". Linux tells the model of a CPU; elsewhere it may be no more than the architecture.
    """
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()

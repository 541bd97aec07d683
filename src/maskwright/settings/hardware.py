"""`conf/hardware`: where and how fast a run computes, but never what."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from maskwright.settings.base import Settings


class Hardware(Settings):
    """See the comments in `conf/hardware`."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: PositiveInt
    nodes: PositiveInt = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]
    workers: NonNegativeInt
    accumulate_grad_batches: PositiveInt
    compile: bool

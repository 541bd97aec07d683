"""Ranks: which process this is, how many there are, and how they exchange values.

Nothing else in the package asks for a rank or for the number of processes. torch is imported where it is used,
because processes that only prepare a corpus do not need it.
"""

import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from lightning import Trainer
    from torch import Tensor

Value = TypeVar("Value")


class Rank(NamedTuple):
    """One process of a run.

    Attributes:
        number: counted from 0.
        world_size: how many processes there are, one per device.
    """

    number: int
    world_size: int


def rank_of(trainer: "Trainer | None") -> Rank:
    """Returns the rank of this process in a trainer; rank 0 of 1 without a trainer."""
    return Rank(0, 1) if trainer is None else Rank(trainer.global_rank, trainer.world_size)


def is_main(trainer: "Trainer") -> bool:
    """Whether this process is the one that writes and prints."""
    return trainer.is_global_zero


def is_launched(devices: int) -> bool:
    """Whether this process was started as a further rank of a run on several devices.

    For use before there is a trainer. On one device, what the environment says of ranks is of something else.
    """
    ranks = (os.environ.get(name, "") for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return devices != 1 and any(rank.isdecimal() and int(rank) > 0 for rank in ranks)


def sum_over_ranks(tensor: "Tensor") -> "Tensor":
    """Returns the sum of a tensor over all ranks, on each of them. The tensor is changed in place."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def gather(value: Value) -> list[Value]:
    """Returns the values of all ranks, in the order of the ranks, on each of them. Values must be picklable."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: Value, trainer: "Trainer") -> Value:
    """Returns the value of rank 0, on all ranks."""
    return trainer.strategy.broadcast(value) if trainer.world_size > 1 else value

"""Ranks: which process this is, how many there are, and what they tell each other.

Nothing else in the package asks for a rank or for the number of processes. torch is imported where it is used:
processes that only prepare a corpus do without.
"""

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from lightning import Trainer
    from torch import Tensor

Value = TypeVar("Value")


class Rank(NamedTuple):
    """One process of a run.

    Attributes:
        number: from 0.
        world_size: how many processes there are, one a device.
    """

    number: int
    world_size: int


def rank_of(trainer: "Trainer | None") -> Rank:
    """The rank of this process among those of a trainer; 0 of 1 without one."""
    return Rank(0, 1) if trainer is None else Rank(trainer.global_rank, trainer.world_size)


def is_main(trainer: "Trainer") -> bool:
    """Whether this process is the one that writes and prints."""
    return trainer.is_global_zero


def sum_over_ranks(tensor: "Tensor") -> "Tensor":
    """The sum of a tensor over all ranks, on each of them; the tensor itself is changed."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def gather(value: Value) -> list[Value]:
    """The values of all ranks, in their order, on each of them. Any value that pickles."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: Value, trainer: "Trainer") -> Value:
    """The value of rank 0, on all ranks."""
    return trainer.strategy.broadcast(value) if trainer.world_size > 1 else value

"""Ranks: which process this is, how many there are, and how they exchange values.

Nothing else in the package asks for a rank or for the number of processes. torch is imported where it is used,
because processes that only prepare a corpus do not need it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from lightning import Trainer
    from torch import Tensor

Value = TypeVar("Value")

_FAILURE = "failure"  # the key under which the first rank that fails says why
_LONG = timedelta(days=365)  # for what may take as long as it takes: the preparation of a corpus
_SOON = timedelta(seconds=5)  # within which another rank has said why it failed


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


def rank() -> int:
    """Returns the rank of this process in the group that it is in; 0 if it is in none."""
    import torch.distributed as dist

    return dist.get_rank() if _in_group() else 0


def join(rank: Rank, address: str, port: int) -> None:
    """Waits for the other processes of a run, and forms the group that exchanges values.

    Args:
        address, port: where rank 0 listens.
    """
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    where = f"tcp://{address}:{port}"
    dist.init_process_group(backend, where, rank=rank.number, world_size=rank.world_size)


def leave() -> None:
    """Leaves the group."""
    import torch.distributed as dist

    if _in_group():
        dist.destroy_process_group()


def sum_over_ranks(tensor: "Tensor") -> "Tensor":
    """Returns the sum of a tensor over all ranks, on each of them. The tensor is changed in place."""
    import torch.distributed as dist

    if _in_group():
        dist.all_reduce(tensor)
    return tensor


def largest(number: int) -> int:
    """Returns the largest of the numbers of all ranks, on each of them, without waiting for a GPU."""
    import torch
    import torch.distributed as dist

    if not _in_group():
        return number
    found = torch.tensor(number)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def gather(value: Value) -> list[Value]:
    """Returns the values of all ranks, in the order of the ranks, on each of them. Values must be picklable."""
    import torch.distributed as dist

    if not _in_group():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: Value) -> Value:
    """Returns the value of rank 0, on all ranks. It must be picklable."""
    import torch.distributed as dist

    if not _in_group():
        return value
    values = [value]
    dist.broadcast_object_list(values, 0)
    return values[0]


@contextmanager
def one_first(node: int, is_first: bool, block: str = "") -> Iterator[None]:
    """Lets one process of each node go through a block before the others of its node.

    Args:
        node: the number of the node.
        is_first: whether this process is the one that goes first.
        block: the name of the block, where a run has several.
    """
    store, key = _store(), f"first of {node} {block}"
    if store is not None and not is_first:
        store.wait([key], _LONG)
    yield
    if store is not None and is_first:
        store.set(key, "done")


def tell_failure(error: BaseException) -> None:
    """Tells the other ranks why this one fails, unless it fails because of another one."""
    store = _store()
    if store is not None and not is_lost_connection(error):
        store.compare_set(_FAILURE, "", f"rank {rank()}: {type(error).__name__}: {error}")


def failure_elsewhere() -> str | None:
    """Returns why another rank has failed; None if none says so within seconds."""
    store = _store()
    if store is None:
        return None
    try:
        store.wait([_FAILURE], _SOON)
        return store.get(_FAILURE).decode()
    except RuntimeError:  # DistStoreError: no rank has told, or rank 0 with its store is gone
        return None


def is_lost_connection(error: BaseException) -> bool:
    """Whether an error only says that another rank can no longer be reached."""
    import torch.distributed as dist

    text = str(error)
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(name in text for name in ("gloo", "NCCL", "Connection"))
    )


def _in_group() -> bool:
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def _store() -> Any:
    import torch.distributed as dist

    return dist.distributed_c10d._get_default_store() if _in_group() else None

"""Weights that are cut into shards, one on each rank (FSDP2), and how they become whole again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map_only


def shard(module: nn.Module, layers: Sequence[nn.Module], mesh: DeviceMesh, entry: str) -> None:
    """Cuts the weights of a module by their first dimension; each rank keeps a shard (Zhao et al., 2023).

    The weights of a layer are whole only while it computes; those outside the layers while its `forward` or
    the entry runs. Evaluations take `whole_weights`.

    Args:
        layers: parts of the module whose weights are gathered on their own.
        mesh: of one dimension.
        entry: the name of the method of the module that training calls. It should not call the module, by which the
            other weights would be gathered twice.
    """
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, entry)


def is_sharded(module: nn.Module) -> bool:
    """Whether `shard` has cut this module."""
    return isinstance(module, FSDPModule)


@contextmanager
def whole_weights(module: nn.Module) -> Iterator[None]:
    """Gathers all weights on each rank for the time of a block, in which a rank may compute without the others."""
    parts = [part for part in module.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    yield
    for part in parts:
        part.reshard()
        part.set_reshard_after_forward(part is not module, recurse=False)


def gathered(state: Any, keep: bool) -> Any:
    """Returns a state, in which tensors are nested, with whole tensors on the CPU in place of shards.

    All ranks must call this, with states of the same structure.

    Args:
        keep: whether this rank gets the state; the others get an empty one, which saves memory.
    """

    def whole(tensor: DTensor) -> Tensor:
        found = tensor.full_tensor()
        return found.cpu() if keep else torch.empty(0)

    state = tree_map_only(DTensor, whole, state)
    return state if keep else {}


def shard_of(whole: Tensor, like: Tensor) -> Tensor:
    """Returns the shard that this rank keeps of a whole tensor, if `like` is sharded; else the tensor itself."""
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole
    whole = whole.to(like.device)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def load(module: nn.Module, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """Loads whole weights into a module, whether it is sharded or not."""
    if is_sharded(module):
        own = module.state_dict()
        state = {name: shard_of(value, own[name]) if name in own else value for name, value in state.items()}
    module.load_state_dict(state, strict=strict)


def local(tensor: Tensor) -> Tensor:
    """Returns what this rank has of a tensor: its shard, or all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor

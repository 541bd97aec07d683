"""Matrices whose rows are spread over ranks: each rank computes some of them for all."""

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


def by_matrix(
    function: Callable[[Tensor], Tensor], shards: Sequence[Tensor], rows: int, group: ProcessGroup
) -> list[Tensor]:
    """Returns the shards of `function` of matrices, each of which one rank computes for all.

    Each element of a matrix is sent twice, to the rank that computes and back, however many ranks there are. If all
    ranks gathered all matrices, each would receive and compute all of them.

    Args:
        function: maps matrices (N, R, C) to as many of the same shape.
        shards: of each matrix (R, C) the rows that this rank has, cut as by `Tensor.chunk`.
        rows: R.
        group: its ranks have the other rows, in their order.
    """
    size, own, columns = group.size(), group.rank(), shards[0].shape[1]
    most = -(-rows // size)
    heights = [min(max(rows - most * rank, 0), most) for rank in range(size)]  # rows of each rank
    counts = [len(range(rank, len(shards), size)) for rank in range(size)]  # matrices that each rank computes

    there = [count * heights[own] for count in counts]  # rows to each rank, and on the way back from it
    back = [counts[own] * height for height in heights]
    sent = torch.cat([matrix for rank in range(size) for matrix in shards[rank::size]])
    parts = _exchange(sent, there, back, group)
    whole = torch.cat([p.view(counts[own], h, columns) for p, h in zip(parts, heights, strict=True)], dim=1)
    whole = function(whole) if counts[own] else whole
    results = torch.cat([part.flatten(0, 1) for part in whole.split(heights, dim=1)])
    returned = _exchange(results, back, there, group)
    found: list[Tensor] = [shards[0]] * len(shards)
    for rank, (part, count) in enumerate(zip(returned, counts, strict=True)):
        found[rank::size] = part.view(count, heights[own], columns).unbind()
    return found


def _exchange(rows: Tensor, sent: list[int], received: list[int], group: ProcessGroup) -> tuple[Tensor, ...]:
    """Sends rows to all ranks, so many to each, and returns those that come from each."""
    found = rows.new_empty(sum(received), rows.shape[1])
    dist.all_to_all_single(found, rows.contiguous(), received, sent, group=group)
    return found.split(received)

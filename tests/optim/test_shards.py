"""Matrices whose rows are spread over ranks."""

import multiprocessing

import pytest
import torch
import torch.distributed as dist

from maskwright.optim.muon import orthogonalize
from maskwright.optim.shards import by_matrix

RANKS = 3


def on_each_rank(rank, path, number, rows, answers):
    store = dist.FileStore(path, RANKS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(number, rows, 4, generator=generator)
    calls = []

    def function(matrices):
        calls.append(len(matrices))
        return orthogonalize(matrices, 5)

    def shards(matrix):
        cut = list(matrix.chunk(RANKS))
        return cut[rank] if rank < len(cut) else matrix[:0]

    found = by_matrix(function, [shards(matrix) for matrix in whole], rows, dist.group.WORLD)
    wanted = [shards(matrix) for matrix in orthogonalize(whole, 5)]
    answers.put((calls, all(torch.allclose(f, w, atol=1e-6) for f, w in zip(found, wanted, strict=True))))
    dist.destroy_process_group()


# an even number of rows, an uneven one, and one that leaves the last rank without any; fewer matrices than ranks
@pytest.mark.parametrize(("number", "rows"), [(4, 6), (5, 5), (2, 4)])
def test_each_rank_computes_some_matrices_and_gets_its_rows_of_all(tmp_path, number, rows):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    arguments = (str(tmp_path / "store"), number, rows, answers)
    ranks = [context.Process(target=on_each_rank, args=(rank, *arguments)) for rank in range(RANKS)]
    for process in ranks:
        process.start()
    found = [answers.get(timeout=30) for _ in ranks]
    for process in ranks:
        process.join(30)
    assert all(alike for _, alike in found)
    assert sum(sum(calls) for calls, _ in found) == number

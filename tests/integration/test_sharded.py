"""Runs whose weights are sharded over two processes (FSDP2) compute what one process does."""

import multiprocessing
from types import SimpleNamespace

import pytest

from tests.integration import test_ranks
from tests.integration.test_ranks import TWO, assert_alike

forked_ranks = test_ranks._forked  # of each run here, rank 1 is forked from rank 0
SHARDED = (TWO, "hardware.strategy=fsdp")


@pytest.fixture
def sharded(run):
    """A function that runs on two ranks, both forked: a fork of a process that has sharded keeps the rank of that."""

    def train(*overrides: str, **where) -> SimpleNamespace:
        reader, writer = multiprocessing.Pipe(duplex=False)

        def rank_0() -> None:
            result = run(*overrides, *SHARDED, **where)
            writer.send((result.metrics, result.run_dir, result.trainer.global_step))

        process = multiprocessing.get_context("fork").Process(target=rank_0)
        process.start()
        process.join(60)
        assert process.exitcode == 0
        metrics, run_dir, step = reader.recv()
        return SimpleNamespace(metrics=metrics, run_dir=run_dir, step=step)

    return train


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_masked_tokens_are_learned_alike(run, sharded, optimizer):
    overrides = ["mask=adaptive", f"optimizer={optimizer}", "trainer.max_steps=20", "trainer.val_check_interval=10"]
    assert_alike(run(*overrides), sharded(*overrides))

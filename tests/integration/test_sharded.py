"""Runs whose weights are sharded over two processes (FSDP2) compute what one process does."""

import multiprocessing
from types import SimpleNamespace

import pytest

from tests.integration import test_ranks
from tests.integration.test_ranks import TWO, assert_alike, curves

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


@pytest.mark.parametrize(("task", "optimizer"), [("classification", "muon"), ("multitask", "adamw")])
def test_labels_are_learned_alike(run, sharded, reviews, task, optimizer):
    """With micro-batches, frozen layers, and other numbers of evaluation batches on the ranks."""
    overrides = [f"task={task}", "data=csv", f"data.source={reviews}", "data.tokens_per_batch=200", "mask=token"]
    overrides += ["task.dropout=0", f"optimizer={optimizer}", "trainer.val_check_interval=10"]
    overrides += ["data.evaluation_tokens_per_batch=64", "trainer.max_steps=20"]
    overrides += ["hardware.accumulate_grad_batches=2"] if task == "multitask" else ["task.finetuning.freeze=1"]
    assert_alike(run(*overrides), sharded(*overrides), rel=1e-3)


def test_spans_are_learned_alike(run, sharded):
    """With the throughput, which counts the FLOPs of both heads."""
    overrides = [
        "task=span_boundary",
        "mask=span",
        "callbacks.throughput={_target_: maskwright.callbacks.Throughput}",
    ]
    assert_alike(run(*overrides), sharded(*overrides))


def test_a_run_goes_on_from_one_device_to_shards_and_from_shards_to_data_parallel(run, sharded, tmp_path):
    own = ["mask=adaptive", "schedule=constant", "schedule.warmup=0", "trainer.val_check_interval=3"]
    whole = run(*own, "trainer.max_steps=9")
    first = run(*own, "trainer.max_steps=3")
    second = sharded(*own, "trainer.max_steps=6", f"ckpt_path={first.run_dir}", run_dir=tmp_path / "second")
    assert second.step == 6
    assert curves(second)["train/loss"] == pytest.approx(curves(whole)["train/loss"][3:6], rel=1e-4)
    third = run(*own, TWO, "trainer.max_steps=9", f"ckpt_path={second.run_dir}", f"run_dir={tmp_path / 'third'}")
    assert third.trainer.global_step == 9
    assert_alike(whole, third, before=6)

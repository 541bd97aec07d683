"""Settings that a run follows as they are given."""

import pytest

from tests.integration.test_train import KEEP, losses


def test_numbers_may_be_written_in_any_way(run, tmp_path):
    usual = (
        "data.limit=100",
        "tokenizer.vocabulary_size=300",
        "seed=7",
        "data.batch_size=8",
        "trainer.max_steps=2",
    )
    other = (
        "data.limit=1e2",
        "tokenizer.vocabulary_size=3e2",
        "seed=7.0",
        "data.batch_size='8'",
        "trainer.max_steps=2e0",
    )
    first = run(KEEP, *usual, run_dir=tmp_path / "usual")
    second = run(KEEP, *other, run_dir=tmp_path / "other")
    assert losses(second) == losses(first)
    assert second.metrics["test/loss"] == first.metrics["test/loss"]
    configs = [
        (result.run_dir / "config.yaml").read_text().replace(str(result.run_dir), "") for result in (first, second)
    ]
    assert configs[0] == configs[1]


@pytest.mark.parametrize(("patience", "steps"), [(1, 4), (3, 8)])
def test_a_resumed_run_has_its_own_patience(run, tmp_path, patience, steps):
    settings = (
        "callbacks=early_stopping",
        "trainer.val_check_interval=2",
        "optimizer.lr=1e-12",
        "optimizer.adamw_lr=1e-12",
    )
    settings += ("+callbacks.early_stopping.min_delta=10",)
    first = run(
        *settings, "trainer.max_steps=4", "callbacks.early_stopping.patience=50", run_dir=tmp_path / "first"
    )
    assert first.trainer.global_step == 4
    again = run(
        *settings,
        "trainer.max_steps=20",
        f"callbacks.early_stopping.patience={patience}",
        f"ckpt_path={first.run_dir}",
        run_dir=tmp_path / "again",
    )
    assert again.trainer.early_stopping_callback.patience == patience
    assert again.trainer.global_step == steps

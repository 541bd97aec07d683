"""What a new encoder begins with: which tokens of the training split stand side by side."""

import torch

STILL = ("optimizer.lr=1e-30", "optimizer.adamw_lr=1e-30", "trainer.max_steps=1", "trainer.val_check_interval=1")
COUNTED = "pairs of neighbours in the training split"


def weights(result):
    return result.task.encoder.embedding.weight


def test_only_a_new_run_begins_with_counts(run, tmp_path, capsys):
    first = run(*STILL, "seed=1", run_dir=tmp_path / "first")
    assert COUNTED in capsys.readouterr().out
    assert first.task.counting > 0
    other = run(*STILL, "seed=2", run_dir=tmp_path / "other")
    assert torch.allclose(weights(first), weights(other))  # whatever the seed
    random = run(*STILL, "model.initial_embeddings=random", run_dir=tmp_path / "random")
    assert random.metrics["test/loss"] > first.metrics["test/loss"] + 0.1
    capsys.readouterr()
    goes_on = run(*STILL, "trainer.max_steps=2", f"ckpt_path={tmp_path / 'first'}", run_dir=tmp_path / "on")
    started = run(*STILL, f"init_from={tmp_path / 'random'}", run_dir=tmp_path / "started")
    assert COUNTED not in capsys.readouterr().out
    assert goes_on.trainer.global_step == 2
    assert torch.equal(weights(started), weights(random))

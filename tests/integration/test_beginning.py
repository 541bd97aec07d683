"""What a new encoder begins with: which tokens of the training split stand side by side."""

import torch

from maskwright.models import MaskedLMHead

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
    assert COUNTED not in capsys.readouterr().out
    assert goes_on.trainer.global_step == 2
    for name in ("starts", "tokens", "values"):
        assert torch.equal(
            getattr(goes_on.task.head.bigrams.left, name), getattr(first.task.head.bigrams.left, name)
        )
    started = run(*STILL, f"init_from={tmp_path / 'random'}", run_dir=tmp_path / "started")
    assert torch.equal(weights(started), weights(random))


def test_a_run_that_begins_from_another_counts_its_own_text(run, tmp_path, capsys):
    """The counts of its neighbours alone: embeddings are those of the other run."""
    other = run(*STILL, "data.limit=20", run_dir=tmp_path / "other")
    capsys.readouterr()
    started = run(*STILL, f"init_from={tmp_path / 'other'}", run_dir=tmp_path / "started")
    assert COUNTED in capsys.readouterr().out
    assert torch.equal(weights(started), weights(other))
    assert len(started.task.head.bigrams.left.tokens) > len(other.task.head.bigrams.left.tokens)
    without = run(*STILL, "model.bigrams=0", run_dir=tmp_path / "without")
    capsys.readouterr()
    run(*STILL, f"init_from={tmp_path / 'without'}", run_dir=tmp_path / "again")
    assert COUNTED not in capsys.readouterr().out
    assert without.metrics["test/loss"] > other.metrics["test/loss"]


def test_tasks_that_do_not_read_neighbours_ignore_their_counts(run):
    for task in ("hybrid", "diffusion", "rtd", "span_boundary"):
        assert type(run(*STILL, f"task={task}").task.head) is MaskedLMHead


def test_a_new_head_gets_counts_whatever_the_encoder_begins_with(run, reviews, tmp_path, capsys):
    classes = ("task=classification", "data=csv", f"data.source={reviews}", "trainer.max_steps=1")
    run(*classes, run_dir=tmp_path / "classes")
    capsys.readouterr()
    own = run(*STILL, f"init_from={tmp_path / 'classes'}", run_dir=tmp_path / "own")
    assert COUNTED in capsys.readouterr().out
    assert own.task.head.bigrams.known
    run(*STILL, "task=hybrid", run_dir=tmp_path / "hybrid")
    capsys.readouterr()
    after = run(*STILL, f"init_from={tmp_path / 'hybrid'}", run_dir=tmp_path / "after")
    assert "head that has learned to predict without" in " ".join(capsys.readouterr().out.split())
    assert not after.task.head.bigrams.known


def test_a_run_with_counts_and_new_tokens_resumes_exactly(run, tmp_path):
    settings = ("trainer.val_check_interval=1", "schedule=constant")
    run(*settings, "trainer.max_steps=1", run_dir=tmp_path / "first")
    settings = (*settings, f"init_from={tmp_path / 'first'}", "tokenizer=pretrained", "tokenizer.extend=2")
    settings = (*settings, "trainer.max_steps=2")
    whole = run(*settings, run_dir=tmp_path / "whole")
    interrupted = tmp_path / "whole" / "checkpoints" / "previous.ckpt"
    again = run(*settings, f"ckpt_path={interrupted}", run_dir=tmp_path / "again")
    assert whole.metrics["test/loss"] == again.metrics["test/loss"]

"""Runs that start from the weights of runs with other tasks."""

from tests.integration.test_finetuning import tune  # noqa: F401  a fixture


def test_pretraining_starts_from_a_classifier(run, tune, tmp_path, capsys):  # noqa: F811
    first = tune("classification", "trainer.max_steps=1", run_dir=tmp_path / "first")
    again = run(f"init_from={first.run_dir}", "trainer.max_steps=1", run_dir=tmp_path / "again")
    assert again.metrics["test/loss"] > 0
    assert "new: head.dense.weight" in " ".join(capsys.readouterr().out.split())


def test_the_head_for_labels_comes_first_in_the_optimizer(tune):  # noqa: F811
    """Optimizers know parameters by their order, which that of older checkpoints is."""
    task = tune("multitask", "trainer.max_steps=1").task
    names = [name for name, _ in task.named_parameters() if not name.startswith("encoder.")]
    assert names.index("output.weight") < names.index("head.dense.weight")

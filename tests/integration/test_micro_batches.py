"""`hardware.accumulate_grad_batches` changes the memory of a run, but not its results."""

import pytest
import torch

from tests.integration.test_finetuning import tune  # noqa: F401

# plain gradient steps, whose size is that of the gradient, and gradients that are clipped as a whole
PLAIN = (
    "optimizer=sgd",
    "optimizer.lr=0.1",
    "schedule=constant",
    "trainer.max_steps=4",
    "trainer.gradient_clip_val=0.5",
)
LABELLED = (*PLAIN, "task.dropout=0", "data.tokens_per_batch=200", "trainer.val_check_interval=2")


TIMED = ("tokens_per_second", "utilization", "data_wait", "padding")


def check(results):
    """Compares weights, metrics of the last training step, and all metrics of the evaluations."""
    first, *others = results
    for other in others:
        assert other.trainer.global_step == first.trainer.global_step
        for name, value in first.task.state_dict().items():
            torch.testing.assert_close(other.task.state_dict()[name], value, rtol=0, atol=1e-5)
        for name, value in first.metrics.items():
            if not name.endswith(TIMED):
                assert other.metrics[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize(
    "settings",
    [
        ("mask=span",),
        ("mask=wholeword", "mask/ratio=sampled", "data.cross_document_attention=false"),
        ("mask=adaptive", "mask.weights.every=1"),
        ("mask=none",),
        ("task=rtd", "mask=span"),
        ("task=rtd", "task.all_tokens=true", "data.cross_document_attention=false"),
        ("task=span_boundary", "mask=span"),
        ("model.late_masks=1", "mask/ratio=sampled"),
    ],
    ids=lambda settings: settings[0],
)
def test_masked_tokens(run, tmp_path, settings):
    check(
        run(*PLAIN, *settings, f"hardware.accumulate_grad_batches={number}", run_dir=tmp_path / str(number))
        for number in (1, 4)
    )


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("classification", ()),
        ("classification", ("task.class_weights=[0.2,3]", "task.label_smoothing=0.1", "mask=span")),
        ("regression", ()),
        ("tagging", ()),
        ("tagging", ("task.crf=true", "mask=token")),
        ("tagging", ("task.class_weights=balanced",)),
        ("multitask", ("mask=span", "data.truncate=windows", "task.class_weights=[0.2,3]")),
        (
            "multitask",
            ("mask=adaptive", "mask.weights.every=1", "data.tokens_per_batch=60"),
        ),  # fewer rows than pieces
        ("multitask_tagging", ("mask=span",)),
    ],
)
def test_labels(tune, tmp_path, task, settings):  # noqa: F811
    check(
        tune(
            task, *LABELLED, *settings, f"hardware.accumulate_grad_batches={number}", run_dir=tmp_path / str(number)
        )
        for number in (1, 4)
    )

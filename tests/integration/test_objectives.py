"""Objectives beside masked language modelling, from training to what is asked of a run."""

import json
from functools import partialmethod

import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.run.evaluate import evaluate
from maskwright.run.export import export
from maskwright.run.fill import run_fill
from maskwright.run.saved import SavedRun
from maskwright.run.score import run_score
from maskwright.run.several import expanded
from tests.conftest import compose_command
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture
from tests.integration.test_resuming import quality
from tests.integration.test_train import KEEP, Stop, losses

RUNS = {
    "rtd": ("task=rtd", "mask=span"),
    "all_tokens": ("task=rtd", "task.all_tokens=true", "task.discriminator_weight=5", "model.late_masks=1"),
    "span_boundary": ("task=span_boundary", "mask=span", "data.cross_document_attention=false"),
    "late_masks": ("model.late_masks=1", "mask.ratio=0.4"),
}
TEXT = "the old [MASK] crosses the river at night."


def ask(run, name, result, *overrides):
    return run(compose_command(name, f"run={result.run_dir}", *overrides))


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_equals_an_uninterrupted_one(run, tmp_path, name):
    settings = (KEEP, "trainer.val_check_interval=2", *RUNS[name])
    whole = run(*settings, run_dir=tmp_path / "whole")
    stop = "+callbacks.stop={_target_: tests.integration.test_train.StopAt, step: 3}"
    with pytest.raises(Stop):
        run(*settings, stop, run_dir=tmp_path / "stopped")
    resumed = run(*settings, f"ckpt_path={tmp_path}/stopped", run_dir=tmp_path / "resumed")
    assert losses(resumed) == {step: loss for step, loss in losses(whole).items() if step > 3}
    assert quality(resumed.metrics) == quality(whole.metrics)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_opened_evaluated_and_asked_without_its_corpus(run, tune, name, capsys, tmp_path):  # noqa: F811
    masks = expanded(["evaluation_masks=[token]"], "train")
    result = run(*RUNS[name], *masks, "trainer.max_steps=3", "trainer.val_check_interval=3")
    saved = SavedRun.open(result.run_dir)
    for own, other in zip(saved.encoder.parameters(), result.task.encoder.parameters(), strict=True):
        assert torch.equal(own, other)
    read = [[*encoder.parameters()] for encoder in (saved.token_encoder, saved.task.token_encoder)]
    assert all(own is other for own, other in zip(*read, strict=True))
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        assert saved.head(saved.token_encoder(ids)).shape == (1, 10, len(saved.tokenizer))
    found = ask(evaluate, "evaluate", result, "hardware=cpu")
    shared = {key: value for key, value in quality(result.metrics).items() if key.startswith("test/")}
    assert found == pytest.approx(shared, rel=1e-6)
    # of the generator, where there is one
    loss = "test/generator_loss" if "task=rtd" in RUNS[name] else "test/loss"
    assert found["test/token/loss"] == pytest.approx(found[loss], rel=1e-6)
    capsys.readouterr()
    assert ask(run_fill, "fill", result, "hardware=cpu", f"text='{TEXT}'", "output='-'") == 1
    assert json.loads(capsys.readouterr().out)["fills"]
    assert (
        ask(run_score, "score", result, "hardware=cpu", "text='the old sailor'", f"output={tmp_path}/a.jsonl") == 1
    )
    tuned = tune("classification", f"init_from={result.run_dir}", "trainer.max_steps=1", model=False)
    assert "new: encoder" not in capsys.readouterr().out
    assert not any("generator" in key for key in tuned.task.state_dict())


def test_losses_of_rtd_are_logged_apart(run):
    result = run("task=rtd", "trainer.max_steps=2", "trainer.val_check_interval=1", KEEP, pictures=True)
    metrics = result.metrics
    total = metrics["train/generator_loss"] + 50 * metrics["train/discriminator_loss"]
    assert metrics["train/loss"] == pytest.approx(total, rel=1e-5)
    assert metrics["train/utilization"] > 0
    names = ("loss", "accuracy", "f1", "auc", "generator_loss", "generator_accuracy")
    assert {f"test/{name}" for name in names} <= metrics.keys()


def test_a_weight_of_zero_leaves_the_masked_tokens_alone(run, tmp_path):
    plain = run("mask=span", "model.bigrams=0", KEEP, run_dir=tmp_path / "plain")
    other = run("mask=span", KEEP, "task=span_boundary", "task.span_boundary_weight=0", run_dir=tmp_path / "other")
    assert other.metrics["test/boundary_loss"] > 0
    # the weights of another head are drawn after those of the first
    assert other.metrics["test/loss"] == pytest.approx(plain.metrics["test/loss"], rel=1e-4)


def test_a_generator_of_the_hub_is_saved_and_opened(run, hub_model):
    result = run("task=rtd", f"init_from={hub_model}", "trainer.max_steps=1", "trainer.val_check_interval=1")
    task = result.task
    assert task.generator.model.config.hidden_size == 8
    assert task.generator.embedding.weight is task.encoder.embedding.weight
    opened = SavedRun.open(result.run_dir).task
    for name, weight in task.state_dict().items():
        assert torch.equal(opened.state_dict()[name], weight), name


def test_late_masks_in_exports(run, hub_model, tmp_path):
    result = run("model.late_masks=1", "trainer.max_steps=1", "trainer.val_check_interval=1")
    for form in ("hf", "onnx"):
        if form == "onnx":
            pytest.importorskip("onnxscript", reason="onnx is not installed: pip install -e .[onnx]")
        folder = ask(export, "export", result, f"format={form}", f"output={tmp_path / form}")
        assert (folder / "README.md").is_file()
    saved = SavedRun.open(tmp_path / "hf")
    assert (saved.encoder.late_masks, saved.encoder.mask_id) == (1, saved.tokenizer.mask_id)
    again = run("mask=token", f"init_from={tmp_path / 'hf'}", "trainer.max_steps=1", "trainer.val_check_interval=1")
    assert again.task.encoder.late_masks == 1


def test_late_masks_are_compiled(run, tmp_path, monkeypatch):
    small = ("trainer.max_steps=2", "data.evaluation_batch_size=8", "data.evaluation_limit=8", "model.late_masks=1")
    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(compile, backend="eager"))
    plain = run(KEEP, *small, run_dir=tmp_path / "a")
    compiled = run(KEEP, *small, "hardware.compile=true", run_dir=tmp_path / "b")
    assert list(losses(compiled).values()) == pytest.approx(list(losses(plain).values()), abs=1e-3)


REFUSED = {
    "a generator that is too large": (
        ["task=rtd", "task.generator_share=1.5"],
        r"task\.generator_share=1\.5: generator_share must be above 0 and at most 1, where the generator",
    ),
    "a mask that hides nothing": (
        ["task=rtd", "mask=none"],
        r"^mask hides no token, which leaves task=ReplacedTokenDetection nothing to learn",
    ),
    "an evaluation that hides nothing": (
        ["task=span_boundary", "mask@evaluation_mask=none"],
        r"evaluation_mask hides no token, which leaves task=SpanBoundary nothing",
    ),
    "no narrower kind": (["task=rtd", "model=hmm"], r"task=ReplacedTokenDetection needs a smaller encoder"),
    "counts": (["task=span_boundary", "model=hmm"], r"excludes task=SpanBoundary; set task=mlm"),
    "shards": (
        ["task=rtd", "hardware=fsdp", "hardware.devices=2"],
        r"hardware\.strategy=fsdp does not work with task=ReplacedTokenDetection",
    ),
    "shards of late masks": (
        ["model.late_masks=1", "hardware=fsdp", "hardware.devices=2"],
        r"hardware\.strategy=fsdp does not work with model\.late_masks",
    ),
    "more late layers than there are": (
        ["model.late_masks=3"],
        r"model\.late_masks=3 layers are to read mask tokens, but there are only model\.layers=2",
    ),
    "late masks below 0": (["model.late_masks=-1"], r"model\.late_masks=-1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_before_data_is_prepared(run, name, monkeypatch):
    overrides, message = REFUSED[name]
    monkeypatch.setattr("maskwright.run.train.prepare", lambda *_: pytest.fail("data is prepared"))
    with pytest.raises(UserError, match=message):
        run(*overrides)


def test_the_generator_is_not_exported(run, tmp_path):
    result = run("task=rtd", "trainer.max_steps=1", "trainer.val_check_interval=1")
    with pytest.raises(UserError, match=r"Fine-tune its own \(init_from\), and export that run"):
        ask(export, "export", result, f"output={tmp_path / 'exported'}")

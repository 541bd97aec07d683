"""Runs of task=diffusion: trained, resumed, on two ranks, evaluated, and asked to write."""

import json

import pytest

from maskwright.core.errors import UserError
from maskwright.run.evaluate import evaluate
from maskwright.run.generate import run_generate
from tests.conftest import compose_command
from tests.integration.test_micro_batches import PLAIN, check
from tests.integration.test_ranks import TWO, _forked, assert_alike  # noqa: F401  a fixture
from tests.integration.test_resuming import quality

OWN = ("loss", "perplexity", "accuracy", "bound", "bits_per_byte")


@pytest.mark.parametrize("mask", ["token", "wholeword", "span", "frequency", "adaptive", "none"])
def test_any_mask_is_learned_at_all_ratios(run, mask):
    result = run("task=diffusion", f"mask={mask}", "trainer.max_steps=2", "mask.ratio.schedule=bimodal")
    assert all(result.metrics[f"test/{name}"] > 0 for name in OWN if name != "accuracy")
    assert result.objective == result.metrics["validation/bound"]


@pytest.mark.parametrize("settings", [(), ("mask=wholeword", "data.cross_document_attention=false")])
def test_micro_batches_change_nothing(run, tmp_path, settings):
    check(
        run(
            *PLAIN,
            "task=diffusion",
            *settings,
            f"hardware.accumulate_grad_batches={number}",
            run_dir=tmp_path / str(number),
        )
        for number in (1, 4)
    )


def test_two_devices_train_as_one_does(run):
    overrides = ["task=diffusion", "trainer.max_steps=10", "trainer.val_check_interval=5", "task.bound_passes=2"]
    assert_alike(run(*overrides), run(*overrides, TWO))


def test_a_run_resumes_exactly_and_is_evaluated_again(run, tmp_path):
    settings = ("task=diffusion", "trainer.val_check_interval=2", "schedule=constant")
    whole = run(*settings, "trainer.max_steps=4", run_dir=tmp_path / "whole")
    run(*settings, "trainer.max_steps=2", run_dir=tmp_path / "run")
    resumed = run(*settings, "trainer.max_steps=4", "ckpt_path=auto", run_dir=tmp_path / "run")
    assert quality(resumed.metrics) == quality(whole.metrics)
    found = evaluate(compose_command("evaluate", f"run={whole.run_dir}", "hardware=cpu"))
    for name in OWN:
        assert found[f"test/{name}"] == pytest.approx(whole.metrics[f"test/{name}"], rel=1e-6)
    # the plain loss is comparable with that of task=mlm, which these weights begin
    mlm = run(f"init_from={whole.run_dir}", "trainer.max_steps=1", "optimizer.lr=1e-9", "optimizer.adamw_lr=1e-9")
    assert mlm.metrics["test/loss"] == pytest.approx(whole.metrics["test/loss"], rel=1e-3)


@pytest.mark.parametrize("method", ["ancestral", "confidence"])
def test_it_writes_by_unmasking(run, capsys, method):
    result = run("task=diffusion", "trainer.max_steps=1")
    capsys.readouterr()
    asked = [f"run={result.run_dir}", "hardware=cpu", "length=9", f"method={method}", "passes=6", "chains=2"]
    assert run_generate(compose_command("generate", *asked, "block_length=4", "decay=cosine", "output='-'")) == 2
    for line in capsys.readouterr().out.splitlines():
        row = json.loads(line)
        assert len(row["tokens"]) == 9
        assert "[MASK]" not in row["written"]


def test_what_cannot_be_learned_is_refused_before_data_is_prepared(run, monkeypatch):
    monkeypatch.setattr("maskwright.run.train.prepare", lambda *_: pytest.fail("prepares data"))
    with pytest.raises(
        UserError, match=r"ratios were drawn, which Constant=0.3 does not say.*mask/ratio=diffusion"
    ):
        run("task=diffusion", "mask.ratio=0.3")
    with pytest.raises(UserError, match=r"which Sampled does not say"):
        run("task=diffusion", "mask/ratio=sampled")
    with pytest.raises(UserError, match="excludes task=MaskedDiffusion; set task=mlm"):
        run("task=diffusion", "model=hmm")
    with pytest.raises(UserError, match=r"task.bound_passes=0"):
        run("task=diffusion", "task.bound_passes=0")

"""Runs of task=hybrid: trained, resumed, on two ranks, and used as masked language models."""

import json

import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.inference.masked_model import MaskedModel
from maskwright.inference.score import score
from maskwright.models import Shifted
from maskwright.run.evaluate import evaluate
from maskwright.run.export import export
from maskwright.run.fill import run_fill
from maskwright.run.saved import SavedRun
from tests.conftest import compose_command
from tests.integration.test_micro_batches import PLAIN, check
from tests.integration.test_ranks import TWO, _forked, assert_alike  # noqa: F401  a fixture
from tests.integration.test_resuming import Killed, quality, rows

PHASES = "task.phases=[{objective: causal, until: 0.34}, {objective: hybrid, until: 0.67}, {objective: mntp}]"
SIX = ("trainer.max_steps=6", "trainer.val_check_interval=2")
KILL = "+callbacks.kill={_target_: tests.integration.test_resuming.Kill, event: on_train_batch_end, step: 3}"


def test_a_run_goes_through_its_phases_and_resumes_between_them(run, tmp_path, monkeypatch):
    whole = run("task=hybrid", PHASES, *SIX, run_dir=tmp_path / "whole")
    assert whole.metrics["test/causal_loss"] > 0
    here = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("maskwright.reports.summary.write", lambda *_: None)
        with pytest.raises(Killed):
            run("task=hybrid", PHASES, *SIX, KILL, run_dir=here)
    resumed = run("task=hybrid", PHASES, *SIX, "ckpt_path=auto", run_dir=here)
    assert quality(resumed.metrics) == quality(whole.metrics)
    assert rows(here) == rows(whole.run_dir)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("task.causal_per=step", "data.cross_document_attention=false"),
        ("mask=adaptive", "mask.weights.every=1", "task.shift=false"),
        ("task.phases=[{objective: causal, until: 0.5}, {objective: mlm}]",),
    ],
    ids=["examples", "steps", "adaptive", "phases"],
)
def test_micro_batches_change_nothing(run, tmp_path, settings):
    check(
        run(
            *PLAIN,
            "task=hybrid",
            *settings,
            f"hardware.accumulate_grad_batches={number}",
            run_dir=tmp_path / str(number),
        )
        for number in (1, 4)
    )


@pytest.mark.parametrize("settings", [(), (PHASES,)], ids=["hybrid", "phases"])
def test_two_devices_train_as_one_does(run, settings):
    overrides = ["task=hybrid", *settings, "trainer.max_steps=12", "trainer.val_check_interval=6"]
    one, two = run(*overrides), run(*overrides, TWO, "hardware.accumulate_grad_batches=2")
    assert_alike(one, two)


def test_a_run_is_asked_and_evaluated_as_it_was_trained(run, tmp_path, capsys):
    """With a shift, what commands say of a masked token comes from the position before it."""
    result = run("task=hybrid", "trainer.max_steps=3", "evaluation_masks={}", pictures=True)
    saved = SavedRun.open(result.run_dir)
    assert isinstance(saved.token_encoder, Shifted)
    ids = [saved.tokenizer.cls_id, *saved.tokenizer.encode(["the old ship"])[0][0].tolist(), saved.tokenizer.sep_id]
    capsys.readouterr()
    assert run_fill(
        compose_command("fill", f"run={result.run_dir}", "text='the old [MASK]'", "hardware=cpu", "output='-'")
    )
    row = json.loads(capsys.readouterr().out)
    masked = torch.tensor([[saved.tokenizer.cls_id, *saved.tokenizer.encode(["the old"])[0][0].tolist()]])
    masked = torch.cat([masked, torch.tensor([[saved.tokenizer.mask_id, saved.tokenizer.sep_id]])], 1)
    with torch.no_grad():
        shares = saved.task.head(saved.task.encoder(masked)[:, -3]).softmax(-1)[0]
    assert row["masks"][0]["probabilities"][0] == pytest.approx(float(shares.max()), rel=1e-4)
    model = MaskedModel(saved.token_encoder, saved.head, saved.tokenizer, saved.max_length)
    [scored] = score(model, ["the old ship"])
    assert scored.pll < 0
    assert len(ids) > 3
    found = evaluate(compose_command("evaluate", f"run={result.run_dir}", "hardware=cpu"))
    assert found["test/loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-6)
    assert found["test/causal_loss"] == pytest.approx(result.metrics["test/causal_loss"], rel=1e-6)
    untrained, head = saved.untrained()
    assert isinstance(untrained, Shifted)
    assert head is not None


def test_its_encoder_and_head_begin_other_runs(run, tmp_path):
    first = run("task=hybrid", "trainer.max_steps=2", run_dir=tmp_path / "first")
    second = run(f"init_from={first.run_dir}", "trainer.max_steps=1", run_dir=tmp_path / "second")
    third = run(f"init_from={second.run_dir}", "task=hybrid", "trainer.max_steps=1", run_dir=tmp_path / "third")
    assert third.metrics["test/causal_loss"] > 0


def test_what_cannot_be_learned_is_refused_before_data_is_prepared(run, monkeypatch, hub_model):
    monkeypatch.setattr("maskwright.run.train.prepare", lambda *_: pytest.fail("prepares data"))
    for model in ("model=lstm", "model=cnn", "model=mlp"):
        with pytest.raises(UserError, match=r"task=Hybrid predicts the next token.*Set model=transformer"):
            run("task=hybrid", model)
    with pytest.raises(UserError, match="Pretrained reads in both directions"):
        run("task=hybrid", f"init_from={hub_model}")
    with pytest.raises(
        UserError, match="learns probabilities from counts, which excludes task=Hybrid; set task=mlm"
    ):
        run("task=hybrid", "task.causal_share=0", "model=ngram")
    with pytest.raises(UserError, match=r"task.phases\[0\].objective=casual does not exist. Did you mean 'causal'"):
        run("task=hybrid", "task.phases=[{objective: casual, until: 0.5}, {objective: mlm}]")
    with pytest.raises(UserError, match=r"task\.causal_share.*1\.5"):
        run("task=hybrid", "task.causal_share=1.5")
    with pytest.raises(UserError, match=r"objective='validation/causal_loss' is no metric"):
        run("task=hybrid", "task.causal_share=0", "objective=validation/causal_loss")


def test_masked_prediction_alone_needs_no_causal_encoder(run):
    result = run("task=hybrid", "model=lstm", "task.phases=[{objective: mntp}]", "trainer.max_steps=2")
    assert "test/causal_loss" not in result.metrics


def test_exports_hold_the_shift_or_are_refused(run, tmp_path, capsys):
    result = run("task=hybrid", "trainer.max_steps=1")
    with pytest.raises(
        UserError, match="cannot express that the model predicts a token from the position before it"
    ):
        export(compose_command("export", f"run={result.run_dir}", "format=hf", f"output={tmp_path}/out"))
    assert not (tmp_path / "out").exists()
    export(compose_command("export", f"run={result.run_dir}", "format=onnx", f"output={tmp_path}/out", "limit=8"))
    assert "Outputs differ by at most" in capsys.readouterr().out

"""Runs that are reopened without their corpus."""

import shutil

import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.run.saved import SavedRun
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture


def test_a_run_is_opened_without_its_corpus(run, corpus, cache, tmp_path):
    result = run("mask=pmi", run_dir=tmp_path / "a")  # a mask that depends on the corpus
    moved = shutil.move(tmp_path / "a", tmp_path / "moved")
    opened = SavedRun.open(moved)
    assert opened.step == 6
    assert opened.labels is None
    assert opened.settings.data["block_size"] == 32
    assert opened.tokenizer.digest == result.data.tokenizer.digest
    assert not opened.task.training
    for name, weight in result.task.state_dict().items():
        assert torch.equal(opened.task.state_dict()[name], weight), name
    batch = result.data.sample(2)
    masked = result.task.evaluation_masker(batch)
    with torch.no_grad():
        assert torch.equal(opened.task(batch, masked), result.task.eval()(batch, masked))
        hidden = opened.token_encoder(batch["input_ids"])
        assert opened.head(hidden).shape == (2, 32, len(opened.tokenizer))


@pytest.mark.parametrize("task", ["classification", "regression", "tagging", "multitask"])
def test_labels_and_their_statistics_are_restored(tune, task, tmp_path):  # noqa: F811
    result = tune(task, "trainer.max_steps=2")
    opened = SavedRun.open(result.run_dir / "checkpoints" / "last.ckpt")
    assert opened.labels == result.data.labels
    assert type(opened.task) is type(result.task)
    assert (opened.head is not None) == (task == "multitask")


def test_a_model_of_the_hub_can_be_opened(hub_model):
    opened = SavedRun.open(hub_model)
    ids = torch.tensor([opened.tokenizer.backend.encode("the old sailor").ids])
    with torch.no_grad():
        assert opened.head(opened.encoder(ids)).shape == (*ids.shape, len(opened.tokenizer))
    with pytest.raises(UserError, match="is a model of the hub and no run"):
        _ = opened.task


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing/typo/here", "does not exist. It is the directory of a run"),
        ("nowhere.ckpt", "there is no checkpoint"),
        (".", "neither checkpoints of a run nor a config.json"),
    ],
)
def test_other_paths_are_refused(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"run='.*{message}"):
        SavedRun.open(name)


def test_a_checkpoint_outside_its_run_directory_is_refused(run, tmp_path):
    result = run("trainer.max_steps=3")
    alone = shutil.copy(result.run_dir / "checkpoints" / "last.ckpt", tmp_path / "alone.ckpt")
    with pytest.raises(UserError, match=r"beside .*alone\.ckpt there is no tokenizer"):
        _ = SavedRun.open(alone).settings


OLD = {  # names of earlier versions
    ("hardware", "accumulate_grad_batches"): "accumulate",
    ("optimizer", "ns_steps"): "iterations",
}


def with_old_names(path):
    """Rewrites a checkpoint as an earlier version would have written it."""
    saved = torch.load(path, weights_only=True)
    known = saved["hyper_parameters"]
    config = known["config"]
    for (group, key), old in OLD.items():
        if key in config[group]:
            config[group][old] = config[group].pop(key)
    config["optimizer"].pop("ns_dtype", None)
    if (labels := known["labels"]) is not None:
        config["task"]["finetuning"]["thaw"] = config["task"]["finetuning"].pop("gradual_unfreezing")
        known["labels"], known["values"] = labels["names"], [labels["mean"], labels["std"]]
        if config["task"].pop("mlm_weight") is not None:
            config["task"] |= {"_target_": "maskwright.tasks.MultitaskClassification", "mlm_weight": 1.0}
    else:
        config["data"]["_target_"] = "maskwright.data.text.TextData"
    for state in saved["optimizer_states"]:
        for group in state["param_groups"]:
            if "ns_steps" in group:
                group["iterations"] = group.pop("ns_steps")
    torch.save(saved, path)


@pytest.mark.parametrize("task", ["mlm", "classification", "multitask"])
def test_checkpoints_of_earlier_versions_are_read(run, tune, tmp_path, task, capsys):  # noqa: F811
    make = run if task == "mlm" else lambda *o, **k: tune(task, *o, **k)
    first = make("trainer.max_steps=3", run_dir=tmp_path / "a")
    resumed = make("trainer.max_steps=6", f"ckpt_path={first.run_dir}", run_dir=tmp_path / "b")
    path = first.run_dir / "checkpoints" / "last.ckpt"
    with_old_names(path)
    capsys.readouterr()
    again = make("trainer.max_steps=6", f"ckpt_path={first.run_dir}", run_dir=tmp_path / "c")
    assert "changed:" not in capsys.readouterr().out
    assert again.metrics["test/loss"] == resumed.metrics["test/loss"]
    opened = SavedRun.open(path)
    assert (opened.labels is None) == (task == "mlm")
    assert opened.task.state_dict().keys() == first.task.state_dict().keys()


def test_a_run_without_the_wanted_checkpoint_is_told_from_other_folders(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(UserError, match=r"is a run without a checkpoint: .*callbacks=none"):
        SavedRun.open(tmp_path, prefer=("best",))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(UserError, match=r"has no such checkpoint, but last\.ckpt\. Set checkpoint=last\."):
        SavedRun.open(tmp_path, prefer=("best",))

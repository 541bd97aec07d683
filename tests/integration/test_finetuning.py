"""Fine-tuning as users run it."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.run.init_from import starting_point
from maskwright.run.train import Result, train
from maskwright.settings.commands import TrainSettings
from maskwright.text.tokenizer import Trained
from tests.conftest import BARE, compose_train, next_free
from tests.integration.test_train import KEEP, Stop, StopAt, losses
from tests.texts import make_text

SETTINGS = {
    "tokenizer.vocabulary_size": "300",
    "data.block_size": "48",
    "data.tokens_per_batch": "384",
    "data.evaluation_tokens_per_batch": "768",
    "hardware": "cpu",
    "preparation.workers": "1",
    "trainer.max_epochs": "null",
    "trainer.max_steps": "6",
    "trainer.val_check_interval": "3",
    "trainer.log_every_n_steps": "1",
    "logger": "csv",
}
SMALL = {
    "model.layers": "2",
    "model.hidden_size": "32",
    "model.heads": "2",
    "model.intermediate_size": "48",
}


@pytest.fixture
def tune(reviews, names, cache, tmp_path) -> Callable[..., Result]:
    """A function that calls what `python src/train.py task=<task> <overrides>` calls."""

    def run_task(
        task: str, *overrides: str, run_dir: Path | None = None, model: bool = True, pictures: bool = False
    ) -> Result:
        data = (
            {"data": "conll", "data.source": names}
            if task.endswith("tagging")
            else {"data": "csv", "data.source": reviews}
        )
        if task.endswith("tagging"):
            data["data.published"] = "null"
        if task == "regression":
            data["data.label"] = "stars"
        settings = {"task": task, **data, **SETTINGS, **(SMALL if model else {})}
        settings |= {} if pictures else dict(override.split("=") for override in BARE)
        given = {key: value for override in overrides for key, _, value in [override.partition("=")]}
        if run_dir is None:
            run_dir = tmp_path / "run" if "ckpt_path" in given else next_free(tmp_path)
        settings |= {"data.cache_dir": cache, "run_dir": run_dir}
        if given.get("tokenizer") == "pretrained" or "init_from" in given:
            del settings["tokenizer.vocabulary_size"]
        settings |= given
        return train(compose_train(*(f"{key}={value}" for key, value in settings.items())))

    return run_task


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention"])
def test_classification_learns_and_reports(tune, pooling, capsys):
    result = tune("classification", f"task.pooling={pooling}", "optimizer.lr=1e-2", "trainer.max_steps=40")
    assert result.metrics["test/accuracy"] > 0.9
    assert result.objective == result.metrics["validation/accuracy"]
    confusion = [result.metrics[f"test/recall/{name}"] for name in ("neg", "pos")]
    assert result.metrics["test/recall"] == pytest.approx(sum(confusion) / 2)
    rows = [json.loads(line) for line in (result.run_dir / "predictions.jsonl").open()]
    correct = [row["label"] == row["predicted"] for row in rows]
    assert sum(correct) / len(rows) == pytest.approx(result.metrics["test/accuracy"])
    assert all(sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4) for row in rows)
    assert (result.run_dir / "confusion.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    for part in ("entropy of the classes", "precision", "examples"):
        assert part in shown


def test_the_share_of_padding_and_the_utilization_are_reported(tune):
    result = tune("classification", "trainer.max_steps=3", pictures=True)
    summary = json.loads((result.run_dir / "summary.json").read_text())
    assert 0 < summary["utilization"] < 2
    assert 0 <= summary["padding"] < 0.3


def test_a_run_that_does_not_improve_stops_early_and_reports_it(tune, capsys):
    result = tune(
        "classification",
        "callbacks=early_stopping",
        "callbacks.early_stopping.patience=1",
        "optimizer.lr=1e-9",
        "trainer.max_steps=40",
    )
    assert result.trainer.global_step == 6
    assert "Stopped early: " in capsys.readouterr().out
    summary = json.loads((result.run_dir / "summary.json").read_text())
    assert "did not improve" in summary["stopped_early"]


def test_a_run_fails_if_its_predictions_cannot_be_written(tune, tmp_path):
    (tmp_path / "run" / "predictions.jsonl").mkdir(parents=True)
    with pytest.raises(OSError, match=r"predictions\.jsonl"):
        tune("classification")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["metrics"]["test/accuracy"] > 0


@pytest.mark.parametrize("crf", [False, True])
def test_tagging_learns_and_reports(tune, crf, capsys):
    result = tune("tagging", f"task.crf={crf}", "optimizer.lr=1e-2", "trainer.max_steps=40")
    assert result.metrics["test/f1"] > 0.9
    assert result.metrics["test/f1/PER"] > 0.9
    rows = [json.loads(line) for line in (result.run_dir / "predictions.jsonl").open()]
    assert len(rows) == 60
    assert rows[0]["words"][1:] == ["Smith", "went", "to", "London", "."]
    assert rows[0]["tags"] == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
    assert all(0 < share <= 1.00001 for row in rows for share in row["probabilities"])
    assert "LOC" in capsys.readouterr().out


@pytest.mark.parametrize("case", [False, True])
def test_case_features_distinguish_words_that_differ_only_in_case(tune, tmp_path, case):
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text("Turkey B-LOC\nis O\ngood O\n\nturkey O\nis O\ngood O\n\n" * 30)
    settings = (f"data.source={tmp_path}", f"task.case={case}", "optimizer.lr=1e-2", "trainer.max_steps=20")
    f1 = tune("tagging", *settings, run_dir=tmp_path / "run").metrics["test/f1"]
    assert f1 > 0.9 if case else f1 < 0.7  # without case features, the same tokens get the same tags


def test_regression_learns_and_reports(tune, capsys):
    result = tune("regression", "optimizer.lr=1e-2", "trainer.max_steps=40")
    assert result.metrics["test/loss"] < 0.5
    assert result.metrics["test/rmse"] == pytest.approx(result.metrics["test/loss"] ** 0.5, rel=1e-3)
    row = json.loads((result.run_dir / "predictions.jsonl").open().readline())
    assert row["label"] in (1.5, 3.5)
    shown = capsys.readouterr().out
    assert "The largest errors" in shown
    assert "pairs of neighbours in the training split" in shown  # what its embeddings begin with


@pytest.mark.parametrize("model", ["lstm", "cnn", "mlp"])
def test_base_models_are_pretrained_and_fine_tuned(run, tune, tmp_path, model):
    first = run(f"model={model}", run_dir=tmp_path / "first")
    result = tune("classification", f"init_from={first.run_dir}", model=False)
    assert type(result.task.encoder).__name__.lower() == model
    assert result.trainer.global_step == 6


def test_a_run_starts_from_the_weights_of_another(run, tune, tmp_path, capsys):
    first = run(run_dir=tmp_path / "first")
    capsys.readouterr()
    result = tune("classification", f"init_from={first.run_dir}", "trainer.max_steps=1", model=False)
    shown = capsys.readouterr().out
    assert "weights: " in shown
    assert "new: output.weight, output.bias" in " ".join(shown.split())
    assert "left out: head.dense.weight" in " ".join(shown.split())
    assert result.task.encoder.hidden_size == 32
    saved = torch.load(first.run_dir / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    tuned = tune("classification", f"init_from={first.run_dir}", "task.finetuning.freeze=encoder", model=False)
    for name, weight in tuned.task.encoder.state_dict().items():
        torch.testing.assert_close(weight, saved[f"encoder.{name}"])


def test_init_from_also_loads_the_head_for_masked_tokens(run, tmp_path):
    first = run(run_dir=tmp_path / "first")
    again = run(f"init_from={first.run_dir}", "trainer.max_steps=1", "optimizer.lr=1e-9", "optimizer.adamw_lr=1e-9")
    assert again.metrics["test/loss"] == pytest.approx(first.metrics["test/loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("task", "overrides"),
    [
        ("classification", ("model.dropout=0.1", "mask=token")),
        (
            "tagging",
            ("task.crf=true", "task.case=true", "task.finetuning.gradual_unfreezing=0.5", "data.context=document"),
        ),
        (
            "classification",
            ("hardware.accumulate_grad_batches=2", "task.finetuning.layer_decay=0.8", "data.truncate=windows"),
        ),
        ("classification", ("model=lstm", "model.layers=1", "model.hidden_size=16")),
        ("tagging", ("init_from=<hub>",)),
    ],
    ids=["masked", "unfreezing", "accumulate", "lstm", "hub"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tune, hub_model, tmp_path, task, overrides):
    settings = [KEEP, "trainer.max_steps=20", "data.limit=60", *overrides]
    settings = [setting.replace("<hub>", str(hub_model)) for setting in settings]
    tune = partial(tune, model=not overrides[0].startswith(("model=", "init_from=")))
    whole = tune(task, *settings, run_dir=tmp_path / "whole")
    assert whole.data.steps(1) < 20  # the run passes the end of an epoch
    resuming: tuple[str, ...] = ()
    for stop in (4, 17):
        stopped = tmp_path / f"stopped-{stop}"
        callback = f"+callbacks.stop={{_target_: {StopAt.__module__}.StopAt, step: {stop}}}"
        with pytest.raises(Stop):
            tune(task, *settings, callback, *resuming, run_dir=stopped)
        resuming = (f"ckpt_path={stopped}",)
    resumed = tune(task, *settings, *resuming, run_dir=tmp_path / "resumed")
    assert losses(resumed) == {step: loss for step, loss in losses(whole).items() if step > 17}
    for name, value in whole.metrics.items():
        if name.startswith(("validation/", "test/")):
            assert resumed.metrics[name] == value


def test_masks_hide_words_in_training_only(tune):
    """Words of emotion, which the class depends on, are hidden in training, but not in evaluation."""
    hidden = tune(
        "classification",
        "mask=lexicon",
        "mask.ratio=0.5",
        "mask/corruption=mask_only",
        "optimizer.lr=1e-2",
        "trainer.max_steps=30",
    )
    batch = next(iter(hidden.data.train_dataloader()))
    masked = hidden.task.masker(batch)
    tokenizer = hidden.data.tokenizer
    taken = {tokenizer.decode([i]) for i in masked.targets[masked.valid].tolist()}
    assert taken
    assert not any("wonderful" in tokenizer.decode(row.tolist()) for row in masked.input_ids)
    shown = hidden.data.rows["test"].read(*[torch.zeros(1).long().numpy()] * 2)["input_ids"]
    assert tokenizer.mask_id not in shown


@pytest.mark.parametrize(
    ("task", "overrides", "message"),
    [
        ("classification", ("data=wikipedia",), "names no column"),
        ("classification", ("init_from=nowhere.ckpt",), "there is no checkpoint"),
        ("classification", ("task.pooling=middle",), r"task\.pooling|pooling"),
        ("classification", ("task.class_weights=[1,2,3]",), "class_weights"),
        ("classification", ("task.finetuning.layer_decay=2",), "layer_decay is 2"),
        ("classification", ("task.class_weights=[0,1]",), "above 0 for each"),
        ("classification", ("task.finetuning.freeze=50",), "freeze is 50, but the encoder has 2 layers"),
        ("classification", ("objective=validation/perplexity",), "is no metric"),
        ("classification", ("objective=validation/loss",), "Set objective_mode=min"),
        (
            "classification",
            ("objective=validation/f1/possitive",),
            "precision, recall and f1 are reported for: neg, pos",
        ),
        ("classification", ("data.splits.test=train",), r"data\.splits\.train=train trains on that"),
        ("classification", ("init_from=logs/mlm/typo",), r"init_from='logs/mlm/typo' does not exist"),
        ("tagging", ("task.crf=true", "task.label_smoothing=0.1"), "for independent tags"),
        (
            "classification",
            ("callbacks.checkpoint.monitor=validation/loss",),
            r"callbacks\.checkpoint\.mode=max, but a lower validation/loss is better",
        ),
        (
            "classification",
            ("callbacks=early_stopping", "callbacks.early_stopping.monitor=validation/acuracy"),
            r"callbacks\.early_stopping\.monitor='validation/acuracy' is no metric.*Did you mean",
        ),
        (
            "tagging",
            ("callbacks=early_stopping", "callbacks.early_stopping.monitor=validation/f1/PRE"),
            r"callbacks\.early_stopping\.monitor='validation/f1/PRE' is no metric.*Did you mean 'PER'",
        ),
        ("classification", ("objective=test/accuracy",), "monitor='test/accuracy' is no metric"),
        ("multitask", ("mask=none",), "mask=none hides no token"),
        ("classification", ("mask=adaptive",), "Classification predicts none; choose another mask"),
        ("classification", ("init_from=5",), "init_from=5 is no text"),
        ("classification", ("data.tokens_per_batch=0",), r"data\.tokens_per_batch=0"),
        ("tagging", ("+task.names=3",), "no setting"),
    ],
)
def test_invalid_settings_are_refused(tune, task, overrides, message):
    with pytest.raises(UserError, match=message):
        tune(task, *overrides)


def test_classes_may_have_names_that_look_like_tags_or_formulas(tune, tmp_path):
    groups = ["A", "B", "AB", "O", "$_$"]
    table = tmp_path / "blood.csv"
    table.write_text(
        "text,label\n" + "".join(f"blood of {name} {n},{name}\n" for n in range(40) for name in groups)
    )
    result = tune("classification", f"data.source={table}", "objective=validation/f1/AB", run_dir=tmp_path / "run")
    assert result.objective == result.metrics["validation/f1/AB"]
    assert (result.run_dir / "confusion.png").is_file()


def test_metrics_include_kinds_that_a_split_does_not_have(tune, tmp_path):
    for name, other in (("eng.train", "B-MISC"), ("eng.testa", "O"), ("eng.testb", "O")):
        (tmp_path / name).write_text(f"Ada B-PER\nwrote O\nLatin {other}\n\n" * 30)
    result = tune("tagging", f"data.source={tmp_path}", "objective=validation/f1/MISC", run_dir=tmp_path / "run")
    assert 0 <= result.metrics["validation/f1/MISC"] <= 1
    assert 0 <= result.metrics["test/precision/MISC"] <= 1


def test_callbacks_without_a_metric_are_accepted(tune):
    target = "lightning.pytorch.callbacks.ModelCheckpoint"
    result = tune("classification", f"+callbacks.each={{_target_: {target}, monitor: null, save_top_k: -1}}")
    assert result.metrics["test/accuracy"] > 0


def test_a_hub_model_is_used_with_its_own_tokenizer(tune, hub_model, tmp_path):
    result = tune(
        "classification", "model=pretrained", f"model.name={hub_model}", "tokenizer=pretrained", model=False
    )
    assert len(result.data.tokenizer) == result.task.encoder.embedding.num_embeddings
    with pytest.raises(UserError, match=f"tokenizer=pretrained tokenizer.name={hub_model}"):
        tune("classification", "model=pretrained", f"model.name={hub_model}", "tokenizer=bpe", model=False)
    other = tmp_path / "other"
    Trained("wordpiece", 150, lowercase=True).make(lambda: iter([[make_text(1)]])).save(other)
    given = ("model=pretrained", f"model.name={hub_model}", "tokenizer=pretrained", f"tokenizer.name={other}")
    with pytest.raises(UserError, match=f"Set tokenizer.name={hub_model}"):
        tune("classification", *given, model=False)
    weights, copied = tmp_path / "weights", result.run_dir / "tokenizer"  # weights without a tokenizer beside them
    shutil.copytree(hub_model, weights, ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    given = ("model=pretrained", f"model.name={weights}", "tokenizer=pretrained")
    tune("classification", *given, f"tokenizer.name={copied}", model=False, run_dir=tmp_path / "same")
    with pytest.raises(UserError, match="no files of a tokenizer"):
        tune("classification", *given, model=False)


def test_new_weights_of_a_hub_model_are_listed(tune, hub_model, capsys):
    model = ("model=pretrained", f"model.name={hub_model}", "tokenizer=pretrained")
    tune("classification", *model, "trainer.max_steps=1", model=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"weights: those of {hub_model}" in shown
    assert "weights: new: output.weight, output.bias" in shown


@pytest.mark.parametrize("task", ["classification", "tagging", "regression", "multitask"])
def test_tasks_learn_in_mixed_precision(tune, task):
    result = tune(
        task,
        "hardware.precision=bf16-mixed",
        *(["task.crf=true"] if task == "tagging" else []),
        "optimizer.lr=1e-2",
        "trainer.max_steps=40",
    )
    metric = {"tagging": "test/f1", "regression": "test/r2"}.get(task, "test/accuracy")
    assert result.metrics[metric] > 0.8
    assert (result.run_dir / "predictions.jsonl").is_file()


def test_labels_are_reported_exactly_by_a_run_in_bfloat16(tune):
    result = tune("regression", "hardware.precision=bf16-true", "data.label=precise", "trainer.max_steps=1")
    rows = [json.loads(line) for line in (result.run_dir / "predictions.jsonl").open()]
    assert {row["label"] for row in rows} == {1234.5, 1236.5}


def test_a_head_for_numbers_in_other_units_is_left_out(tune, tmp_path, capsys):
    first = tune("regression", run_dir=tmp_path / "first")
    for label, left_out in (("stars", False), ("precise", True)):
        capsys.readouterr()
        tune("regression", f"init_from={first.run_dir}", f"data.label={label}", "trainer.max_steps=1", model=False)
        shown = " ".join(capsys.readouterr().out.split())
        assert ("left out: output.weight, output.bias" in shown) == left_out


def test_flops_include_the_second_pass_of_multitask_and_no_backward_pass_of_frozen_layers(tune):
    counts = {}
    for name, task, override in [
        ("label", "classification", "trainer.max_steps=1"),
        ("both", "multitask", "trainer.max_steps=1"),
        ("frozen", "classification", "task.finetuning.freeze=encoder"),
    ]:
        task = tune(task, override, "trainer.max_steps=1").task
        task._shape = (8, 32)
        task.progress = lambda: 1.0
        counts[name] = task.training_flops()
    assert counts["frozen"] == pytest.approx(counts["label"] / 3, rel=1e-6)
    assert counts["both"] > 2 * counts["label"]


def test_a_head_for_other_labels_is_left_out(tune, tmp_path, capsys):
    first = tune("classification", "optimizer.lr=1e-2", "trainer.max_steps=30", run_dir=tmp_path / "first")
    for labels, accuracy in (("[neg,pos]", 1.0), ("[pos,neg]", 0.5)):
        capsys.readouterr()
        again = tune(
            "classification",
            f"init_from={first.run_dir}",
            f"data.labels={labels}",
            "optimizer.lr=1e-9",
            "trainer.max_steps=1",
            model=False,
        )
        assert again.metrics["test/accuracy"] == pytest.approx(accuracy, abs=0.3)
        shown = capsys.readouterr().out
        assert ("the head is new, since the old one predicts neg, pos, in this order" in shown) == (
            labels == "[pos,neg]"
        )


def settings_of(composed) -> TrainSettings:
    return TrainSettings.parse(OmegaConf.to_container(composed, resolve=False))


def test_init_from_refuses_another_tokenizer(hub_model):
    overrides = ["tokenizer=bpe"]
    composed = compose_train("task=classification", f"init_from={hub_model}", *overrides)
    with pytest.raises(UserError, match="brings its own tokenizer"):
        starting_point(settings_of(composed), overrides)


@pytest.mark.parametrize(
    ("task", "override"),
    [
        ("classification", "task.finetuning.layer_decay=0.9"),
        ("classification", "task.pooling=attention"),
        ("tagging", "task.case=true"),
    ],
)
def test_resuming_with_other_weights_or_parameter_groups_is_refused(tune, tmp_path, task, override):
    first = tune(task, "trainer.max_steps=3", run_dir=tmp_path / "first")
    with pytest.raises(UserError, match=f"is of another task: {override.split('=')[0]} was"):
        tune(task, f"ckpt_path={first.run_dir}", override)


def test_a_head_of_another_shape_is_completely_new(tune, tmp_path, capsys):
    first = tune("tagging", "task.case=true", "trainer.max_steps=3", run_dir=tmp_path / "first")
    tune("tagging", f"init_from={first.run_dir}", model=False)
    assert "new: output.weight, output.bias" in " ".join(capsys.readouterr().out.split())


def test_a_checkpoint_without_a_newer_setting_can_be_resumed(tune, tmp_path, capsys):
    """The setting is `task.case`, which older checkpoints do not have."""
    first = tune("tagging", "trainer.max_steps=3", run_dir=tmp_path / "first")
    path = first.run_dir / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    del saved["hyper_parameters"]["config"]["task"]["case"]
    torch.save(saved, path)
    tune("tagging", f"ckpt_path={first.run_dir}", run_dir=tmp_path / "again")
    assert "task.case" not in capsys.readouterr().out


def test_init_from_refuses_a_checkpoint_that_lacks_weights(run, tune, tmp_path):
    first = run("trainer.max_steps=1", run_dir=tmp_path / "first")
    state = torch.load(first.run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    del state["state_dict"]["encoder.embedding.weight"]
    broken = tmp_path / "first" / "checkpoints" / "broken.ckpt"
    torch.save(state, broken)
    with pytest.raises(UserError, match=r"has no weights for encoder\.embedding\.weight"):
        tune("classification", f"init_from={broken}", model=False)


@pytest.mark.parametrize(
    ("overrides", "dropout"),
    [([], None), (["model.dropout=0"], 0.0), (["model=pretrained", "model.name=?", "model.dropout=0.2"], 0.2)],
)
def test_init_from_allows_another_dropout_but_no_other_model(hub_model, overrides, dropout):
    overrides = [override.replace("?", str(hub_model)) for override in overrides]
    composed = compose_train("task=classification", f"init_from={hub_model}", *overrides)
    settings, _ = starting_point(settings_of(composed), overrides)
    assert settings.model["dropout"] == dropout
    for other in (["model.layers=4"], ["model=lstm"]):
        composed = compose_train("task=classification", f"init_from={hub_model}", *other)
        with pytest.raises(UserError, match="another was asked for"):
            starting_point(settings_of(composed), other)


@pytest.mark.parametrize("labels", ["classification", "tagging"])
def test_multitask_learns_tokens_and_labels(tune, labels):
    settings = ("optimizer.lr=1e-2", "trainer.max_steps=40", "mask.ratio=0.3")
    if labels == "classification":
        result = tune("multitask", *settings)
        assert result.metrics["test/accuracy"] > 0.8
    else:
        result = tune("multitask_tagging", *settings, "task.mlm_weight=0.5")
        assert result.metrics["test/f1"] > 0.9
    untrained = torch.log(torch.tensor(float(len(result.data.tokenizer))))
    assert result.metrics["test/mlm_loss"] < untrained - 0.4
    assert result.metrics["train/loss"] > result.metrics["train/label_loss"]


def test_class_weights_and_label_smoothing_are_used(tune):
    result = tune(
        "classification", "task.class_weights=balanced", "task.label_smoothing=0.1", "trainer.max_steps=2"
    )
    weights = result.task.class_weights
    counts = torch.tensor(result.data.labels.counts)
    assert (weights * counts).sum() == pytest.approx(float(counts.sum()))

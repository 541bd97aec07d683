"""Values that could not be followed are refused before any work is done, in a sentence that begins with the key."""

import math
from copy import deepcopy

import pytest

from maskwright.core.errors import UserError
from maskwright.run import rules
from maskwright.run.assemble import build_masks, make_data, verify_components
from maskwright.settings.commands import TrainSettings
from tests.settings.test_convert import CHOICES, leaves, plain

LABELLED = ("task=classification", "data=csv", "data.source=x.csv")
# not settings of what is computed, or meaningful
MAY_BE_NEGATIVE = ("trainer.max_steps", "mask.weights.alpha", ".published.")


def check(config) -> None:
    settings = TrainSettings.parse(config)
    verify_components(settings)
    rules.check(settings)
    make_data(settings, build_masks(settings))


@pytest.mark.parametrize("value", [-1, math.nan])
def test_no_number_is_negative_or_none_at_all(value, monkeypatch):
    """Each number of each option of each group; those that options share are tried once."""
    quick = [rule for rule in rules.RULES if rule is not rules.lightning_takes_the_arguments]
    monkeypatch.setattr(rules, "RULES", quick)
    tried = set()
    for choice in CHOICES:
        config = plain(*choice)
        for path, _ in leaves(config):
            key, group = ".".join(map(str, path)), config[path[0]]
            if value == -1 and any(part in key for part in MAY_BE_NEGATIVE):
                continue
            kind = (
                path,
                str(group) if path[0] == "mask" else group.get("_target_") if isinstance(group, dict) else "",
            )
            if kind not in tried:
                tried.add(kind)
                with pytest.raises(UserError, match=rf"^{path[0]}\b"):
                    check(changed(config, path, value))
    assert len(tried) > 100


def changed(config, path, value):
    copy = owner = deepcopy(config)
    for name in path[:-1]:
        owner = owner[name]
    owner[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.lr=0",
        "optimizer.lr=inf",
        "optimizer.momentum=1.5",
        "optimizer.momentum=1",
        "optimizer.betas=[0.9,1.0]",
        "optimizer.betas=[0.9]",
        "optimizer.ns_steps=6",
        "optimizer.weight_decay=inf",
        "model.dropout=1",
        "model.initial_std=0",
        "model.norm_epsilon=0",
        "schedule.warmup=1",
        "schedule.final=2",
        "mask.ratio=1.2",
        "data.block_size=2",
        "data.limit=0",
        "trainer.max_steps=0",
        "trainer.max_steps=-2",
        "trainer.max_time=00:00:00:00",
        "trainer.max_epochs=inf",
        "trainer.gradient_clip_algorithm=values",
        "+trainer.limit_train_batches=2",
        "+trainer.limit_train_batches=0.1",
        "+trainer.overfit_batches=2",
        "+trainer.fast_dev_run=true",
        "+trainer.num_nodes=2",
        "+trainer.min_epochs=2",
        "+trainer.limit_test_batches=0",
        "hardware.precision=16-mixed",
    ],
)
def test_values_out_of_range(override, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    key = override.lstrip("+").partition("=")[0]
    with pytest.raises(UserError, match=rf"^{key}\b"):
        check(plain(override))


@pytest.mark.parametrize(
    "override", ["task.dropout=1", "task.label_smoothing=1", "task.mlm_weight=inf", "task.finetuning.head_lr=inf"]
)
def test_values_of_a_task_out_of_range(override):
    with pytest.raises(UserError, match=rf"^{override.partition('=')[0]}\b"):
        check(plain(*LABELLED, override))


@pytest.mark.parametrize("override", ["optimizer.lr=1.5", "optimizer.power=1.1", "optimizer.lr=0"])
def test_values_of_em_out_of_range(override):
    with pytest.raises(UserError, match=rf"^{override.partition('=')[0]}\b"):
        check(plain("model=hmm", override))


@pytest.mark.parametrize(
    "override",
    [
        "+trainer.limit_train_batches=null",
        "+trainer.fast_dev_run=false",
        "+trainer.limit_val_batches=2",
        "trainer.gradient_clip_val=null",
        "trainer.gradient_clip_val=0",
    ],
)
def test_values_that_change_nothing_are_taken(override):
    check(plain(override))


def test_em_takes_the_mean_of_all_steps():
    check(plain("model=hmm", "optimizer.lr=1", "optimizer.power=1"))


@pytest.mark.parametrize(("argument", "value"), [("limit_val_batches", 1.5), ("profiler", "none")])
def test_values_that_only_lightning_refuses(argument, value):
    with pytest.raises(UserError, match=rf"^trainer: .*{argument}"):
        check(plain(f"+trainer.{argument}={value}"))


def test_patience_counts_validations():
    with pytest.raises(UserError, match=r"^callbacks\.early_stopping\.patience=0"):
        check(plain("callbacks=early_stopping", "callbacks.early_stopping.patience=0"))

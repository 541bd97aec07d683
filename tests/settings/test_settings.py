"""Settings are frozen, can be converted back to a plain config, and report what is wrong with a config."""

import pydantic
import pytest
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.settings.commands import TrainSettings
from maskwright.settings.component import Component
from maskwright.settings.hardware import Hardware
from maskwright.settings.trainer import SET_ELSEWHERE
from maskwright.tasks import Task
from tests.conftest import ROOT, compose_train

HARDWARE = {
    "accelerator": "cpu",
    "devices": 1,
    "precision": "32-true",
    "workers": 0,
    "accumulate_grad_batches": 1,
    "compile": False,
}


def plain(*overrides: str) -> dict:
    return OmegaConf.to_container(compose_train("run_dir=x", *overrides), resolve=True)


@pytest.mark.parametrize("overrides", [(), ("mask.ratio=0.4",), ("task=tagging", "data=conll"), ("data=mixture",)])
def test_parsing_and_plain_are_inverse(overrides):
    config = plain(*overrides)
    assert TrainSettings.parse(config).plain() == config


def test_settings_are_immutable():
    settings = TrainSettings.parse(plain())
    with pytest.raises(pydantic.ValidationError):
        settings.seed = 2
    other = settings.replace(seed=2, model=settings.model.replace(layers=5))
    assert (other.seed, other.model["layers"]) == (2, 5)
    assert (settings.seed, settings.model["layers"]) == (1, 2)
    with pytest.raises(pydantic.ValidationError):
        settings.replace(seed=-1)


def test_components_may_be_nested():
    node = {"_target_": "a.B", "_partial_": True, "size": 3, "inner": {"_target_": "a.C"}}
    component = Component.from_node(node)
    assert component["inner"] == Component("a.C")
    assert component.to_node() == node
    assert component.replace(size=4).to_node() == node | {"size": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workers": -1}, r"hardware\.workers=-1 is not a whole number of at least 0"),
        ({"compil": True}, r"hardware\.compil is no setting of Hardware. Did you mean 'compile'"),
        ({"accumulate": 2}, r"hardware\.accumulate is now hardware\.accumulate_grad_batches"),
        ({"precision": "fp16"}, r"hardware\.precision='fp16'"),
    ],
)
def test_errors_in_a_group_name_the_key(change, message):
    with pytest.raises(UserError, match=message):
        Hardware.parse(HARDWARE | change, "hardware")
    with pytest.raises(UserError, match=message):
        TrainSettings.parse(plain() | {"hardware": HARDWARE | change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimiser": {}}, "There is no key 'optimiser'. Did you mean 'optimizer'"),
        ({"mask": 5}, "mask=5 holds no settings; see conf/mask/"),
        ({"model": {"layers": 2}}, r"model has no _target_: choose one of the options of conf/model/"),
        ({"callbacks": {"own": 3}}, r"callbacks\.own=3 holds no settings"),
        ({"objective_mode": "up"}, "objective_mode='up'"),
    ],
)
def test_errors_at_the_top_level_name_the_key(change, message):
    with pytest.raises(UserError, match=message):
        TrainSettings.parse(plain() | change)


def test_a_missing_key_is_named():
    config = plain()
    del config["mask"]["units"]
    with pytest.raises(UserError, match=r"mask\.units is missing"):
        TrainSettings.parse(config)


def test_the_trainer_has_every_argument_that_is_set_elsewhere():
    from inspect import signature

    from lightning import Trainer

    assert SET_ELSEWHERE.keys() <= signature(Trainer).parameters.keys()


@pytest.mark.parametrize("task", sorted(path.stem for path in (ROOT / "conf" / "task").glob("[!_]*.yaml")))
def test_the_objective_of_a_task_is_its_primary_metric(task):
    from maskwright.run.assemble import task_spec

    settings = TrainSettings.parse(plain(f"task={task}"))
    spec = task_spec(settings.task)
    assert isinstance(spec, type(Task.spec({})))
    assert settings.objective == f"validation/{spec.primary}"
    assert settings.objective_mode == spec.metric(spec.primary).better

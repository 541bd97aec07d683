"""Numbers of a config that are written in another way are the numbers that a run gets."""

import functools
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.run.assemble import verify_components
from maskwright.settings.commands import PreviewSettings, TrainSettings
from maskwright.settings.component import Component
from tests.conftest import ROOT, compose_command, compose_train

GROUPS = ("task", "optimizer", "schedule", "model", "mask", "mask/ratio", "mask/units", "mask/weights", "tokenizer")
OPTIONS = [
    (f"{group}={path.stem}",)
    for group in GROUPS
    for path in sorted((ROOT / "conf" / group).glob("[!_]*.yaml"))
    if path.stem != "pretrained"
]
CHOICES = [
    *OPTIONS,
    ("data=conll",),
    ("data=mixture", "data.sources.imdb.limit=7"),
    ("data.limit=7",),
    ("callbacks=early_stopping",),
]


def plain(*overrides: str) -> dict[str, Any]:
    return deepcopy(_composed(*overrides))


@functools.cache
def _composed(*overrides: str) -> dict[str, Any]:
    return OmegaConf.to_container(compose_train("run_dir=x", *overrides), resolve=True)


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int | float]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield (*path, key), value
        yield from leaves(value, (*path, key))


def rewritten(config: dict[str, Any], as_written: Any) -> dict[str, Any]:
    copy = deepcopy(config)
    for path, value in leaves(config):
        owner: Any = copy
        for key in path[:-1]:
            owner = owner[key]
        owner[path[-1]] = as_written(value)
    return copy


def types(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: types(value) for key, value in node.items()}
    return [types(value) for value in node] if isinstance(node, list) else type(node)


@pytest.mark.parametrize("as_written", [float, str], ids=["scientific", "quoted"])
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice[0])
def test_every_number_may_be_written_otherwise(choice, as_written):
    config = plain(*choice)
    assert sum(1 for _ in leaves(config)) > 20
    expected = TrainSettings.parse(config)
    found = TrainSettings.parse(rewritten(config, as_written))
    assert found.plain() == expected.plain()
    assert types(found.trainer.arguments()) == types(expected.trainer.arguments())
    before, now = dict(leaves(expected.plain())), dict(leaves(found.plain()))
    assert [path for path, value in before.items() if type(now[path]) is not type(value)] == []


@pytest.mark.parametrize(
    "key", ["data.limit", "data.block_size", "tokenizer.vocabulary_size", "model.layers", "seed"]
)
def test_whole_numbers_are_integers_and_others_are_refused(key):
    group, _, name = key.partition(".")

    def value_of(written: str) -> Any:
        settings = TrainSettings.parse(plain(f"{key}={written}"))
        own = getattr(settings, group)
        return own[name] if name else own

    for written in ("1e3", "1000.0", "'1000'"):
        assert type(value_of(written)) is int
        assert value_of(written) == 1000
    for written in ("1.5", "true", "many"):
        with pytest.raises(UserError, match=rf"(?i)^{key}\b.*{written}"):
            verify(f"{key}={written}")


def verify(*overrides: str) -> None:
    from maskwright.run.assemble import build_masks, make_data

    settings = TrainSettings.parse(plain(*overrides))
    verify_components(settings)
    make_data(settings, build_masks(settings))


def test_the_preview_and_settings_that_are_replaced_convert_too():
    config = compose_command("mask", "title=x", "seed=1e3", "draws='2'", "data.limit=1e2", "mask.ratio='0.3'")
    settings = PreviewSettings.parse(OmegaConf.to_container(config, resolve=True))
    assert (settings.seed, settings.draws, settings.data["limit"], settings.mask.ratio) == (1000, 2, 100, 0.3)
    data = settings.data.to_node() | {"limit": 1e1}
    assert type(settings.replace(data=data).data["limit"]) is int


def test_sources_of_a_mixture_are_typed():
    settings = TrainSettings.parse(plain("data=mixture", "data.sources.imdb.limit=1e2"))
    assert type(settings.data["sources"]["imdb"]["limit"]) is int
    with pytest.raises(UserError, match=r"^data\.sources\.imdb\.limit=1\.5: .*integer"):
        verify("data=mixture", "data.sources.imdb.limit=1.5")


def test_a_class_that_cannot_be_imported_leaves_its_arguments_alone():
    assert Component.from_node({"_target_": "no.such.Thing", "size": 1e3})["size"] == 1e3

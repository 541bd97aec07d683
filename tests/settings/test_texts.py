"""Which keys take texts, and which of these name files, as the types of settings and classes say."""

import pytest
from omegaconf import OmegaConf

from maskwright.settings.commands import COMMANDS, TrainSettings
from maskwright.settings.texts import Texts, annotation_of, texts_of, with_paths
from tests.conftest import compose_train

TEXT = Texts(single=True)


@pytest.mark.parametrize(
    ("command", "key", "texts"),
    [
        ("train", "ckpt_path", TEXT),
        ("train", "init_from", TEXT),
        ("train", "data.source", Texts(single=True, several=True)),
        ("train", "data.column", Texts(single=True, several=True, others=True)),
        ("train", "data.splits.test", Texts(single=True, others=True)),
        ("train", "data.sources.imdb.source", Texts(single=True, several=True)),
        ("train", "mask.units.path", TEXT),
        ("train", "logger.csv.save_dir", TEXT),
        ("train", "data.labels", Texts(several=True)),
        ("train", "seed", Texts(others=True)),
        ("train", "hardware.accelerator", Texts()),  # one of a few names
        ("train", "model", Texts()),
        ("train", "no.such.key", Texts()),
        ("evaluate", "data.source", Texts(single=True, several=True)),
        ("predict", "text", Texts(single=True, several=True, prose=True)),
    ],
)
def test_types_say_which_texts_a_key_takes(command, key, texts):
    config = OmegaConf.to_container(compose_train("run_dir=x", "mask=pmi"))
    assert texts_of(annotation_of(COMMANDS[command], key.split("."), config)) == texts


def test_texts_that_name_files_are_replaced_wherever_they_are():
    overrides = [
        "data=mixture",
        "data.cache_dir=c",
        "mask=pmi",
        "mask.units.path=p",
        "mask@evaluation_mask=lexicon",
    ]
    config = OmegaConf.to_container(compose_train("run_dir=x", *overrides), resolve=True)
    config["data"]["sources"]["imdb"]["source"] = ["a.csv", "b.csv"]
    moved = with_paths(config, lambda name: f"/start/{name}")
    assert moved["data"]["cache_dir"] == "/start/c"
    assert moved["data"]["sources"]["imdb"]["source"] == ["/start/a.csv", "/start/b.csv"]
    assert moved["data"]["sources"]["imdb"]["splits"] == config["data"]["sources"]["imdb"]["splits"]
    assert moved["mask"]["units"]["path"] == "/start/p"
    assert moved["evaluation_mask"]["weights"]["lexicon"] == "/start/vader"
    assert moved["model"] == config["model"]
    TrainSettings.parse(moved)

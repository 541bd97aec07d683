"""Every option of every group composes, fits its target, and trains."""

import importlib.util
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hydra import compose, initialize_config_dir

from hydra_plugins.optuna_search import _distribution
from maskwright.cli import known
from maskwright.settings.options import groups, listing
from tests.conftest import ROOT
from tests.integration.test_glue import write_glue
from tests.texts import make_text

CONF = ROOT / "conf"
OPTIONS = sorted(
    (str(path.parent.relative_to(CONF)), path.stem)
    for path in CONF.rglob("*.yaml")
    if path.parent != CONF and not path.stem.startswith("_") and "hydra" not in path.parts
)
KEY = re.compile(r"^(\s*)([\w@/]+):\s*(.*)$")


def with_labels(folder: Path) -> Path:
    """A file of texts with two columns that each say whether a text has a label."""
    path = folder / "labels.jsonl"
    rows = [{"text": make_text(seed, 1), "short": seed % 2, "odd": int(seed % 3 == 0)} for seed in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def needs(corpus, reviews, films, names, squad, hub_model, tmp_path, run) -> dict[tuple[str, str], list[str]]:
    """The overrides that an option needs to run without network."""
    wikitext = tmp_path / "wikitext"
    wikitext.mkdir()
    for split in ("train", "validation", "test"):
        rows = [line for seed in range(30) for line in (f" = Title {seed} = ", "", make_text(seed))]
        pq.write_table(pa.table({"text": rows}), wikitext / f"{split}-0.parquet")
    from_csv = ["data=csv", f"data.source={reviews}"]
    from_films = [f"data.source={films}", "data.published=null"]
    from_names = ["data=conll", f"data.source={names}", "data.published=null"]
    shares = ("data.splits.validation=0.2", "data.splits.test=0.2", "data.published=null")
    from_squad = ["data=squad", f"data.source={squad}", *shares]
    small_windows = ["data.stride=4", "data.longest_question=12"]
    return {
        ("data", "squad"): from_squad[1:],
        ("data/batches", "questions"): [*from_squad, *small_windows, "task=question_answering"],
        ("task", "question_answering"): [*from_squad, *small_windows],
        ("experiment", "squad_minilm"): [*from_squad, *small_windows, f"init_from={hub_model}"],
        ("data", "csv"): [f"data.source={reviews}"],
        ("data", "mixture"): [f"data.sources.imdb.source={films}", "data.sources.wikipedia.limit=25"],
        ("data", "imdb"): from_films,
        ("data", "glue"): [f"data.source={write_glue(tmp_path / 'glue', 'rte')}", "data.config=rte"],
        ("data", "conll"): [f"data.source={names}", "data.published=null", "data.block_size=16"],
        ("data/batches", "examples"): [*from_csv, "task=classification"],
        ("task", "classification"): from_csv,
        ("task", "multilabel"): [f"data.source={with_labels(tmp_path)}", "data=csv", "data.label=[short,odd]"],
        ("task", "regression"): [*from_csv, "data.label=stars"],
        ("task", "multitask"): from_csv,
        ("task", "multitask_regression"): [*from_csv, "data.label=stars"],
        ("task", "multitask_tagging"): from_names,
        ("task", "tagging"): from_names,
        ("data", "wikitext"): [f"data.source={wikitext}", "data.config=null"],
        # for the small excerpt that is the default data.source
        ("data", "wikipedia"): ["data.limit=25", "data.splits.validation=0.2", "data.splits.test=0.2"],
        ("model", "pretrained"): [f"model.name={hub_model}"],
        ("optimizer", "em"): ["model=hmm"],
        ("tokenizer", "bpe"): ["tokenizer.vocabulary_size=400"],
        ("experiment", "imdb_lstm"): ["data=imdb", *from_films],
        ("experiment", "imdb_mini"): ["data=imdb", *from_films],
        ("experiment", "imdb_minilm"): [
            "data=imdb",
            *from_films,
            f"init_from={hub_model}",
            "data.tokens_per_batch=256",
        ],
        ("experiment", "conll_lstm"): from_names,
        ("experiment", "conll_minilm"): [*from_names, f"init_from={hub_model}"],
        ("experiment", "films_mini"): [
            "data=mixture",
            f"data.sources.imdb.source={films}",
            "data.sources.wikipedia.limit=25",
        ],
        ("experiment", "dry_run"): ["trainer.max_steps=3", "data.limit=100"],
        # on two: test_ranks.py and test_sharded.py
        ("hardware", "ddp"): ["hardware.devices=1"],
        ("hardware", "fsdp"): ["hardware.devices=1"],
    }


@pytest.mark.parametrize("option", [option for group, option in OPTIONS if group == "sweep"])
def test_every_search_is_of_settings_that_exist(option):
    pytest.importorskip("optuna", reason="optuna is not installed: pip install -e .[optuna]")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        searched = compose("train", [f"sweep={option}", "run_dir=x"], return_hydra_config=True).hydra.sweeper
    assert searched._target_.endswith("OptunaSweeper")
    groups_, keys = known(str(CONF), "train", [])
    assert {*searched.space} <= {*groups_, *keys}
    for key, values in searched.space.items():
        drawn = _distribution(key, values)
        for value in getattr(drawn, "choices", [values]):
            assert key in keys or (CONF / key / f"{value}.yaml").is_file()


TRAINED = [(group, option) for group, option in OPTIONS if group != "sweep"]  # nothing for one run


@pytest.mark.parametrize(("group", "option"), TRAINED, ids=lambda value: value)
def test_every_option_trains(run, needs, tmp_path, group, option):
    overrides = [f"{group}={option}", "trainer.max_steps=2", *needs.get((group, option), [])]
    if group == "hardware" and option in ("gpu", "slurm") and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    if (group, option) == ("tokenizer", "pretrained"):
        folder = run("trainer.max_steps=1", run_dir=tmp_path / "first").run_dir / "tokenizer"
        overrides += [f"tokenizer.name={folder}"]
    if group == "model/size" and option in ("small", "base"):
        overrides += [
            "data.batch_size=2",
            "data.limit=20",
            "data.splits.validation=0.2",
            "data.splits.test=0.2",
            # what is not about the size, and takes most of the time with so many parameters
            "optimizer=sgd",
            "callbacks=none",
        ]
    result = run(*overrides, pictures=group in ("task", "model", "callbacks", "logger"))
    assert result.trainer.global_step in (2, 3)
    assert result.metrics["test/loss"] > 0
    if group == "model/size":
        expected = compose_option(group, option)["model"]
        assert len(result.task.encoder.layers) == expected["layers"]
        assert result.task.encoder.hidden_size == expected["hidden_size"]


def compose_option(group: str, option: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [f"{group}={option}", "run_dir=x"])


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_key_has_a_comment(path: Path):
    """On the line above, or at the end of the line. Keys that only name a target or contain others need none."""
    if "hydra" in path.parts:
        return
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    inside_defaults = False
    for number, line in enumerate(lines):
        if line and not line.startswith(" "):
            inside_defaults = line.startswith(("defaults:", "hydra:"))
        match = KEY.match(line)
        if inside_defaults or match is None or match[2].startswith("_") or not match[3]:
            continue
        opened_by = next((above for above in reversed(lines[:number]) if above and not above.startswith(" ")), "")
        above = lines[number - 1].strip().startswith("#")
        by_parent = line.startswith(" ") and opened_by.endswith(":")
        assert above or "#" in line or by_parent, f"{path}:{number + 1}: {line}"


def test_the_help_lists_every_group_and_option():
    text = listing(CONF, "train")
    for group, option in OPTIONS:
        found = re.search(rf"^\s+{group}\s(.*\n?\s{{20}}.*|.*)$", text, re.MULTILINE)
        assert found, group
        assert re.search(rf"\b{option}\b", found[0]), (group, option)


COMMANDS = [
    "train",
    "mask",
    "evaluate",
    "predict",
    "answer",
    "score",
    "fill",
    "generate",
    "explain",
    "export",
    "serve",
]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_default_of_a_group_comes_first(name):
    for group in groups(CONF, name):
        options = list(group.options)
        assert group.description, group.name
        assert group.default is None or options[0] == group.default
        assert sorted(options) == sorted(path.stem for path in (CONF / group.name).glob("[!_]*.yaml"))


def test_the_tables_of_options_are_those_of_the_configs():
    """`python scripts/documents/list_options.py` writes them."""
    path = ROOT / "scripts" / "documents" / "list_options.py"
    spec = importlib.util.spec_from_file_location("list_options", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert text.count("<!-- options: ") >= 10
    assert script.written(text) == text


def test_the_documentation_names_every_option():
    text = (ROOT / "docs" / "configuration.md").read_text()
    for group, option in OPTIONS:
        section = text.split(f"## `{group.split('/')[0]}`")[1].split("\n## ")[0]
        assert f"`{option}`" in section, (group, option)

"""A small corpus, tiny settings, and fixtures that run what users run."""

import copy
import csv
import functools
import gc
import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

# set before torch is imported, because two test processes share two cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_ENDPOINT"] = "http://hub.invalid"  # a name that cannot be resolved

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from maskwright.callbacks import throughput
from maskwright.run.train import Result, train
from tests.questions import articles
from tests.texts import make_text

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

TINY = (
    "tokenizer.vocabulary_size=300",
    "data.block_size=32",
    "data.batch_size=8",
    "data.evaluation_batch_size=16",
    "model.layers=2",
    "model.hidden_size=32",
    "model.heads=2",
    "model.intermediate_size=48",
    "hardware=cpu",
    "preparation.workers=1",
    "trainer.max_steps=6",
    "trainer.val_check_interval=3",
    "trainer.log_every_n_steps=1",
    "logger=csv",
)

# drawing takes a third of the time of a tiny run
NO_PICTURES = ("callbacks.masks=null", "callbacks.curve=null")
# counting the FLOPs of a step takes another third
BARE = (*NO_PICTURES, "callbacks.throughput=null")

# keys of TINY and BARE that do not exist with a choice
_TRANSFORMERS = ("model.heads", "model.intermediate_size")
_PACKED = ("data.batch_size", "data.evaluation_batch_size")
WITHOUT = {
    "callbacks=none": ("callbacks.masks", "callbacks.curve", "callbacks.throughput"),
    "data=mixture": ("data.source",),
    "tokenizer=pretrained": ("tokenizer.vocabulary_size",),
    "model=lstm": _TRANSFORMERS,
    "model=cnn": _TRANSFORMERS,
    "model=mlp": _TRANSFORMERS,
    "model=hmm": (*_TRANSFORMERS, "model.layers", "model.hidden_size"),
    "model=ngram": (*_TRANSFORMERS, "model.layers", "model.hidden_size"),
    "model=pretrained": (*_TRANSFORMERS, "model.layers", "model.hidden_size", "tokenizer.vocabulary_size"),
    "task=classification": _PACKED,
    "task=multilabel": _PACKED,
    "task=multitask": _PACKED,
    "task=multitask_regression": _PACKED,
    "task=multitask_tagging": _PACKED,
    "task=tagging": _PACKED,
    "task=question_answering": _PACKED,
    "task=regression": _PACKED,
    "experiment=imdb_lstm": (*_PACKED, *_TRANSFORMERS),
    "experiment=conll_lstm": (*_PACKED, *_TRANSFORMERS),
    "experiment=imdb_minilm": (*_PACKED, *_TRANSFORMERS, "model.layers", "model.hidden_size"),
    "experiment=conll_minilm": _PACKED,
    "experiment=squad_minilm": (*_PACKED, *_TRANSFORMERS, "model.layers", "model.hidden_size"),
    "experiment=films_mini": ("data.source",),
    "experiment=imdb_mini": _PACKED,
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 documents as JSON lines."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": make_text(seed)}) + "\n" for seed in range(200)))
    return path


@pytest.fixture(scope="session")
def reviews(tmp_path_factory) -> Path:
    """160 texts whose first words say whether they praise."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "stars", "precise"])
        for seed in range(160):
            good = seed % 2
            text = f"{'a wonderful delight' if good else 'a horrible disaster'} {make_text(seed, 1 + seed % 4)}"
            writer.writerow([text, ["neg", "pos"][good], 1.5 + 2 * good, 1234.5 + 2 * good])
    return path


@pytest.fixture(scope="session")
def names(tmp_path_factory) -> Path:
    """Sentences that contain names, as columns, 60 for each split."""
    folder = tmp_path_factory.mktemp("names")
    people, places = ["Ada", "Grace", "Alan", "Kurt"], ["London", "Paris", "Rome"]
    for split, name in enumerate(("eng.train", "eng.testa", "eng.testb")):
        lines = []
        for number in range(60):
            person, place = people[(number + split) % 4], places[number % 3]
            words = [
                (person, "B-PER"),
                ("Smith", "I-PER"),
                ("went", "O"),
                ("to", "O"),
                (place, "B-LOC"),
                (".", "O"),
            ]
            lines += [f"{word} {tag}" for word, tag in words] + [""]
        (folder / name).write_text("-DOCSTART- O\n\n" + "\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def squad(tmp_path_factory) -> Path:
    """180 questions about 60 contexts, in the format of SQuAD."""
    path = tmp_path_factory.mktemp("squad") / "questions.json"
    path.write_text(json.dumps(articles(60)))
    return path


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the original aclImdb, with 30 texts of each kind."""
    folder = tmp_path_factory.mktemp("aclImdb")
    for split, label in (("train", "neg"), ("train", "pos"), ("train", "unsup"), ("test", "neg"), ("test", "pos")):
        (folder / split / label).mkdir(parents=True)
        for number in range(30):
            text = f"{label} {split} {make_text(number, 3)}<br />"
            (folder / split / label / f"{number}_7.txt").write_text(text)
    return folder


@pytest.fixture(scope="session")
def hub_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with its head for masked tokens and its tokenizer, in the hub's layout."""
    import transformers

    from maskwright.text.tokenizer import Trained

    folder = tmp_path_factory.mktemp("bert")
    tokenizer = Trained("wordpiece", 200, lowercase=True).make(lambda: iter([[make_text(s) for s in range(50)]]))
    tokenizer.save(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_id,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def compose_train(*overrides: str) -> DictConfig:
    """Returns the config that `python src/train.py <overrides>` gets."""
    return compose_command("train", *overrides)


def compose_command(name: str, *overrides: str) -> DictConfig:
    """Returns the config that `python src/<name>.py <overrides>` gets.

    Composing takes as long as a few steps of training, so what options are chosen is composed once. Values are
    overridden afterwards, as Hydra itself does.
    """
    chosen = [override for override in overrides if _chooses(override)]
    config = copy.deepcopy(_composed(name, *chosen))
    values = OverridesParser.create().parse_overrides([other for other in overrides if other not in chosen])
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    return config


def _chooses(override: str) -> bool:
    """Whether an override names an option of a group, or says where Hydra finds groups."""
    key = override.lstrip("+~").split("=")[0]
    return key.startswith("hydra") or "@" in key or (ROOT / "conf" / key).is_dir()


@functools.cache
def _composed(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(name, list(overrides))


def next_free(tmp_path: Path) -> Path:
    """Returns the first of run, run-2, … that no run has."""
    named = (tmp_path / (f"run-{number}" if number > 1 else "run") for number in count(1))
    return next(folder for folder in named if not (folder / "config.yaml").exists())


@pytest.fixture
def run(corpus: Path, cache: Path, tmp_path: Path) -> Callable[..., Result]:
    """A function that calls what `python src/train.py <overrides>` calls, on the small corpus with a tiny model.

    `pictures=True` leaves the callbacks as they are, which draw pictures and measure the throughput.
    """

    def run_tiny(*overrides: str, run_dir: Path | None = None, pictures: bool = False) -> Result:
        if run_dir is None and not any(override.startswith("ckpt_path=") for override in overrides):
            run_dir = next_free(tmp_path)
        settings = {"data": "data=text", "data.source": f"data.source={corpus}"}
        settings |= {override.split("=")[0]: override for override in (*TINY, *(() if pictures else BARE))}
        if any(override.startswith("model/size=") for override in overrides):
            settings = {key: override for key, override in settings.items() if not key.startswith("model.")}
        dropped = [key for choice, keys in WITHOUT.items() if choice in overrides for key in keys]
        if any(override.startswith("init_from=") for override in overrides):
            dropped += ["tokenizer.vocabulary_size"]
        settings = {key: override for key, override in settings.items() if key not in dropped}
        settings |= {"cache": f"data.cache_dir={cache}", "run_dir": f"run_dir={run_dir or tmp_path / 'run'}"}
        settings |= {override.split("=")[0]: override for override in overrides}
        return train(compose_train(*settings.values()))

    return run_tiny


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _cheap_beginnings() -> Iterator[None]:
    """What each run does in the same way again is done once by each process of the tests."""
    gc.collect()
    gc.freeze()  # what has been imported stays: looking through it takes half a second each time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throughput, "matmul_rate", functools.cache(throughput.matmul_rate))
        patch.setattr(yaml, "SafeLoader", yaml.CSafeLoader)  # the same in C, for Hydra
        yield

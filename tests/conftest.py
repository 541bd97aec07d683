"""A small corpus, tiny settings, and a way to run what users run."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

# before torch is imported: two test processes share two cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_ENDPOINT"] = "http://hub.invalid"  # a name that no network knows

import pytest
import torch
from hydra import compose, initialize_config_dir

from maskwright.experiment import Result, train

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
    "hardware.preparation_workers=1",
    "trainer.max_steps=6",
    "trainer.val_check_interval=3",
    "trainer.log_every_n_steps=1",
    "logger=csv",
)

_SUBJECTS = [
    "the old sailor",
    "a young painter",
    "the river",
    "my neighbour",
    "every student",
    "the quiet library",
]
_VERBS = ["remembers", "crosses", "describes", "admires", "forgets", "follows"]
_OBJECTS = [
    "the distant mountains",
    "an unfinished letter",
    "the harbour at night",
    "a well-known song",
    "its own shadow",
]
_ENDS = ["without a word", "before the winter", "in 1984", "with great care, they say", "again and again"]


def make_text(seed: int, sentences: int = 12) -> str:
    """A document of simple sentences, the same for a seed everywhere."""
    draw = random.Random(seed)
    return " ".join(
        f"{draw.choice(_SUBJECTS)} {draw.choice(_VERBS)} {draw.choice(_OBJECTS)} {draw.choice(_ENDS)}.".capitalize()
        for _ in range(sentences)
    )


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 documents as JSON lines."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": make_text(seed)}) + "\n" for seed in range(200)))
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def compose_train(*overrides: str):
    """The config that `python src/train.py <overrides>` gets."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.fixture
def run(corpus: Path, cache: Path, tmp_path: Path) -> Callable[..., Result]:
    """Calls what `python src/train.py` calls, on the small corpus, with a tiny model; takes overrides."""

    def run_tiny(*overrides: str, run_dir: Path | None = None) -> Result:
        settings = {"data": "data=text", "data.source": f"data.source={corpus}"}
        settings |= {override.split("=")[0]: override for override in TINY}
        if any(override.startswith("model/size=") for override in overrides):
            settings = {key: override for key, override in settings.items() if not key.startswith("model.")}
        if "tokenizer=pretrained" in overrides:
            del settings["tokenizer.vocabulary_size"]
        settings |= {"cache": f"data.cache_dir={cache}", "run_dir": f"run_dir={run_dir or tmp_path / 'run'}"}
        settings |= {override.split("=")[0]: override for override in overrides}
        return train(compose_train(*settings.values()))

    return run_tiny


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)

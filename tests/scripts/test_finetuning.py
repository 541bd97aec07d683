"""Measurements of fine-tuning, on a few texts."""

import json

from tests import programs
from tests.conftest import ROOT


def call(script: str, *arguments: str) -> None:
    done = programs.call(ROOT / "scripts" / script, *arguments, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_baseline_learns_classes_that_words_determine(films, tmp_path):
    output = tmp_path / "baselines.json"
    call(
        "studies/baselines.py",
        "--source",
        str(films),
        "--output",
        str(output),
        "--overrides",
        "data.published=null",
        "preparation.workers=1",
    )
    figures = json.loads(output.read_text())
    assert figures["unigrams"]["test accuracy"] == 1.0  # each text begins with its label
    assert figures["uni- and bigrams"]["features"] > figures["unigrams"]["features"]


def test_both_are_timed_on_the_same_number_of_tokens(films, hub_model, cache, tmp_path):
    output = tmp_path / "speed.json"
    settings = ("data.block_size=32", "data.tokens_per_batch=256", "data.published=null", f"data.cache_dir={cache}")
    settings += ("preparation.workers=1",)  # others would import all that the script does
    where = ("--source", str(films), "--model", str(hub_model), "--output", str(output))
    call("benchmarks/finetuning.py", *where, "--steps", "2", "--turns", "1", "--overrides", *settings)
    figures = json.loads(output.read_text())
    assert figures["ours"]["examples a step"] * 32 <= 256  # all texts are cut at 32 tokens
    assert figures["Trainer"]["examples a step"] == 8
    ratio = figures["ours"]["examples per second"] / figures["Trainer"]["examples per second"]
    assert abs(figures["times the examples per second"] - ratio) < 0.01

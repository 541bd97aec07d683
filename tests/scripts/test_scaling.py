"""scripts/benchmarks/scaling.py"""

import importlib.util
import json

import pytest

from tests.conftest import ROOT
from tests.programs import call

SCRIPT = ROOT / "scripts" / "benchmarks" / "scaling.py"


@pytest.mark.parametrize("kind", ["one device", "one device, DDP"])
def test_measures_steps_on_one_device(corpus, cache, tmp_path, kind):
    arguments = [
        "--source",
        str(corpus),
        "--cache",
        str(cache),
        "--size",
        "tiny",
        "--steps",
        "2",
        "--measure",
        kind,
    ]
    settings = ["data=text", "data.block_size=32", "data.batch_size=8", "tokenizer.vocabulary_size=300"]
    done = call(SCRIPT, *arguments, "--overrides", *settings, "preparation.workers=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["seconds"] > 0
    assert found["parameters"] > 0


def test_ratios_are_those_of_the_same_turn():
    spec = importlib.util.spec_from_file_location("scaling", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    turns = {"a": (1.0, 2.0, 4.0), "b": (1.5, 3.0, 6.0)}
    found = {
        kind: [{"seconds": seconds, "bytes": 8e6, "parameters": 1_000_000} for seconds in times]
        for kind, times in turns.items()
    }
    assert script.table(script.summary(found)).splitlines()[2:] == [
        "| a | 2000 | 1.00 | 8.0 | 8.0 |",
        "| b | 3000 | 1.50 | 8.0 | 8.0 |",
    ]

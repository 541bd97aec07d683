"""scripts/benchmarks/inference.py"""

import json

from tests import programs
from tests.conftest import ROOT
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture

SCRIPT = ROOT / "scripts" / "benchmarks" / "inference.py"


def test_contestants_answer_alike_and_are_timed(tune, tmp_path):  # noqa: F811
    run_dir = tune("classification", "trainer.max_steps=3").run_dir
    given = ["--run", str(run_dir), "--threads", "1", "--batches", "3", "--texts", "6", "--turns", "1"]
    given += ["--no-compiled", "--no-litert", "--output", str(tmp_path / "figures.json")]
    done = programs.call(SCRIPT, *given, cwd=ROOT, limit=200)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    names = ["torch", "onnx", "onnx int8", "pipeline"]
    assert [(row["texts"], row["contestant"]) for row in figures] == [
        (kind, name) for kind in ("short", "mixed") for name in names
    ]
    assert all(row["texts_per_second"] > 0 for row in figures)

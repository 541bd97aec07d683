"""scripts/studies/architectures.py"""

import json

import pytest

from maskwright.run import jobs
from tests import programs
from tests.conftest import ROOT

SCRIPT = ROOT / "scripts" / "studies" / "architectures.py"


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    monkeypatch.setattr(jobs, "Popen", programs.Forked)


def test_models_are_compared_at_their_best_values(corpus, cache, tmp_path):
    overrides = (
        f"data=text data.source={corpus} data.cache_dir={cache} tokenizer.vocabulary_size=300 data.block_size=32 "
        "data.batch_size=8 hardware=cpu preparation.workers=1 trainer.max_time=null trainer.max_steps=2 logger=csv"
    )
    given = [
        "--models",
        "ngram",
        "hmm",
        "--farthest",
        "1",
        "--folder",
        str(tmp_path),
        "--overrides",
        *overrides.split(),
    ]
    done = programs.call(SCRIPT, *given, cwd=ROOT, limit=300, PYTHONPATH=str(SCRIPT.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "architectures.json").read_text())["models"]
    assert found["ngram"]["settings"] == {}
    tried = {row["model.states"]: row["validation/loss"] for row in found["hmm"]["tried"]}
    assert {*tried} == {64, 128, 256}
    assert tried[found["hmm"]["settings"]["model.states"]] == min(tried.values())
    report = (tmp_path / "architectures.md").read_text()
    assert f"| `hmm` | {found['hmm']['metrics']['test/loss']:.3f} |" in report
    assert "| unigram |" in report
    assert (
        programs.call(SCRIPT, *given, cwd=ROOT, limit=300, PYTHONPATH=str(SCRIPT.parent)).stdout.count(
            ": running; "
        )
        == 0
    )

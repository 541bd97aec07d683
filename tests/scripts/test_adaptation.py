"""scripts/studies/adaptation.py"""

import json

import pytest

from maskwright.run import jobs
from tests import programs
from tests.conftest import BARE, ROOT

SCRIPT = ROOT / "scripts" / "studies" / "adaptation.py"


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    monkeypatch.setattr(jobs, "Popen", programs.Forked)


@pytest.mark.parametrize("name", ["adaptation", "grammar"])
def test_refused_settings_end_in_a_line(tmp_path, name):
    given = (
        ["--model", str(tmp_path / "none")]
        if name == "adaptation"
        else ["--pairs", str(tmp_path), "--overrides", "no.such=key"]
    )
    script = SCRIPT.with_name(f"{name}.py")
    done = programs.call(
        script, *given, "--folder", str(tmp_path / "x"), cwd=ROOT, limit=100, PYTHONPATH=str(SCRIPT.parent)
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_adapted_and_plain_encoders_are_compared(films, corpus, hub_model, cache, tmp_path):
    shared = [
        "data.published=null",
        f"data.cache_dir={cache}",
        "hardware=cpu",
        "preparation.workers=1",
        "logger=csv",
        *BARE,
    ]
    shared += ["data.block_size=32", "trainer.max_epochs=null", "trainer.max_steps=2", "trainer.max_time=null"]
    adaptation = [*shared, "data.splits={train: unsupervised, validation: 0.2, test: 0.2}"]
    given = ["--source", str(films), "--model", str(hub_model), "--minutes", "1", "--seeds", "1", "2"]
    given += ["--limit", "20", "--general", str(corpus), "--folder", str(tmp_path / "study")]
    given += ["--adaptation", *adaptation, "--finetuning", *shared, "data.tokens_per_batch=256"]
    done = programs.call(SCRIPT, *given, cwd=ROOT, limit=300, PYTHONPATH=str(SCRIPT.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "study" / "study.json").read_text())
    values = found["values"]
    assert {*values["accuracy on IMDB"]} == {"not_adapted", "adapted", "adapted_with_replay"}
    assert {*values["MLM loss on general text"]} == {"adapted", "adapted_with_replay"}
    assert {*values["accuracy on IMDB"]["adapted"]} == {"1", "2"}
    assert "| `adapted` |" in (tmp_path / "study" / "study.md").read_text()
    again = programs.call(SCRIPT, *given, cwd=ROOT, limit=300, PYTHONPATH=str(SCRIPT.parent))
    assert ": running; " not in again.stdout

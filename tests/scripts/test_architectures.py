"""scripts/studies/architectures.py"""

import json
import sys

import pytest

from maskwright.run import jobs
from maskwright.run.jobs import Job
from tests import programs
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "studies"))
import architectures
import studies

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


@pytest.fixture
def compare(monkeypatch, tmp_path):
    """Runs the script with runs whose losses are given by a function of their first value, None if they fail."""

    def compare(loss, *given):
        def call(folder, _, overrides):
            own = dict(override.split("=", 1) for override in overrides)
            keys = architectures.MODELS[own["model"]]
            value = loss(float(own[keys[0]]) if keys else 0)
            metrics = {"validation/loss": value, "test/loss": value, "test/accuracy": 0.5}
            written = {"status": "failed" if value is None else "completed", "metrics": metrics, "baseline": 6.0}
            (folder / "summary.json").write_text(json.dumps(written))
            (folder / "config.yaml").write_text("objective: validation/loss")
            (folder / "output.log").write_text("error: The training loss is not finite at step 3.\n")
            return Job(folder.name, [], folder, 2 if value is None else 0)

        monkeypatch.setattr(studies, "call", call)
        monkeypatch.setattr(sys, "argv", ["architectures.py", "--folder", str(tmp_path), *given])
        architectures.main()
        return json.loads((tmp_path / "architectures.json").read_text())["models"]

    return compare


def test_a_run_that_fails_counts_as_the_worst(compare, capsys):
    found = compare(
        lambda states: None if states > 64 else 3 - states / 64, "--models", "hmm", "ngram", "--farthest", "2"
    )
    assert found["hmm"]["settings"] == {"model.states": 64}
    assert [row["model.states"] for row in found["hmm"]["tried"]] == [32, 64]
    assert found["ngram"]["metrics"]["test/loss"] == 3
    assert "hmm-128 failed with status 2: The training loss is not finite at step 3." in capsys.readouterr().err


def test_a_model_without_a_finished_run_is_an_error_after_the_others(compare, capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        compare(lambda states: None if states else 3.0, "--models", "hmm", "ngram")
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(
        f"error: No run of hmm in {tmp_path} has finished with a finite loss.\n"
    )
    assert "| `ngram` | 3.000 |" in (tmp_path / "architectures.md").read_text()


def test_processes_with_different_models_share_a_folder(compare, capsys):
    compare(lambda rate: 2.0 + rate, "--models", "cnn", "--farthest", "1")
    found = compare(lambda _: 3.0, "--models", "ngram")
    assert [*found] == ["ngram", "cnn"]
    assert found["cnn"]["settings"]["optimizer.lr"] == min(row["optimizer.lr"] for row in found["cnn"]["tried"])
    with pytest.raises(SystemExit):
        compare(lambda _: 3.0, "--models", "mlp", "--minutes", "1")
    assert "holds a study with minutes=3, but now minutes=1.0" in capsys.readouterr().err

"""scripts/studies/glue.py"""

import json
import sys

import pytest

from maskwright.corpora.glue import TASKS
from maskwright.run import jobs
from tests import programs
from tests.conftest import BARE, ROOT
from tests.integration.test_glue import write_glue

sys.path.insert(0, str(ROOT / "scripts" / "studies"))
import glue

SCRIPT = ROOT / "scripts" / "studies" / "glue.py"


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    monkeypatch.setattr(jobs, "Popen", programs.Forked)


def test_all_tasks_of_a_folder_are_learned_at_their_best_settings(hub_model, cache, tmp_path):
    for name in ("mrpc", "stsb"):
        write_glue(tmp_path / "data", name, 40)
    overrides = [
        f"data.cache_dir={cache}",
        "data.block_size=32",
        "hardware=cpu",
        "preparation.workers=1",
        "logger=csv",
    ]
    given = ["--init_from", str(hub_model), "--data", str(tmp_path / "data"), "--folder", str(tmp_path / "study")]
    given += ["--rates", "1e-3", "1e-2", "--epochs", "1", "--seeds", "1", "2", "--overrides", *overrides, *BARE]
    done = programs.call(SCRIPT, *given, cwd=ROOT, limit=300, PYTHONPATH=str(SCRIPT.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": running; ") == 6
    found = json.loads((tmp_path / "study" / "glue.json").read_text())
    assert [*found] == ["mrpc", "stsb"]
    for name, own in found.items():
        metric = f"validation/{TASKS[name].metrics[0]}"
        assert own["best"][metric] == max(one[metric] for one in own["tried"])
        assert [*own["results"]] == ["1", "2"]
        assert [*own["results"]["1"]] == [*TASKS[name].metrics]
    report = (tmp_path / "study" / "glue.md").read_text()
    assert "| mrpc | f1/equivalent / accuracy | 2 |" in report
    assert "81.1 / 71.1" in report
    assert report.count(" one tried: there may be a better one.") == 2  # of two rates, the best is at an end
    given[given.index("--seeds") + 2] = "1"  # fewer seeds are no other study
    done = programs.call(SCRIPT, *given, cwd=ROOT, limit=300, PYTHONPATH=str(SCRIPT.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": running; " not in done.stdout


def test_the_document_has_the_table_of_its_values():
    values = json.loads((ROOT / "docs" / "studies" / "glue.json").read_text())
    assert glue.table(values) in (ROOT / "docs" / "finetuning.md").read_text()


def test_a_folder_without_a_task_is_refused(tmp_path):
    done = programs.call(
        SCRIPT, "--init_from", "x", "--data", str(tmp_path), cwd=ROOT, PYTHONPATH=str(SCRIPT.parent)
    )
    assert done.returncode == 2
    assert "holds a folder of no task of GLUE" in done.stderr


def test_published_results_have_the_metrics_of_the_tasks():
    for model, results in glue.PUBLISHED.items():
        for name, values in results.items():
            assert len(values) == (1 if model == "BERT-base" else len(TASKS[name].metrics)), (model, name)

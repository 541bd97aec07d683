"""The worked example of CONTRIBUTING.md: a task outside the repository."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests import programs
from tests.conftest import NO_PICTURES, ROOT, TINY

SECTION = (ROOT / "CONTRIBUTING.md").read_text().split("## How to add a task")[1].split("\n## ")[0]


@pytest.fixture
def folder(tmp_path) -> Path:
    """The files of the example, as a reader would write them."""
    [module] = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    [config] = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    (tmp_path / "my_conf" / "task").mkdir(parents=True)
    (tmp_path / "my_tasks.py").write_text(module)
    (tmp_path / "my_conf" / "task" / "swapped.yaml").write_text(config)
    return tmp_path


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return programs.call(ROOT / "src" / "train.py", *arguments, cwd=folder, PYTHONPATH=".")


def test_the_example_trains_resumes_and_reports(folder, corpus, cache):
    [line] = [line for line in SECTION.splitlines() if "src/train.py" in line]
    arguments = line.split("train.py ")[1].split()
    settings = [*TINY, *NO_PICTURES, "data=text", f"data.source={corpus}", f"data.cache_dir={cache}"]
    result = call(folder, *arguments, *settings, f"hydra.run.dir={folder}/first")
    assert result.returncode == 0, result.stderr
    assert re.search(r"\nTest: loss 0\.\d+, accuracy 0\.\d+\n", result.stdout)
    summary = json.loads((folder / "first" / "summary.json").read_text())
    assert 0 < summary["metrics"]["test/accuracy"] <= 1
    assert summary["baseline"] is None
    result = call(folder, *arguments, *settings, f"ckpt_path={folder}/first", "trainer.max_steps=8")
    assert result.returncode == 0, result.stderr


def test_invalid_settings_of_the_example_are_reported(folder, corpus, cache):
    data = ["data=text", f"data.source={corpus}", f"data.cache_dir={cache}", *TINY]
    for wrong, message in (
        ("task.shard=0.3", "Did you mean 'task.share'?"),
        ("objective=validation/perplexity", "is no metric"),
        ("objective_mode=max", "a lower validation/loss is better"),
    ):
        result = call(folder, "--config-dir", "my_conf", "task=swapped", *data, wrong)
        assert result.returncode == 2
        assert message in result.stderr

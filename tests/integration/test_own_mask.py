"""The worked example of CONTRIBUTING.md: a masking strategy outside the repository."""

import re
import subprocess
from pathlib import Path

import pytest

from tests import programs
from tests.conftest import NO_PICTURES, ROOT, TINY

SECTION = (ROOT / "CONTRIBUTING.md").read_text().split("## How to add a mask")[1].split("\n## ")[0]


@pytest.fixture
def folder(tmp_path) -> Path:
    """The files of the example, as a reader would write them."""
    module, test = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    [config] = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    (tmp_path / "my_conf" / "mask").mkdir(parents=True)
    (tmp_path / "my_masks.py").write_text(module)
    (tmp_path / "test_my_masks.py").write_text(test)
    (tmp_path / "my_conf" / "mask" / "chunks.yaml").write_text(config)
    return tmp_path


def call(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess:
    return programs.call(ROOT / "src" / program, *arguments, cwd=folder, PYTHONPATH=".")


def test_the_example_satisfies_every_property(folder):
    options = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    result = programs.call(
        Path(pytest.__file__).parent / "__main__.py", *options, "test_my_masks.py", cwd=folder, PYTHONPATH="."
    )
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


@pytest.mark.parametrize("script", ["mask.py", "train.py"])
def test_the_commands_of_the_example_run(folder, corpus, cache, script):
    [line] = [line for line in SECTION.splitlines() if f"src/{script}" in line]
    overrides = re.findall(r'(?:--config-dir )?[\w.-]+(?:="[^"]*"|=\S+)?', line.split(script)[1])
    arguments = [
        part.replace('"', "") for word in overrides for part in word.split(" ", 1 if word.startswith("--") else 0)
    ]
    data = ["data=text", f"data.source={corpus}", f"data.cache_dir={cache}"]
    settings = (
        [*TINY, *NO_PICTURES, "trainer.max_steps=2"] if script == "train.py" else ["tokenizer.vocabulary_size=300"]
    )
    result = call(folder, script, *arguments, *data, *settings)
    assert result.returncode == 0, result.stderr
    assert ("draw 5:" if script == "mask.py" else "Test: loss") in result.stdout


def test_an_invalid_setting_of_the_example_is_reported(folder, corpus, cache):
    data = ["data=text", f"data.source={corpus}", f"data.cache_dir={cache}", *TINY]
    arguments = ["--config-dir", "my_conf", "mask=chunks", "mask.units.length=0", *data]
    result = call(folder, "train.py", *arguments)
    assert result.returncode == 2
    assert "mask.units.length is 0; it is at least 1" in result.stderr

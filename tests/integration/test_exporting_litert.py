"""`src/export.py format=litert`: files for phones, run by LiteRT alone."""

import re
import subprocess

import pytest

from maskwright.core.errors import UserError
from maskwright.export import litert
from tests.integration.test_exporting import RUNS, exported, made, predictions  # noqa: F401  a fixture
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture

needs_litert = pytest.mark.skipif(
    not (litert.ENVIRONMENT / ".installed").exists(), reason="`make litert` has made no .venv-litert"
)
KINDS = ["transformer", "hub", "classes_attention", "values", "tags_crf_case", "tokens_of_both"]

ALONE = """
import runpy, sys
for name in ("torch", "transformers", "litert_torch", "maskwright"):
    sys.modules[name] = None
runpy.run_path("program.py")
"""


def said_by(program, folder):
    """What a program prints, run in a folder by LiteRT, NumPy and tokenizers alone."""
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [litert.ENVIRONMENT / "bin" / "python", "-c", ALONE], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_litert
@pytest.mark.parametrize("name", KINDS)
def test_the_program_of_each_export_runs(made, name):  # noqa: F811
    run_dir = made(name).run_dir
    folder = exported(run_dir, "format=litert", *RUNS[name][2])
    program = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    print(said_by(program, folder))
    small = exported(run_dir, "format=litert", "quantize=int8", "tolerance=0.5", *RUNS[name][2])
    print((small / "model.tflite").stat().st_size, (folder / "model.tflite").stat().st_size)


def test_what_it_cannot_express_is_refused(made):  # noqa: F811
    with pytest.raises(UserError, match="format=onnx"):
        exported(made("lstm").run_dir, "format=litert")


def test_it_says_how_to_install_the_converter(made, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(litert, "ENVIRONMENT", tmp_path)
    with pytest.raises(UserError, match="make litert"):
        exported(made("transformer").run_dir, "format=litert")

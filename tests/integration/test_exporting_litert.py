"""`src/export.py format=litert`: files for phones, which LiteRT runs alone."""

import ast
import re
import shutil
import subprocess

import pytest

from maskwright.core.errors import UserError
from maskwright.export import litert
from tests.conftest import ROOT
from tests.integration.test_exporting import exported, made  # noqa: F401  a fixture
from tests.integration.test_exporting_onnx import program_of, said_by
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture

needs_litert = pytest.mark.skipif(
    not (litert.ENVIRONMENT / ".installed").exists(), reason="there is no .venv-litert: make litert"
)
ALONE = """
import runpy, sys
for name in ("torch", "transformers", "litert_torch", "maskwright"):
    sys.modules[name] = None
runpy.run_path("program.py")
"""


def said_by_litert(program, folder):
    """What a program prints, run in a folder by LiteRT, NumPy and tokenizers alone."""
    (folder / "program.py").write_text(program)
    python = litert.ENVIRONMENT / "bin" / "python"
    done = subprocess.run([python, "-c", ALONE], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_litert
@pytest.mark.parametrize("name", ["plain", "hub", "classes_attention", "values", "tags_crf_case"])
def test_the_program_of_an_export_says_what_that_of_onnx_does(made, name, tmp_path):  # noqa: F811
    run_dir = made(name).run_dir
    folder, other = (exported(run_dir, f"format={form}") for form in ("litert", "onnx"))
    said = ast.literal_eval(said_by_litert(program_of(folder), folder))
    expected = ast.literal_eval(said_by(program_of(other), other))
    assert said == (pytest.approx(expected, abs=1e-4) if name == "values" else expected)
    if name == "classes_attention":
        shutil.copytree(folder, tmp_path / "my_litert_classifier")  # for the program of the documents
        [shown] = re.findall(r"```python\n(# pip.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)
        assert said_by_litert(shown, tmp_path) == said[0]


@needs_litert
def test_weights_of_8_bits(made, capsys):  # noqa: F811
    folder = exported(made("plain").run_dir, "format=litert", "quantize=int8", "tolerance=0.1")
    assert re.search(r"Its loss [\d.]+, and [\d.]+ without quantization", capsys.readouterr().out)
    assert folder.name == "litert-int8"


@needs_litert
def test_models_that_cannot_be_traced_are_refused(run):
    run_dir = run("model=ngram", "optimizer=em", "trainer.max_steps=1").run_dir
    with pytest.raises(UserError, match="class NGram, which PyTorch cannot trace.*format=onnx"):
        exported(run_dir, "format=litert")


def test_models_with_an_lstm_are_refused(made):  # noqa: F811
    with pytest.raises(UserError, match="cannot express an LSTM.*format=onnx"):
        exported(made("lstm").run_dir, "format=litert")


def test_counts_in_the_logits_are_refused(made):  # noqa: F811
    with pytest.raises(UserError, match="counts of neighbours in the logits.*format=onnx.*model.bigrams=0"):
        exported(made("transformer").run_dir, "format=litert")


def test_without_the_converter_it_says_how_to_install_it(made, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(litert, "ENVIRONMENT", tmp_path)
    with pytest.raises(UserError, match="make litert"):
        exported(made("mlp").run_dir, "format=litert")

"""`src/export.py format=onnx`: graphs that need neither this package nor PyTorch."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest
from omegaconf import OmegaConf
from starlette.testclient import TestClient

from maskwright.core.errors import UserError
from maskwright.export.onnx import Onnx
from maskwright.run import export as checking
from maskwright.run.fill import run_fill
from maskwright.run.saved import SavedRun
from maskwright.run.serve import engine_of
from maskwright.settings.commands import ServeSettings
from tests.conftest import ROOT, compose_command
from tests.integration.test_exporting import RUNS, exported, made, predictions  # noqa: F401  a fixture
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture
from tests.integration.test_serving import application

WITHOUT_TORCH = """
import runpy, sys
for name in ("torch", "transformers", "maskwright"):
    sys.modules[name] = None
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def program_of(folder):
    return re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]


def said_by(program, folder):
    """What a program prints, run in a folder and without torch."""
    (folder / "program.py").write_text(program)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "program.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def texts_of(program):
    """The texts in a program of labels."""
    return ast.literal_eval(re.search(r'(\[".*"\])|text = (".*")', program)[0].removeprefix("text = "))


def asked_of(place, path, body):
    with TestClient(application(place)) as client:
        assert client.get("/about").json()["engine"] == ("onnx" if (place / "model.onnx").exists() else "torch")
        return client.post(path, json=body).raise_for_status().json()["rows"]


def close(found, expected):
    """Compares rows of JSON, numbers with a tolerance."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            close(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    else:
        assert found == expected


LONG = "Ada Smith, whom nobody knew, went to London in 1984 and it was a wonderful film. " * 8
SERVED = {  # the requests to a server of each kind of head
    "transformer": [
        ("/fill", {"text": ["the old [MASK] crosses the [MASK] at night.", "a [MASK]"], "method": method})
        for method in ("independent", "beam", "best_first")
    ]
    + [("/score", {"text": "the old river, at night", "method": method}) for method in ("word_l2r", "original")],
    "classes_hub": [("/classify", {"text": ["a wonderful film", LONG]}), ("/classify", {"text": "\u200b"})],
    "values": [("/predict", {"text": ["a wonderful film", LONG]})],
    "tags_crf_case": [("/tag", {"text": ["Ada Smith went to London.", LONG, "\u200b"]})],
}


# each kind of model and of head
@pytest.mark.parametrize(
    "name", ["transformer", "lstm", "mlp", "hub", "classes_hub", "values", "tags", "tags_crf_case"]
)
def test_an_export_says_what_the_run_does(made, name, tmp_path):  # noqa: F811
    """Its program, and a server that asks it."""
    run_dir = made(name).run_dir
    folder = exported(run_dir, "format=onnx")
    assert folder == run_dir / "export" / "onnx"
    for path, body in SERVED.get(name, []):
        close(asked_of(folder, path, body), asked_of(run_dir, path, body))
    program = program_of(folder)
    said = ast.literal_eval(said_by(program, folder))
    if RUNS[name][0] == "mlm":
        text = f"Paris is the {SavedRun.open(run_dir, 'run').tokenizer.special['mask']} of France."
        asked = compose_command("fill", f"run={run_dir}", f"output={tmp_path / 'fills.jsonl'}", "hardware=cpu")
        asked.text = [text]
        run_fill(asked)
        [row] = map(json.loads, (tmp_path / "fills.jsonl").read_text().splitlines())
        assert said == row["masks"][0]["tokens"]
        return
    texts = texts_of(program)
    rows = predictions(run_dir, tmp_path / "predictions.jsonl", [texts] if isinstance(texts, str) else texts)
    if RUNS[name][0] == "tagging":
        assert said == [*map(tuple, zip(rows[0]["words"], rows[0]["predicted"], strict=True))]
    elif RUNS[name][0] == "regression":
        assert said == pytest.approx([row["predicted"] for row in rows], abs=1e-4)
    else:
        assert said == [row["predicted"] for row in rows]
        shutil.copytree(folder, tmp_path / "my_onnx_classifier")  # for the program of the documents
        [shown] = re.findall(r"```python\n(import json\n.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)
        assert ast.literal_eval(said_by(shown, tmp_path)) == said


@pytest.mark.parametrize("name", ["transformer", "classes_max"])
def test_weights_of_8_bits_are_compared_by_their_metric(made, name, monkeypatch, capsys):  # noqa: F811
    run_dir = made(name).run_dir
    folder = exported(run_dir, "format=onnx", "quantize=int8", "tolerance=0.1")
    assert folder == run_dir / "export" / "onnx-int8"
    assert re.search(r"Its (loss|accuracy) [\d.]+, and [\d.]+ without quantization", capsys.readouterr().out)
    assert b"MatMulInteger" in (folder / "model.onnx").read_bytes()
    kept = folder.rename(run_dir / "kept")  # not written anew, which takes seconds
    monkeypatch.setattr(Onnx, "write", lambda *given: shutil.copytree(kept, given[2], dirs_exist_ok=True))
    monkeypatch.setattr(checking, "measure", lambda own, outputs, batches: next(values))
    values = iter([0.9, 0.7] if name != "transformer" else [1.0, 1.2])
    with pytest.raises(UserError, match="worse than tolerance=0.1 allows"):
        exported(run_dir, "format=onnx", "quantize=int8", "tolerance=0.1")
    values = iter([1.0, float("nan")])
    with pytest.raises(UserError, match="worse than tolerance"):
        exported(run_dir, "format=onnx", "quantize=int8")
    assert not folder.exists()


def test_what_cannot_be_written_is_said(run):
    run_dir = run("model=ngram", "optimizer=em", "trainer.max_steps=1").run_dir
    with pytest.raises(UserError, match="format=onnx cannot express a model of the class"):
        exported(run_dir, "format=onnx")
    with pytest.raises(UserError, match="quantize=int8 is for format=onnx"):
        exported(run_dir, "quantize=int8")
    assert not (run_dir / "export" / "onnx").exists()


def test_an_export_is_served_without_torch(made):  # noqa: F811
    run_dir = made("lstm").run_dir
    folder = exported(run_dir, "format=onnx")
    for place in (folder, run_dir):
        assert engine(place, "engine=onnx").name == "onnx"
    with pytest.raises(UserError, match="is an export of format=onnx"):
        engine(folder, "engine=torch")
    with serving(folder) as (url, process):
        rows = httpx.post(f"{url}/fill", json={"text": "the old [MASK]"}).raise_for_status().json()["rows"]
        assert len(rows[0]["fills"]) == 5
        process.terminate()
        assert process.wait(20) == 0
    (folder / "model.onnx").write_bytes(b"cut off")
    with pytest.raises(UserError, match="cannot be opened by ONNX Runtime"):
        engine(folder)


def engine(place, *overrides):
    config = compose_command("serve", f"run={place}", *overrides)
    return engine_of(ServeSettings.parse(OmegaConf.to_container(config, resolve=True)))


@contextmanager
def serving(folder):
    """`python src/serve.py run=<folder>` in a process that cannot import torch: its address, and the process."""
    script = ROOT / "src" / "serve.py"
    program = WITHOUT_TORCH.replace(
        '"maskwright"', '"lightning", "datasets", "pyarrow", "torchmetrics", "scipy", "pandas"'
    ).replace("sys.argv[1]", repr(str(script)))
    command = [sys.executable, "-c", program, f"run={folder}", "port=0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said, found = "", None
            for line in process.stdout:
                said += line
                if found := re.search(r"http://\S+:\d+", said):
                    break
            assert found, said
            yield found[0], process
        finally:
            process.kill()

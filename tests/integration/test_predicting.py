"""Predictions for texts without labels, as users make them."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.reports.prediction_file import PredictionFile
from maskwright.run import predict as predicting
from maskwright.run.evaluate import evaluate
from maskwright.run.predict import predict
from tests import programs
from tests.conftest import ROOT, compose_command
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture
from tests.texts import make_text


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def predicted(result, *overrides: str) -> int:
    given = [f"run={result.run_dir}", "hardware=cpu", *overrides]
    return predict(compose_command("predict", *given), overrides)


@pytest.fixture
def texts(tmp_path) -> list[str]:
    """Texts of different lengths, an empty one among them, in `new.jsonl` too."""
    found = [make_text(seed, 1 + 5 * seed % 13) for seed in range(40)]
    found[7] = ""
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in found))
    return found


@pytest.fixture
def windows(monkeypatch):
    """Windows of few texts."""
    monkeypatch.setattr(predicting, "WINDOW", 8)


# (task, settings of the run)
RUNS = {
    "classification": ["optimizer.lr=1e-2", "trainer.max_steps=10"],
    "windows": ["data.truncate=windows", "data.block_size=16"],
    "regression": ["optimizer.lr=1e-2"],
    "multitask": ["mask=token"],
}


@pytest.mark.parametrize("name", RUNS)
def test_predictions_equal_those_of_an_evaluation(tune, reviews, tmp_path, name):  # noqa: F811
    task = "classification" if name == "windows" else name
    label = ["data.label=stars"] if task == "regression" else []
    result = tune(task, *RUNS[name])
    kept = tmp_path / "kept"
    labelled = shutil.copy(reviews, tmp_path / "labelled.csv")  # other data than the run's, all of it is evaluated
    data = ["data=csv", f"data.source={labelled}"]
    given = [f"run={result.run_dir}", "hardware=cpu", *data, *label, f"output={kept}"]
    evaluate(compose_command("evaluate", *given), given)
    output = tmp_path / "out.jsonl"
    assert predicted(result, *data, f"output={output}") == 160
    rows = lines(output)
    expected = lines(kept / "predictions.jsonl")
    assert [{key: value for key, value in row.items() if key != "label"} for row in expected] == rows
    assert [row["text"] for row in rows] == [row["text"] for row in csv.DictReader(reviews.open())]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_predictions_are_as_precise_as_those_of_an_evaluation(tune, tmp_path, precision):  # noqa: F811
    result = tune("regression", "optimizer.lr=1e-2")
    own = f"hardware.precision={precision}"
    evaluate(compose_command("evaluate", f"run={result.run_dir}", "hardware=cpu", own))
    expected = lines(result.run_dir / "evaluations" / "test" / "predictions.jsonl")
    texts, output = tmp_path / "texts.jsonl", tmp_path / "out.jsonl"
    texts.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in expected))
    predicted(result, "data=text", f"data.source={texts}", own, f"output={output}")
    assert [row["predicted"] for row in lines(output)] == [row["predicted"] for row in expected]


@pytest.mark.parametrize("settings", [[], ["task.crf=true"], ["data.context=document"], ["data.block_size=6"]])
def test_tags_equal_those_of_an_evaluation(tune, names, tmp_path, settings, windows):  # noqa: F811
    result = tune("tagging", "optimizer.lr=1e-2", "trainer.max_steps=20", *settings)
    evaluate(compose_command("evaluate", f"run={result.run_dir}", "hardware=cpu"))
    output = tmp_path / "out.jsonl"
    predicted(result, "data=conll", f"data.source={names}", "split=test", f"output={output}")
    expected = lines(result.run_dir / "evaluations" / "test" / "predictions.jsonl")
    rows = lines(output)
    assert [row["words"] for row in rows] == [row["words"] for row in expected]
    assert [row["predicted"] for row in rows] == [row["predicted"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row["probabilities"] == pytest.approx(other["probabilities"], abs=2e-6)
        assert [row["text"][start:end] for start, end in row["offsets"]] == row["words"]


def test_entities_are_found_in_the_text_as_it_was_given(tune, names, tmp_path):  # noqa: F811
    result = tune("tagging", "optimizer.lr=1e-2", "trainer.max_steps=60")
    text = "  Ada Smith  went to\u200b Paris.  "
    long = "Ada Smith went to London. " * 40  # many times data.block_size
    path, output = tmp_path / "texts.txt", tmp_path / "out.jsonl"
    path.write_text(f"{text}\n\n{long}\n")
    predicted(result, "data=text", f"data.source={path}", f"output={output}")
    first, empty, last = lines(output)
    assert first["text"] == text
    assert first["words"][:2] == ["Ada", "Smith"]
    assert [(e["kind"], e["text"]) for e in first["entities"]] == [("PER", "Ada Smith"), ("LOC", "Paris")]
    assert [text[e["start"] : e["end"]] for e in first["entities"]] == ["Ada Smith", "Paris"]
    assert empty == {"text": "", "words": [], "offsets": [], "predicted": [], "probabilities": [], "entities": []}
    assert len(last["predicted"]) == len(last["words"]) == 240
    assert len(last["entities"]) >= 70


def test_batches_do_not_change_predictions(tune, texts, tmp_path, windows):  # noqa: F811
    result = tune("classification")
    outputs = []
    for budget in ("null", "48", "100"):
        outputs.append(tmp_path / f"{budget}.jsonl")
        predicted(
            result, f"data.source={tmp_path}/new.jsonl", f"output={outputs[-1]}", f"tokens_per_batch={budget}"
        )
    first, *others = map(lines, outputs)
    assert [row["text"] for row in first] == texts
    assert first[7] == {"text": "", "predicted": None}
    for other in others:
        for row, own in zip(first, other, strict=True):
            assert own["predicted"] == row["predicted"]
            if row["predicted"] is not None:
                assert own["probabilities"] == pytest.approx(row["probabilities"], abs=2e-6)


class Killed(Exception):
    pass


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_a_stopped_prediction_continues_and_ends_as_a_whole_one(
    tune,  # noqa: F811
    texts,
    tmp_path,
    windows,
    monkeypatch,
    ending,
    capsys,
):
    result = tune("classification")
    data = ["data=text", f"data.source={tmp_path}/new.jsonl"]
    whole, output = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    predicted(result, *data, f"output={whole}")

    real, calls = predicting.Predictor.__call__, []

    def dying(self, before, own, after):
        calls.append(own)
        if len(calls) == 3:
            raise Killed
        return real(self, before, own, after)

    with monkeypatch.context() as patch:
        patch.setattr(predicting.Predictor, "__call__", dying)
        with pytest.raises(Killed):
            predicted(result, *data, f"output={output}")
    assert not output.exists()
    rows = tmp_path / f".out{ending}.part" / "rows.jsonl"
    with rows.open("a") as file:  # what a kill leaves of a window
        file.write('{"text": "whole", "predicted": "neg"}\n{"text": "hal')

    with pytest.raises(UserError, match="begun with another input"):
        predicted(result, *data, "data.limit=30", f"output={output}")
    other = tune("classification", "seed=2", run_dir=tmp_path / "other")
    with pytest.raises(UserError, match=r"begun with another run.*rm -r"):
        predicted(other, *data, f"output={output}")
    capsys.readouterr()
    assert predicted(result, *data, f"output={output}") == len(texts)
    assert "16 rows were there already" in capsys.readouterr().err
    assert output.read_bytes() == whole.read_bytes()
    assert not rows.parent.exists()

    with pytest.raises(UserError, match="is finished already.*overwrite=true"):
        predicted(result, *data, f"output={output}")
    predicted(result, *data, "data.limit=3", f"output={output}", "overwrite=true")
    assert output.read_bytes() != whole.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_what_the_same_command_continues(tune, tmp_path, number):  # noqa: F811
    result = tune("regression", "trainer.max_steps=1")
    given = [f"{make_text(seed, 1)} {seed}" for seed in range(predicting.WINDOW + 9)]
    program = [ROOT / "src" / "predict.py", f"run={result.run_dir}", "hardware=cpu", "-"]
    whole = programs.call(*program, cwd=tmp_path, stdin="\n".join(given)).stdout
    output = tmp_path / "out.jsonl"
    program.append(f"output={output}")
    (streams := tmp_path / "streams").mkdir()
    os.mkfifo(streams / "stdin")
    with programs.start(*program, cwd=tmp_path, streams=streams) as process, (streams / "stdin").open("w") as stdin:
        stdin.write("\n".join([*given, *given]) + "\n")
        stdin.flush()
        programs.wait_for(tmp_path / ".out.jsonl.part" / "rows.jsonl", process)
        process.send_signal(number)
        process.wait(60)
    assert not output.exists()
    assert ("the same command continues it" in process.stderr) == (number == signal.SIGTERM)
    again = programs.call(*program, cwd=tmp_path, stdin="\n".join(given))
    assert again.returncode == 0, again.stderr
    assert "1,024 rows were there already" in again.stderr
    assert output.read_text() == whole


def test_a_changed_text_of_stdin_is_not_continued(tune, texts, tmp_path, windows, monkeypatch):  # noqa: F811
    result = tune("classification")
    output = tmp_path / "out.jsonl"
    real = PredictionFile.finish
    monkeypatch.setattr(PredictionFile, "finish", lambda self: (_ for _ in ()).throw(Killed))
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(texts)))
    with pytest.raises(Killed):
        predicted(result, "text='-'", f"output={output}")
    monkeypatch.setattr(PredictionFile, "finish", real)
    for changed in (["other", *texts[1:]], texts[:8]):
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(changed)))
        with pytest.raises(UserError, match="another input"):
            predicted(result, "text='-'", f"output={output}")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(texts)))
    assert predicted(result, "text='-'", f"output={output}") == len(texts)
    assert [row["text"] for row in lines(output)] == texts


def test_tables_have_a_column_for_each_class(tune, texts, tmp_path):  # noqa: F811
    result = tune("classification")
    for ending in ("csv", "parquet", "jsonl"):
        predicted(result, f"data.source={tmp_path}/new.jsonl", f"output={tmp_path}/out.{ending}")
    expected = lines(tmp_path / "out.jsonl")
    rows = list(csv.DictReader((tmp_path / "out.csv").open(newline="")))
    assert list(rows[0]) == ["text", "predicted", "probability", "probabilities.neg", "probabilities.pos"]
    assert [row["text"] for row in rows] == texts
    assert rows[7]["predicted"] == ""
    assert float(rows[0]["probabilities.neg"]) == expected[0]["probabilities"]["neg"]
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert table[7] == {"text": "", "predicted": None, "probability": None, "probabilities": None}
    assert [row for row in table if row["text"]] == [row for row in expected if row["text"]]


def test_tables_of_tags_hold_lists(tune, names, tmp_path):  # noqa: F811
    result = tune("tagging", "optimizer.lr=1e-2", "trainer.max_steps=40")
    path = tmp_path / "texts.txt"
    path.write_text("went to\n\nAda Smith went to Paris.\n")
    for ending in ("csv", "parquet", "jsonl"):
        predicted(result, "data=text", f"data.source={path}", f"output={tmp_path}/out.{ending}")
    expected = lines(tmp_path / "out.jsonl")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected
    rows = list(csv.DictReader((tmp_path / "out.csv").open(newline="")))
    assert [json.loads(row["entities"]) for row in rows] == [row["entities"] for row in expected]


def test_the_command_prints_json_lines_alone(tune, tmp_path):  # noqa: F811
    result = tune("classification")

    def call(*arguments: str, given: str = "") -> subprocess.CompletedProcess:
        program = ROOT / "src" / "predict.py"
        return programs.call(program, f"run={result.run_dir}", *arguments, cwd=tmp_path, stdin=given)

    found = call("-", "hardware=cpu", given="a wonderful, [quiet] delight\n\nit's 'one'\n")
    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["a wonderful, [quiet] delight", "", "it's 'one'"]
    assert "empty after cleaning, and have no prediction: 1" in found.stderr
    again = call("text=a wonderful, [quiet] delight", "hardware=cpu")
    [row] = [json.loads(line) for line in again.stdout.splitlines()]
    assert row["probabilities"] == pytest.approx(rows[0]["probabilities"], abs=2e-6)
    several = call("text=[one,'another, longer one']", "hardware=cpu")
    assert [json.loads(line)["text"] for line in several.stdout.splitlines()] == ["one", "another, longer one"]
    wrong = call("hardware=cpu")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "There are no texts to predict for" in wrong.stderr
    assert not [path for path in tmp_path.iterdir() if path.name not in ("run",)]


def test_a_masked_language_model_is_refused(run, corpus, tmp_path):
    result = run("trainer.max_steps=1")
    with pytest.raises(UserError, match="was trained with MaskedLanguageModeling, which predicts nothing"):
        predicted(result, "text=one")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["text=one", "data=text", "data.source=new.txt"], "text and data are both given"),
        (["data=text", "data.source={films}", "split=test", "data.limit=0"], "data.limit=0"),
        (["text=[]"], r"text=\[\] is no text"),
        (["text=one", "output=out.xlsx"], r"ends in \.jsonl, \.csv, \.parquet"),
        (["text=one", "checkpoint=first"], "It is best or last"),
        (["text=one", "hardware.devices=2"], "one device. Set it to 1"),
        (["data=mixture"], "made for one source"),
        (["data=csv", "data.source={films}"], r"has the splits test, train.*split=test\+train"),
        (["data=csv", "data.source=missing.csv"], "does not exist"),
        (["text=one", "output={folder}"], "is a folder"),
    ],
)
def test_mistakes_are_reported(tune, films, tmp_path, overrides, message):  # noqa: F811
    result = tune("classification", "trainer.max_steps=1")
    (folder := tmp_path / "taken.csv").mkdir()
    given = [override.replace("{films}", str(films)).replace("{folder}", str(folder)) for override in overrides]
    with pytest.raises(UserError, match=message):
        predicted(result, *given)

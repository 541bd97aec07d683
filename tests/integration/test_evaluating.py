"""Evaluation of finished runs, on their own data and on other data, as users run it."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.run.evaluate import evaluate
from maskwright.run.evaluated_data import folder_of
from tests.conftest import compose_command
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture


@pytest.fixture
def rows(tmp_path) -> Path:
    """Another file, with nine texts that contain brackets, and an empty one."""
    path = tmp_path / "others.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"a wonderful [/quote] delight, [b] number {n}", ["neg", "pos"][n % 2]] for n in range(9))
        writer.writerow(["", "pos"])
    return path


def evaluated(result, *overrides):
    return evaluate(compose_command("evaluate", f"run={result.run_dir}", "hardware=cpu", *overrides))


def test_a_file_without_splits_is_evaluated_completely_and_its_faults_are_reported(tune, rows, capsys):  # noqa: F811
    result = tune("classification", "optimizer.lr=1e-2", "trainer.max_steps=20")
    own = evaluated(result)
    assert own["test/accuracy"] == result.metrics["test/accuracy"]
    before = (result.run_dir / "evaluations" / "test" / "predictions.jsonl").read_text()
    for overrides in (["data=csv"], []):
        capsys.readouterr()
        metrics = evaluated(result, *overrides, f"data.source={rows}")
        shown = capsys.readouterr().out
        assert "all of it is evaluated" in shown
        assert "text lost: 1 of 10 texts empty after cleaning" in shown
        assert "[/quote] delight, [b]" in shown
        assert "9 examples" in shown
    assert metrics["test/accuracy"] == pytest.approx(4 / 9)
    [folder] = (result.run_dir / "evaluations").glob("test-*")
    assert folder.name.endswith("others.csv")
    assert len((folder / "predictions.jsonl").read_text().splitlines()) == 9
    assert (result.run_dir / "evaluations" / "test" / "predictions.jsonl").read_text() == before


def test_a_folder_with_splits_is_evaluated_on_its_own_split(tune, rows, tmp_path, capsys):  # noqa: F811
    result = tune("classification", "trainer.max_steps=1")
    lines = rows.read_text().splitlines(keepends=True)[:-1]
    csv_files, parquet = tmp_path / "csv", tmp_path / "parquet"
    for folder in (csv_files, parquet):
        folder.mkdir()
    for number, split in enumerate(("train", "test"), 2):
        texts = [line.rpartition(",")[0].strip('"') for line in lines[1 : 2 * number]]
        (csv_files / f"{split}.csv").write_text("".join(lines[: 2 * number]))
        labels = ["neg"] * len(texts)
        pq.write_table(pa.table({"text": texts, "label": labels}), parquet / f"{split}-0.parquet")
    for folder in (csv_files, parquet):
        for overrides in (["data=csv"], []):
            capsys.readouterr()
            evaluated(result, *overrides, f"data.source={folder}")
            shown = capsys.readouterr().out
            assert "test: 5 examples" in shown
            assert "is evaluated" not in shown
        evaluated(result, "data=csv", f"data.source={folder}", "split=validation")
        shown = " ".join(capsys.readouterr().out.split())
        assert "has no split validation of its own; all of its split train is evaluated" in shown
        assert "validation: 3 examples" in shown


def test_a_run_is_evaluated_on_the_held_out_split_of_its_own_data(tune, reviews):  # noqa: F811
    result = tune("classification", "trainer.max_steps=1", "data.splits.test=0.3")
    metrics = evaluated(result, "data=csv", f"data.source={reviews}")
    assert metrics["test/loss"] == pytest.approx(result.metrics["test/loss"])


def test_a_tagger_is_evaluated_on_other_tagged_texts(tune, names, tmp_path, capsys):  # noqa: F811
    result = tune("tagging", "trainer.max_steps=1")
    path = tmp_path / "my.conll"
    path.write_text("Ada B-PER\nSmith I-PER\nwent O\nto O\nRome I-LOC\n. O\n\n" * 5)
    capsys.readouterr()
    evaluated(result, "data=conll", f"data.source={path}")
    shown = capsys.readouterr().out
    assert "has no split test of its own; all of it is evaluated" in " ".join(shown.split())
    assert "5 I- tags without an entity before them were read as B- tags" in " ".join(shown.split())
    assert "test: 5 examples" in shown
    [found] = (result.run_dir / "evaluations").glob("test-*my.conll")
    row = json.loads((found / "predictions.jsonl").read_text().splitlines()[0])
    assert row["tags"] == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]

    folder = shutil.copytree(names, tmp_path / "others")
    (folder / "eng.testb").write_text("Ada B-PER\nwent O\n\n" * 3)
    evaluated(result, "data=conll", f"data.source={folder}", "data.published=null")
    shown = capsys.readouterr().out
    assert "test: 3 examples" in shown
    assert "note" not in shown


def test_the_data_of_a_run_is_not_prepared_again(tune, tmp_path):  # noqa: F811
    cache = tmp_path / "cache"
    result = tune("classification", f"data.cache_dir={cache}", "trainer.max_steps=1")
    before = {path.name for kind in ("documents", "tokens") for path in cache.glob(f"{kind}-*")}
    evaluated(result)
    assert {path.name for kind in ("documents", "tokens") for path in cache.glob(f"{kind}-*")} == before


def test_a_regression_on_identical_numbers_is_evaluated(tune, tmp_path):  # noqa: F811
    table = tmp_path / "same.csv"
    table.write_text("text,label\n" + "".join(f"text number {n},3\n" for n in range(60)))
    result = tune("regression", f"data.source={table}", "data.label=label", run_dir=tmp_path / "run")
    assert evaluated(result)["test/loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-5)
    text = (result.run_dir / "evaluations" / "test" / "metrics.json").read_text()
    assert "NaN" not in text
    assert "pearson" in text


def test_data_with_other_labels_is_refused(tune, rows):  # noqa: F811
    result = tune("classification", "trainer.max_steps=1")
    rows.write_text(rows.read_text().replace(",pos", ",good"))
    with pytest.raises(UserError, match=r"others\.csv, line 3, has the label 'good'.*The labels are: neg, pos"):
        evaluated(result, "data=csv", f"data.source={rows}")


def test_a_run_from_a_hub_model_does_not_need_the_model_again(tune, hub_model, tmp_path):  # noqa: F811
    folder = shutil.copytree(hub_model, tmp_path / "bert")
    first = tune("classification", f"init_from={folder}", "data.block_size=32", model=False)
    shutil.rmtree(folder)
    assert evaluated(first)["test/loss"] == pytest.approx(first.metrics["test/loss"], rel=1e-5)
    again = tune(
        "classification",
        f"init_from={first.run_dir}",
        "data.block_size=32",
        "optimizer.lr=1e-9",
        run_dir=tmp_path / "again",
        model=False,
    )
    assert again.metrics["test/loss"] == pytest.approx(first.metrics["test/loss"], rel=1e-3)


def test_a_run_on_several_sources_is_evaluated_on_another_source(run, corpus, films):
    trained = run(
        "data=mixture",
        f"data.sources.imdb.source={films}",
        "data.sources.wikipedia.limit=25",
        "trainer.max_steps=1",
    )
    metrics = evaluated(trained, "data=text", f"data.source={corpus}")
    assert metrics["test/loss"] > 0
    found = next((trained.run_dir / "evaluations").glob("test-*")) / "metrics.json"
    assert json.loads(found.read_text())["data"] == str(corpus)


@pytest.fixture
def three(tmp_path) -> Path:
    """A folder with a file of 60 rows for each split, and a stray one."""
    folder = tmp_path / "reviews"
    folder.mkdir()
    for split in ("train", "val", "test", "labels"):
        lines = [f"{'delightful' if n % 2 else 'horrible'} {split} {n},{n % 2}\n" for n in range(60)]
        (folder / f"{split}.csv").write_text("text,label\n" + "".join(lines))
    return folder


def test_a_file_of_the_run_s_own_is_evaluated_completely(tune, three, capsys):  # noqa: F811
    splits = ["data.splits.validation=validation", "data.splits.test=test"]
    result = tune("classification", f"data.source={three}", *splits, "trainer.max_steps=1")
    shown = " ".join(capsys.readouterr().out.split())
    assert "train: 60 documents" in shown
    assert "1 file left out (labels.csv)" in shown
    for name, trained_on in (("test", False), ("val", False), ("labels", False), ("train", True)):
        capsys.readouterr()
        evaluated(result, "data=csv", f"data.source={three / name}.csv")
        shown = " ".join(capsys.readouterr().out.split())
        assert "test: 60 examples" in shown
        assert (f"the run was trained on texts of {name}.csv" in shown) == trained_on
    evaluated(result, "data=csv", f"data.source=[{three}/train.csv,{three}/test.csv]")
    shown = capsys.readouterr().out
    assert "test: 60 examples" in shown
    assert "trained on texts" not in shown


def test_a_test_split_without_labels_is_not_evaluated(tune, three, capsys):  # noqa: F811
    (three / "test.csv").write_text("text\n" + "".join(f"row {n}\n" for n in range(5)))
    result = tune("classification", f"data.source={three}", "data.splits.test=test", "trainer.max_steps=2")
    assert "test/loss" not in result.metrics
    assert result.metrics["validation/loss"] > 0
    assert "the test split has no labels" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(UserError, match="split=test of .* has no labels to compare"):
        evaluated(result)


def test_a_relative_source_is_that_of_the_folder_in_which_the_run_was_started(tune, reviews, tmp_path, monkeypatch):  # noqa: F811
    start, elsewhere = tmp_path / "start", tmp_path / "elsewhere"
    for folder in (start, elsewhere):
        folder.mkdir()
    shutil.copy(reviews, start / "reviews.csv")
    (elsewhere / "reviews.csv").write_text("text,label\nanother file of that name,pos\n")
    monkeypatch.chdir(start)
    (start / "words.txt").write_text("wonderful\nhorrible\n")
    weights = ["mask@evaluation_mask=lexicon", "evaluation_mask.weights.lexicon=words.txt"]
    result = tune("classification", "data.source=reviews.csv", "trainer.max_steps=2", *weights)
    monkeypatch.chdir(elsewhere)
    assert evaluated(result)["test/accuracy"] == result.metrics["test/accuracy"]
    assert [folder.name for folder in (result.run_dir / "evaluations").iterdir()] == ["test"]


@pytest.mark.parametrize(
    ("data", "folder"),
    [
        ({"sources": {"a": {"source": "x.csv", "limit": 5}, "b": {"source": "y.csv"}}}, "test"),
        ({"sources": {"a": {"source": "x.csv", "limit": 3}, "b": {"source": "y.csv"}}}, "test-a-limit-3"),
        (
            {"sources": {"a": {"source": "x.csv"}, "b": {"source": "y.csv", "limit": 2}}},
            "test-a-limit-none-b-limit-2",
        ),
        ({"source": "x.csv", "limit": 3}, "test-x.csv-limit-3"),
    ],
)
def test_each_limit_of_a_source_has_a_folder_of_its_own(data, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x.csv", "y.csv"):
        (tmp_path / name).write_text("text,label\na,1\n")
    own = {"sources": {"a": {"source": "x.csv", "limit": 5}, "b": {"source": "y.csv"}}}
    assert folder_of("test", data, own, "best") == folder

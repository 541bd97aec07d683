"""Texts with several labels: trained on, resumed, evaluated, predicted for, exported."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import transformers

from maskwright.core.errors import UserError
from maskwright.run.evaluate import evaluate
from maskwright.run.explain import run_explain
from maskwright.run.export import export
from maskwright.run.predict import predict
from tests.conftest import compose_command
from tests.texts import make_text

LABELS = ("kind", "long", "rare")
ARGUMENTS = (
    "data=csv",
    "task=multilabel",
    "data.block_size=48",
    "data.tokens_per_batch=512",
    "trainer.max_epochs=null",
)


def own_rows(number: int = 120) -> list[dict]:
    rows = []
    for seed in range(number):
        kind, long, rare = seed % 2, seed % 3 == 0, seed % 10 == 0
        words = ["a wonderful delight"] * kind + ["it goes on and on"] * long + ["unheard of"] * rare
        rows.append(
            {"text": f"{' '.join(words)} {make_text(seed, 1)}", "kind": kind, "long": int(long), "rare": int(rare)}
        )
    return rows


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The same texts with a column of each label in .csv, and with lists of labels in .jsonl and .parquet."""
    folder, rows = tmp_path_factory.mktemp("labels"), own_rows()
    with (folder / "texts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    lists = [{"text": row["text"], "labels": [name for name in LABELS if row[name]]} for row in rows]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lists))
    pq.write_table(pa.Table.from_pylist(lists), folder / "texts.parquet")
    return folder


def of_columns(texts):
    return (*ARGUMENTS, f"data.source={texts / 'texts.csv'}", "data.label=[kind,long,rare]")


def test_columns_and_lists_are_the_same_labels(run, texts):
    found = {}
    for ending, label in (("csv", "[kind,long,rare]"), ("jsonl", "labels"), ("parquet", "labels")):
        source = (f"data.source={texts}/texts.{ending}", f"data.label={label}")
        result = run(*ARGUMENTS, *source, "trainer.max_steps=1")
        assert result.data.labels.names == LABELS
        found[ending] = result.data.labels.counts, result.data.rows["train"].targets.tolist()
    assert found["csv"] == found["jsonl"] == found["parquet"]


def test_a_run_learns_resumes_and_is_evaluated(run, texts, tmp_path):
    settings = (
        *of_columns(texts),
        "trainer.val_check_interval=20",
        "schedule=constant",
        "schedule.warmup=0",
        "optimizer.lr=3e-3",
    )
    whole = run(*settings, "trainer.max_steps=40", run_dir=tmp_path / "whole")
    run(*settings, "trainer.max_steps=20", run_dir=tmp_path / "part")
    resumed = run(*settings, "trainer.max_steps=40", f"ckpt_path={tmp_path / 'part'}", run_dir=tmp_path / "rest")
    assert resumed.metrics == whole.metrics
    assert whole.metrics["test/f1_micro"] > 0.5
    assert {"test/f1/kind", "test/average_precision", "test/subset_accuracy"} <= whole.metrics.keys()
    found = evaluate(compose_command("evaluate", f"run={tmp_path / 'whole'}", "hardware=cpu"))
    assert found["test/f1_micro"] == whole.metrics["test/f1_micro"]
    rows = [json.loads(line) for line in (tmp_path / "whole" / "predictions.jsonl").open()]
    for row in rows:
        assert row["predicted"] == [name for name in LABELS if row["probabilities"][name] >= 0.5]
        assert {*row["labels"]} <= {*LABELS}


def test_micro_batches_have_the_loss_of_the_whole_step(run, texts):
    settings = (*of_columns(texts), "trainer.max_steps=2", "task.class_weights=balanced", "task.dropout=0")
    whole = run(*settings, "data.tokens_per_batch=256")
    cut = run(*settings, "data.tokens_per_batch=256", "hardware.accumulate_grad_batches=3")
    assert cut.metrics["test/loss"] == pytest.approx(whole.metrics["test/loss"], rel=1e-4)


@pytest.mark.parametrize("model", ["transformer", "pretrained"])
def test_exports_give_what_the_run_predicts(run, texts, hub_model, tmp_path, model):
    own = ("model=pretrained", f"model.name={hub_model}") if model == "pretrained" else ()
    result = run(*of_columns(texts), *own, "trainer.max_steps=6", run_dir=tmp_path / "r")
    rows = [json.loads(line) for line in (result.run_dir / "predictions.jsonl").open()]
    folder = export(compose_command("export", f"run={result.run_dir}", "format=hf", f"output={tmp_path / 'hf'}"))
    assert json.loads((folder / "config.json").read_text())["problem_type"] == "multi_label_classification"
    pipe = transformers.pipeline("text-classification", model=str(folder), trust_remote_code=True, top_k=None)
    for row in rows:
        shares = {own["label"]: own["score"] for own in pipe({"text": row["text"]}, truncation=True)}
        assert shares == pytest.approx(row["probabilities"], abs=1e-4)
    file = tmp_path / "new.jsonl"
    file.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in rows))
    output = tmp_path / "out.jsonl"
    predict(
        compose_command("predict", f"run={result.run_dir}", "data=csv", f"data.source={file}", f"output={output}")
    )
    found = [json.loads(line) for line in output.open()]
    assert [row["predicted"] for row in found] == [row["predicted"] for row in rows]


def test_an_export_for_onnx_predicts_the_same(run, texts, tmp_path):
    pytest.importorskip("onnxruntime")
    from maskwright.corpora.inputs import inputs
    from maskwright.inference.graph import Graph, GraphPredictor

    result = run(*of_columns(texts), "trainer.max_steps=4", run_dir=tmp_path / "r")
    folder = export(
        compose_command("export", f"run={result.run_dir}", "format=onnx", f"output={tmp_path / 'onnx'}")
    )
    rows = [json.loads(line) for line in (result.run_dir / "predictions.jsonl").open()]
    found = GraphPredictor(Graph(folder), 1024)(list(inputs([row["text"] for row in rows], str, None)))
    for own, row in zip(found, rows, strict=True):
        assert own["probabilities"] == pytest.approx(row["probabilities"], abs=1e-4)


def test_a_label_is_explained(run, texts, tmp_path):
    result = run(*of_columns(texts), "trainer.max_steps=2", run_dir=tmp_path / "r")
    output = tmp_path / "explained.jsonl"
    asked = ("text=a wonderful delight", "target=rare", "method=occlusion", f"output={output}")
    assert run_explain(compose_command("explain", f"run={result.run_dir}", *asked)) == 1
    [explanation] = json.loads(output.read_text())["explanations"]
    assert explanation["target"] == "rare"
    assert np.isfinite(explanation["score"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("task=classification",), "Choose task=multilabel"),
        (("data.label=[kind,lon]",), r"texts.csv has no column 'lon' \(data.label: lon\). Did you mean 'long'"),
        (("data.label=[kind,kind]",), "names a column twice"),
        (("data.label=[kind]",), "names 1. Several labels"),
        (("data.label=[kind,text]",), r"texts.csv, line 2, holds .* in 'text' \(data.label\)"),
        (("data.label=kind",), "Texts have one label each"),
        (("data.labels=[a,b]",), r"data.labels=\[a,b\], but the labels are the columns"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(run, texts, overrides, said):
    with pytest.raises(UserError, match=said):
        run(*of_columns(texts), *overrides)


def test_a_test_split_without_labels_is_left_out(run, texts, tmp_path):
    folder = tmp_path / "splits"
    folder.mkdir()
    rows = own_rows()
    for split, own in (("train", rows), ("test", [row | dict.fromkeys(LABELS, -1) for row in rows[:20]])):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(own)
    result = run(*of_columns(texts), f"data.source={folder}", "data.splits.test=test", "trainer.max_steps=1")
    assert "test" in result.data.unlabelled

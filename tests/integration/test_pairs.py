"""Pairs of texts: trained on, resumed, evaluated, predicted for, exported; and what is refused of them."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.run.evaluate import evaluate
from maskwright.run.explain import run_explain
from maskwright.run.export import export
from maskwright.run.predict import predict
from maskwright.run.saved import SavedRun
from maskwright.run.serve import make_application
from maskwright.settings.commands import ServeSettings
from tests.conftest import compose_command
from tests.texts import make_text

SIZE = ("data.block_size=48", "data.tokens_per_batch=512", "trainer.max_epochs=null")


def rows_of_pairs(number: int = 120) -> list[dict]:
    """Pairs of which the second text repeats the first one, or does not."""
    rows = []
    for seed in range(number):
        same = seed % 2
        first = make_text(seed, 1)
        second = first if same else make_text(1000 + seed, 1 + seed % 3)
        rows.append({"one": first, "two": second, "label": ["other", "same"][same], "score": 5.0 * same})
    return rows


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The same pairs as .csv, .jsonl, .json and .parquet, by their endings."""
    folder, rows = tmp_path_factory.mktemp("pairs"), rows_of_pairs()
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "pairs.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), folder / "pairs.parquet")
    return folder


def of_pairs(pairs, ending="csv", task="classification"):
    label = "data.label=score" if task == "regression" else "data.label=label"
    return (
        "data=csv",
        f"task={task}",
        f"data.source={pairs}/pairs.{ending}",
        "data.column=[one,two]",
        label,
        *SIZE,
    )


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet"])
def test_all_formats_hold_the_same_pairs(run, pairs, ending):
    result = run(*of_pairs(pairs, ending), "trainer.max_steps=1")
    data = result.data
    assert [data.size(split).endswith(" pairs") for split in ("train", "validation", "test")] == [True] * 3
    given = [(row["one"], row["two"]) for row in rows_of_pairs()]
    found = [data.examples(split) for split in ("train", "validation", "test")]
    assert sorted((row["text"], row["text_pair"]) for rows in found for row in rows) == sorted(given)


@pytest.mark.parametrize("task", ["classification", "regression", "multitask"])
def test_a_hub_model_learns_from_pairs_and_resumes(run, pairs, hub_model, tmp_path, task):
    model = ("model=pretrained", f"model.name={hub_model}")
    overrides = (*of_pairs(pairs, task=task), *model, "mask=token", "trainer.max_steps=4")
    overrides = (*overrides, "trainer.val_check_interval=2", "schedule=constant", "schedule.warmup=0")
    whole = run(*overrides, run_dir=tmp_path / "whole")
    run(*overrides, "trainer.max_steps=2", run_dir=tmp_path / "part")
    resumed = run(*overrides, f"ckpt_path={tmp_path / 'part'}", run_dir=tmp_path / "rest")
    assert resumed.metrics == whole.metrics
    assert whole.task.encoder.token_types == 2
    found = evaluate(compose_command("evaluate", f"run={tmp_path / 'whole'}", "hardware=cpu"))
    assert found["test/loss"] == pytest.approx(whole.metrics["test/loss"], abs=1e-5)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "predictions.jsonl").open()]
    assert {"text", "text_pair", "label", "predicted"} <= rows[0].keys()


def test_micro_batches_have_the_loss_of_the_whole_step(run, pairs):
    settings = (*of_pairs(pairs), "trainer.max_steps=2", "task.dropout=0", "mask=token")
    whole = run(*settings)
    cut = run(*settings, "hardware.accumulate_grad_batches=3")
    assert cut.metrics["test/loss"] == pytest.approx(whole.metrics["test/loss"], rel=1e-4)


def test_masks_hide_words_of_both_texts_and_no_special_token(run, pairs):
    result = run(*of_pairs(pairs), "mask=wholeword", "mask.ratio=0.5", "trainer.max_steps=1")
    batch = result.data.sample(32)
    masked = result.task.masker(batch, 0.0)
    tokenizer = result.data.tokenizer
    special = torch.isin(batch["input_ids"], torch.tensor([tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id]))
    hidden = torch.zeros_like(special).scatter(1, masked.positions, masked.valid)
    assert not (hidden & special).any()
    second = batch["token_types"] == 1
    assert (hidden & second).any()
    assert (hidden & ~second).any()


def predictions(run_dir, output, *overrides):
    predict(compose_command("predict", f"run={run_dir}", f"output={output}", *overrides), overrides)
    return [json.loads(line) for line in output.open()]


@pytest.fixture
def bert_run(run, pairs, hub_model, tmp_path):
    return run(
        *of_pairs(pairs),
        "model=pretrained",
        f"model.name={hub_model}",
        "trainer.max_steps=6",
        run_dir=tmp_path / "r",
    )


def test_predictions_are_those_of_the_report_and_of_the_exported_pipeline(bert_run, pairs, tmp_path):
    rows = [json.loads(line) for line in (bert_run.run_dir / "predictions.jsonl").open()]
    file = tmp_path / "new.jsonl"
    file.write_text("".join(json.dumps({"a": row["text"], "b": row["text_pair"]}) + "\n" for row in rows))
    found = predictions(
        bert_run.run_dir, tmp_path / "out.jsonl", "data=csv", f"data.source={file}", "data.column=[a,b]"
    )
    assert [(row["text"], row["text_pair"]) for row in found] == [(r["text"], r["text_pair"]) for r in rows]
    for own, row in zip(found, rows, strict=True):
        assert own["probabilities"] == pytest.approx(row["probabilities"], abs=2e-5)

    folder = export(compose_command("export", f"run={bert_run.run_dir}", "format=hf", f"output={tmp_path / 'hf'}"))
    pipe = transformers.pipeline("text-classification", model=str(folder), trust_remote_code=True, top_k=None)
    given = [{"text": row["text"], "text_pair": row["text_pair"]} for row in rows]
    for row, scores in zip(rows, [pipe(one, truncation=True) for one in given], strict=True):
        shares = {own["label"]: own["score"] for own in scores}
        assert shares == pytest.approx(row["probabilities"], abs=1e-4)
    assert "text_pair" in (folder / "README.md").read_text()


def test_a_run_is_evaluated_on_other_pairs(bert_run, pairs, tmp_path):
    asked = ("data=csv", f"data.source={pairs}/pairs.jsonl", "data.column=[one,two]", f"output={tmp_path / 'out'}")
    found = evaluate(compose_command("evaluate", f"run={bert_run.run_dir}", *asked))
    rows = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").open()]
    assert len(rows) == 120
    assert found["test/accuracy"] == sum(row["label"] == row["predicted"] for row in rows) / 120


def test_pairs_with_an_empty_text_are_counted_and_have_no_prediction(bert_run, run, pairs, tmp_path, capsys):
    rows = rows_of_pairs()
    for row in rows[:3]:
        row["two"] = "" if row["label"] == "same" else " "
    file = tmp_path / "gaps.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run(*of_pairs(pairs)[:2], f"data.source={file}", *of_pairs(pairs)[3:], "trainer.max_steps=1")
    assert "3 of 120 pairs with a text that is empty after cleaning, so left out" in " ".join(result.data.remarks())
    found = predictions(
        bert_run.run_dir, tmp_path / "out.jsonl", "data=csv", f"data.source={file}", "data.column=[one,two]"
    )
    assert [row["predicted"] is None for row in found[:5]] == [True, True, True, False, False]
    assert "empty after cleaning, and have no prediction: 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.column=[one,tow]", r"pairs.csv has no column 'tow' \(data.column, the second\). Did you mean 'two'"),
        ("data.column=[one,one]", r"data.column=\[one,one\] names a column twice"),
        ("data.column=[one,two,label]", r"data.column=\[one,two,label\] names 3"),
        ("data.column=[one]", r"data.column=\[one\] names 1"),
        ("data.document=paragraph", "set data.document=row"),
        ("data.truncate=windows", "data.truncate=windows does not go with pairs"),
    ],
)
def test_columns_that_make_no_pairs_are_refused(run, pairs, override, said):
    with pytest.raises(UserError, match=said):
        run(*of_pairs(pairs), override)


def test_a_row_with_fewer_values_is_named(run, pairs, tmp_path):
    file = tmp_path / "short.csv"
    file.write_text("one,two,label\na b,c d,same\na b,same\n")
    with pytest.raises(UserError, match=r"short.csv, line 3, has 2 values"):
        run(*of_pairs(pairs), f"data.source={file}")
    file = tmp_path / "short.jsonl"
    file.write_text('{"one": "a", "two": "b", "label": "same"}\n{"one": "a", "label": "same"}\n')
    with pytest.raises(UserError, match=r"short.jsonl, line 2, has no column 'two'"):
        run(*of_pairs(pairs), f"data.source={file}")


def test_sources_without_columns_hold_no_pairs(run, pairs, films, tmp_path):
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    with pytest.raises(UserError, match=r"lines.txt has a text in each line and no columns, so it holds no pairs"):
        run(*of_pairs(pairs), f"data.source={tmp_path / 'lines.txt'}")
    with pytest.raises(UserError, match="pairs of texts are read from columns"):
        run(*of_pairs(pairs), f"data.source={films}")


def test_what_reads_single_texts_refuses_a_run_of_pairs(bert_run, reviews, tmp_path):
    directory = bert_run.run_dir
    with pytest.raises(UserError, match=r"learned from pairs of texts \(data.column=\[one,two\]\)"):
        predict(compose_command("predict", f"run={directory}", "text=one"))
    with pytest.raises(UserError, match="data.column names the columns of single texts"):
        predictions(directory, tmp_path / "x.jsonl", "data=csv", f"data.source={reviews}")
    with pytest.raises(UserError, match="learned from pairs of texts"):
        evaluate(compose_command("evaluate", f"run={directory}", "data=csv", f"data.source={reviews}"))
    with pytest.raises(UserError, match="explanations are made of single texts alone"):
        run_explain(compose_command("explain", f"run={directory}", "text=one"))
    with pytest.raises(UserError, match="format=onnx is written for single texts alone"):
        export(compose_command("export", f"run={directory}", "format=onnx", f"output={tmp_path / 'onnx'}"))
    served = compose_command("serve", f"run={directory}")
    with pytest.raises(UserError, match="a server answers about single texts alone"):
        make_application(ServeSettings.parse(OmegaConf.to_container(served, resolve=True)))


def test_other_encoders_learn_from_pairs_and_are_opened_again(run, pairs):
    result = run(*of_pairs(pairs), "trainer.max_steps=2", "model=lstm")
    assert result.task.encoder.token_types == 0
    saved = SavedRun.open(result.run_dir)
    assert saved.pair_columns == ["one", "two"]
    batch = result.data.sample(4)
    with torch.no_grad():
        result.task.eval()
        np.testing.assert_allclose(saved.task.outputs(batch), result.task.outputs(batch), atol=1e-6)

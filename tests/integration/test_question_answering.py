"""Questions about contexts, as users train, evaluate and ask."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.run.answer import run_answer
from maskwright.run.evaluate import evaluate
from maskwright.run.export import export
from maskwright.run.saved import SavedRun
from tests.conftest import ROOT, compose_command
from tests.integration.test_micro_batches import check
from tests.integration.test_resuming import SIX
from tests.programs import call
from tests.questions import articles, rows

SHARES = ("data.splits.validation=0.2", "data.splits.test=0.2", "data.published=null")
SMALL = ("data.block_size=48", "data.stride=4", "data.longest_question=12", "data.tokens_per_batch=384")
LEARNS = ("optimizer.lr=1e-2", "trainer.max_epochs=null", "trainer.max_steps=60", "trainer.val_check_interval=20")
ONE = "Ada was born in London in 1950. Kurt moved to Rome, as a child."


@pytest.fixture
def ask(run, squad):
    """A function that calls what `python src/train.py task=question_answering <overrides>` calls."""

    def train(*overrides: str, source: Path = squad, **options):
        base = ["task=question_answering", "data=squad", f"data.source={source}", *SHARES, *SMALL]
        return run(*base, "trainer.max_epochs=null", *overrides, **options)

    return train


def answered(place, *overrides, tmp_path: Path) -> list[dict]:
    file = tmp_path / "answers.jsonl"
    run_answer(
        compose_command("answer", f"run={place}", "hardware=cpu", f"output={file}", "overwrite=true", *overrides)
    )
    return [json.loads(line) for line in file.open()]


def test_what_was_trained_is_evaluated_and_asked(ask, tmp_path, capsys):
    result = ask(*LEARNS, pictures=True)
    metrics = result.metrics
    assert metrics["test/f1"] >= metrics["test/exact_match"] > 0.25
    assert result.objective == metrics["validation/f1"]
    assert "Best answers of a fixed length: exact_match" in " ".join(capsys.readouterr().out.split())

    found = [json.loads(line) for line in (result.run_dir / "predictions.jsonl").open()]
    assert {"id", "question", "answers", "predicted", "probability", "no_answer_probability"} == found[0].keys()
    right = [row["predicted"] == row["answers"][0] for row in found]
    assert np.mean(right) == pytest.approx(metrics["test/exact_match"], abs=1e-6)
    by_id = json.loads((result.run_dir / "answers.json").read_text())
    assert by_id == {row["id"]: row["predicted"] for row in found}

    again = evaluate(compose_command("evaluate", f"run={result.run_dir}", "hardware=cpu"))
    assert again == pytest.approx({name: metrics[name] for name in again})

    asked = answered(
        result.run_dir,
        'question=["Where was Ada born?","Where did Kurt move to?"]',
        f"context='{ONE}'",
        tmp_path=tmp_path,
    )
    for row in asked:
        assert row["answer"] == ONE[row["start"] : row["end"]] == row["answers"][0]["answer"]
        assert len(row["answers"]) == 3
        ends = sorted((own["start"], own["end"]) for own in row["answers"])
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(ends))
        assert 0 < sum(own["probability"] for own in row["answers"]) + row["no_answer_probability"] < 1 + 1e-5


def test_the_answers_of_a_file_are_those_of_the_evaluation(ask, tmp_path, squad):
    result = ask(*LEARNS)
    found = {row["id"]: row for row in map(json.loads, (result.run_dir / "predictions.jsonl").open())}
    for name, text in {
        "own.json": squad.read_text(),
        "lines.jsonl": "".join(json.dumps(row) + "\n" for row in rows(60)),
        "list.json": json.dumps(rows(60)),
    }.items():
        (tmp_path / name).write_text(text)
        asked = {row["id"]: row for row in answered(result.run_dir, f"file={tmp_path / name}", tmp_path=tmp_path)}
        assert len(asked) == 180
        for key, row in found.items():
            assert asked[key]["answer"] == row["predicted"], key
            assert asked[key]["probability"] == pytest.approx(row["probability"], abs=2e-5)


def test_every_format_holds_the_same_questions(ask, tmp_path):
    own = rows(60)
    (tmp_path / "a.json").write_text(json.dumps(articles(60)))
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    pq.write_table(pa.Table.from_pylist(own), tmp_path / "c.parquet")
    with (tmp_path / "d.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(own[0]))
        writer.writeheader()
        writer.writerows(row | {"answers": json.dumps(row["answers"])} for row in own)
    results = [ask("trainer.max_steps=3", source=path) for path in sorted(tmp_path.glob("[abcd].*"))]
    for result in results[1:]:
        assert result.metrics["train/loss"] == results[0].metrics["train/loss"]
        assert result.metrics["test/f1"] == results[0].metrics["test/f1"]


def test_a_context_is_in_one_split(ask):
    data = ask("trainer.max_steps=1").data
    contexts = {
        split: {data.texts(split)[number] for number in data.questions[split].contexts} for split in data.questions
    }
    assert all(contexts.values())
    assert sum(map(len, contexts.values())) == len(set().union(*contexts.values())) == 60


def test_masks_hide_words_of_the_part_that_is_named(ask):
    for part, hidden in (("question", 0), ("context", 1), ("both", None)):
        result = ask("mask=wholeword", "mask.ratio=0.5", f"task.masked={part}", "trainer.max_steps=1")
        task, batch = result.task, result.data.sample(16)
        batch["epochs"] = torch.zeros_like(batch["examples"])
        own = task._maskable(batch)
        masked = task.masker(own, 0.0)
        changed = masked.input_ids != batch["input_ids"]
        assert changed.any()
        in_context = batch["allowed"]
        if hidden is None:
            assert (changed & in_context).any()
            assert (changed & ~in_context).any()
        else:
            assert not (changed & (in_context if hidden == 0 else ~in_context)).any()
        assert not changed[own["words"] < 0].any()


def test_masked_tokens_are_predicted_too(ask):
    result = ask("mask=token", "task.mlm_weight=0.5", "trainer.max_steps=3")
    assert {"test/mlm_loss", "test/f1"} <= result.metrics.keys()


@pytest.mark.parametrize(
    "settings", [(), ("mask=wholeword", "mask.ratio=0.3"), ("mask=token", "task.mlm_weight=1")]
)
def test_micro_batches(ask, tmp_path, settings):
    plain = ("optimizer=sgd", "optimizer.lr=0.1", "schedule=constant", "task.dropout=0", "trainer.max_steps=4")
    check(
        ask(*plain, *settings, f"hardware.accumulate_grad_batches={number}", run_dir=tmp_path / str(number))
        for number in (1, 4)
    )


def test_a_run_that_is_stopped_goes_on(ask, tmp_path):
    settings = (*SIX, "mask=wholeword", "mask.ratio=0.3", "trainer.log_every_n_steps=1")
    whole = ask(*settings, run_dir=tmp_path / "whole")
    ask(*settings, "trainer.max_steps=4", "resume.allow=[trainer.max_steps]", run_dir=tmp_path / "part")
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    again = ask(*settings, f"ckpt_path={last}", "resume.allow=[trainer.max_steps]", run_dir=tmp_path / "again")
    assert again.metrics["test/f1"] == whole.metrics["test/f1"]


def test_questions_without_an_answer(ask, tmp_path, capsys):
    source = tmp_path / "two.json"
    source.write_text(json.dumps(articles(60, unanswerable=True)))
    result = ask(*LEARNS, source=source)
    assert result.task.labels.counts[1] * 3 == result.task.labels.counts[0]
    threshold = result.task.threshold
    assert np.isfinite(threshold)
    assert {"test/f1_answerable", "test/f1_unanswerable"} <= result.metrics.keys()
    assert f"more than {threshold:.4f} higher" in " ".join(capsys.readouterr().out.split())
    saved = SavedRun.open(result.run_dir)
    assert saved.task.threshold == pytest.approx(threshold)
    again = evaluate(compose_command("evaluate", f"run={result.run_dir}", "hardware=cpu"))
    assert again == pytest.approx({name: result.metrics[name] for name in again})
    own = ("question='Where was Ada born?'", f"context='{ONE}'")
    [never] = answered(result.run_dir, *own, "no_answer_threshold=-1000", tmp_path=tmp_path)
    assert (never["answer"], never["start"], never["end"]) == ("", 0, 0)
    [always] = answered(result.run_dir, *own, "no_answer_threshold=1000", tmp_path=tmp_path)
    assert always["answer"]
    answerable = ask("trainer.max_steps=1", f"init_from={result.run_dir}")
    assert answerable.task.threshold is None  # not that of the run before


def test_a_file_of_questions_that_cannot_be_asked_is_named(ask, tmp_path):
    result = ask("trainer.max_steps=1")
    for text, message in (
        ("question,context\nWho?,Ada.\n ,Kurt.\n", r"bad\.csv.*line 3.* has no text in its column 'question'"),
        ("question,text\nWho?,Ada.\n", r"bad\.csv.* has no column 'context'\..* Its columns are: question, text"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(UserError, match=message):
            answered(result.run_dir, f"file={tmp_path / 'bad.csv'}", tmp_path=tmp_path)


def test_a_long_context_is_read_in_windows(ask, tmp_path):
    result = ask(*LEARNS)
    long = " ".join([*["They met in town."] * 30, "Ada was born in London in 1950.", *["They met in town."] * 30])
    [row] = answered(result.run_dir, "question='Where was Ada born?'", f"context='{long}'", tmp_path=tmp_path)
    assert row["answer"] == long[row["start"] : row["end"]]
    [other] = answered(
        result.run_dir, "question='Where was Ada born?'", f"context='{long}'", "stride=12", tmp_path=tmp_path
    )
    assert other["answer"] == long[other["start"] : other["end"]]


def test_an_encoder_starts_from_a_pretrained_one_and_gives_it_back(ask, run, tmp_path, squad):
    before = run(f"data.source={squad}", "data=squad", *SHARES, "trainer.max_steps=1", "data.block_size=48")
    result = ask("trainer.max_steps=1", f"init_from={before.run_dir}")
    assert result.task.labels.kind == "answers"


def test_an_export_computes_the_same(ask, hub_model, tmp_path):
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    rows_of_all = ("data.block_size=64", "data.longest_question=24")  # in one window, nothing cut
    result = ask(f"init_from={hub_model}", "optimizer.lr=1e-2", "trainer.max_steps=8", *rows_of_all)
    folder = export(compose_command("export", f"run={result.run_dir}", f"output={tmp_path / 'hf'}"))
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    assert type(model).__name__ == "BertForQuestionAnswering"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    question, context = "Where was Ada born?", "Ada was born in London."
    inputs = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    assert inputs["input_ids"].shape[1] <= 64  # one window
    offsets = inputs.pop("offset_mapping")[0]
    with torch.no_grad():
        found = model(**inputs)
    of_context = torch.tensor([part == 1 for part in inputs.sequence_ids(0)])
    scores = found.start_logits[0][:, None] + found.end_logits[0][None]
    place = torch.arange(len(of_context))
    allowed = of_context[:, None] & of_context[None] & (place[:, None] <= place) & (place - place[:, None] < 30)
    nothing = found.start_logits[0, 0] + found.end_logits[0, 0]
    every = torch.cat([scores[allowed], nothing[None]])
    first, last = divmod(int(scores.masked_fill(~allowed, -torch.inf).argmax()), len(place))
    [row] = answered(result.run_dir, f"question='{question}'", f"context='{context}'", tmp_path=tmp_path)
    assert (row["start"], row["end"]) == (int(offsets[first, 0]), int(offsets[last, 1]))
    probability = float((scores[first, last] - every.logsumexp(0)).exp())
    assert row["probability"] == pytest.approx(probability, abs=1e-5)
    assert row["no_answer_probability"] == pytest.approx(float((nothing - every.logsumexp(0)).exp()), abs=1e-5)
    card = (folder / "README.md").read_text()
    program = card.split("```python")[1].split("```")[0].replace('folder = "."', f'folder = "{folder}"')
    exec(program, {})
    with pytest.raises(UserError, match="format=onnx"):
        export(compose_command("export", f"run={result.run_dir}", "format=onnx", f"output={tmp_path / 'onnx'}"))


def test_an_encoder_of_ours_is_not_exported(ask, tmp_path):
    result = ask("trainer.max_steps=1")
    with pytest.raises(UserError, match="format=hf writes models that answer questions where they are of the hub"):
        export(compose_command("export", f"run={result.run_dir}", f"output={tmp_path / 'hf'}"))


# What is refused


def test_answers_that_are_not_in_their_context(ask, tmp_path, capsys):
    source = tmp_path / "wrong.jsonl"
    own = rows(60)
    for number, row in enumerate(own):
        if number % 6 == 0:
            row["answers"]["text"] = ["Atlantis"]
        if number % 6 == 1:  # a few characters beside its place
            row["answers"]["answer_start"] = [row["answers"]["answer_start"][0] + 3]
    source.write_text("".join(json.dumps(row) + "\n" for row in own))
    with pytest.raises(
        UserError, match=r"answers of the train split are not in their contexts.*'Atlantis' to 'Where"
    ):
        ask("trainer.max_steps=1", source=source)
    capsys.readouterr()
    result = ask("trainer.max_steps=1", "data.unusable_share=0.3", source=source)
    shown = " ".join(capsys.readouterr().out.split())
    assert "train answers that are not in their contexts are not trained on" in shown
    assert "train answers were found elsewhere than the data says" in shown
    assert len(result.data.rows["train"]) < len(result.data.questions["train"])
    assert np.isfinite(result.metrics["test/loss"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"question": 3}, r"line 1, holds 3 in 'question' \(data.question\), not text"),
        ({"answers": 3}, r"line 1, holds 3 in 'answers' \(data.answers\), where answers are expected"),
        ({"answers": {"text": ["a"], "answer_start": [1, 2]}}, "where answers are expected"),
        ({"answers": None}, "1 of the .* questions of the .* split have no answers"),
    ],
)
def test_rows_that_are_no_questions(ask, tmp_path, change, told):
    own = rows(30)
    own[0] |= change
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    with pytest.raises(UserError, match=told):
        ask("trainer.max_steps=1", "data.splits.validation=0.2", source=tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("data.question=ask",), r"no column 'ask' \(data.question\)"),
        (("data.question=null",), "Set both, or none"),
        (("data.question=null", "data.answers=null"), "data.question names no column"),
        (("data.stride=40",), "Set a larger block_size"),
        (("task.masked=answer",), "task.masked"),
    ],
)
def test_settings_that_do_not_fit(ask, overrides, told):
    with pytest.raises(UserError, match=told):
        ask("trainer.max_steps=1", *overrides)


def test_other_runs_do_not_answer(run, ask, tmp_path):
    other = run("trainer.max_steps=1")
    with pytest.raises(UserError, match="does not answer questions. Name a run of task=question_answering"):
        answered(other.run_dir, "question=Who", "context=Ada", tmp_path=tmp_path)
    own = ask("trainer.max_steps=1")
    for overrides, told in (
        ((), "There is no question"),
        (("question=Who",), "There is no question"),
        (("question=Who", "context=' '"), "A context of the question 'Who' is empty"),
        (("question=Who", "context=Ada", "file=x.jsonl"), "file is given, and question or context too"),
        (("file=x.txt",), "is no format of questions"),
        (("file=x.jsonl",), "does not exist"),
        (("question=Who", "context=Ada", "stride=40"), "data.stride=40"),
    ):
        with pytest.raises(UserError, match=told):
            answered(own.run_dir, *overrides, tmp_path=tmp_path)


def test_the_command_prints_answers(ask, tmp_path):
    result = ask("trainer.max_steps=1")
    done = call(
        ROOT / "src" / "answer.py",
        f"run={result.run_dir}",
        "hardware=cpu",
        "question=Where was Ada born, and when?",
        f"context={ONE}",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Where was Ada born, and when?" in done.stdout
    assert "probability" in done.stdout

"""Translation as users run it: training, evaluation, src/translate.py, resuming, and what is refused."""

import json

import pyarrow.parquet as pq
import pytest
import sacrebleu
import torch

from maskwright.core.errors import UserError
from maskwright.run.evaluate import evaluate
from maskwright.run.export import export
from maskwright.run.fill import run_fill
from maskwright.run.saved import SavedRun
from maskwright.run.translate import run_translate
from tests.conftest import ROOT, compose_command
from tests.integration.test_train import KEEP, Stop, StopAt, losses
from tests.programs import call

SETTINGS = (
    "task=translation",
    "data=multi30k",
    "data.published=null",
    "tokenizer.vocabulary_size=300",
    "data.block_size=64",
    "data.tokens_per_batch=400",
    "data.evaluation_tokens_per_batch=800",
    "task.validation_texts=4",
    "task.test_iterations=[1,2]",
    "task.iterations=2",
    "task.length_candidates=2",
    "trainer.max_steps=6",
    "trainer.val_check_interval=3",
)


@pytest.fixture
def train(run, translations):
    """A function that calls what `python src/train.py task=translation <overrides>` calls."""
    return lambda *overrides, **options: run(*SETTINGS, f"data.source={translations}", *overrides, **options)


def translate(place, *overrides: str) -> int:
    return run_translate(compose_command("translate", f"run={place}", "hardware=cpu", *overrides))


def test_a_run_learns_is_evaluated_and_translates(train, tmp_path, capsys):
    learned = train(
        "trainer.max_steps=150",
        "trainer.val_check_interval=75",
        "model.token_types=2",
        "model.restart_positions=true",
        "task.iterations=3",
        "data.tokens_per_batch=1200",
    )
    metrics = learned.metrics
    assert metrics["test/bleu"] > 50
    assert metrics["test/length_accuracy"] > 0.5
    assert metrics["test/loss"] < 1
    assert {"test/bleu_1", "test/chrf_2", "test/perplexity"} <= metrics.keys()
    rows = [json.loads(line) for line in (learned.run_dir / "predictions.jsonl").open(encoding="utf-8")]
    found = sacrebleu.corpus_bleu([row["translation"] for row in rows], [[row["reference"] for row in rows]])
    assert metrics["test/bleu"] == pytest.approx(found.score)
    printed = capsys.readouterr().out
    assert "1 iteration: BLEU" in printed
    assert "reference:" in printed

    asked = compose_command("evaluate", f"run={learned.run_dir}", "split=validation", "hardware=cpu")
    again = evaluate(asked)
    for name in ("loss", "bleu", "chrf", "bleu_1"):  # the validation split is tested too
        assert again[f"validation/{name}"] == pytest.approx(metrics[f"test/{name}"], rel=1e-5)

    (tmp_path / "texts.txt").write_text("".join(f"{row['text']}\n" for row in rows) + "\n")
    output = f"output={tmp_path}/translations.parquet"
    assert translate(learned.run_dir, f"file={tmp_path}/texts.txt", output) == len(rows) + 1
    written = pq.read_table(tmp_path / "translations.parquet").to_pylist()
    assert [row["translation"] for row in written] == [row["translation"] for row in rows] + [""]
    assert all(row["log_probability"] < 0 for row in written[:-1])
    assert written[-1]["log_probability"] is None

    one_by_one = ["tokens_per_batch=1", "iterations=3", "length_candidates=2", "output='-'"]
    capsys.readouterr()
    translate(learned.run_dir, f"file={tmp_path}/texts.txt", *one_by_one)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["translation"] for line in lines] == [row["translation"] for row in written]

    long = f"text='{'two men run ' * 20}'"
    with pytest.raises(UserError, match="reads 64 in a row, of which 30 are for a text"):
        translate(learned.run_dir, long)
    translate(learned.run_dir, long, "long=windows", "output='-'")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["translation"].count("Männer") > 10


def test_the_command_translates_stdin(train, tmp_path):
    learned = train("trainer.max_steps=1")
    own = [f"run={learned.run_dir}", "hardware=cpu", "output=-", "iterations=1"]
    done = call(ROOT / "src" / "translate.py", *own, "-", cwd=tmp_path, stdin="one dog\ntwo dogs\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["one dog", "two dogs"]


def test_resuming_continues_the_same_run(train, tmp_path):
    settings = (KEEP, "mask=token", "mask/ratio=sampled", "model.dropout=0.1", "trainer.max_steps=20")
    whole = train(*settings, run_dir=tmp_path / "whole")
    assert whole.data.steps(1) < 20  # the run passes the end of an epoch
    callback = f"+callbacks.stop={{_target_: {StopAt.__module__}.StopAt, step: 7}}"
    with pytest.raises(Stop):
        train(*settings, callback, run_dir=tmp_path / "stopped")
    resumed = train(*settings, f"ckpt_path={tmp_path / 'stopped'}", run_dir=tmp_path / "resumed")
    assert losses(resumed) == {step: loss for step, loss in losses(whole).items() if step > 7}
    for name, value in whole.metrics.items():
        if name.startswith(("validation/", "test/")):
            assert resumed.metrics[name] == value


def test_micro_batches_train_as_whole_batches_do(train, tmp_path):
    settings = ("optimizer=sgd", "optimizer.lr=0.1", "schedule=constant", "mask=token", "mask.ratio=0.3")
    one, four = (
        train(*settings, f"hardware.accumulate_grad_batches={number}", run_dir=tmp_path / str(number))
        for number in (1, 4)
    )
    for name, value in one.task.state_dict().items():
        torch.testing.assert_close(four.task.state_dict()[name], value, rtol=0, atol=1e-5)
    for name in ("test/loss", "test/length_accuracy", "validation/loss", "train/loss"):
        assert four.metrics[name] == pytest.approx(one.metrics[name], rel=1e-4), name


def test_masks_on_the_source_change_training_alone(train, tmp_path):
    plain, masked = (
        train(f"mask={mask}", "trainer.max_steps=1", run_dir=tmp_path / mask) for mask in ("none", "wholeword")
    )
    assert plain.metrics["train/loss"] != masked.metrics["train/loss"]
    found = SavedRun.open(masked.run_dir).task
    batch = next(iter(masked.data.evaluation_loader("validation")))
    found.trainer = masked.trainer
    assert found.masker.masks
    found.validation_step(batch, 0)
    of_masked = found.means.compute()["loss"]
    found.masker = SavedRun.open(plain.run_dir).task.masker
    found.validation_step(batch, 0)
    assert found.means.compute()["loss"] == of_masked


def test_other_tasks_take_the_encoder(train, run, reviews):
    learned = train("trainer.max_steps=1", "model.token_types=2")
    own = ["task=classification", "data=csv", f"data.source={reviews}", "trainer.max_steps=1"]
    tuned = run(*own, f"init_from={learned.run_dir}")
    assert tuned.task.encoder.token_types == 2
    again = train(f"init_from={learned.run_dir}", "trainer.max_steps=1")
    assert again.task.encoder.token_types == 2


def test_two_files_of_lines_are_translated(train, translations, tmp_path):
    for split in ("train", "validation"):
        rows = [json.loads(line) for line in (translations / f"{split}.jsonl").open(encoding="utf-8")]
        for language in ("en", "de"):
            (tmp_path / f"{split}.{language}").write_text("".join(f"{row[language]}\n" for row in rows))
    (tmp_path / "validation.de").write_text("eins\n")
    with pytest.raises(UserError, match="the first without one"):
        train(f"data.source={tmp_path}", "data.limit=5")
    (tmp_path / "validation.de").write_text("".join(f"{row['de']}\n" for row in rows))
    learned = train(f"data.source={tmp_path}")
    assert learned.data.targets("validation") == [row["de"] for row in rows]


def test_what_does_not_go_is_refused(train, run, translations, tmp_path):
    with pytest.raises(UserError, match="LSTM cannot do. Take model=transformer"):
        train("model=lstm")
    with pytest.raises(UserError, match="Adaptive learns"):
        train("mask=adaptive")
    with pytest.raises(UserError, match="data.column names no two columns"):
        train("data.column=en")
    with pytest.raises(UserError, match="data.source .* has no column 'fr'|has no column 'fr'"):
        train("data.column=[en,fr]")
    learned = train("trainer.max_steps=1")
    with pytest.raises(UserError, match="src/translate.py"):
        run_fill(compose_command("fill", f"run={learned.run_dir}", "hardware=cpu", "text='one [MASK]'"))
    with pytest.raises(UserError, match="none of the formats expresses"):
        export(compose_command("export", f"run={learned.run_dir}"))
    other = run("trainer.max_steps=1", run_dir=tmp_path / "mlm")
    with pytest.raises(UserError, match="has not learned to translate. Name a run of task=translation"):
        translate(other.run_dir, "text=one")

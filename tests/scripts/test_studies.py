"""Studies on a few texts, and their arithmetic."""

import fcntl
import json
import sys

import numpy as np
import pytest

from tests import programs
from tests.conftest import BARE, ROOT

sys.path.insert(0, str(ROOT / "scripts" / "studies"))
import figures
import finetuning_mask
import masking
import outcomes
import reporting
import studies
from figures import Metric, Study
from findings import findings

from maskwright.core.errors import UserError
from maskwright.run import jobs

SMALL = (
    "hardware=cpu preparation.workers=1 data.block_size=32 tokenizer.vocabulary_size=300 model.layers=1 "
    "model.hidden_size=32 model.heads=2 model.intermediate_size=48 logger=csv trainer.log_every_n_steps=1 "
    f"{' '.join(BARE)}"
)


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    monkeypatch.setattr(jobs, "Popen", programs.Forked)


def call(script: str, *arguments: str, status: int = 0) -> str:
    done = programs.call(ROOT / "scripts" / "studies" / script, *arguments, cwd=ROOT, limit=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_masks_are_compared_and_finished_runs_are_kept(corpus, films, cache, tmp_path):
    folder = tmp_path / "study"
    arguments = (
        "arm=token,no_pretraining",
        "seed=1",
        "steps=3",
        f"folder={folder}",
        f"pretraining=data=text data.source={corpus} data.cache_dir={cache} {SMALL}",
        "finetuning.conll=null",
        "evaluation_masks=[token,span]",
        f"finetuning.imdb=task=classification data=imdb data.source={films} data.published=null "
        f"data.cache_dir={cache} hardware=cpu preparation.workers=1 trainer.max_epochs=null "
        f"trainer.max_steps=2 data.block_size=32 logger=csv {' '.join(BARE)}",
    )
    stale = folder / "token-1" / "matrix" / "matrix.json"  # of a pretraining that is no longer there
    stale.parent.mkdir(parents=True)
    stale.write_text('{"rows": [{"metrics": {"token 0.15/loss": 0, "span 0.15/loss": 0}}]}')
    shown = call("masking.py", *arguments)
    assert shown.count(": running; ") == 4
    report = (folder / "study.md").read_text()
    assert "| `token` | 1 |" in report
    assert "| `no_pretraining` | 1 |" in report
    assert "- `no_pretraining`, imdb accuracy: there is one seed" in report
    losses = figures.read(folder / "study.json").values[Metric("MLM loss at 0.15", percent=False, margin=0.05)]
    assert losses["token"][1] < losses["no_pretraining"][1]
    assert (folder / "study.svg").read_text().count("no_pretraining")
    metrics = json.loads((folder / "token-1" / "matrix" / "matrix.json").read_text())["rows"][0]["metrics"]
    values = json.loads((folder / "study.json").read_text())["values"]
    assert values["loss under span 0.15"]["token"]["1"] == metrics["span 0.15/loss"]
    assert values["loss under token 0.15"]["token"]["1"] == pytest.approx(losses["token"][1], rel=1e-6)
    begun = json.loads((folder / "token-1" / "imdb" / "summary.json").read_text())["command"]
    assert f"init_from='{folder}/token-1/pretraining'" in begun

    (folder / "token-1" / "imdb" / "summary.json").unlink()  # as if it had been killed after its last step
    (folder / "study.md").unlink()
    shown = call("masking.py", *arguments)
    assert shown.count(": running; ") == 1
    assert (folder / "study.md").read_text() == report
    assert ": running; " not in call("masking.py", *arguments, "evaluation_masks=null")

    shown = call("masking.py", *arguments, "arm=span", "steps=4", status=1)
    assert "holds a study with steps=3, but now steps=4" in shown


def test_masks_in_fine_tuning_are_compared_on_hard_texts(reviews, cache, tmp_path):
    folder = tmp_path / "study"
    settings = f"task=classification data=csv data.source={reviews} data.cache_dir={cache} trainer.max_epochs=null"
    call(
        "finetuning_mask.py",
        "hydra.launcher.n_jobs=2",
        "arm=none,lexicon_all",
        "seed=1",
        "few=0.1",
        f"folder={folder}",
        f"finetuning={settings} trainer.max_steps=2 {SMALL}",
    )
    study = figures.read(folder / "study.json")
    found = {metric.title: values for metric, values in study.values.items()}
    assert found["tokens hidden"]["none"][1] == 0
    assert 0 < found["tokens hidden"]["lexicon_all"][1] < 0.5
    summary = json.loads((folder / "none-1" / "finetuning" / "summary.json").read_text())
    assert found["accuracy, all"]["none"][1] == pytest.approx(summary["metrics"]["test/accuracy"])
    assert found["f1, all"]["none"][1] == pytest.approx(summary["metrics"]["test/f1"], abs=1e-6)


def test_masks_on_the_source_of_translations_are_compared(translations, cache, tmp_path):
    folder = tmp_path / "study"
    settings = f"task=translation data=multi30k data.source={translations} data.published=null"
    arguments = (
        "arm=none,source_30",
        "seed=1",
        "iterations=[1,2]",
        f"folder={folder}",
        f"training={settings} data.cache_dir={cache} trainer.max_steps=2 task.length_candidates=1 {SMALL} "
        "data.block_size=64",
    )
    assert call("translation.py", *arguments).count(": running; ") == 2
    found = {metric.title: values for metric, values in figures.read(folder / "study.json").values.items()}
    assert found["BLEU, 1 iterations"].keys() == found["chrF, 2 iterations"].keys() == {"none", "source_30"}
    summary = json.loads((folder / "none-1" / "training" / "summary.json").read_text())
    assert found["BLEU, 2 iterations"]["none"][1] == summary["metrics"]["test/bleu_2"]
    assert ": running; " not in call("translation.py", *arguments)
    assert "| `source_30` | 1 |" in (folder / "study.md").read_text()


def test_the_error_of_a_refused_run_is_passed_on(tmp_path):
    with pytest.raises(UserError, match="no_such_key"):
        studies.run(tmp_path / "run", ["no_such_key=1"])


def test_a_failed_run_does_not_stop_the_others_of_a_study(corpus, cache, tmp_path):
    settings = f"data=text data.source={corpus} data.cache_dir={cache} trainer.max_steps=3 optimizer=sgd {SMALL}"
    with pytest.raises(RuntimeError, match=r"failed with status 2(.|\n)*optimizer\.lr"):  # no UserError
        studies.run(tmp_path / "run", [*settings.split(), "optimizer.lr=1e30"])
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["status"] == "failed"


def test_a_run_in_progress_is_not_started_again(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / "config.yaml").open("w") as config:
        fcntl.flock(config, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="another process is training there"):
            studies.run(folder, ["data=wikipedia"])


def test_a_study_may_get_another_fine_tuning_but_not_another_budget(tmp_path):
    studies.keep_settings(tmp_path, {"steps": 3, "finetuning.a": "x"})
    studies.check_settings(tmp_path, {"steps": 3, "finetuning.b": "y"})
    studies.keep_settings(tmp_path, {"finetuning.b": "y"})
    for others in ({"steps": 4}, {"finetuning.a": "z"}):
        with pytest.raises(UserError, match="their results cannot be compared"):
            studies.check_settings(tmp_path, others)


def test_the_share_of_hidden_tokens_is_that_of_the_whole_run(tmp_path):
    (tmp_path / "metrics-1.csv").write_text("step,train/masked\n1,0.1\n2,\n")
    (tmp_path / "metrics.csv").write_text("step,train/masked\n3,0.3\n")
    assert finetuning_mask.hidden(tmp_path) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("text", "praises", "hard"),
    [
        ("a great great film", True, False),
        ("a great great film", False, True),
        ("not great, but awful and horrible", True, True),
        ("a good film, annoy", True, True),  # which are worth 1.9 and -1.9
        ("a good film, annoy", False, True),
        ("the film is one of those that have what films of its sort have, great", True, True),
    ],
)
def test_texts_are_hard_if_their_words_say_little_or_the_opposite(text, praises, hard):
    valence = {"great": 3.1, "good": 1.9, "annoy": -1.9, "awful": -2.0, "horrible": -2.5}
    assert finetuning_mask.is_hard(text, praises, 0.1, valence) == hard


ACCURACY, LOSS = Metric("accuracy", margin=0.01), Metric("loss", percent=False)
STUDY = Study(
    "Arms",
    "b",
    {
        ACCURACY: {
            "b": {1: 0.500, 2: 0.700, 3: 0.600, 4: 0.1},
            "c": {1: 0.501, 2: 0.700, 3: 0.602},
            "d": {1: 0.301, 2: 0.500, 3: 0.402},
            "e": {1: 0.600, 2: 0.600, 3: 0.900},
        },
        LOSS: {"b": {1: 1.0, 2: 1.1}, "c": {1: 1.2}, "d": {1: 1.5, 2: 1.6}},
        Metric("recall", main=False): {"b": {2: 0.5}},
    },
)


def test_arms_are_compared_over_the_seeds_they_share():
    found, problems = findings(STUDY)
    assert [(one.arm, one.found.n, one.verdict) for one in found] == [
        ("c", 3, "equivalent"),
        ("d", 3, "lower"),
        ("e", 3, "open"),
    ]
    assert found[2].found.difference == pytest.approx((0.1, -0.39683, 0.59683), abs=1e-5)
    assert found[1].p == pytest.approx(3 * found[1].found.p)  # the smallest of three, by Holm's method
    assert problems == [
        "`c`, loss: there is one seed, which says nothing about how seeds vary; at least two are needed.",
        "`d`, loss: all 2 differences are 0.5, so that nothing is known of how seeds vary. Do the runs follow the seed?",
        "`e`, loss: there is no seed in common with `b`.",
    ]


def test_arms_that_cannot_be_compared_for_one_reason_are_named_together():
    arms = {name: {1: 0.5 + place / 10} for place, name in enumerate("bcde")}
    found, problems = findings(Study("Arms", "b", {ACCURACY: arms}))
    assert not found
    assert len(problems) == 1
    assert problems[0].startswith("`c`, `d`, `e`, accuracy: there is one seed, which says nothing")


def test_the_report_says_what_is_found_and_what_is_open():
    text = reporting.written("", STUDY)
    lines = text.splitlines()
    assert lines[2] == "| `b` | 4 | 47.50 ± 26.30 | 1.050 ± 0.071 | 50.00 |"
    assert "| accuracy | `c` | 3 | +0.10 | [-0.15, +0.35] | 0.451 | 0.006 | equivalent |" in lines
    assert "| accuracy | `e` | 3 | +10.00 | [-39.68, +59.68] | 0.478 | 1.000 | open |" in lines
    flowing = " ".join(text.split())
    assert "3 seeds find a true difference of 37.69 in 80 % of cases if it is the only one tested" in flowing
    assert "Open: `e`; their intervals exclude differences beyond -39.68 and +59.68." in flowing
    assert "- `c`, loss: there is one seed" in flowing
    assert "both are corrected by Holm's method for the 3 comparisons of the study." in flowing
    values = STUDY.values | {Metric("f1"): STUDY.values[ACCURACY]}
    flowing = " ".join(reporting.written("", Study("Arms", "b", values)).split())
    assert "for the 6 comparisons of the study, p (equivalence) for the 3 of them that have a margin." in flowing


def test_texts_are_resampled_with_seeds_where_parts_say_which_they_got_right(tmp_path):
    draws = np.random.default_rng(1)
    for arm, rate in (("a", 0.9), ("b", 0.5)):
        for seed in (1, 2, 3):
            path = tmp_path / f"{arm}-{seed}"
            path.mkdir()
            texts = draws.random(100) < rate
            rows = [{"label": "x", "predicted": "x" if found else "y"} for found in texts]
            (path / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            assert outcomes.right(path).tolist() == texts.tolist()
            kept = {"right": {"accuracy": "".join(map(str, texts.astype(int)))}}
            (path / finetuning_mask.SCORED).write_text(json.dumps(kept))
    found = finetuning_mask.outcomes(tmp_path)
    assert (found["accuracy"]["b"][3] == outcomes.right(tmp_path / "b-3")).all()
    values = {arm: {seed: row.mean() for seed, row in seeds.items()} for arm, seeds in found["accuracy"].items()}
    study = Study("Arms", "b", {ACCURACY: values}, outcomes.over_seeds_and_texts(found, "b"))
    value, low, high = study.over_texts["accuracy"]["a"]
    assert value == pytest.approx(np.mean(list(values["a"].values())) - np.mean(list(values["b"].values())))
    text = reporting.written("", study)
    assert "| over seeds and texts |" in text
    assert f"[{100 * low:+.2f}, {100 * high:+.2f}]" in text
    (tmp_path / "study.json").write_text(study.json())
    assert figures.read(tmp_path / "study.json") == study
    (tmp_path / "predictions.jsonl").write_text(json.dumps({"tags": ["O"], "predicted": ["O"]}))
    assert not len(outcomes.right(tmp_path))  # labelled words, not texts
    assert not outcomes.over_seeds_and_texts({"accuracy": {"a": found["accuracy"]["a"]}}, "b")


def test_a_report_is_written_again_from_its_values_and_into_a_document(tmp_path):
    path = tmp_path / "study.json"
    path.write_text(STUDY.json())
    assert figures.read(path) == STUDY
    (tmp_path / "study.md").write_text("# Arms\n<!-- study -->\nold\n<!-- end -->\nBy hand.\n")
    done = programs.call(ROOT / "scripts" / "studies" / "reporting.py", str(path), cwd=ROOT, limit=60)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "study.md").read_text()
    assert text == f"# Arms\n<!-- study -->\n{reporting.written('', STUDY)}<!-- end -->\nBy hand.\n"
    picture = (tmp_path / "study.svg").read_text()
    reporting.draw(tmp_path / "again.svg", STUDY)
    assert (tmp_path / "again.svg").read_text() == picture
    path.write_text('{"metrics": 3')
    done = programs.call(ROOT / "scripts" / "studies" / "reporting.py", str(path), cwd=ROOT, limit=60)
    assert done.returncode == 2
    assert "is not the study.json of a study (JSONDecodeError" in done.stderr
    path.write_text('{"MLM loss at 0.15": {}}')  # as code before 2026-11-26 wrote it
    with pytest.raises(UserError, match="KeyError: 'metrics'"):
        figures.read(path)
    with pytest.raises(UserError, match="No such file or directory. Name the study.json"):
        figures.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    "name", ["adaptation", "finetuning_mask", "masking", "objectives", "questions", "translation"]
)
def test_documents_have_the_report_of_their_values(name):
    """`python scripts/studies/reporting.py docs/studies/<name>.json` writes it."""
    path = ROOT / "docs" / "studies" / f"{name}.md"
    text = path.read_text()
    assert reporting.BLOCK.search(text)
    assert reporting.written(text, figures.read(path.with_suffix(".json"))) == text


@pytest.mark.parametrize(
    ("steps", "minutes", "settings"),
    [
        (100, None, ["trainer.max_steps=100"]),
        (None, 90.5, ["trainer.max_steps=-1", "trainer.max_time=00:01:30:30"]),
    ],
)
def test_a_budget_is_steps_or_minutes(steps, minutes, settings):
    assert masking.budget({"steps": steps, "minutes": minutes}) == settings
    with pytest.raises(UserError, match="set one of them"):
        masking.budget({"steps": 1, "minutes": 1})


def test_masks_in_answering_questions_are_compared(squad, cache, tmp_path):
    folder = tmp_path / "study"
    settings = (
        f"task=question_answering data=squad data.source={squad} data.published=null data.splits.validation=0.2 "
        "data.splits.test=0.2 data.stride=4 data.longest_question=12 trainer.max_epochs=null trainer.max_steps=2"
    )
    arguments = ("arm=none,question_30", "seed=1", f"folder={folder}")
    arguments += (f"training={settings} data.cache_dir={cache} {SMALL.replace('block_size=32', 'block_size=48')}",)
    assert call("question_answering.py", *arguments).count(": running; ") == 2
    study = figures.read(folder / "study.json")
    values = {metric.title: arms for metric, arms in study.values.items()}
    assert values["tokens hidden"]["none"][1] == 0 < values["tokens hidden"]["question_30"][1]
    fixed = json.loads((folder / "none-1" / "answering" / "baseline.json").read_text())["f1"]
    above = values["F1 above the best answers of a fixed length"]["none"][1]
    assert above == pytest.approx(values["F1"]["none"][1] - fixed)
    assert "| `question_30` | 1 |" in (folder / "study.md").read_text()
    assert ": running; " not in call("question_answering.py", *arguments)


def test_objectives_are_compared_where_they_predict_masked_tokens(corpus, films, cache, tmp_path):
    folder = tmp_path / "study"
    call(
        "objectives.py",
        "arm=mlm,rtd,causal_first",
        "seed=1",
        "minutes=null",
        "steps=3",
        f"folder={folder}",
        f"pretraining=data=text data.source={corpus} data.cache_dir={cache} {SMALL}",
        "finetuning.conll=null",
        f"finetuning.imdb=task=classification data=imdb data.source={films} data.published=null "
        f"data.cache_dir={cache} hardware=cpu preparation.workers=1 trainer.max_epochs=null "
        f"trainer.max_steps=2 data.block_size=32 logger=csv {' '.join(BARE)}",
    )
    values = json.loads((folder / "study.json").read_text())["values"]
    assert values["imdb accuracy"].keys() == {"mlm", "rtd", "causal_first"}
    assert values["MLM loss at 0.15"].keys() == {"mlm", "causal_first"}  # that of a generator is not of the encoder
    summary = json.loads((folder / "mlm-1" / "pretraining" / "summary.json").read_text())
    assert values["MLM loss at 0.15"]["mlm"]["1"] == pytest.approx(summary["metrics"]["test/loss"])

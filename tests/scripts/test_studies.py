"""Studies on a few texts, and their arithmetic."""

import fcntl
import json
import sys

import pytest
from scipy import stats

from tests import programs
from tests.conftest import BARE, ROOT

sys.path.insert(0, str(ROOT / "scripts" / "studies"))
import finetuning_mask
import masking
import studies
from studies import Metric

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
        f"finetuning.imdb=task=classification data=imdb data.source={films} data.published=null "
        f"data.cache_dir={cache} hardware=cpu preparation.workers=1 trainer.max_epochs=null "
        f"trainer.max_steps=2 data.block_size=32 logger=csv {' '.join(BARE)}",
    )
    shown = call("masking.py", *arguments)
    assert shown.count(": running; ") == 4
    report = (folder / "study.md").read_text()
    assert "| `token` | 1 |" in report
    assert "| `no_pretraining` | 1 |" in report
    losses = json.loads((folder / "study.json").read_text())["MLM loss at 0.15"]
    assert losses["token"]["1"] < losses["no_pretraining"]["1"]
    assert (folder / "study.svg").read_text().count("no_pretraining")
    begun = json.loads((folder / "token-1" / "imdb" / "summary.json").read_text())["command"]
    assert f"init_from='{folder}/token-1/pretraining'" in begun

    (folder / "token-1" / "imdb" / "summary.json").unlink()  # as if it had been killed after its last step
    (folder / "study.md").unlink()
    shown = call("masking.py", *arguments)
    assert shown.count(": running; ") == 1
    assert (folder / "study.md").read_text() == report

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
    figures = json.loads((folder / "study.json").read_text())
    assert figures["tokens hidden"]["none"]["1"] == 0
    assert 0 < figures["tokens hidden"]["lexicon_all"]["1"] < 0.5
    summary = json.loads((folder / "none-1" / "finetuning" / "summary.json").read_text())
    assert figures["accuracy, all"]["none"]["1"] == pytest.approx(summary["metrics"]["test/accuracy"])
    assert figures["f1, all"]["none"]["1"] == pytest.approx(summary["metrics"]["test/f1"], abs=1e-6)


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


def test_intervals_equal_those_of_the_paired_test():
    own, baseline = {1: 0.91, 2: 0.93, 3: 0.90}, {1: 0.90, 2: 0.90, 3: 0.89, 4: 0.5}
    mean, half = studies.compare(own, baseline)
    expected = stats.ttest_rel([own[s] for s in (1, 2, 3)], [baseline[s] for s in (1, 2, 3)]).confidence_interval()
    assert (mean - half, mean + half) == pytest.approx((expected.low, expected.high))
    assert studies.compare({1: 0.5}, baseline) is None


def test_the_table_shows_means_spreads_and_differences():
    found = {
        Metric("accuracy"): {"b": {1: 0.5, 2: 0.7}, "a": {1: 0.6, 2: 0.9}, "c": {2: 0.4}},
        Metric("loss", percent=False, main=False): {"a": {1: 1.5}},
    }
    lines = studies.table(found, "b").splitlines()
    assert lines[2] == "| `b` | 2 | 60.00 ± 14.14 |  |  |"
    assert lines[3] == "| `a` | 2 | 75.00 ± 21.21 | +15.00 [-48.53, +78.53] | 1.500 |"
    assert lines[4] == "| `c` | 1 | 40.00 |  |  |"


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

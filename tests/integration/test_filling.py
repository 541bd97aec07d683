"""Masks filled by `src/fill.py`, as users ask for it."""

import json

import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.inference.fill import METHODS
from maskwright.run.fill import run_fill
from maskwright.settings.commands import FillSettings
from tests.conftest import ROOT, compose_command
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture
from tests.programs import call
from tests.texts import make_text

TEXT = "the old [MASK] crosses the [MASK] at night."


def fill(place, *overrides: str) -> int:
    return run_fill(compose_command("fill", f"run={place}", "hardware=cpu", *overrides))


def in_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("method", METHODS)
def test_rows_have_fills_of_the_text_and_tokens_of_each_mask(hub_model, capsys, method):
    assert fill(hub_model, f"text='{TEXT}'", f"method={method}", "top_k=3", "output='-'") == 1
    (row,) = in_lines(capsys.readouterr().out)
    assert row["text"] == TEXT
    assert len(row["fills"]) == (3 if method in ("independent", "beam") else 1)
    best = row["fills"][0]
    assert len(best["tokens"]) == len(row["masks"]) == 2
    assert best["text"].startswith("the old")
    assert best["text"].endswith("at night.")
    assert "[MASK]" not in best["text"]
    assert [len(mask["probabilities"]) for mask in row["masks"]] == [3, 3]
    if method != "beam":  # which need not begin with the best token
        product = row["masks"][0]["probabilities"][0] * row["masks"][1]["probabilities"][0]
        assert best["probability"] == pytest.approx(product, rel=1e-4)
        assert [mask["tokens"][0] for mask in row["masks"]] == best["tokens"]


def test_people_get_tables(hub_model, capsys):
    fill(hub_model, f"text=['{TEXT}','the river.']", "hide=the", "top_k=2")
    printed = capsys.readouterr().out
    assert TEXT in printed
    assert "best tokens" in printed
    assert printed.count("probability") == 2


def test_a_run_of_its_own_fills_files(run, tmp_path):
    result = run("trainer.max_steps=1")
    texts = [f"{make_text(seed, 1)} [MASK]" for seed in range(3)] + [""]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    fill(result.run_dir, f"file={tmp_path}/texts.txt", f"output={tmp_path}/fills.parquet")
    rows = pq.read_table(tmp_path / "fills.parquet").to_pylist()
    assert [row["text"] for row in rows] == texts
    assert [len(row["fills"]) for row in rows] == [5, 5, 5, 0]
    long = f"text='{make_text(1, 12)} [MASK]'"
    with pytest.raises(UserError, match="the model reads rows of 30. Shorten it, or set long=windows"):
        fill(result.run_dir, long)
    assert fill(result.run_dir, long, "long=windows") == 1


def test_texts_come_from_stdin(hub_model, tmp_path):
    own = [f"run={hub_model}", "hardware=cpu", "output=-"]
    done = call(ROOT / "src" / "fill.py", *own, "-", cwd=tmp_path, stdin="a [MASK]\nthe <mask>\n")
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in in_lines(done.stdout)] == ["a [MASK]", "the <mask>"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["text='no mask'"], "has no mask. Write [MASK] where a token is missing"),
        (["text='the river'", "hide=rivers"], "hide='rivers' is no word of the text"),
        (["text='a [MASK]'", "hide=[1]"], "hide=[1] is no word."),
        (["text='a [MASK]'", "hide=''"], "hide='' is no word."),
        (["text='a [MASK]'", "candidates=[xyzzy]"], "'xyzzy' is no token"),
        (["text='a [MASK]'", "method=beams"], "method"),
        (["text='a [MASK]'", "top_k=0"], "top_k=0"),
        (["file=empty.txt"], "is empty"),
        (["file=latin.txt"], "is not UTF-8"),
        ([], "There are no texts."),
    ],
)
def test_mistakes_are_told_and_leave_nothing(hub_model, tmp_path, monkeypatch, overrides, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("é [MASK]\n".encode("latin-1"))
    with pytest.raises(UserError) as found:
        fill(hub_model, *overrides)
    assert message in str(found.value)


def test_what_predicts_no_masked_tokens_is_refused(tune, tmp_path):  # noqa: F811
    result = tune("classification", "trainer.max_steps=1")
    with pytest.raises(
        UserError, match="predicts no masked tokens: it learned labels alone. Name a run of task=mlm"
    ):
        fill(result.run_dir, "text='a [MASK]'")
    (tmp_path / "without" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="neither checkpoints of a run nor"):
        fill(tmp_path / "without", "text='a [MASK]'")


def test_settings_name_the_methods():
    assert FillSettings.model_fields["method"].annotation.__args__ == METHODS

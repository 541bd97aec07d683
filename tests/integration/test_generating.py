"""Text that `src/generate.py` writes, as users ask for it."""

import json
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.run import generate as generating
from maskwright.run.generate import run_generate
from maskwright.run.saved import SavedRun
from tests.conftest import ROOT, compose_command
from tests.programs import call

TEXT = "the old [MASK] crosses the [MASK] at night."
SHORT = ("burn_in=2", "thin=1", "chains=3")


def generate(place, *overrides: str) -> int:
    return run_generate(compose_command("generate", f"run={place}", "hardware=cpu", *overrides))


def in_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_rows_say_what_was_written_and_how_good_it_is(hub_model, capsys):
    assert generate(hub_model, f"text='{TEXT}'", *SHORT, "samples=2", "method=metropolis", "output='-'") == 6
    rows = in_lines(capsys.readouterr().out)
    assert [(row["chain"], row["sample"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    for row in rows:
        assert row["text"] == TEXT
        assert row["written"].startswith("the old")
        assert row["written"].endswith("at night.")
        assert "[MASK]" not in row["written"]
        assert len(row["tokens"]) == 2
        assert 0 < row["changed"] <= row["accepted"] <= 1
        assert row["impossible"] == 0
        assert row["energy"] > 0
        assert row["self_bleu"] == rows[0]["self_bleu"] > 0
        assert 0 < row["distinct_1"] < row["distinct_2"] < 1
    logs = [np.log(row["pseudo_perplexity"]) for row in rows]
    assert min(logs) <= np.log(rows[0]["pseudo_perplexity_of_all"]) <= max(logs)


def test_people_get_texts(hub_model, capsys, tmp_path):
    picture = tmp_path / "trace.png"
    generate(hub_model, f"text='{TEXT}'", *SHORT, "method=metropolis", f"plot={picture}")
    printed = capsys.readouterr().out
    assert f"{TEXT}\n  the old" in printed
    assert "3 texts: pseudo-perplexity" in printed
    assert "of the steps accepted" in printed
    assert "rejected" not in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    generate(hub_model, "length=6", *SHORT, f"plot={tmp_path}/gibbs.png")
    printed = capsys.readouterr().out
    assert "accepted" not in printed
    assert "distinct-2" in printed
    assert (tmp_path / "gibbs.png").is_file()


def test_people_are_told_of_steps_without_a_way_back(capsys):
    shares = {"accepted": 0.5, "changed": 0.25, "impossible": 0.125}
    row = {"text": "", "written": "a b", "pseudo_perplexity": 1.0, "energy": 1.0, "pseudo_perplexity_of_all": 1.0}
    generating.show([row | shares | dict.fromkeys(["distinct_1", "distinct_2", "self_bleu"])], sys.stdout)
    assert "12.5% rejected because top_k or top_p exclude the way back" in capsys.readouterr().out


def test_texts_without_tokens_have_no_perplexity(hub_model, capsys, monkeypatch):
    monkeypatch.setattr("maskwright.text.masked_text.MaskReader.filled", lambda *given: " ")
    generate(hub_model, "length=2", *SHORT, "output=-")
    assert {row["pseudo_perplexity_of_all"] for row in in_lines(capsys.readouterr().out)} == {None}
    generate(hub_model, "length=2", *SHORT)
    assert "3 texts: no tokens" in capsys.readouterr().out


def test_a_run_of_its_own_continues_prompts(run, tmp_path):
    result = run("trainer.max_steps=1", "model=lstm")
    (tmp_path / "texts.txt").write_text("the river\nthe old sailor\n")
    output = tmp_path / "written.parquet"
    asked = [f"file={tmp_path}/texts.txt", "length=9", "method=mask_predict", "decay=cosine", "chains=2"]
    assert generate(result.run_dir, *asked, f"output={output}") == 4
    rows = pq.read_table(output).to_pylist()
    assert [row["text"] for row in rows] == ["the river", "the river", "the old sailor", "the old sailor"]
    for row in rows:
        assert row["written"].startswith(row["text"])
        given = len(SavedRun.open(result.run_dir).tokenizer.encode([row["text"]])[0][0])
        assert len(row["tokens"]) == 9 - given


class Killed(Exception):
    pass


def test_a_stopped_file_is_continued(hub_model, tmp_path, monkeypatch):
    """Rows of other chains and budgets of tokens are the same, too."""
    texts, output, whole = tmp_path / "texts.txt", tmp_path / "part.jsonl", tmp_path / "whole.jsonl"
    texts.write_text(f"{TEXT}\nthe [MASK] river\n{TEXT}\n")
    asked = [f"file={texts}", "burn_in=1", "chains=2", "top_p=0.8"]
    generate(hub_model, *asked, f"output={whole}")
    rows = generating.Writer.rows
    made = []

    def dies(self, template, progress):
        if made:
            raise Killed
        made.append(template)
        return rows(self, template, progress)

    with monkeypatch.context() as patch:
        patch.setattr(generating.Writer, "rows", dies)
        with pytest.raises(Killed):
            generate(hub_model, *asked, f"output={output}")
    assert not output.exists()
    generate(hub_model, *asked, f"output={output}", "tokens_per_batch=20")
    assert output.read_text() == whole.read_text()
    first, *_ = in_lines(whole.read_text())
    assert in_lines(whole.read_text())[4]["written"] == first["written"]  # the same text again


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["text='no mask here'"], r"'no mask here' has no mask\. Write \[MASK\]"),
        ([], "There is nothing to write. Name a text with masks"),
        (["length=63"], "length=63, but the model reads rows of 62 tokens"),
        (["length=5", "temperature=0"], "temperature=0"),
        (["length=5", "temperature=-1"], "temperature=-1"),
        (["length=5", "top_p=0"], "top_p=0"),
        (["length=5", "top_p=1.1"], "top_p=1.1"),
        (["length=0"], "length=0"),
        (["length=5", "method=beam"], "method='beam'"),
        (["length=5", "long=windows"], "long=windows, but what is written together has to fit in one row"),
        (
            ["length=5", "method=mask_predict", "samples=2"],
            "mask_predict writes one text in each chain. Set chains=2",
        ),
        (
            ["length=5", "method=ancestral", "samples=2"],
            "samples=2, but ancestral writes one text in each chain. Set chains=2",
        ),
        (
            ["length=5", "block_length=2"],
            "block_length=2 is of method=ancestral and method=confidence, not of gibbs",
        ),
        (["length=5", "method=confidence", "block_length=0"], "block_length=0"),
        (["length=5", "plot=trace.svg"], "plot=trace.svg is no picture that can be written; it ends in .png"),
        (["length=5", "method=mask_predict", "plot=a.png"], "mask_predict has no chains to draw"),
        (["length=5", "method=confidence", "plot=a.png"], "confidence has no chains to draw"),
        (["text=['[MASK]','a [MASK]']", "plot=a.png"], "plot draws the chains of one text"),
        (["text=['[MASK] river','none']", "output=out.jsonl"], "'none' has no mask"),
    ],
)
def test_what_cannot_be_written_is_refused(hub_model, tmp_path, monkeypatch, overrides, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        generate(hub_model, *overrides)
    assert not list(tmp_path.glob("*"))


def test_the_program_reads_stdin(hub_model, tmp_path):
    own = [f"run={hub_model}", "hardware=cpu", "-", "output=-", *SHORT]
    done = call(ROOT / "src" / "generate.py", *own, cwd=tmp_path, stdin="the <mask> river\n")
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in in_lines(done.stdout)] == ["the <mask> river"] * 3

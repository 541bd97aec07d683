"""The loss matrix: several runs, masks and data sets in one evaluation, as users run it."""

import json
import math
import re
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.run import evaluation, matrix
from maskwright.run.evaluate import compare, compares, evaluate
from maskwright.run.overrides import quoted
from maskwright.run.several import expanded
from maskwright.settings.commands import EvaluateSettings
from maskwright.tasks import MaskedLanguageModeling
from tests.conftest import ROOT, compose_command

BRIEF = ("trainer.max_steps=2", "trainer.val_check_interval=2", "data.evaluation_limit=20")


def compared(*overrides: str):
    overrides = expanded(
        quoted(["hardware=cpu", "preparation.workers=1", *overrides], str(ROOT / "conf"), "evaluate"), "evaluate"
    )
    cfg = compose_command("evaluate", *overrides)
    assert compares(cfg)
    return compare(cfg, overrides)


def test_runs_are_evaluated_under_several_masks(run, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "sweep"
    runs = [
        run("mask=token", "mask.ratio=0.3", *BRIEF, run_dir=folder / "0"),
        run("mask=token", "mask.ratio=0.3", "seed=2", *BRIEF, run_dir=folder / "1"),
        run("mask=span", *BRIEF, run_dir=folder / "2"),
    ]
    seen = []
    hidden = MaskedLanguageModeling._hidden
    monkeypatch.setattr(
        MaskedLanguageModeling, "_hidden", lambda *given: seen.append(given[1]["examples"]) or hidden(*given)
    )
    capsys.readouterr()
    rows = compared(f"run={folder}", "masks=token,span,pmi", "ratios=0.15,0.4")
    shown = capsys.readouterr().out
    assert len(seen) == 3 * 6 * 2  # runs, masks and batches: the encoder sees each once
    assert [row.name for row in rows] == ["0", "1", "2"]
    for row, result in zip(rows, runs, strict=True):
        assert row.metrics["token 0.15/loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-6)
        assert row.metrics["token 0.15/accuracy"] == pytest.approx(result.metrics["test/accuracy"])
        assert (
            len({row.metrics[f"{mask} {share}/loss"] for mask in ("token", "span", "pmi") for share in (0.15, 0.4)})
            == 6
        )
        length = row.metrics["span 0.4/loss"] / math.log(2) / row.metrics["span 0.4/bits_per_byte"]
        assert 1 < length < 8
    assert [row.mask for row in rows] == ["token", "token", "span"]
    assert [row.trained_with for row in rows] == ["token 0.3", "token 0.3", "span 0.3"]

    [written] = (folder / "evaluations").iterdir()
    assert re.fullmatch("test-token-span-pmi-0.15-0.4-[0-9a-f]{8}", written.name)
    found = json.loads((written / "matrix.json").read_text())
    assert [row["metrics"] for row in found["rows"]] == [row.metrics for row in rows]
    tables = (written / "matrix.md").read_text()
    of_seeds = f"| 0, 1 | token 0.3 | 2 | {(rows[0].metrics['token 0.15/loss'] + rows[1].metrics['token 0.15/loss']) / 2:.4f} ± "
    assert of_seeds in tables
    line = f"| 2 | span 0.3 | {rows[2].metrics['token 0.15/loss']:.4f} | {rows[2].metrics['token 0.4/loss']:.4f} | "
    assert line + f"{rows[2].metrics['span 0.15/loss']:.4f} \\* |" in tables
    assert "bits per byte" in shown
    assert f"{rows[2].metrics['pmi 0.4/loss']:.4f} " in shown
    assert "favours it" in shown

    [alone] = compared(f"run={runs[2].run_dir}", "masks=span", "masks.span.ratio=0.4", "split=test")
    assert alone.name == "2"
    assert alone.metrics["span 0.4/loss"] == pytest.approx(rows[2].metrics["span 0.4/loss"], rel=1e-6)
    [folder] = (runs[2].run_dir / "evaluations").glob("test-span-0.4-*")
    assert (folder / "matrix.json").is_file()


def test_runs_with_other_tokenizers_and_one_that_knows_no_mask_of_it(run, tmp_path, capsys):
    first = run("mask=token", *BRIEF)
    second = run("mask=block", "mask/ratio=sampled", "tokenizer=bpe", "tokenizer.vocabulary_size=400", *BRIEF)
    rows = compared(f"run=[{first.run_dir},{second.run_dir}]", "masks=token", f"output={tmp_path / 'out'}")
    assert rows[1].mask is None
    assert rows[1].trained_with == "blocks sampled"
    assert "Bits per byte do." in " ".join((tmp_path / "out" / "matrix.md").read_text().split())


def test_a_run_is_evaluated_on_several_data_sets(run, corpus, films, reviews, tmp_path):
    masked = run(*BRIEF)
    data = ["data=imdb,text", f"data.imdb.source={films}", "data.imdb.published=null", f"data.text.source={corpus}"]
    rows = compared(f"run={masked.run_dir}", *data, "masks=token")
    assert [row.data for row in rows] == ["imdb", "text"]
    assert rows[1].metrics["token 0.15/loss"] == pytest.approx(masked.metrics["test/loss"], rel=1e-6)
    plain = compared(f"run={masked.run_dir},{masked.run_dir}", *data)
    assert rows[0].metrics["token 0.15/loss"] == pytest.approx(plain[0].metrics["loss"], rel=1e-6)
    [folder] = (masked.run_dir / "evaluations").glob("test-imdb-text-????????")
    table = (folder / "matrix.md").read_text()
    assert table.startswith("| run | data | loss | perplexity | accuracy |")
    assert f"| run | imdb | {plain[0].metrics['loss']:.4f} |" in table


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that returns the directory of a run of mlm and that of a classifier, each trained once."""
    folder = tmp_path_factory.mktemp("trained")

    def directories(run, reviews):
        if not (folder / "mlm").exists():
            run("trainer.max_steps=1", run_dir=folder / "mlm")
            run(
                "task=classification",
                "data=csv",
                f"data.source={reviews}",
                "trainer.max_steps=1",
                run_dir=folder / "labels",
            )
        return folder

    return directories


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["run={0}/labels", "masks=token"], "evaluates masked language models, but run=.*labels has the task Classification"),
        (["run={0}/mlm", "masks=token", "ratios=0.15,1.5"], r"ratios is 1\.5; a share of the tokens lies above 0"),
        (["run={0}/mlm", "masks=token", "ratios=[]"], "ratios is empty; name one or more"),
        (["run={0}/mlm", "masks=[]"], "masks is empty; name one or more"),
        (["run={0}/mlm", "data=[text]", "data.text.source={0}", "ratios=0.4"], r"ratios=\[0\.4\] are of masks, but none"),
        (["run=[]", "masks=token"], "run is empty; name one or more"),
        (["run={0}/mlm", "masks=none"], "The mask none hides no token"),
        (["run={0}/mlm", "masks=adaptive"], "The mask adaptive follows what a model predicts"),
        (["run={0}/mlm,", "masks=token"], "run is '.*mlm,', which has an empty name"),
        (["run=[{0}/mlm,'']", "masks=token"], "which has an empty name"),
        (["run={0}/mlm,{0}/missing", "masks=token"], "missing' has no checkpoint"),
        (["run={0}/mlm", "masks=entity", "masks.entity.units.source=tags"], "but the corpus has no tags"),
        (["run={0}/mlm", "masks=lexicon", "masks.lexicon.weights.lexicon={0}/none.txt"], "none.txt"),
        (
            ["run={0}/mlm", "data=imdb,wikipedia", "data.source={0}"],
            r"data\.source is said of one data set.*Write data\.imdb\.source for that of imdb",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(run, trained, reviews, monkeypatch, overrides, message):
    folder = trained(run, reviews)
    if overrides[-1] in ("masks=none", "masks=adaptive"):  # before any data is prepared
        monkeypatch.setattr(evaluation, "prepare", lambda _: pytest.fail("data is prepared"))
    with pytest.raises(UserError, match=message):
        compared(*(override.format(folder) for override in overrides))


def test_tables_of_other_evaluations_have_folders_of_their_own(tmp_path):
    def folder(*overrides, runs=("a", "b")):
        names = ",".join(str(tmp_path / own) for own in runs)
        given = expanded(["hardware=cpu", *overrides, f"run=[{names}]"], "evaluate")
        asked = EvaluateSettings.parse(OmegaConf.to_container(compose_command("evaluate", *given), resolve=True))
        first = SimpleNamespace(folder="test")
        return matrix._output(asked, [tmp_path / own for own in runs], first, ["span 0.15"])

    others = [
        ["masks=span", *own]
        for own in (
            [],
            ["checkpoint=last"],
            ["data.limit=5"],
            ["masks.span.units.max_words=5"],
            ["split=validation"],
        )
    ]
    found = [folder(*own) for own in others] + [folder("masks=span", runs=("a", "c"))]
    assert len({*found}) == len(found)
    assert folder("masks=span", "hardware.devices=2", "preparation.workers=1") == found[0]


def test_runs_of_other_tasks_in_a_folder_are_left_out(run, trained, reviews, capsys):
    folder = trained(run, reviews)
    [row] = compared(f"run={folder}", "masks=token")
    assert row.name == "mlm"
    assert "labels is left out; its task is Classification" in " ".join(capsys.readouterr().out.split())
    own = compose_command("evaluate", f"run={folder / 'mlm'}", "hardware=cpu")
    assert not compares(own)
    assert evaluate(own)["test/loss"] == pytest.approx(row.metrics["token 0.15/loss"], rel=1e-6)

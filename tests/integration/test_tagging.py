"""Tags of words that are no entities, and files of columns in many shapes, as users train on them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from maskwright.core.errors import UserError
from maskwright.run.saved import SavedRun
from tests.integration.test_evaluating import evaluated
from tests.integration.test_finetuning import tune  # noqa: F401

WORDS = {"DT": ["the", "a"], "NN": ["dog", "runs", "house"], "VBZ": ["runs", "sees"], ".": ["."]}
ORDER = ["DT", "NN", "VBZ", "DT", "NN", "."]
SHARES = ("data.splits.validation=0.2", "data.splits.test=0.2")


def sentences(number: int, seed: int = 0) -> list[list[tuple[str, str]]]:
    draw = np.random.default_rng(seed)
    return [[(str(draw.choice(WORDS[tag])), tag) for tag in ORDER] for _ in range(number)]


def in_columns(tagged: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(f"{word} {tag}\n" for word, tag in sentence) for sentence in tagged)


@pytest.fixture
def parts_of_speech(tmp_path):
    folder = tmp_path / "words"
    folder.mkdir()
    for seed, name in enumerate(("train", "dev", "test")):
        (folder / f"{name}.bio").write_text(in_columns(sentences(60, seed)))
    return folder


@pytest.mark.parametrize("task", ["tagging", "multitask_tagging"])
@pytest.mark.parametrize("crf", [False, True])
def test_tags_that_are_no_entities_are_scored_one_by_one(tune, parts_of_speech, capsys, task, crf):  # noqa: F811
    settings = (f"data.source={parts_of_speech}", f"task.crf={crf}", "optimizer.lr=1e-2", "trainer.max_steps=9")
    result = tune(task, *settings, "objective=validation/f1/VBZ")
    assert "the tags (., DT, NN, …) are no entities (data.scheme=plain)" in " ".join(
        capsys.readouterr().out.split()
    )
    rows = [json.loads(line) for line in (result.run_dir / "predictions.jsonl").open()]
    tags, predicted = ([tag for row in rows for tag in row[key]] for key in ("tags", "predicted"))
    assert [list(zip(row["words"], row["tags"], strict=True)) for row in rows] == sentences(60, 2)
    metrics = result.metrics
    assert 0.4 < metrics["test/accuracy"] == pytest.approx(accuracy_score(tags, predicted))
    means = precision_recall_fscore_support(tags, predicted, average="macro", zero_division=0)
    names = sorted(set(ORDER))
    of_tags = precision_recall_fscore_support(tags, predicted, labels=names, zero_division=0)
    for number, score in enumerate(("precision", "recall", "f1")):
        assert metrics[f"test/{score}"] == pytest.approx(means[number])
        assert [metrics[f"test/{score}/{name}"] for name in names] == pytest.approx(of_tags[number].tolist())
    assert result.objective == metrics["validation/f1/VBZ"] == metrics["best/validation/f1/VBZ"]
    # the run is opened again, and its labels are known
    assert not SavedRun.open(result.run_dir).labels.entities
    again = evaluated(result)
    assert {name: again[name] for name in again} == pytest.approx({name: metrics[name] for name in again})


def test_other_tags_are_refused_when_a_tagger_is_evaluated(tune, parts_of_speech, tmp_path):  # noqa: F811
    result = tune("tagging", f"data.source={parts_of_speech}", "trainer.max_steps=1")
    other = tmp_path / "other.conll"
    other.write_text(in_columns(sentences(5)).replace("VBZ", "VERB"))
    with pytest.raises(UserError, match=r"other\.conll, line 3, has the tag 'VERB' \(data\.tags\)"):
        evaluated(result, "data=conll", f"data.source={other}")


def test_tags_of_parquet_that_are_no_entities_are_scored_one_by_one(tune, tmp_path):  # noqa: F811
    folder = tmp_path / "hub"
    folder.mkdir()
    for seed, split in enumerate(("train", "validation", "test")):
        own = sentences(40, seed)
        columns = {"tokens": [[w for w, _ in s] for s in own], "pos_tags": [[t for _, t in s] for s in own]}
        pq.write_table(pa.table(columns), folder / f"{split}-0.parquet")
    result = tune("tagging", f"data.source={folder}", "data.tags=pos_tags", "trainer.max_steps=1")
    assert result.task.labels.names == (".", "DT", "NN", "VBZ")
    assert "test/f1/NN" in result.metrics


GERMEVAL = "".join(
    f"#\thttp://x/{n} [2009]\n1\t{name}\tB-PER\tO\n2\tging\tO\tO\n3\tnach\tO\tO\n4\tRom{n}\tB-LOC\tO\n\n"
    for n in range(40)
    for name in ("Ada", "Kurt")
)
BMES = "".join(f"Ada B_PER\nde M_PER\nKing{n} E_PER\nin O\nRom S_LOC\n\n" for n in range(80))
CHUNKS = "".join(f"Ada PER\nKing{n} PER\nging O\nnach O\nder O\nRom LOC\n\n" for n in range(80))
UNBROKEN = "".join(f"Ada B-PER\nsah O\nRom{n} B-LOC\n. O\n" for n in range(80))


@pytest.mark.parametrize(
    ("name", "text", "overrides", "kinds", "told"),
    [
        ("germeval.tsv", GERMEVAL, ("data.column=2", "data.tags=3"), ["LOC", "PER"], ""),
        ("names.bio", BMES, (), ["LOC", "PER"], ""),
        ("names.iob", CHUNKS, (), ["LOC", "PER"], ""),
        ("names.conll", CHUNKS.replace("PER", "PER-I").replace("LOC", "LOC-B"), (), ["LOC", "PER"], ""),
        ("names.txt", UNBROKEN, (), ["LOC", "PER"], "cut into sentences 79 times"),
        ("names.txt", CHUNKS, ("data.scheme=plain",), ["LOC", "O", "PER"], "are no entities"),
    ],
)
def test_files_of_columns_train(tune, tmp_path, capsys, name, text, overrides, kinds, told):  # noqa: F811
    (tmp_path / name).write_text(text)
    result = tune(
        "tagging", f"data.source={tmp_path / name}", "data.published={}", *SHARES, *overrides, "trainer.max_steps=2"
    )
    assert result.task.labels.kinds == kinds
    shown = " ".join(capsys.readouterr().out.split())
    assert told in shown
    assert "as published" not in shown


def test_counts_are_compared_with_those_of_published_data_alone(tune, names, tmp_path, capsys):  # noqa: F811
    counts = "data.published={train: {texts: 14041, ner_tags: 23499}}"
    tune("tagging", counts, "trainer.max_steps=1", run_dir=tmp_path / "published")
    shown = " ".join(capsys.readouterr().out.split())
    assert "holds 60 texts; as published it has 14,041" in shown
    assert "holds 120 entities; as published it has 23,499" in shown
    tune("tagging", counts, "data.tags=-1", "trainer.max_steps=1", run_dir=tmp_path / "last")
    assert "entities" not in capsys.readouterr().out  # which are counted in a column of that name
    folder = tmp_path / "own"
    folder.mkdir()
    for own, published in (("train", "eng.train"), ("dev", "eng.testa"), ("test", "eng.testb")):
        (folder / f"{own}.txt").write_text((names / published).read_text())
    tune("tagging", counts, f"data.source={folder}", "trainer.max_steps=1", run_dir=tmp_path / "run")
    assert "as published" not in " ".join(capsys.readouterr().out.split())


def test_a_test_split_without_tags_is_left_out(tune, names, tmp_path, capsys):  # noqa: F811
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("eng.train", "eng.testa"):
        (folder / name).write_text((names / name).read_text())
    (folder / "eng.testb").write_text("Ada\nwent\n\nGrace\nstayed\n")
    result = tune("tagging", f"data.source={folder}", "trainer.max_steps=3", "task.crf=true")
    assert "the test split has no tags, so it is left out" in " ".join(capsys.readouterr().out.split())
    assert "validation/f1" in result.metrics
    assert not [name for name in result.metrics if name.startswith("test/")]
    assert not (result.run_dir / "predictions.jsonl").exists()
    assert json.loads((result.run_dir / "summary.json").read_text())["status"] == "completed"
    with pytest.raises(UserError, match="split=test of .* has no labels to compare"):
        evaluated(result)
    assert evaluated(result, "split=validation")["validation/f1"] == pytest.approx(result.metrics["validation/f1"])
    (folder / "eng.train").write_text("Ada\nwent\n\n" * 9)
    with pytest.raises(UserError, match=r"words of the split 'train' of .* have no tags \(data\.tags=ner_tags\)"):
        tune("tagging", f"data.source={folder}", run_dir=tmp_path / "other")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("Ada O\nwent O\n\n", "Ada O\nwent O\n\n", r"All words have the tag 'O' \(data\.tags\).*another column"),
        ("Ada O\nwent O\n\n", "Ada B-PER\nwent O\n\n", None),
        ("Ada NE I-PER\nwent V O\n\n", "Ada NE\nwent V\n\n", r"has 3 columns and .*testb has 2.*data\.tags=2"),
        ("Ada I-PER,B-X\nwent O\n\n", "Ada O\n\n", "line 1, has several tags, joined as in"),
    ],
)
def test_a_wrong_column_is_told(tune, tmp_path, capsys, train, test, message):  # noqa: F811
    for name, text in (("eng.train", train), ("eng.testa", train), ("eng.testb", test)):
        (tmp_path / name).write_text(text * 20)
    settings = (f"data.source={tmp_path}", "trainer.max_steps=1")
    if message is None:
        tune("tagging", *settings, run_dir=tmp_path / "run")
        shown = " ".join(capsys.readouterr().out.split())
        assert "the training split has no entity; data.tags chooses the column of tags" in shown
        assert "no example" not in shown
    else:
        with pytest.raises(UserError, match=message):
            tune("tagging", *settings, run_dir=tmp_path / "run")

"""Every format that a source can be in, read into the same texts."""

import gzip
import io
import json
import re
import zipfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.labels import Labelled
from maskwright.corpora.source import Source
from tests.corpora.compressions import COMPRESSIONS
from tests.corpora.formats import FORMATS, write_rows

ROWS = [('gut, sehr "gut" – 中', "pos"), ("über\tzwei;Zeilen", "neg"), ("", "pos"), ("fin", "neg")]


def labelled(path, split="train", unlabelled=False, **settings) -> list[tuple[str, str | None]]:
    source = Source(str(path), None, **{"column": "text", "document": "row", "label": "label"} | settings)
    found = list(source.read(split, unlabelled))
    assert all(isinstance(text, Labelled) for text in found)
    return [(text.text, text.label) for text in found]


def delimited(delimiter: str, header: str | None = None) -> str:
    """ROWS as pandas writes them."""
    file = io.StringIO()
    import csv

    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerows([["id", "text", "label"]] if header is None else [])
    writer.writerows([number, *row] for number, row in enumerate(ROWS))
    return file.getvalue()


def rows_as_json() -> list[dict]:
    return [{"id": number, "text": text, "label": label} for number, (text, label) in enumerate(ROWS)]


LINES = "".join(json.dumps(row) + "\n" for row in rows_as_json())
TEXTS = {  # the name of a file, and what it holds
    "a.csv": delimited(","),
    "semicolons.csv": delimited(";"),
    "tabs.csv": delimited("\t"),
    "bars.csv": delimited("|"),
    "a.tsv": delimited("\t"),
    "commas.tsv": delimited(","),
    "A.CSV": delimited(","),
    "a.jsonl": LINES,
    "a.ndjson": LINES,
    "lines.json": LINES,
    "list.json": json.dumps(rows_as_json(), indent=2),
    "unescaped.json": json.dumps(rows_as_json(), ensure_ascii=False),
}


@pytest.mark.parametrize("name", TEXTS)
def test_tables_of_text_are_read(tmp_path, name):
    (tmp_path / name).write_text(TEXTS[name], encoding="utf-8")
    assert labelled(tmp_path / name) == ROWS


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "list.json"])
def test_compressed_tables_are_read_and_damage_is_told(tmp_path, name, compression):
    path = tmp_path / f"{name}.{compression}"
    content = COMPRESSIONS[compression](TEXTS[name].encode())
    path.write_bytes(content)
    assert labelled(path) == ROWS
    assert [own.name for own in tmp_path.iterdir()] == [path.name]  # nothing is unpacked
    path.write_bytes(content[: len(content) - 12])
    with pytest.raises(UserError, match=f"{re.escape(path.name)} cannot be read to its end"):
        labelled(path)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compressed_texts_are_read(tmp_path, compression):
    path = tmp_path / f"a.txt.{compression}"
    path.write_bytes(COMPRESSIONS[compression]("eins\n\nzwei ü\n".encode()))
    assert list(Source(str(path), None, "text", "paragraph").read("train")) == ["eins", "zwei ü"]


def test_a_zip_of_several_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("train.csv", "text\n")
        archive.writestr("test.csv", "text\n")
    with pytest.raises(UserError, match=r"a\.csv\.zip holds 2 files \(train.csv, test.csv\)"):
        labelled(tmp_path / "a.csv.zip")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "list.json"])
def test_byte_order_marks_or_the_config_say_the_encoding(tmp_path, name, encoding):
    given = encoding if encoding == "utf-16-le" else None
    content = TEXTS[name].encode(encoding)
    for path, own in ((tmp_path / name, content), (tmp_path / f"{name}.gz", gzip.compress(content))):
        path.write_bytes(own)
        assert labelled(path, encoding=given) == ROWS
    (tmp_path / "a.txt").write_bytes("eins\nüber".encode(encoding))
    texts = Source(str(tmp_path / "a.txt"), None, "text", "row", encoding=given).read("train")
    assert [text.strip() for text in texts] == ["eins", "über"]


GERMAN = "Die Bücher können für größere Häuser über die Straße getragen werden. " * 20


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", GERMAN),
        ("utf-16-le", GERMAN),
        ("utf-16-be", GERMAN),
        ("cp1251", "Книги лежат на столе у окна, и никто их не читает. " * 20),
        ("shift_jis", "これは日本語の文章です。図書館で本を読みます。" * 20),
    ],
)
def test_the_encoding_is_guessed_in_the_message_and_taken_from_the_config(tmp_path, encoding, text):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(UserError, match=r"is not UTF-8.*data\.encoding=") as error:
        list(Source(str(path), None, "text", "row").read("train"))
    guess = str(error.value).rpartition("data.encoding=")[2]
    for given in (encoding, guess):
        assert list(Source(str(path), None, "text", "row", encoding=given).read("train")) == [text]
    with pytest.raises(UserError, match=r"data.encoding=utf8x is no encoding"):
        list(Source(str(path), None, "text", "row", encoding="utf8x").read("train"))


def test_parquet_keeps_the_names_of_its_classes(tmp_path):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    own = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=features)
    (tmp_path / "set").mkdir()
    for path in (tmp_path / "one.parquet", tmp_path / "set" / "train-00000-of-00001.parquet"):
        own.to_parquet(path)
    for path in (tmp_path / "one.parquet", tmp_path / "set"):
        assert labelled(path) == [("a", "neg"), ("b", "pos"), ("c", None)]


def test_a_file_of_a_folder_of_the_hub_is_read_as_its_card_says(tmp_path, monkeypatch):
    monkeypatch.setattr("maskwright.corpora.source._LARGE", 0)
    (tmp_path / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - {name: text, dtype: string}\n"
        "  - {name: label, dtype: {class_label: {names: {'0': neg, '1': pos}}}}\n"
        "configs:\n- config_name: default\n  data_files:\n"
        "  - {split: train, path: a*}\n  - {split: test, path: b*}\n---\n"
    )
    for number, name in enumerate(("a0", "a1", "b")):
        (tmp_path / f"{name}.csv").write_text(f"text,label\nfilm {number},{number % 2}\n")
    source = Source(str(tmp_path), None, "text", "row", label="label")
    files = source.files_in_order(["train", "test"])
    assert [(split, path.stem) for split, path in files] == [("train", "a0"), ("train", "a1"), ("test", "b")]
    part = source.only({files[1][1]})
    assert part.splits() == {"train", "test"}
    assert [*part.read("train"), *part.read("test")] == [Labelled("film 1", "pos")]
    before = part.identity()
    (tmp_path / "a2.csv").write_text("text,label\nfilm 3,1\n")
    assert part.identity() == before
    (tmp_path / "README.md").touch()
    assert part.identity() != before


@pytest.mark.parametrize("kind", ["DatasetDict", "Dataset", "test"])
def test_what_save_to_disk_wrote_is_read(tmp_path, kind):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    own = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features)
    if kind == "test":
        own = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features, split="test")
    saved = datasets.DatasetDict({"train": own, "test": own}) if kind == "DatasetDict" else own
    saved.save_to_disk(tmp_path / "saved")
    source = Source(str(tmp_path / "saved"), None, "text", "row")
    assert source.splits() == {"DatasetDict": {"train", "test"}, "Dataset": {"train"}, "test": {"test"}}[kind]
    split = "test" if kind == "test" else "train"
    assert labelled(tmp_path / "saved", split) == [("a", "neg"), ("b", "pos")]
    if kind == "test":
        with pytest.raises(UserError, match=r"data\.splits\.train=test"):
            labelled(tmp_path / "saved")
    for path in (tmp_path / "saved").rglob("*.arrow"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="saved"):
        labelled(tmp_path / "saved", split)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("other", ["b.csv", "b.jsonl"])
def test_true_and_false_are_the_same_labels_in_all_formats(tmp_path, name, other):
    rows = [{"text": "x", "label": True}, {"text": "y", "label": False}]
    for path in (write_rows(tmp_path / name, rows), write_rows(tmp_path / other, rows)):
        for settings in ({}, {"labels": ("false", "true")}):
            assert labelled(path, **settings) == [("x", "true"), ("y", "false")]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("label", [1, 1.0, True])
def test_labels_get_other_names_in_all_formats(tmp_path, name, label):
    path = write_rows(tmp_path / name, [{"text": "x", "label": label}, {"text": "y", "label": type(label)(0)}])
    names = {"1": "pos", "true": "pos", "0": "neg", "false": "neg"}
    assert labelled(path, label_names=names, labels=("neg", "pos"))[0] == ("x", "pos")


def test_splits_of_other_formats_share_labels(tmp_path):
    write_rows(tmp_path / "train.csv", [{"text": "x", "label": 0}, {"text": "y", "label": 1}])
    write_rows(tmp_path / "test.jsonl", [{"text": "x", "label": "neg"}])
    names = {"0": "neg", "1": "pos"}
    assert labelled(tmp_path, label_names=names, labels=("neg", "pos")) == [("x", "neg"), ("y", "pos")]
    assert labelled(tmp_path, "test", label_names=names) == [("x", "neg")]


LISTS = {"words": [["Ada", "went"], ["home"]], "tags": [["B-PER", "O"], ["O"]]}


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz", "a.parquet"])
def test_lists_of_words_are_read(tmp_path, name):
    rows = [dict(zip(LISTS, values, strict=True)) for values in zip(*LISTS.values(), strict=True)]
    if name == "a.parquet":
        pq.write_table(pa.table(LISTS), tmp_path / name)
    elif name == "a.json":
        (tmp_path / name).write_text(json.dumps(rows))
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (tmp_path / name).write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    found = list(Source(str(tmp_path / name), None, "words", "row", tags="tags").read("train"))
    assert [(text.words, text.tags) for text in found] == list(zip(*LISTS.values(), strict=True))
    with pytest.raises(UserError, match=r"holds a list in 'words'.*data\.tags"):
        list(Source(str(tmp_path / name), None, "words", "row").read("train"))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("row", [{}, {"label": None}], ids=["no column", "no value"])
def test_a_test_split_may_lack_labels(tmp_path, name, row):
    path = write_rows(tmp_path / name, [{"text": "x", **row}])
    assert labelled(path, unlabelled=True) == [("x", None)]
    if not row:
        with pytest.raises(UserError, match="has no column 'label'"):
            labelled(path)
    elif name.startswith(("a.csv", "a.tsv")):
        with pytest.raises(UserError, match="line 2, has an empty label"):
            labelled(path)


def test_a_column_of_labels_with_a_wrong_name_is_refused(tmp_path):
    write_rows(tmp_path / "a.csv", [{"text": "x", "lable": 0}])
    with pytest.raises(UserError, match="has no column 'label'.*Did you mean 'lable'"):
        labelled(tmp_path)


@pytest.mark.parametrize(
    "columns", [("premise", "hypothesis"), ("sentence1", "sentence2"), ("question", "sentence")]
)
def test_columns_of_pairs_are_read_where_both_are_named(tmp_path, columns):
    (tmp_path / "a.csv").write_text(f"{','.join(columns)},label\nx,y,1\n")
    with pytest.raises(UserError, match=rf"data.column=\[{','.join(columns)}\]"):
        labelled(tmp_path / "a.csv")
    source = Source(str(tmp_path / "a.csv"), None, columns, "row", label="label")
    assert [*source.read("train")] == [Labelled("x", "1", "y")]


@pytest.mark.parametrize("content", [r'{"text": "a \ud800 b", "label": "x"}', r'{"text": "a", "label": "\udc00"}'])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_half_a_character_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(f'{{"text": "\\ud83d\\ude00", "label": "x"}}\n{content}\n')
    with pytest.raises(UserError, match=r"line 2, holds \\ud[8c]00 by itself"):
        labelled(tmp_path / name)


def test_what_may_not_be_read_is_told_in_one_sentence(tmp_path, monkeypatch):
    """These tests may run as a user who may read everything."""

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path / "a.csv"))

    (tmp_path / "a.csv").write_text("text\nx\n")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "is_file", refuse)
        with pytest.raises(UserError, match="may not be read by this user"):
            Source(str(tmp_path / "a.csv"), None, "text", "row").splits()
    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", refuse)
        with pytest.raises(UserError, match="a.csv may not be read by this user: Permission denied"):
            labelled(tmp_path / "a.csv")
    with monkeypatch.context() as patched:
        patched.setattr("os.scandir", refuse)
        with pytest.raises(UserError, match="may not be read by this user"):
            Source(str(tmp_path), None, "text", "row").splits()


def test_other_files_and_folders_are_read_as_datasets_reads_them(tmp_path):
    own = pa.table({"text": ["a", "b"], "label": ["x", "y"]})
    (tmp_path / "more").mkdir()
    for path in (tmp_path / "a [1].arrow", tmp_path / "more" / "train.arrow"):
        with pa.ipc.new_stream(str(path), own.schema) as writer:
            writer.write_table(own)
        assert labelled(path) == [("a", "x"), ("b", "y")]
    assert labelled(tmp_path / "more") == [("a", "x"), ("b", "y")]
    (tmp_path / "more" / "train.arrow").rename(tmp_path / "more" / "test.arrow")
    with pytest.raises(UserError, match=r"data\.splits\.train=test"):
        labelled(tmp_path / "more")

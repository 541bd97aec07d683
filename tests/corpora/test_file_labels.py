"""Labels in the names of files and folders."""

import gzip

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.source import Source


def read(path, split="train", **settings):
    source = Source(str(path), None, "text", "row", label="file", **settings)
    return sorted((text.text.strip(), text.label) for text in source.read(split))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.mark.parametrize(
    "layout",
    [
        {"pos.txt": "fine\ngood", "neg.txt": "bad"},
        {"pos.txt.gz": "fine\ngood", "neg.txt": "bad"},
        {"pos/1.txt": "fine", "pos/2.txt": "good", "neg/1.txt": "bad"},
        {"train/pos.txt": "fine\ngood", "train/neg.txt": "bad", "test/pos.txt": "held out"},
        {"train_pos.txt": "fine\ngood", "neg.train.txt": "bad", "test_pos.txt": "held out"},
        {"pos/train.txt": "fine", "pos/train2.txt": "good", "neg/train.txt": "bad", "pos/test.txt": "held out"},
        {
            "train/pos/1.txt": "fine",
            "train/pos/2.txt": "good",
            "train/neg/1.txt": "bad",
            "test/pos/1.txt": "held out",
        },
    ],
)
def test_names_are_labels(tmp_path, layout):
    for name, text in layout.items():
        write(tmp_path / "films" / name, text)
    assert read(tmp_path / "films") == [("bad", "neg"), ("fine", "pos"), ("good", "pos")]
    if "held out" in layout.values():
        assert read(tmp_path / "films", "test") == [("held out", "pos")]


def test_a_file_in_a_folder_of_its_label_is_one_text(tmp_path):
    write(tmp_path / "pos" / "1.txt", "two\nlines\n")
    assert read(tmp_path) == [("two\nlines", "pos")]
    assert read(tmp_path, label_names={"pos": "1"}) == [("two\nlines", "1")]


def test_names_that_are_no_labels_are_refused(tmp_path):
    write(tmp_path / "train.txt", "x")
    with pytest.raises(UserError, match="has the name of a split, and none of a label"):
        read(tmp_path)
    write(tmp_path / "films" / "pos.txt", "x")
    with pytest.raises(UserError, match="data.label=file where the names of files or folders are labels"):
        list(Source(str(tmp_path / "films"), None, "text", "row", label="label").read("train"))

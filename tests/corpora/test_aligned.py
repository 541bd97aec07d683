"""Texts and their translations in two files."""

import gzip

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.labels import Labelled
from maskwright.corpora.recipe import source_recipe

PAIR = ["en", "de"]


def source(place, column=PAIR, **settings):
    return source_recipe(
        place if isinstance(place, list) else str(place), column=column, splits={"train": "train"}, **settings
    ).source


def write(folder, name, *lines, ending="\n"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes("".join(f"{line}{ending}" for line in lines).encode())
    return str(folder / name)


def test_two_files_are_one_source(tmp_path):
    files = [
        write(tmp_path, "corpus.de", "eins", "zwei", "drei"),
        write(tmp_path, "corpus.en", "one", "two", "three"),
    ]
    own = source(files)
    assert own.paired
    assert own.splits() == {"train"}
    expected = [("one", "eins"), ("two", "zwei"), ("three", "drei")]
    assert list(own.read("train")) == [Labelled(a, None, b) for a, b in expected]
    turned = source(files, ["de", "en"])
    assert [(pair.text, pair.second) for pair in turned.read("train")] == [(b, a) for a, b in expected]
    assert own.identity() != turned.identity()


def test_a_folder_holds_the_files_of_each_split_and_others(tmp_path):
    for split in ("train", "valid", "test_2016"):
        for language in PAIR:
            write(tmp_path, f"{split}.{language}.txt", f"{split} {language}")
    write(tmp_path, "test_2016.fr.txt", "another language", "of another length")
    write(tmp_path, "README.md", "about")
    own = source(tmp_path)
    assert own.splits() == {"train", "validation", "test"}
    assert [(pair.text, pair.second) for pair in own.read("validation")] == [("valid en", "valid de")]


def test_files_may_be_compressed_and_have_ends_of_lines_of_windows(tmp_path):
    write(tmp_path, "a.en", "one\u2028still one", "", ending="\r\n")
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(b"eins\nzwei\n"))
    own = source(tmp_path)
    assert [(pair.text, pair.second) for pair in own.read("train")] == [
        ("one\u2028still one", "eins"),
        ("", "zwei"),
    ]


def test_files_of_different_lengths_are_refused(tmp_path):
    first, second = write(tmp_path, "a.en", "one", "two", "three", "four"), write(tmp_path, "a.de", "eins", "zwei")
    message = f"{first} has 4 lines, and {second} has 2, .*: line 3 of {first} \\('three'\\) is the first without one in {second}"
    with pytest.raises(UserError, match=message):
        list(source(tmp_path).read("train"))
    with pytest.raises(UserError, match=message):  # whatever of it is wanted
        next(iter(source([first, second]).read("train")))


def test_a_file_without_its_translation_is_refused(tmp_path):
    for name in ("train.en", "train.de", "test.en"):
        write(tmp_path, name, "text")
    with pytest.raises(UserError, match=r"test\.en, but no test\.de with its translations"):
        source(tmp_path).find()


def test_tables_of_two_columns_are_no_files_of_lines(tmp_path):
    write(tmp_path, "pairs.csv", "en,de", "one,eins")
    own = source(tmp_path)
    assert own.find()[0] == "files"
    assert [(pair.text, pair.second) for pair in own.read("train")] == [("one", "eins")]

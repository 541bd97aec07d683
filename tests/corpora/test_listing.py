"""Which files belong to which split: the same for all formats."""

import gzip
import json
import tarfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.listing import at, expand, split_named
from maskwright.corpora.source import Source


def write(path: Path, *texts: str) -> None:
    """Writes texts in the format that the name of the file says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": list(texts)}), path)
        return
    lines = {
        **{ending: list(texts) for ending in (".txt", ".conll", ".md", ".xml")},
        ".csv": ["text", *texts],
        ".tsv": ["text\tid", *(f"{text}\t1" for text in texts)],
        ".jsonl": [json.dumps({"text": text}) for text in texts],
        ".json": [json.dumps([{"text": text} for text in texts])],
    }
    suffix = path.suffixes[-2] if path.suffix == ".gz" else path.suffix
    content = "".join(f"{line}\n" for line in lines[suffix]).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


FORMATS = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet", ".csv.gz")


def source(path) -> Source:
    return Source(str(path), None, "text", "row")


def read(path, split="train") -> list[str]:
    return sorted(str(text).strip() for text in source(path).read(split))


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(
    ("names", "splits"),
    [
        ("train val test", "train validation test"),
        ("training dev testing", "train validation test"),
        ("my.train my_valid my-evaluation", "train validation test"),
        ("train/part dev/part test/part", "train validation test"),
        ("data/train_1/a data/val_1/a data/test_1/a", "train validation test"),
        ("train eval labels", "train test other"),
        ("train/train train/test val/train", "train test validation"),
        ("train-00000-of-00001 unsupervised-00000-of-00001", "train unsupervised"),
        ("train_test a", "test other"),
        ("a b", "train train"),
        ("latest contest", "train train"),
    ],
)
def test_names_of_files_and_folders_say_the_split(tmp_path, ending, names, splits):
    folder = tmp_path / "reviews"
    expected: dict[str, list[str]] = {}
    for name, split in zip(names.split(), splits.split(), strict=True):
        write(folder / f"{name}{ending}", name)
        expected.setdefault(split, []).append(name)
    assert source(folder).splits() == expected.keys()
    for split, texts in expected.items():
        assert read(folder, split) == sorted(texts)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("name", ["test", "dev", "val", "eval", "valid", "my_test", "test/part"])
def test_what_is_called_test_is_trained_on_only_where_that_is_said(tmp_path, ending, name):
    write(tmp_path / "reviews" / f"{name}{ending}", "x")
    [split] = source(tmp_path / "reviews").splits()
    with pytest.raises(UserError, match=rf"has no split 'train'.*data\.splits\.train={split}"):
        read(tmp_path / "reviews")
    assert read(tmp_path / "reviews", split) == ["x"]
    if "/" not in name:
        with pytest.raises(UserError, match=rf"data\.splits\.train={split}"):
            read(tmp_path / "reviews" / f"{name}{ending}")


@pytest.mark.parametrize("pattern", ["{}", "{}/*.csv", "{}/**/*.csv"])
def test_a_folder_that_is_called_test_says_so_itself(tmp_path, pattern):
    write(tmp_path / "test" / "part.csv", "x")
    assert source(pattern.format(tmp_path / "test")).splits() == {"test"}
    write(tmp_path / "test" / "train.csv", "y")
    assert read(pattern.format(tmp_path / "test")) == ["y"]


def test_another_name_of_a_split_is_told(tmp_path):
    write(tmp_path / "train.csv", "x")
    write(tmp_path / "dev.csv", "y")
    with pytest.raises(UserError, match="validation instead of dev"):
        read(tmp_path, "dev")


def test_files_without_a_split_are_left_out_and_named(tmp_path):
    for name in ("train", "test", "labels"):
        write(tmp_path / f"{name}.csv", name)
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    (tmp_path / "README.md").write_text("# Reviews")
    assert read(tmp_path) == ["train"]
    assert read(tmp_path, "other") == ["labels"]
    assert source(tmp_path).left_out() == {"other": ["labels.csv"], "unread": ["notes.pdf"]}


def test_hidden_folders_are_skipped_and_links_are_followed_once(tmp_path):
    folder, elsewhere = tmp_path / "reviews", tmp_path / "elsewhere"
    write(folder / "a.csv", "a")
    write(folder / ".ipynb_checkpoints" / "a-checkpoint.csv", "a")
    write(elsewhere / "b.csv", "b")
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    (folder / "again.csv").symlink_to(folder / "a.csv")
    assert read(folder) == ["a", "b"]
    assert read(f"{folder}/**/*.csv") == ["a", "b"]
    assert read(f"{folder}/**") == ["a", "b"]


def test_hidden_folders_of_a_label_tree_are_skipped_and_links_followed(tmp_path):
    write(tmp_path / "films" / "train" / "neg" / "1.txt", "bad")
    write(tmp_path / "films" / "train" / ".ipynb_checkpoints" / "1-checkpoint.txt", "hidden")
    write(tmp_path / "good" / "2.txt", "good")
    (tmp_path / "films" / "train" / "pos").symlink_to(tmp_path / "good")
    write(tmp_path / "films" / "dev" / "neg" / "3.txt", "dull")
    labelled = Source(str(tmp_path / "films"), None, "text", "row", label="label")
    assert sorted((text.text.strip(), text.label) for text in labelled.read("train")) == [
        ("bad", "neg"),
        ("good", "pos"),
    ]
    assert read(tmp_path / "films", "validation") == ["dull"]
    with pytest.raises(UserError, match=r"has no split 'test' \(data.splits\); it has train, validation"):
        list(labelled.read("test"))


@pytest.mark.parametrize("ending", FORMATS)
def test_several_files_are_named_in_all_formats(tmp_path, ending):
    for name in ("a", "more/b", "train", "test"):
        write(tmp_path / f"{name}{ending}", name)
    a, b = f"{tmp_path}/a{ending}", f"{tmp_path}/more/b{ending}"
    several = Source((a, b, a), None, "text", "row")
    assert [text.strip() for text in several.read("train")] == ["a", "more/b"]
    assert source(f"{tmp_path}/{{train,test}}{ending}").splits() == {"train", "test"}
    assert read(f"{tmp_path}/{{a,more/b}}{ending}") == ["a", "more/b"]
    assert read(f"{tmp_path}/**/*{ending}", "other") == ["a", "more/b"]


def test_braces_are_expanded_as_in_a_shell(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.csv", name)
    assert expand("{a,b{1,2}}.txt") == ["a.txt", "b1.txt", "b2.txt"]
    (tmp_path / "{a,b}.csv").write_text("text\nbraces\n")
    assert read(f"{tmp_path}/{{a,b}}.csv") == ["braces"]
    with pytest.raises(UserError, match=r"c\.csv' does not exist"):
        read(f"{tmp_path}/{{a,c}}.csv")
    with pytest.raises(UserError, match=r"only files of one kind.*data\.sources"):
        list(Source((f"{tmp_path}/a.csv", "owner/name"), None, "text", "row").read("train"))


def test_words_in_names_are_those_of_datasets():
    from datasets.data_files import SPLIT_KEYWORDS

    for split, keywords in SPLIT_KEYWORDS.items():
        for keyword in keywords:
            assert split_named(f"my_{keyword}-01.csv") == str(split)
            assert split_named(f"my{keyword}s.csv") is None


def test_files_rewritten_in_place_are_other_sources(tmp_path):
    for folder in ("plain", "films/train/neg"):
        path = tmp_path / folder / "1.txt"
        write(path, "before")
        own = Source(str(tmp_path / folder.split("/")[0]), None, "text", "row")
        before = own.identity()
        assert own.identity() == before
        write(path, "after it")
        assert own.identity() != before


def test_a_folder_of_parts_of_a_dump_is_a_dump(tmp_path):
    for number in (1, 2):
        (tmp_path / f"dewiki-pages-articles{number}.xml").write_text("<mediawiki/>")
    (tmp_path / "dewiki-index.txt").write_text("0:10:Anarchie")
    assert source(tmp_path).find()[0] == "dump"
    assert source(tmp_path).splits() == {"train"}
    assert source(tmp_path).left_out()["unread"] == ["dewiki-index.txt"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("books", True),
        ("books/a.txt", True),
        ("books/*.txt", True),
        ("books/{a,b}.txt", True),
        ("books/other.txt", False),
        ("imdb", False),
        ("~/books", False),
        ("pkg://package/books", False),
        ("/books", False),
    ],
)
def test_relative_names_are_seen_from_elsewhere(tmp_path, name, found):
    for letter in "ab":
        write(tmp_path / "books" / f"{letter}.txt", "A text.")
    seen = f"{tmp_path}/{name}" if found else name
    assert at(str(tmp_path), name) == seen
    assert at(str(tmp_path), [name, name]) == [seen, seen]


@pytest.mark.parametrize("kind", ["tree", "archive", "columns", "hub", "saved", "dump"])
def test_a_source_that_has_a_test_split_alone_says_how_to_train_on_it(tmp_path, kind):
    path, settings = tmp_path / "source", {}
    match kind:
        case "tree" | "archive":
            write(path / "test" / "pos" / "1.txt", "x")
            if kind == "archive":
                with tarfile.open(tmp_path / "a.tar", "w") as archive:
                    archive.add(path, "films")
                path = tmp_path / "a.tar"
        case "columns":
            write(path / "test.conll", "x O")
            settings = {"column": "tokens", "tags": "ner_tags"}
        case "hub":
            write(path / "test-00000-of-00001.parquet", "x")
            write(path / "README.md", "---\nlicense: mit\n---")
        case "saved":
            datasets.Dataset.from_dict({"text": ["x"]}, split="test").save_to_disk(path)
        case "dump":
            write(path / "test-pages-articles.xml", "<mediawiki/>")
    own = Source(**{"source": str(path), "config": None, "column": "text", "document": "row"} | settings)
    assert own.splits() == {"test"}
    with pytest.raises(UserError, match=r"has no split 'train'.*data\.splits\.train=test"):
        list(own.read("train"))
    if kind != "dump":
        assert len(list(own.read("test"))) == 1

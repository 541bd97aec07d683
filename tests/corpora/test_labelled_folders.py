"""Archives of labelled texts."""

import bz2
import gzip
import io
import tarfile

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora import labelled_folders
from maskwright.corpora.labels import Spelling
from maskwright.corpora.source import Source


@pytest.fixture
def archive() -> bytes:
    """Twenty texts as an uncompressed tarball: a header and a block of text each."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as written:
        for number in range(20):
            member = tarfile.TarInfo(f"aclImdb/train/{['neg', 'pos'][number % 2]}/{number}_1.txt")
            member.size = 5
            written.addfile(member, io.BytesIO(b"films"))
    return file.getvalue()


def read(path, content: bytes) -> int:
    path.write_bytes(content)
    return len(list(labelled_folders.read(path, "train")))


def test_archives_are_read(tmp_path, archive):
    assert read(tmp_path / "a.tar", archive) == 20
    assert read(tmp_path / "a.tar.gz", gzip.compress(archive)) == 20
    assert read(tmp_path / "a.tar.bz2", bz2.compress(archive)) == 20


def test_the_error_for_an_unknown_label_names_the_text(tmp_path, archive):
    path = tmp_path / "a.tar"
    path.write_bytes(archive)
    with pytest.raises(UserError, match=r"a\.tar: aclImdb/train/neg/0_1\.txt has the label 'neg'.*data\.labels"):
        list(labelled_folders.read(path, "train", Spelling(["pos", "bad"])))


HEADER = 10 * 2 * tarfile.BLOCKSIZE  # of the eleventh text


def test_damaged_archives_are_refused(tmp_path, archive):
    def refused(name: str, content: bytes) -> None:
        with pytest.raises(UserError, match=f"{name}' is no archive that can be read to its end"):
            read(tmp_path / name, content)

    damaged = archive[:HEADER] + b"\xff" * 8 + archive[HEADER + 8 :]
    refused("header.tar", damaged)
    refused("header.tar.gz", gzip.compress(damaged))
    refused("cut.tar", archive[:HEADER])
    refused("cut.tar.gz", gzip.compress(archive[:HEADER]))
    whole = gzip.compress(archive)
    refused("end.tar.gz", whole[:-12])
    refused("checksum.tar.gz", whole[:-8] + b"\0" * 4 + whole[-4:])
    refused("middle.tar.gz", whole[:60] + b"\xff" * 20 + whole[80:])
    whole = bz2.compress(archive)
    refused("middle.tar.bz2", whole[:60] + b"\xff" * 20 + whole[80:])


# where texts lie -> where they are read: (split, label), or no split
LAYOUTS = {
    "as aclImdb": {
        "train/pos/0_9.txt": ("train", "pos"),
        "test/neg/0_1.txt": ("test", "neg"),
        "train/unsup/0_0.txt": ("unsupervised", None),
        "train/urls_pos.txt": None,
    },
    "with folders in labels": {
        "train/pos/2021/a.txt": ("train", "pos"),
        "train/pos/2021/05/b.txt": ("train", "pos"),
        "train/neg/c.txt": ("train", "neg"),
        "dev/neg/2022/d.txt": ("validation", "neg"),
    },
    "wrapped": {"data/aclImdb/train/pos/a.txt": ("train", "pos"), "data/aclImdb/test/neg/b.txt": ("test", "neg")},
    "held out below": {
        "train/pos/a.txt": ("train", "pos"),
        "train/pos/test/b.txt": ("test", "pos"),
        "test/train/pos/c.txt": ("test", "pos"),
    },
    "not all in place": {
        "train/pos/a.txt": ("train", "pos"),
        "train/lost.txt": "unread",
        "stray.txt": "unread",
        "train/pos/b.pdf": "unread",
        "more/pos/c.txt": "other",
        "README.md": None,
        "train/.cache/d.txt": None,
    },
}


def place_in(tmp_path, kind, layout):
    """Writes files whose texts are their paths, as a folder or an archive."""
    folder = tmp_path / "films"
    for name in layout:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    if kind == "folder":
        return folder
    with tarfile.open(tmp_path / "films.tar.gz", "w:gz") as archive:
        archive.add(folder, "films" if kind == "archive" else ".")
    return tmp_path / "films.tar.gz"


@pytest.mark.parametrize("kind", ["folder", "archive", "archive of ."])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_text_of_a_tree_is_read_or_named(tmp_path, kind, layout):
    source = Source(str(place_in(tmp_path, kind, layout)), None, "text", "row", label="label")
    read = {name: place for name, place in layout.items() if isinstance(place, tuple)}
    left_out = {
        why: sorted(name.split("/")[-1] for name, place in layout.items() if place == why)
        for why in ("other", "unread")
    }
    splits = {split for split, _ in read.values()}
    assert source.splits() - {"other"} == splits
    found = {text.text: (split, text.label) for split in splits for text in source.read(split)}
    assert found == read
    assert {why: sorted(names) for why, names in source.left_out().items()} == left_out


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_texts_of_a_tree_are_read_in_their_encoding(tmp_path, encoding):
    path = tmp_path / "train" / "pos" / "1.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes("Schön!\r\n".encode(encoding))

    def texts(encoding=None):
        source = Source(str(tmp_path), None, "text", "row", label="label", encoding=encoding)
        return [text.text for text in source.read("train")]

    if encoding == "cp1252":
        with pytest.raises(
            UserError, match=r"train/pos/1\.txt is not UTF-8: the byte at offset 3 .*data\.encoding"
        ):
            texts()
        assert texts("cp1252") == ["Schön!\r\n"]
    else:
        assert texts() == ["Schön!\r\n"]
    with pytest.raises(UserError, match="data.encoding=utf8x is no encoding"):
        texts("utf8x")

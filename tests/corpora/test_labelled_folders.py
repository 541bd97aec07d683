"""Archives of labelled texts."""

import bz2
import gzip
import io
import tarfile

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora import labelled_folders
from maskwright.corpora.labels import Spelling


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

"""How tests compress what a file holds, by the endings of files."""

import bz2
import gzip
import io
import lzma
import zipfile

import pyarrow as pa


def zipped(content: bytes, name: str = "inside.csv") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__MACOSX/._x", b"")
        archive.writestr(name, content)
    return file.getvalue()


def zstandard(content: bytes) -> bytes:
    """Two frames, one after the other."""
    half = len(content) // 2
    return b"".join(pa.compress(part, "zstd", asbytes=True) for part in (content[:half], content[half:]))


COMPRESSIONS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard,
    "zip": zipped,
}

"""Tokens on disk: a corpus as flat, memory-mapped arrays.

A folder holds four arrays and a description:

* `ids.bin`: the ids of all documents, each document closed by a separator token; uint16 where the
  vocabulary allows it, else uint32.
* `flags.bin`: uint8 per id; bit 0 says that the token starts a word.
* `ends.bin`: int64 per document, the index after its separator.
* `counts.bin`: int64 per token of the vocabulary, how often it occurs; separators not counted.
* `metadata.json`: counts, types, and `unigram_entropy`, in nats per token.

A corpus of several shards has such a folder for each, and one with the counts of all of them, whose metadata names
the shards; they are read as one.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.core.parallel import Workers, parallel_map
from maskwright.text.joined import Joined
from maskwright.text.tokenizer import Tokenizer

WORD_START = 1

TextSlice = Callable[[int, int], list[str]]  # (first, last) -> texts of the documents [first, last)


@dataclass(frozen=True)
class Tokens:
    """The arrays of one folder.

    Attributes:
        ids: (N,) of all tokens and separators.
        flags: (N,) uint8.
        ends: (D,) int64.
        counts: (V,) int64, occurrences of each id.
        unigram_entropy: entropy of the distribution of tokens, in nats; separators not counted.
    """

    ids: np.ndarray | Joined
    flags: np.ndarray | Joined
    ends: np.ndarray | Joined
    counts: np.ndarray
    unigram_entropy: float

    @property
    def documents(self) -> int:
        return len(self.ends)

    @property
    def count(self) -> int:
        """Number of tokens, separators not counted."""
        return len(self.ids) - len(self.ends)

    @classmethod
    def open(cls, folder: Path) -> "Tokens":
        """Opens the arrays in a folder, memory-mapped."""
        metadata = json.loads((folder / "metadata.json").read_text())
        counts = np.fromfile(folder / "counts.bin", "int64")
        if "shards" in metadata:
            parts = [cls.open(folder / shard) for shard in metadata["shards"]]
            return cls(
                Joined([part.ids for part in parts]),  # type: ignore[misc]
                Joined([part.flags for part in parts]),  # type: ignore[misc]
                Joined([part.ends for part in parts], counted=True),  # type: ignore[misc]
                counts,
                metadata["unigram_entropy"],
            )

        def array(name: str, dtype: str) -> np.ndarray:
            path = folder / name  # an empty file cannot be mapped
            return np.memmap(path, dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype)

        return cls(
            array("ids.bin", metadata["dtype"]),
            array("flags.bin", "uint8"),
            array("ends.bin", "int64"),
            counts,
            metadata["unigram_entropy"],
        )


def write_tokens(
    folder: Path,
    open_texts: Callable[[], dict[str, TextSlice]],
    shards: dict[str, list[tuple[int, int]]],
    tokenizer_folder: Path,
    workers: Workers,
    advance: Callable[[int, int], None],
    id_type: str = "auto",
) -> None:
    """Tokenizes the splits of a corpus on `workers` processes, each into a folder for `Tokens.open`.

    Args:
        open_texts: picklable; called once in each process, returns functions that read the texts of each split.
        shards: for each split the runs of documents, (first, one after the last), that are tokenized together.
        advance: called with how many documents and how many tokens were just finished.
        id_type: `uint16`, `uint32`, or `auto` for the smaller one that holds the vocabulary.
    """
    tokenizer = Tokenizer.load(tokenizer_folder)
    dtype = id_type
    if id_type == "auto":
        dtype = "uint16" if len(tokenizer) <= 2**16 else "uint32"
    writers = {split: _Writer(folder / split, dtype, tokenizer) for split in shards}
    opening = (open_texts, tokenizer_folder, dtype)
    jobs = ((split, first, last) for split, runs in shards.items() for first, last in runs)
    try:
        for split, ids, flags, lengths in parallel_map(_encode, jobs, workers, _open_worker, opening):
            writers[split].write(ids, flags, lengths)
            advance(len(lengths), len(ids) - len(lengths))
    finally:
        for writer in writers.values():
            writer.close()


def join_tokens(folder: Path, shards: Sequence[Path], splits: Sequence[str]) -> None:
    """Writes a folder for each split, which `Tokens.open` opens as those of all shards, in this order.

    Args:
        shards: what `write_tokens` wrote, beside the folder that `folder` will be.
    """
    for split in splits:
        own = folder / split
        own.mkdir()
        described = [json.loads((shard / split / "metadata.json").read_text()) for shard in shards]
        counts = sum(np.fromfile(shard / split / "counts.bin", "int64") for shard in shards)
        assert isinstance(counts, np.ndarray)
        counts.tofile(own / "counts.bin")
        metadata = {
            "dtype": described[0]["dtype"],
            "documents": sum(shard["documents"] for shard in described),
            "unigram_entropy": entropy(counts),
            "shards": [os.path.join("..", "..", shard.name, split) for shard in shards],
        }
        (own / "metadata.json").write_text(json.dumps(metadata, indent=2))


class _Writer:
    """Appends to the arrays of one folder."""

    def __init__(self, folder: Path, dtype: str, tokenizer: Tokenizer):
        folder.mkdir()
        self.folder, self.dtype, self.separator = folder, dtype, tokenizer.sep_id
        self.files = [(folder / name).open("wb") for name in ("ids.bin", "flags.bin", "ends.bin")]
        self.counts = np.zeros(len(tokenizer), dtype=np.int64)
        self.total = self.documents = 0

    def write(self, ids: np.ndarray, flags: np.ndarray, lengths: list[int]) -> None:
        ends = (np.cumsum(lengths) + self.total).astype("int64")
        for file, array in zip(self.files, (ids, flags, ends), strict=True):
            file.write(array.data)
        self.total += len(ids)
        self.documents += len(lengths)
        self.counts += np.bincount(ids, minlength=len(self.counts))

    def close(self) -> None:
        for file in self.files:
            file.close()
        self.counts[self.separator] = 0
        self.counts.tofile(self.folder / "counts.bin")
        metadata = {
            "dtype": self.dtype,
            "documents": self.documents,
            "unigram_entropy": entropy(self.counts),
        }
        (self.folder / "metadata.json").write_text(json.dumps(metadata, indent=2))


def entropy(counts: np.ndarray) -> float:
    """Returns the entropy, in nats, of the distribution that `counts` estimate; 0 where there are none."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum()) + 0.0


_worker: tuple[dict[str, TextSlice], Tokenizer, str] | None = None


def _open_worker(open_texts: Callable[[], dict[str, TextSlice]], tokenizer_folder: Path, dtype: str) -> None:
    global _worker
    _worker = open_texts(), Tokenizer.load(tokenizer_folder), dtype


def _encode(shard: tuple[str, int, int]) -> tuple[str, np.ndarray, np.ndarray, list[int]]:
    """Returns the split, ids, flags and lengths of the documents of a shard, separators included."""
    assert _worker is not None
    texts, tokenizer, dtype = _worker
    split, first, last = shard
    separator, opens = np.array([tokenizer.sep_id]), np.array([True])
    ids: list[np.ndarray] = []
    starts: list[np.ndarray] = []
    for document_ids, document_starts in tokenizer.encode(texts[split](first, last)):
        ids += [document_ids, separator]
        starts += [document_starts, opens]
    lengths = [len(a) + 1 for a in ids[::2]]
    flags = np.concatenate(starts).astype(np.uint8) * np.uint8(WORD_START)
    return split, np.concatenate(ids).astype(dtype), flags, lengths

"""What masks know about each token beyond its id, computed once when a corpus is prepared.

An annotation learns what it needs from the training split, then gives each token of every split one
number: whether it opens a unit, or a weight. The numbers stand beside the tokens, in memory-mapped
arrays, and come with each batch under the name of the annotation.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from maskwright.annotations.words import word_keys
from maskwright.core.errors import UserError
from maskwright.core.parallel import parallel_map
from maskwright.corpora.marks import Marks
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import WORD_START, Tokens

_TOKENS_PER_PIECE = 1_000_000

Documents = Callable[[int, int], tuple[list[str], list[Marks | None]]]


@dataclass(frozen=True)
class Piece:
    """A run of whole documents.

    Attributes:
        ids: (N,) token ids, each document closed by a separator.
        starts: (N,) bool, whether a token starts a word; separators do.
        ends: (D,) the index behind the separator of each document.
        texts: of each document, where the annotation reads texts.
        marks: of each document what its corpus says about its words, None where it says nothing.
        offsets: (N, 2) the first character of each token in its document and the one behind its last.
    """

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    texts: list[str] | None = None
    marks: list[Marks | None] | None = None
    offsets: np.ndarray | None = None

    @cached_property
    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """The key of each word and the index of its first token; separators are words too."""
        return word_keys(self.ids, self.starts)

    @property
    def word_lengths(self) -> np.ndarray:
        return np.diff(self.words[1], append=len(self.ids))


Annotate = Callable[[Piece], np.ndarray]


@runtime_checkable
class Annotation(Protocol):
    """See the head of this file.

    Attributes:
        name: under which batches hold it.
        kind: `units`, True where a token opens a unit; `weights`, numbers of at least 0; or `numbers`, whole ones
            that no mask reads.
        reads_text: whether its pieces need texts, marks and offsets.
    """

    name: str
    kind: Literal["units", "weights", "numbers"]
    reads_text: bool

    def settings(self) -> Any:
        """Plain containers that differ where the numbers differ."""

    def learn(self, folder: Path, pieces: Callable[[], Iterator[Piece]], tokenizer: Tokenizer) -> None:
        """Writes what it needs to know into a folder.

        Args:
            pieces: the training split, each time it is called; without texts.
        """

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        """From what `learn` wrote to a function that gives the tokens of a piece their numbers, (N,)."""


def identity(annotation: Annotation) -> list[Any]:
    """What else than its settings the numbers of an annotation depend on: its class, and the code of it.

    Our own code says by an attribute `version`, 1 where there is none, that it no longer computes the same.
    """
    kind = type(annotation)
    own = kind.__module__.startswith("maskwright.")
    try:
        code = "" if own else inspect.getsource(kind)
    except (OSError, TypeError):  # typed at a prompt
        code = ""
    return [kind.__module__, kind.__qualname__, getattr(annotation, "version", 1), code]


DTYPES = {"units": "bool", "weights": "float32", "numbers": "int32"}


def pieces_of(tokens: Tokens) -> Iterator[tuple[int, int]]:
    """Runs of documents, (first, behind the last), of about a million tokens."""
    if not tokens.documents:
        return
    number = (np.asarray(tokens.ends) - 1) // _TOKENS_PER_PIECE
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), tokens.documents]
    yield from itertools.pairwise(edges)


def read_piece(tokens: Tokens, first: int, last: int) -> Piece:
    """The documents [first, last), without texts."""
    begin = int(tokens.ends[first - 1]) if first else 0
    end = int(tokens.ends[last - 1])
    starts = (tokens.flags[begin:end] & WORD_START).astype(bool)
    return Piece(tokens.ids[begin:end].astype(np.int64), starts, np.asarray(tokens.ends[first:last]) - begin)


def piece_of_texts(texts: list[str], tokenizer: Tokenizer, marks: list[Marks | None] | None = None) -> Piece:
    """Texts as a piece, tokenized now."""
    ids, starts, offsets, ends = [], [], [], []
    length = 0
    for encoding in tokenizer.backend.encode_batch(texts, add_special_tokens=False):
        own = np.array(encoding.ids, dtype=np.int64)
        ids += [own, np.array([tokenizer.sep_id])]
        starts += [tokenizer.word_starts(own, encoding), np.array([True])]
        offsets += [np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2), np.zeros((1, 2), np.int64)]
        length += len(own) + 1
        ends.append(length)
    if not texts:
        return Piece(np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.int64))
    return Piece(
        np.concatenate(ids),
        np.concatenate(starts),
        np.array(ends),
        texts,
        marks or [None] * len(texts),
        np.concatenate(offsets),
    )


def write_annotation(
    folder: Path,
    annotation: Annotation,
    tokens_folder: Path,
    splits: tuple[str, ...],
    tokenizer_folder: Path,
    open_documents: Callable[[], dict[str, Documents]],
    workers: int,
    advance: Callable[[int, str], None],
) -> None:
    """Learns from the training split, then writes one array per split, `<split>.bin`.

    Args:
        open_documents: picklable; called once in each process, answers what reads the texts and the marks
            of each split.
        advance: called with the number of documents just finished, and with what else is being done.
    """
    tokenizer = Tokenizer.load(tokenizer_folder)
    training = Tokens.open(tokens_folder / "train")
    passes = 0

    def pieces() -> Iterator[Piece]:
        nonlocal passes
        passes += 1
        for first, last in pieces_of(training):
            yield read_piece(training, first, last)
            advance(0, f"learning, pass {passes}: {last:,} documents read")

    annotation.learn(folder, pieces, tokenizer)
    jobs = ((split, *piece) for split in splits for piece in pieces_of(Tokens.open(tokens_folder / split)))
    opening = (annotation, folder, tokens_folder, tokenizer_folder, open_documents)
    files = {split: (folder / f"{split}.bin").open("wb") for split in splits}
    try:
        for split, documents, numbers in parallel_map(_annotate, jobs, workers, _open_worker, opening):
            files[split].write(numbers.data)
            advance(documents, "")
    finally:
        for file in files.values():
            file.close()


def read_annotation(folder: Path, annotation: Annotation, split: str) -> np.ndarray:
    """The (N,) numbers that `write_annotation` wrote for a split."""
    path, dtype = folder / f"{split}.bin", DTYPES[annotation.kind]
    return np.memmap(path, dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype)


_worker: tuple[Annotation, Annotate, Path, Tokenizer, dict[str, Documents]] | None = None


def _open_worker(
    annotation: Annotation,
    folder: Path,
    tokens_folder: Path,
    tokenizer_folder: Path,
    open_documents: Callable[[], dict[str, Documents]],
) -> None:
    global _worker
    tokenizer = Tokenizer.load(tokenizer_folder)
    _worker = annotation, annotation.open(folder, tokenizer), tokens_folder, tokenizer, open_documents()


def _annotate(job: tuple[str, int, int]) -> tuple[str, int, np.ndarray]:
    assert _worker is not None
    annotation, annotate, tokens_folder, tokenizer, documents = _worker
    split, first, last = job
    if annotation.reads_text:
        texts, marks = documents[split](first, last)
        piece = piece_of_texts(texts, tokenizer, marks)
    else:
        piece = read_piece(Tokens.open(tokens_folder / split), first, last)
    numbers = stored(annotate(piece), annotation)
    if numbers.shape != piece.ids.shape:
        raise UserError(
            f"{type(annotation).__name__}.open answered {numbers.shape} numbers for {len(piece.ids)} tokens; "
            "an annotation gives each token one."
        )
    return split, last - first, numbers


def stored(numbers: np.ndarray, annotation: Annotation) -> np.ndarray:
    """The numbers in the type that they are kept in.

    Raises:
        UserError: weights that are negative, or that the type cannot hold.
    """
    with np.errstate(over="ignore", under="ignore"):
        kept = np.ascontiguousarray(numbers, DTYPES[annotation.kind])
    if annotation.kind == "weights":
        lost = ~np.isfinite(kept) | (kept < 0) | ((kept == 0) & (numbers != 0))
        if lost.any():
            raise UserError(
                f"mask.weights: {annotation.name} gives the weight {numbers[lost][0]}. Weights are 0, or between "
                "1e-45 and 3e38; take an exponent (mask.weights.alpha, mask.weights.power) nearer to 0."
            )
    return kept

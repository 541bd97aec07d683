"""Annotations on disk: computed for the splits of a corpus by several processes, and read again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from maskwright.annotations.annotation import DTYPES, Annotate, Annotation
from maskwright.annotations.shards import Shard, read_shard, shard_of_texts, shards_of
from maskwright.core.errors import UserError
from maskwright.core.parallel import Workers, parallel_map
from maskwright.corpora.marks import MarkedDocuments
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import Tokens


def write_annotation(
    folder: Path,
    annotation: Annotation,
    tokens_folder: Path,
    splits: tuple[str, ...],
    tokenizer_folder: Path,
    open_documents: Callable[[], dict[str, MarkedDocuments]],
    workers: Workers,
    advance: Callable[[int, str], None],
) -> None:
    """Learns from the training split, then writes one array per split, `<split>.bin`.

    Args:
        open_documents: picklable; called once in each process, returns what reads the texts and the marks
            of each split.
        advance: called with the number of documents just finished, and with what else is being done.
    """
    tokenizer = Tokenizer.load(tokenizer_folder)
    training = Tokens.open(tokens_folder / "train")
    passes = 0

    def shards() -> Iterator[Shard]:
        nonlocal passes
        passes += 1
        for first, last in shards_of(training):
            yield read_shard(training, first, last)
            advance(0, f"learning, pass {passes}: {last:,} documents read")

    annotation.learn(folder, shards, tokenizer)
    jobs = ((split, *shard) for split in splits for shard in shards_of(Tokens.open(tokens_folder / split)))
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


_worker: tuple[Annotation, Annotate, Path, Tokenizer, dict[str, MarkedDocuments]] | None = None


def _open_worker(
    annotation: Annotation,
    folder: Path,
    tokens_folder: Path,
    tokenizer_folder: Path,
    open_documents: Callable[[], dict[str, MarkedDocuments]],
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
        shard = shard_of_texts(texts, tokenizer, marks)
    else:
        shard = read_shard(Tokens.open(tokens_folder / split), first, last)
    numbers = stored(annotate(shard), annotation)
    if numbers.shape != shard.ids.shape:
        raise UserError(
            f"{type(annotation).__name__}.open returned {numbers.shape} numbers for {len(shard.ids)} tokens; "
            "an annotation has one for each token."
        )
    return split, last - first, numbers


def stored(numbers: np.ndarray, annotation: Annotation) -> np.ndarray:
    """The numbers in the type that they are stored in.

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

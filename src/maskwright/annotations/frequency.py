"""Weights from how often words occur: by frequency, and by tf-idf."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.annotations.annotation import Annotate, BaseAnnotation
from maskwright.annotations.shards import Shard
from maskwright.annotations.words import Tally, load_table, look_up, save_table
from maskwright.core import hashing
from maskwright.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Frequency(BaseAnnotation):
    """The weight of a word is count^-alpha, with its count in the training split, or 1 where it has none.

    Source: XLM samples tokens with the square root of their inverse frequency (Lample and Conneau, 2019).

    Args:
        alpha: 0 makes all words equal, 0.5 is XLM's, below 0 prefers frequent words.
    Raises:
        ValueError: alpha is not a finite number.
    """

    alpha: float = 0.5

    name = "frequency"
    kind = "weights"
    version = 2

    def __post_init__(self) -> None:
        if not math.isfinite(self.alpha):
            raise ValueError(f"alpha is {self.alpha}; it is a finite number")

    def settings(self) -> Any:
        return [self.alpha]

    def learn(self, folder: Path, shards: Callable[[], Iterator[Shard]], tokenizer: Tokenizer) -> None:
        tally = Tally()
        for shard in shards():
            tally.add(shard.words[0])
        save_table(folder, *tally.counts())

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        table, counts = load_table(folder)

        def annotate(shard: Shard) -> np.ndarray:
            count = _counts(table, counts, shard.words[0])
            return np.repeat(count**-self.alpha, shard.word_lengths)

        return annotate


@dataclass(frozen=True)
class Tfidf(BaseAnnotation):
    """The weight of a word is (1 + ln tf) * ln((1 + D) / df).

    tf is how often the word occurs in its document, df in how many of the D documents of the training
    split it occurs, at least 1. Keywords have been masked by tf-idf in MASKER (Moon et al., 2021) and
    Difference-Masking (Wilf et al., 2023).
    """

    name = "tfidf"
    kind = "weights"
    version = 2

    def learn(self, folder: Path, shards: Callable[[], Iterator[Shard]], tokenizer: Tokenizer) -> None:
        tally, documents = Tally(), 0
        for shard in shards():
            keys = shard.words[0]
            _, once = np.unique(_in_document(shard), return_index=True)
            tally.add(keys[once])
            documents += len(shard.ends)
        save_table(folder, *tally.counts())
        np.save(folder / "documents.npy", documents)

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        table, counts = load_table(folder)
        documents = int(np.load(folder / "documents.npy"))

        def annotate(shard: Shard) -> np.ndarray:
            _, inverse, within = np.unique(_in_document(shard), return_inverse=True, return_counts=True)
            df = _counts(table, counts, shard.words[0])
            return np.repeat((1 + np.log(within[inverse])) * np.log((1 + documents) / df), shard.word_lengths)

        return annotate


def _in_document(shard: Shard) -> np.ndarray:
    """(W,) one key for each word together with its document."""
    keys, first = shard.words
    return hashing.fold(keys, np.searchsorted(shard.ends, first, side="right"))


def _counts(table: np.ndarray, counts: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(W,) float64: how often each word was counted, 1 where never."""
    index, known = look_up(table, keys)
    return np.where(known, counts[index], 1).astype(np.float64) if len(table) else np.ones(len(keys))

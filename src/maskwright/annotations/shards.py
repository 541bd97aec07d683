"""Shards of a corpus: runs of whole documents that are processed at once."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maskwright.annotations.words import word_keys
from maskwright.corpora.marks import Marks
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import WORD_START, Tokens

_TOKENS_PER_SHARD = 1_000_000


@dataclass(frozen=True)
class Shard:
    """A run of whole documents.

    Attributes:
        ids: (N,) token ids, each document closed by a separator.
        starts: (N,) bool, whether a token starts a word; separators do.
        ends: (D,) the index after the separator of each document.
        texts: the text of each document, if the annotation reads texts.
        marks: the marks of each document in a corpus of tagged words, else None.
        offsets: (N, 2) the first character of each token in its document and the one after its last.
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
        """(W,) how many tokens each word has."""
        return np.diff(self.words[1], append=len(self.ids))


def shards_of(tokens: Tokens) -> Iterator[tuple[int, int]]:
    """Runs of documents, [first, last), of about a million tokens."""
    if not tokens.documents:
        return
    number = (np.asarray(tokens.ends) - 1) // _TOKENS_PER_SHARD
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), tokens.documents]
    yield from itertools.pairwise(edges)


def read_shard(tokens: Tokens, first: int, last: int) -> Shard:
    """The documents [first, last), without texts."""
    begin = int(tokens.ends[first - 1]) if first else 0
    end = int(tokens.ends[last - 1])
    starts = (tokens.flags[begin:end] & WORD_START).astype(bool)
    return Shard(tokens.ids[begin:end].astype(np.int64), starts, np.asarray(tokens.ends[first:last]) - begin)


def shard_of_texts(texts: list[str], tokenizer: Tokenizer, marks: list[Marks | None] | None = None) -> Shard:
    """Texts as a shard, tokenized now."""
    ids, starts, offsets, ends = [], [], [], []
    length = 0
    for own, own_starts, own_offsets in tokenizer.encode(texts, offsets=True):
        ids += [own, np.array([tokenizer.sep_id])]
        starts += [own_starts, np.array([True])]
        offsets += [own_offsets, np.zeros((1, 2), np.int64)]
        length += len(own) + 1
        ends.append(length)
    if not texts:
        return Shard(np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.int64))
    return Shard(
        np.concatenate(ids),
        np.concatenate(starts),
        np.array(ends),
        texts,
        marks or [None] * len(texts),
        np.concatenate(offsets),
    )

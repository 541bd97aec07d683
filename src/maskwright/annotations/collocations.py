"""Collocations: words that occur together more often than by chance, as units of a mask.

PMI-Masking (Levine et al., ICLR 2021) scores an n-gram by the pointwise mutual information of its least
surprising cut:

    PMI(w1 ... wn) = min over cuts into parts s of log( p(w1 ... wn) / product of p(s) )

with p(x) the number of occurrences of x over the number of words. A long n-gram scores high only where
no cut explains it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.annotations.annotation import Annotate, BaseAnnotation
from maskwright.annotations.shards import Shard
from maskwright.annotations.words import Tally, look_up, ngram_keys, word_keys
from maskwright.core import hashing
from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.core.types import PathText
from maskwright.text.tokenizer import Tokenizer

FILE = "collocations.tsv"
_KEYS = "keys.npz"
_HEAD = "# collocations for the tokenizer "
_COLUMNS = "pmi\tcount\tcollocation\tids"


@dataclass(frozen=True)
class Collocations(BaseAnnotation):
    """Units: the collocations of a list, longer ones first, and each other word by itself (PMI-Masking).

    The list is learned from the training split, unless `path` names one. Collocations hold neither
    punctuation nor special tokens.

    Args:
        max_words: most words of a collocation, 2 to 10.
        min_count: least number of occurrences.
        size: most collocations; those of the highest scores are kept.
        path: a `collocations.tsv` of an earlier run with the same tokenizer, taken as it is, whatever the
            other settings are; None learns one.
    Raises:
        ValueError: a setting is out of its range, or the file cannot be read.
    """

    max_words: int = 5
    min_count: int = 10
    size: int = 800_000
    path: PathText | None = None

    name = "collocations"
    kind = "units"
    margin = 16  # as units of a mask: longer ones are not masked

    def __post_init__(self) -> None:
        for key, least, most in (("max_words", 2, 10), ("min_count", 1, 10**9), ("size", 1, 10**9)):
            if not least <= (value := getattr(self, key)) <= most:
                raise ValueError(f"{key} is {value}; it lies between {least} and {most:,}")
        if self.path is not None:
            read_list(Path(self.path).expanduser())

    def settings(self) -> Any:
        if self.path is not None:
            return Path(self.path).expanduser().read_text(encoding="utf-8")
        return [self.max_words, self.min_count, self.size]

    def learn(self, folder: Path, shards: Callable[[], Iterator[Shard]], tokenizer: Tokenizer) -> None:
        """Writes `collocations.tsv`, and the keys of its entries as arrays.

        Raises:
            UserError: the list at `path` was built for another tokenizer.
        """
        if self.path is None:
            scored = score(shards, tokenizer, self.max_words, self.min_count, self.size)
        else:
            path = Path(self.path).expanduser()
            digest, scored = read_list(path)
            if digest != tokenizer.digest:
                raise UserError(
                    f"mask.units.path={path} was built for another tokenizer ({digest}; this run's is "
                    f"{tokenizer.digest}). Use that run's tokenizer, or mask.units.path=null to learn a list."
                )
        if not scored:
            console().print(
                f"note: no words occur together {self.min_count} times (mask.units.min_count); every word is a unit"
            )
        lines = [f"{_HEAD}{tokenizer.digest}", _COLUMNS]
        for pmi, count, words in scored:
            text = tokenizer.decode([i for word in words for i in word]).strip()
            shown = " ".join(text.split()) or "?"
            lines.append(f"{pmi:.4f}\t{count}\t{shown}\t{','.join(' '.join(map(str, word)) for word in words)}")
        (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        tables = _tables([entry[2] for entry in scored])
        np.savez(folder / _KEYS, **{str(n): keys for n, keys in tables.items()})  # type: ignore[arg-type]

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        with np.load(folder / _KEYS) as arrays:
            tables = {int(n): arrays[n] for n in arrays.files}
        special = tokenizer.is_special

        def annotate(shard: Shard) -> np.ndarray:
            keys, first = shard.words
            opens = np.ones(len(keys), dtype=bool)
            free = ~special[shard.ids[first]]
            for n in sorted(tables, reverse=True):
                _, found = look_up(tables[n], ngram_keys(keys, n))
                number = len(found)
                for i in range(n):
                    found &= free[i : number + i]
                for at in _leftmost(np.flatnonzero(found), n):
                    free[at : at + n] = False
                    opens[at + 1 : at + n] = False
            starts = np.zeros(len(shard.ids), dtype=bool)
            starts[first[opens]] = True
            return starts

        return annotate


def _leftmost(places: np.ndarray, n: int) -> Iterator[int]:
    """From the left, those of rising `places` that are at least `n` after the one before."""
    free = -1
    for place in places.tolist():
        if place >= free:
            yield place
            free = place + n


Words = tuple[tuple[int, ...], ...]  # the token ids of each word
Scored = tuple[float, int, Words]  # PMI, occurrences


def read_list(path: Path) -> tuple[str, list[Scored]]:
    """The digest of the tokenizer of a `collocations.tsv`, and its entries.

    Raises:
        ValueError: the file is not there, or a line cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"path={path} cannot be read: {error}") from None
    if not lines or not lines[0].startswith(_HEAD):
        raise ValueError(f"path={path}, line 1, does not begin with '{_HEAD}': it is no list of ours")
    if len(lines) < 2 or lines[1] != _COLUMNS:
        raise ValueError(f"path={path}, line 2, does not name the columns pmi, count, collocation, ids")
    listed = []
    for number, line in enumerate(lines[2:], 3):
        try:
            pmi, count, _, ids = line.split("\t")
            words = tuple(tuple(int(i) for i in word.split()) for word in ids.split(","))
            if len(words) < 2 or not all(word and min(word) >= 0 and max(word) < 2**32 for word in words):
                raise ValueError
            listed.append((float(pmi), int(count), words))
        except ValueError:
            raise ValueError(
                f"path={path}, line {number}, is not pmi, count, collocation and ids between tabs: {line!r:.60}"
            ) from None
    return lines[0].removeprefix(_HEAD), listed


def _tables(listed: list[Words]) -> dict[int, np.ndarray]:
    """For each number of words the rising keys of the collocations that have it."""
    tables = {}
    for n in {len(words) for words in listed}:
        words = [word for collocation in listed if len(collocation) == n for word in collocation]
        ids = np.array([i for word in words for i in word], dtype=np.int64)
        starts = np.zeros(len(ids), dtype=bool)
        starts[np.cumsum([0, *map(len, words[:-1])])] = True
        keys, _ = word_keys(ids, starts)
        joined = keys[::n]
        for i in range(1, n):
            joined = hashing.fold(joined, keys[i::n])
        tables[n] = np.sort(joined)
    return tables


def score(
    shards: Callable[[], Iterator[Shard]], tokenizer: Tokenizer, max_words: int, min_count: int, size: int
) -> list[Scored]:
    """The n-grams of 2 to `max_words` words with a positive PMI, the highest first, at most `size`.

    Counts are exact. An n-gram can only be frequent if both of its parts of n - 1 words are, so memory holds only
    the n-grams for which that is true.
    """
    common: list[np.ndarray] = []  # for each n, rising: the keys of the frequent n-grams
    counts: list[np.ndarray] = []
    total = 0
    for n in range(1, max_words + 1):
        tally = Tally()
        for shard in shards():
            tally.add(_candidates(shard, tokenizer, n, common))
        keys, number = tally.counts()
        total = total or int(number.sum())
        common.append(keys[number >= min_count])
        counts.append(number[number >= min_count])
    spelled, parts = _spell(shards, common)
    logs = [np.log(number / max(total, 1)) for number in counts]
    found = [logs[n - 1] - _best_cut(parts[n], common, logs) for n in range(2, max_words + 1)]
    words = [look_up(common[0], parts[n])[0] for n in range(2, max_words + 1)]
    pmi, count = np.concatenate(found), np.concatenate(counts[1:])
    length = np.repeat(np.arange(len(found)), [len(level) for level in found])
    place = np.concatenate([np.arange(len(level)) for level in found])
    best = np.lexsort((place, length, -count, -pmi))  # ties by count, length and key, the same each time
    best = best[pmi[best] > 0][:size]
    return [
        (float(pmi[i]), int(count[i]), tuple(spelled[word] for word in words[length[i]][place[i]])) for i in best
    ]


def _candidates(shard: Shard, tokenizer: Tokenizer, n: int, common: list[np.ndarray]) -> np.ndarray:
    """The keys of the n-grams of a shard that may be frequent."""
    keys, first = shard.words
    if n == 1:
        # a word mark may precede punctuation, and an unknown token may be inside a word
        silent = np.logical_and.reduceat((tokenizer.is_punctuation | tokenizer.is_mark)[shard.ids], first)
        special = np.logical_or.reduceat(tokenizer.is_special[shard.ids], first)
        return keys[~silent & ~special]
    _, frequent = look_up(common[n - 2], ngram_keys(keys, n - 1))
    return ngram_keys(keys, n)[frequent[:-1] & frequent[1:]]


def _spell(
    shards: Callable[[], Iterator[Shard]], common: list[np.ndarray]
) -> tuple[list[tuple[int, ...]], dict[int, np.ndarray]]:
    """The token ids of each frequent word; and for each n the keys (D, n) of the words of frequent n-grams."""
    spelled: list[tuple[int, ...]] = [()] * len(common[0])
    parts = {n: np.zeros((len(keys), n), np.int64) for n, keys in enumerate(common, 1)}
    unseen = [np.ones(len(keys), bool) for keys in common]
    for shard in shards():
        keys, first = shard.words
        lengths = shard.word_lengths
        for n in parts:
            index, found = look_up(common[n - 1], ngram_keys(keys, n))
            places = np.flatnonzero(found)
            places = places[unseen[n - 1][index[places]]]
            _, once = np.unique(index[places], return_index=True)
            places = places[once]
            parts[n][index[places]] = keys[places[:, None] + np.arange(n)]
            unseen[n - 1][index[places]] = False
            if n == 1:
                for place in places.tolist():
                    ids = shard.ids[first[place] : first[place] + lengths[place]]
                    spelled[index[place]] = tuple(ids.tolist())
    return spelled, parts


def _best_cut(parts: np.ndarray, common: list[np.ndarray], logs: list[np.ndarray]) -> np.ndarray:
    """(D,) the largest sum of log-probabilities of parts that the n-grams `parts` (D, n) can be cut into."""
    n = parts.shape[1]
    best: dict[tuple[int, int], np.ndarray] = {}  # of words [i, j), cut or whole
    for size in range(1, n):
        for i in range(n - size + 1):
            key = parts[:, i]
            for k in range(i + 1, i + size):
                key = hashing.fold(key, parts[:, k])
            index, _ = look_up(common[size - 1], key)  # each part of a frequent n-gram is frequent
            options = [logs[size - 1][index]]
            options += [best[i, k] + best[k, i + size] for k in range(i + 1, i + size)]
            best[i, i + size] = np.maximum.reduce(options)
    return np.maximum.reduce([best[0, k] + best[k, n] for k in range(1, n)])

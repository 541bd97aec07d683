"""Weights from a word list, such as words of emotion."""

import importlib.resources
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.annotations.annotation import Annotate, BaseAnnotation
from maskwright.annotations.shards import Shard, shard_of_texts
from maskwright.annotations.words import load_table, look_up, save_table
from maskwright.core.errors import UserError
from maskwright.core.types import PathText
from maskwright.text.tokenizer import Tokenizer

VADER = "vader"


@dataclass(frozen=True)
class Lexicon(BaseAnnotation):
    """The weight of a word of the list is |score|^power; of every other word, `others`.

    A word of the list matches in lower case, capitalised and in capitals. Entries that the tokenizer splits
    into several words ("fed up", emoticons) match nothing.

    Args:
        lexicon: `vader`, the words of emotion with their valence from -4 to 4 (Hutto and Gilbert, 2014);
            or a UTF-8 file with a word and its score between tabs in each line, 1 where there is no score.
        power: 0 makes all words of the list equal.
        least: words whose |score| is smaller count as others.
        others: weight of the words that are not in the list; 0 never masks them.
    Raises:
        ValueError: the file cannot be read, or a setting is negative or not finite.
    """

    lexicon: PathText = VADER
    power: float = 1.0
    least: float = 0.0
    others: float = 0.0

    name = "lexicon"
    kind = "weights"
    version = 2

    def __post_init__(self) -> None:
        for key in ("power", "least", "others"):
            if not (0 <= (value := getattr(self, key)) < math.inf):
                raise ValueError(f"{key} is {value}; it is a finite number of at least 0")
        if not any(abs(score) >= self.least and score for score in self.scores.values()):
            raise ValueError(f"least={self.least} leaves no word of {self.lexicon} with a score other than 0")

    @cached_property
    def scores(self) -> dict[str, float]:
        """The score of each word, in lower case."""
        if self.lexicon == VADER:
            return read_scores(Path(str(importlib.resources.files("vaderSentiment") / "vader_lexicon.txt")))
        return read_scores(Path(self.lexicon).expanduser())

    def settings(self) -> Any:
        return [sorted(self.scores.items()), self.power, self.least, self.others]

    def learn(self, folder: Path, shards: Callable[[], Iterator[Shard]], tokenizer: Tokenizer) -> None:
        """Writes the keys and weights of the list.

        Raises:
            UserError: no word of the list occurs in the training split.
        """
        table, weights = self._table(tokenizer)
        save_table(folder, table, weights)
        if not any(look_up(table, shard.words[0])[1].any() for shard in shards()):
            raise UserError(
                f"mask.weights.lexicon={self.lexicon}: none of its {len(self.scores):,} words occurs in the "
                "training split as this tokenizer sees it. Take a list in the language of the corpus."
            )

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        table, weights = load_table(folder)

        def annotate(shard: Shard) -> np.ndarray:
            index, known = look_up(table, shard.words[0])
            return np.repeat(np.where(known, weights[index], self.others), shard.word_lengths)

        return annotate

    def _table(self, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
        """The rising keys of the words of the list, and their weights."""
        weights: dict[int, float] = {}
        strong = ((word, abs(score)) for word, score in self.scores.items())
        with np.errstate(over="ignore"):  # weights that are too large are refused when they are stored
            listed = [(w, float(np.float64(s) ** self.power)) for w, s in strong if s and s >= self.least]
        texts: list[str] = []
        expected: list[tuple[int, float]] = []  # words of each text, its end included; weight of the last
        for word, weight in listed:
            for spelling in dict.fromkeys((word, word.capitalize(), word.upper())):
                # at the start of a text, after another word and after punctuation: some tokenizers spell it
                # differently there
                texts += [spelling, f"a {spelling}", f"({spelling}"]
                expected += [(2, weight), (3, weight), (3, weight)]
        shard = shard_of_texts(texts, tokenizer)
        keys, first = shard.words
        after = np.searchsorted(first, shard.ends)
        number, last = np.diff(after, prepend=0), after - 2
        special = tokenizer.is_special[shard.ids[first]]
        for i, (words, weight) in enumerate(expected):
            if number[i] == words and not special[last[i]]:
                weights.setdefault(int(keys[last[i]]), weight)
        table = np.array(sorted(weights), dtype=np.int64)
        return table, np.array([weights[key] for key in table.tolist()] or [0.0])


def read_scores(path: Path) -> dict[str, float]:
    """The words of a list, in lower case, with their scores; the last line of a word counts.

    Raises:
        ValueError: the file cannot be read, with the number of the line.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise ValueError(f"lexicon={path} does not exist; name a file, or 'vader'") from None
    except OSError as error:
        raise ValueError(f"lexicon={path} cannot be read: {error}") from None
    scores: dict[str, float] = {}
    for number, raw in enumerate(lines, 1):
        try:
            word, *fields = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r").split("\t")
        except UnicodeDecodeError:
            raise ValueError(f"lexicon={path}, line {number}, is not UTF-8") from None
        if not word.strip():
            if fields:
                raise ValueError(f"lexicon={path}, line {number}, has no word before its first tab")
            continue
        try:
            score = float(fields[0]) if fields else 1.0
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise ValueError(
                f"lexicon={path}, line {number}: '{fields[0]}' is no finite number; "
                "a line is a word, a tab, and its score"
            )
        scores[word.strip().lower()] = score
    if not scores:
        raise ValueError(f"lexicon={path} holds no words")
    return scores

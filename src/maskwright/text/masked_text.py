"""Texts with masks: mask tokens that are written in them, and words of them that are hidden."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import tokenizers
from tokenizers import AddedToken, models

from maskwright.core.errors import UserError, nearest
from maskwright.text.text_rows import Encoded, Long, encode, shortened
from maskwright.text.tokenizer import Tokenizer

_SPELLINGS = ("[MASK]", "<mask>")  # of a mask, in texts for tokenizers of any kind
_MARKS = ("\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}", "▁")  # a blank before a token: byte-level BPE, SentencePiece


@dataclass(frozen=True)
class MaskedText:
    """A text of N tokens, of which M are masked.

    Attributes:
        text: as it was given.
        encoded: its tokens, in a text in which masks have the tokenizer's own spelling.
        ids: (N,) int64, its tokens with the mask token at masked positions.
        masks: (M,) int64, the masked tokens by their numbers, in order.
    """

    text: str
    encoded: Encoded
    ids: np.ndarray
    masks: np.ndarray


class Reads(Protocol):
    """A model that reads texts: its tokenizer, and the most tokens of a text in a row."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def room(self) -> int | None: ...


class MaskReader:
    """Reads texts in which tokens are masked.

    A mask token in a text is read as `transformers` reads it; other special tokens that are spelled out are text,
    as everywhere in this project.

    Args:
        model: what the texts are for.
    Raises:
        UserError: its tokenizer has no mask token.
    """

    def __init__(self, model: Reads):
        self.tokenizer = model.tokenizer
        self.mask_id = model.tokenizer.mask_id
        self.mask = model.tokenizer.special["mask"]
        self._reading, self._room = _reading_masks(model.tokenizer), model.room

    def read(self, texts: Sequence[str], hide: Sequence[str] = (), long: Long = "windows") -> list[MaskedText]:
        """Returns texts with their masks; an empty text has none.

        Args:
            hide: words, or several words in a row, all tokens of which are masked wherever they stand.
            long: `refuse` raises an error for a text that does not fit in a row.
        Raises:
            UserError: a text has no mask, does not contain what is to be hidden, or is too long.
        """
        found = encode([self.spelled(text) for text in texts], self._reading, self._room, long)
        return [self._masked(*pair, hide) for pair in zip(texts, found, strict=True)]

    def spelled(self, text: str) -> str:
        """Returns a text in which masks have the tokenizer's own spelling."""
        if self.mask not in text:
            for spelling in _SPELLINGS:
                text = text.replace(spelling, self.mask)
        return text

    def _masked(self, text: str, encoded: Encoded, hide: Sequence[str]) -> MaskedText:
        masked = encoded.ids == self.mask_id
        starts, ends = encoded.offsets.T
        for word in hide if text.strip() else ():
            inside = np.zeros(len(masked), dtype=bool)
            for first, end in _occurrences(word, encoded.text):
                inside |= (starts < end) & (ends > first)
            if not inside.any():
                near = nearest(word, re.findall(r"\w+", encoded.text))
                raise UserError(f"hide={word!r} is no word of the text {shortened(text)}.{near}")
            masked |= inside
        if text.strip() and not masked.any():
            raise UserError(
                f"The text {shortened(text)} has no mask. Write {self.mask} where a token is missing, or name its "
                'words: hide="word"'
            )
        return MaskedText(text, encoded, np.where(masked, self.mask_id, encoded.ids), np.flatnonzero(masked))

    def filled(self, text: MaskedText, tokens: Sequence[int]) -> str:
        """Returns the text with tokens (M,) in place of its masks; what stands between them is left as it is."""
        parts: list[str] = []
        at = 0
        for first, end in _runs(text.masks):
            run = list(tokens[first:end])
            begins, ends = text.encoded.offsets[text.masks[[first, end - 1]], [0, 1]]
            before = text.encoded.text[at:begins]
            after_mark = text.masks[first] > 0 and self.tokenizer.is_mark[text.ids[text.masks[first] - 1]]
            blank = self._blank_before(run[0])
            if blank is not None and not (after_mark and not blank):
                before = before.rstrip(" ") + " " * (blank and bool(parts or before.strip()))
            parts += [before, self._spelled(run)]
            at = int(ends)
        return "".join([*parts, text.encoded.text[at:]])

    def _blank_before(self, token: int) -> bool | None:
        """Returns whether a blank stands before a token, as its spelling says; None where it does not say."""
        spelling = self.spelling(token)
        if self._prefix is not None:
            return False if spelling.startswith(self._prefix) else None
        return spelling.startswith(_MARKS) if self._has_marks else None

    def _spelled(self, tokens: list[int]) -> str:
        text = self.tokenizer.decode(tokens)
        return (text if self._prefix is None else text.removeprefix(self._prefix)).strip(" ")

    @cached_property
    def _prefix(self) -> str | None:
        """What tokens of WordPiece begin with that continue a word."""
        kind = self.tokenizer.backend.model
        return kind.continuing_subword_prefix if isinstance(kind, models.WordPiece) else None

    @cached_property
    def _has_marks(self) -> bool:
        return any(token.startswith(_MARKS) for token in self.tokenizer.backend.get_vocab())

    def spelling(self, token: int) -> str:
        """Returns a token as the vocabulary spells it."""
        return self.tokenizer.backend.id_to_token(token) or ""

    def candidate(self, word: str, key: str = "candidates") -> int:
        """Returns the token that a word is, after a blank if there is such a one, or that is spelled like this.

        Args:
            key: the config key that names the word, for messages.
        Raises:
            UserError: there is none.
        """
        for text in (f" {word}", word):
            ids = self.tokenizer.encode([text])[0][0]
            if len(ids) == 1 and ids[0] not in self.tokenizer.special_ids:
                return int(ids[0])
        token = self.tokenizer.backend.token_to_id(word)
        if token is None or token in self.tokenizer.special_ids:
            ids = self.tokenizer.encode([word])[0][0]
            what = f"is not one token of this model but {len(ids)}: {', '.join(map(self.spelling, ids.tolist()))}"
            if len(ids) < 2:
                what = "is no token of this model"
            raise UserError(f"{key}={word!r} {what}. A mask stands for one token.")
        return token


def _reading_masks(tokenizer: Tokenizer) -> Tokenizer:
    """Returns a tokenizer that reads the mask token in texts, and no other special token.

    `encode_special_tokens` skips tokens that are marked as special, so the mask of the copy is not.
    """
    mask, content = tokenizer.special["mask"], json.loads(tokenizer.backend.to_str())
    for token in content["added_tokens"]:
        token["special"] &= token["content"] != mask
    backend = tokenizers.Tokenizer.from_str(json.dumps(content))
    if mask not in (token["content"] for token in content["added_tokens"]):
        backend.add_tokens([AddedToken(mask, normalized=False)])
    return Tokenizer(backend, tokenizer.special)


def _occurrences(word: str, text: str) -> list[tuple[int, int]]:
    """Returns the first character of a word, and the one after its last, where it is no part of a longer one."""
    word = word.strip()
    before, after = r"(?<!\w)" * bool(re.match(r"\w", word)), r"(?!\w)" * bool(re.search(r"\w$", word))
    return [match.span() for match in re.finditer(before + re.escape(word) + after, text)] if word else []


def _runs(masks: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields the first of masks whose tokens are neighbours, and the one after their last."""
    cuts = np.flatnonzero(np.diff(masks) > 1) + 1
    bounds = [0, *cuts.tolist(), len(masks)]
    yield from ((a, b) for a, b in pairwise(bounds) if b > a)

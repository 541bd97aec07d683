"""A tokenizer with its special tokens, and the word that each token belongs to."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import Encoding, decoders, models

from maskwright.core.errors import UserError
from maskwright.text.tokenizer.extension import Extension
from maskwright.text.tokenizer.pairs import PairLayout, find_layout

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
LONG = 100_000  # characters; a tokenizer takes 170 times the memory of its text
_CUT = re.compile(r"(?<=[A-Za-z0-9.,]) (?=[A-Za-z0-9])")  # where no normalizer joins both sides
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # a token for a byte of a character that a vocabulary does not hold
_BYTE_LEVEL = decoders.ByteLevel()
_BYTE_LEVEL_BLANK = "Ġ"


def cut(text: str, length: int = LONG) -> Iterator[str]:
    """Yields a text in parts of about this many characters, cut before single blanks between words."""
    at = 0
    while len(text) - at > length and (blank := _CUT.search(text, at + length)):
        yield text[at : blank.start()]
        at = blank.start()
    yield text[at:]


class Tokenizer:
    """A `tokenizers.Tokenizer` with its special tokens, whatever they are spelled like.

    Args:
        backend: the tokenizer. Special tokens spelled out in a text are treated as text.
        special: the spelling of `pad`, `unk`, `cls`, `sep` and `mask`; `unk` and `mask` may be missing.
        extension: the words that were added to it; None if there are none.
    Raises:
        UserError: a special token that every row needs is missing.
    Attributes:
        unk_id: the id of the token for what the vocabulary does not hold; None if there is none.
    """

    def __init__(self, backend: tokenizers.Tokenizer, special: dict[str, str], extension: Extension | None = None):
        self.backend, self.special, self.extension = backend, special, extension
        backend.encode_special_tokens = True
        backend.no_padding()
        backend.no_truncation()
        found = {role: backend.token_to_id(token) for role, token in special.items()}
        ids = {role: i for role, i in found.items() if i is not None}
        for role in ("pad", "cls", "sep"):
            if role not in ids:
                raise UserError(
                    f"The tokenizer has no {role} token, which every row of a batch needs. "
                    "Choose one of a BERT-like model, or train one: tokenizer=wordpiece."
                )
        self.pad_id, self.cls_id, self.sep_id = (ids[r] for r in ("pad", "cls", "sep"))
        self._mask_id = ids.get("mask")
        self.unk_id = ids.get("unk")
        added = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
        self.special_ids = sorted(added | set(ids.values()))

    @property
    def has_mask(self) -> bool:
        """Whether there is a mask token; what masks nothing needs none."""
        return self._mask_id is not None

    @property
    def mask_id(self) -> int:
        """The id of the mask token.

        Raises:
            UserError: there is none.
        """
        if self._mask_id is None:
            raise UserError(
                "The tokenizer has no mask token, which masked language modelling needs. "
                "Choose one of a BERT-like model, or train one: tokenizer=wordpiece."
            )
        return self._mask_id

    def __len__(self) -> int:
        """One more than the largest id: the number of rows that an embedding needs."""
        return self._length

    @cached_property
    def _length(self) -> int:
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def pair_layout(self) -> PairLayout:
        """How a row shows two texts, as the tokenizer itself puts them together."""
        return find_layout(self.backend, self.cls_id, self.sep_id)

    @property
    def ordinary_ids(self) -> list[int]:
        """The ids that stand for text, in order."""
        special = set(self.special_ids)
        return sorted(i for i in self.backend.get_vocab(with_added_tokens=True).values() if i not in special)

    def encode(self, texts: Sequence[str], offsets: bool = False) -> list[tuple[np.ndarray, ...]]:
        """Returns for each text arrays with a row for each of its tokens, special tokens left out.

        Args:
            offsets: whether the third array is wanted, which takes as long as the others.
        Returns:
            The ids (N,) int64, whether each token starts a word (N,) bool, and, if wanted, the first character of
            each and the one after its last (N, 2) int64.
        """
        out: list[tuple[np.ndarray, ...]] = []
        short: list[str] = []
        for text in texts:
            if len(text) <= LONG or not self._cuts_at_blanks:
                short.append(text)
                continue
            out += self._encode(short, offsets)
            parts, at = [], 0
            for part in cut(text):  # each is an array before the next one is encoded
                parts += self._encode([part], offsets, at)
                at += len(part)
            out.append(tuple(map(np.concatenate, zip(*parts, strict=True))))
            short = []
        return out + self._encode(short, offsets)

    def _encode(self, texts: Sequence[str], offsets: bool = False, at: int = 0) -> list[tuple[np.ndarray, ...]]:
        """As `encode`, each text as a whole; `at` is where they begin."""
        out: list[tuple[np.ndarray, ...]] = []
        for encoding in self.backend.encode_batch(list(texts), add_special_tokens=False):
            ids = np.array(encoding.ids, dtype=np.int64)
            out.append((ids, self.word_starts(ids, encoding)))
            if offsets:
                out[-1] += (np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2) + at,)
        return out

    @cached_property
    def _cuts_at_blanks(self) -> bool:
        """Whether a text that is cut before blanks has the same tokens: not where all texts get a prefix."""
        parts = ["The first, small", " (and Old) part.", " of 12", " words"]
        whole = self._encode(["".join(parts)])[0][0].tolist()
        return whole == [i for ids, _ in self._encode(parts) for i in ids.tolist()]

    def word_starts(self, ids: np.ndarray, encoding: Encoding) -> np.ndarray:
        """Whether each token of an encoding, of the given ids, starts a word.

        A word is what the pre-tokenizer says, and a token of punctuation is a word by itself even
        where the pre-tokenizer left it glued to its neighbour (SentencePiece splits at blanks only).
        A lone word mark belongs to the token after it.
        """
        starts = np.ones(len(ids), dtype=bool)
        if len(ids) > 1:
            if self._continues is not None:
                starts = ~self._continues[ids]
            else:
                words = np.array(encoding.word_ids, dtype=np.int64)
                starts[1:] = words[1:] != words[:-1]
            alone, mark = self.is_punctuation[ids], self.is_mark[ids]
            starts[1:] = (starts[1:] | alone[1:] | alone[:-1]) & ~mark[:-1]
        return starts

    @cached_property
    def _continues(self) -> np.ndarray | None:
        """(V,) bool: the token continues a word; known from its spelling in WordPiece, else None.

        Asking each encoding for its words takes a tenth of the time of encoding.
        """
        model = self.backend.model
        if not isinstance(model, models.WordPiece):
            return None
        table = np.zeros(len(self), dtype=bool)
        for token, i in self.backend.get_vocab(with_added_tokens=False).items():
            table[i] = token.startswith(model.continuing_subword_prefix)
        return table

    @cached_property
    def is_punctuation(self) -> np.ndarray:
        """(V,) bool: the token is all punctuation, or a line end that the tokenizer kept, but for a word mark."""
        return self._property(lambda text: bool(text) and all(_punctuates(c) or c.isspace() for c in text))

    @cached_property
    def is_mark(self) -> np.ndarray:
        """(V,) bool: the token is nothing but a word mark."""
        return self._property(lambda text: not text)

    def _property(self, holds: Callable[[str], bool]) -> np.ndarray:
        """(V,) bool: what holds for the text that each token stands for, its word mark left out."""
        table = np.zeros(len(self), dtype=bool)
        for i, _, text in self._texts():
            table[i] = text is not None and holds(text)
        return table

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """(V,) int64: the bytes of UTF-8 of the text that each token stands for, its word mark left out.

        0 for special tokens. What a tokenizer changes before it cuts a text, such as capitals, counts as it is
        after that.
        """
        table = np.zeros(len(self), dtype=np.int64)
        for i, token, text in self._texts():
            if text is not None:
                table[i] = len(text.encode())
            else:  # part of a character: a piece is one byte, and in byte-level tokens each letter is one
                table[i] = 1 if _BYTE.fullmatch(token) else len(token.removeprefix(_BYTE_LEVEL_BLANK))
        return table

    def _texts(self) -> Iterator[tuple[int, str, str | None]]:
        """Yields each ordinary token: its id, its spelling, and the text that it stands for without its word mark.

        The text is None where the token holds only a part of a character.
        """
        bytewise = self.is_bytewise
        special = set(self.special_ids)
        for token, i in self.backend.get_vocab(with_added_tokens=True).items():
            if i not in special:
                text = _from_bytes(token) if bytewise else from_piece(token)
                yield i, token, None if text is None else text.strip(" ")

    @cached_property
    def is_bytewise(self) -> bool:
        """Whether each letter of a token stands for a byte (GPT-2)."""
        return '"type":"ByteLevel"' in self.backend.to_str()

    @cached_property
    def is_special(self) -> np.ndarray:
        """(V,) bool: the token is a special one."""
        table = np.zeros(len(self), dtype=bool)
        table[self.special_ids] = True
        return table

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that say which id means which token."""
        tokens = sorted(self.backend.get_vocab(with_added_tokens=True).items())
        return hashlib.blake2b(repr(tokens).encode(), digest_size=8).hexdigest()

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out."""
        return self.backend.decode(list(ids), skip_special_tokens=True)

    def to_str(self, pretty: bool = False) -> str:
        """The content of its `tokenizer.json`."""
        self.backend.encode_special_tokens = False
        try:
            return self.backend.to_str(pretty)
        finally:
            self.backend.encode_special_tokens = True

    def save(self, folder: Path) -> None:
        """Writes a folder that `transformers.AutoTokenizer.from_pretrained` opens."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(self.to_str(pretty=True), encoding="utf-8")
        if self.extension is not None:
            self.extension.save(folder)
        config = {f"{role}_token": token for role, token in self.special.items()}
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Opens a folder that `save` wrote."""
        config = json.loads((folder / "tokenizer_config.json").read_text())
        special = {r: config[f"{r}_token"] for r in SPECIAL_TOKENS if config.get(f"{r}_token")}
        backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        return cls(backend, special, Extension.load(folder))


def _from_bytes(token: str) -> str | None:
    """The text of a byte-level token, or None where it holds only a part of a character."""
    text = _BYTE_LEVEL.decode([token])
    return None if "\N{REPLACEMENT CHARACTER}" in text else text


def from_piece(token: str) -> str | None:
    """The text of a word piece, or None where it is a byte of a character that has several."""
    if (byte := _BYTE.fullmatch(token)) is not None:
        return chr(int(byte[1], 16)) if byte[1] < "80" else None
    return token.removeprefix("##").replace("▁", " ")


def _punctuates(character: str) -> bool:
    """BERT's notion of punctuation: the Unicode category P, and the symbols of ASCII."""
    return unicodedata.category(character).startswith("P") or character in "$+<=>^`|~"

"""Tokenizers: trained on the corpus, or loaded; and the word that each token belongs to."""

import hashlib
import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import tokenizers
from tokenizers import Encoding, decoders, models, normalizers, pre_tokenizers, processors, trainers

from maskwright.core.errors import UserError
from maskwright.core.hub import go_offline_without_network
from maskwright.core.paths import on_disk

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
Texts = Callable[[], Iterator[list[str]]]


class Tokenizer:
    """A `tokenizers.Tokenizer` with its special tokens, whatever they are spelled like.

    Args:
        backend: the tokenizer. Special tokens spelled out in a text are treated as text.
        special: the spelling of `pad`, `unk`, `cls`, `sep` and `mask`; `unk` may be missing.
    Raises:
        UserError: a special token that masked language modelling needs is missing.
    """

    def __init__(self, backend: tokenizers.Tokenizer, special: dict[str, str]):
        self.backend, self.special = backend, special
        backend.encode_special_tokens = True
        backend.no_padding()
        backend.no_truncation()
        found = {role: backend.token_to_id(token) for role, token in special.items()}
        ids = {role: i for role, i in found.items() if i is not None}
        for role in ("pad", "cls", "sep", "mask"):
            if role not in ids:
                raise UserError(
                    f"The tokenizer has no {role} token, which masked language modelling needs. "
                    "Choose one of a BERT-like model, or train one: tokenizer=wordpiece."
                )
        self.pad_id, self.cls_id, self.sep_id, self.mask_id = (ids[r] for r in ("pad", "cls", "sep", "mask"))
        added = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
        self.special_ids = sorted(added | set(ids.values()))

    def __len__(self) -> int:
        """One more than the largest id: the number of rows that an embedding needs."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def ordinary_ids(self) -> list[int]:
        """The ids that stand for text, in order."""
        special = set(self.special_ids)
        return sorted(i for i in self.backend.get_vocab(with_added_tokens=True).values() if i not in special)

    def encode(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each text the token ids (int64), without special tokens, and whether each starts a word (bool)."""
        encodings = self.backend.encode_batch(list(texts), add_special_tokens=False)
        ids = [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]
        return [(i, self.word_starts(i, encoding)) for i, encoding in zip(ids, encodings, strict=True)]

    def word_starts(self, ids: np.ndarray, encoding: Encoding) -> np.ndarray:
        """Whether each token of an encoding, of the given ids, starts a word.

        A word is what the pre-tokenizer says, and a token of punctuation is a word by itself even
        where the pre-tokenizer left it glued to its neighbour (SentencePiece splits at blanks only).
        A lone word mark belongs to the token behind it.
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
        bytewise = '"type":"ByteLevel"' in self.backend.to_str()
        special = set(self.special_ids)
        table = np.zeros(len(self), dtype=bool)
        for token, i in self.backend.get_vocab(with_added_tokens=True).items():
            text = _from_bytes(token) if bytewise else token.removeprefix("##").replace("▁", " ")
            table[i] = i not in special and text is not None and holds(text.strip(" "))
        return table

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

    def save(self, folder: Path) -> None:
        """Writes a folder that `transformers.AutoTokenizer.from_pretrained` opens."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.encode_special_tokens = False
        try:
            self.backend.save(str(folder / "tokenizer.json"))
        finally:
            self.backend.encode_special_tokens = True
        config = {f"{role}_token": token for role, token in self.special.items()}
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Opens a folder that `save` wrote."""
        config = json.loads((folder / "tokenizer_config.json").read_text())
        special = {r: config[f"{r}_token"] for r in SPECIAL_TOKENS if config.get(f"{r}_token")}
        return cls(tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")), special)


def _byte_alphabet() -> dict[str, int]:
    """The byte of each character of GPT-2's alphabet.

    It writes each byte as a printable character: those of Latin-1 as themselves, the others as the
    characters from U+0100 on, in order.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def _from_bytes(token: str) -> str | None:
    """The text of a byte-level token, or None where it holds but a part of a character."""
    try:
        return bytes(_BYTES[character] for character in token).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None


def _punctuates(character: str) -> bool:
    """BERT's notion of punctuation: the Unicode category P, and the symbols of ASCII."""
    return unicodedata.category(character).startswith("P") or character in "$+<=>^`|~"


def alphabet(texts: Iterator[list[str]], normalizer: normalizers.Normalizer, size: int) -> list[str]:
    """The `size` most frequent characters of normalised texts, white space left out; ties by code point."""
    counts = np.zeros(sys.maxunicode + 1, dtype=np.int64)
    for batch in texts:
        points = np.frombuffer("".join(batch).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        counts += np.bincount(points, minlength=len(counts))
    normal: Counter[str] = Counter()
    for point in np.flatnonzero(counts).tolist():
        for character in normalizer.normalize_str(chr(point)):
            normal[character] += int(counts[point])
    ranked = sorted((-count, character) for character, count in normal.items() if not character.isspace())
    return sorted(character for _, character in ranked[:size])


@dataclass(frozen=True)
class Trained:
    """A tokenizer learned from the training split.

    Args:
        kind: `wordpiece` (BERT), `bpe` (byte-level, GPT-2) or `unigram` (SentencePiece, ALBERT).
        vocabulary_size: at most so many tokens, special tokens included.
        lowercase: texts are lower-cased (and, for wordpiece, accents stripped, as in BERT uncased).
    Raises:
        UserError: the vocabulary is too small to hold the special tokens and an alphabet.
    """

    kind: Literal["wordpiece", "bpe", "unigram"]
    vocabulary_size: int
    lowercase: bool

    def __post_init__(self) -> None:
        least = 256 + len(SPECIAL_TOKENS) if self.kind == "bpe" else 64
        if self.vocabulary_size < least:
            raise UserError(
                f"tokenizer.vocabulary_size={self.vocabulary_size} is too small for tokenizer.kind={self.kind}: "
                f"its special tokens and alphabet take at least {least}."
            )

    def __str__(self) -> str:
        return f"{self.kind}, {self.vocabulary_size:,} tokens{', lower case' if self.lowercase else ''}"

    @property
    def passes(self) -> int:
        """How often `make` reads the texts."""
        return 2 if self.kind == "wordpiece" else 1

    def make(self, texts: Texts) -> Tokenizer:
        """Learns from texts.

        `wordpiece` and `bpe` learn the same from the same texts every time. `unigram` does not quite:
        `tokenizers` adds up its probabilities in an order of its own.

        Args:
            texts: answers the texts, in batches, each time it is called.
        """
        learn = {"wordpiece": self._wordpiece, "bpe": self._bpe, "unigram": self._unigram}[self.kind]
        backend = learn(texts)
        backend.add_special_tokens(list(SPECIAL_TOKENS.values()))
        cls, sep = SPECIAL_TOKENS["cls"], SPECIAL_TOKENS["sep"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(token, backend.token_to_id(token)) for token in (cls, sep)],
        )
        return Tokenizer(backend, dict(SPECIAL_TOKENS))

    def _wordpiece(self, texts: Texts) -> tokenizers.Tokenizer:
        """Pieces learned by byte-pair merges over characters, as `WordPieceTrainer` does.

        That trainer numbers its pieces in the order of a hash table, another in each process, and
        breaks ties by those numbers. Here the start of a word is marked instead of what continues it,
        which lets `BpeTrainer` learn the merges, and that one goes by a fixed order once it is given
        its alphabet.
        """
        normalizer = normalizers.BertNormalizer(lowercase=self.lowercase)
        words = pre_tokenizers.BertPreTokenizer()
        learner = tokenizers.Tokenizer(models.BPE())
        learner.normalizer = normalizer
        marks = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
        learner.pre_tokenizer = pre_tokenizers.Sequence([words, marks])
        # each character takes two pieces, and all together at most half of the vocabulary
        characters = alphabet(texts(), normalizer, min(1000, self.vocabulary_size // 4))
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary_size,
            initial_alphabet=["▁", *characters],
            limit_alphabet=len(characters) + 1,
            show_progress=False,
        )
        learner.train_from_iterator(texts(), trainer)
        learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
        pieces = [*SPECIAL_TOKENS.values(), *characters, *(f"##{character}" for character in characters)]
        pieces += [token[1:] if token.startswith("▁") else f"##{token}" for token, _ in learned if token != "▁"]
        vocabulary = list(dict.fromkeys(pieces))[: self.vocabulary_size]
        backend = tokenizers.Tokenizer(
            models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token=SPECIAL_TOKENS["unk"])
        )
        backend.normalizer, backend.pre_tokenizer, backend.decoder = normalizer, words, decoders.WordPiece()
        return backend

    def _bpe(self, texts: Texts) -> tokenizers.Tokenizer:
        backend = tokenizers.Tokenizer(models.BPE())
        backend.normalizer = self._normalizer(normalizers.NFC())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary_size,
            special_tokens=list(SPECIAL_TOKENS.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(texts(), trainer)
        return backend

    def _unigram(self, texts: Texts) -> tokenizers.Tokenizer:
        backend = tokenizers.Tokenizer(models.Unigram())
        backend.normalizer = self._normalizer(normalizers.NFKC())
        # Metaspace alone would leave line ends inside words, and punctuation glued to the word before it
        words = [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Punctuation("isolated"),
        ]
        backend.pre_tokenizer = pre_tokenizers.Sequence(words)
        backend.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=self.vocabulary_size,
            special_tokens=list(SPECIAL_TOKENS.values()),
            unk_token=SPECIAL_TOKENS["unk"],
            show_progress=False,
        )
        backend.train_from_iterator(texts(), trainer)
        return backend

    def _normalizer(self, form: normalizers.Normalizer) -> normalizers.Normalizer:
        return normalizers.Sequence([form, normalizers.Lowercase()]) if self.lowercase else form


@dataclass(frozen=True)
class Pretrained:
    """Any fast tokenizer, by the name of a folder or of a model on the hub, or `pkg://package/folder`."""

    name: str

    def __post_init__(self) -> None:
        if self.name == "???":  # where conf/tokenizer/pretrained.yaml found none
            raise UserError(
                "tokenizer.name has no value yet. Give it one: tokenizer.name=<folder or name on the hub>"
            )

    @property
    def _place(self) -> str:
        return on_disk(self.name, "tokenizer.name")

    def __str__(self) -> str:
        return self.name

    @property
    def passes(self) -> int:
        return 0

    def digest(self) -> str:
        """A digest of the files of a folder; empty for a name on the hub."""
        folder, digest = Path(self._place).expanduser(), hashlib.blake2b(digest_size=8)
        files = sorted(p for p in folder.glob("*") if p.suffix in (".json", ".txt", ".model"))
        for path in files:
            digest.update(path.read_bytes())
        return digest.hexdigest() if files else ""

    def make(self, texts: Texts) -> Tokenizer:
        """Loads it; the texts are not looked at.

        Raises:
            UserError: there is none under that name, or it has no fast version, or no mask token.
        """
        from transformers import AutoTokenizer  # takes seconds to import

        if not Path(self._place).expanduser().is_dir():
            go_offline_without_network()
        try:
            loaded = AutoTokenizer.from_pretrained(self._place)
        except (OSError, ValueError) as error:
            raise UserError(
                f"tokenizer.name='{self.name}' is neither a folder with a tokenizer nor one that the hub hands "
                "out now (without network only local folders work). Point tokenizer.name to a folder with a "
                "tokenizer.json, or train a tokenizer: tokenizer=wordpiece."
            ) from error
        if not loaded.is_fast:
            raise UserError(
                f"tokenizer.name='{self.name}' has no fast version, which alone tells the words of tokens. "
                "Choose a tokenizer that ships a tokenizer.json."
            )
        special = {role: getattr(loaded, f"{role}_token", None) for role in SPECIAL_TOKENS}
        tokenizer = Tokenizer(loaded.backend_tokenizer, {r: str(t) for r, t in special.items() if t is not None})
        if not tokenizer.ordinary_ids:  # what transformers makes of a config.json alone
            raise UserError(
                f"tokenizer.name='{self.name}' has no files of a tokenizer. Name a folder with a tokenizer.json."
            )
        return tokenizer

"""Tokenizers that are trained on the corpus."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from maskwright.core.errors import UserError
from maskwright.text.tokenizer.wrapper import SPECIAL_TOKENS, Tokenizer

Texts = Callable[[], Iterator[list[str]]]


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

    is_trained: ClassVar[bool] = True

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

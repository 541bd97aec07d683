"""Tokenizers that are trained on the corpus."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from maskwright.core.errors import UserError
from maskwright.core.interruptible import interruptible
from maskwright.text.tokenizer.alphabet import alphabet, is_word, ranked_characters
from maskwright.text.tokenizer.wrapper import SPECIAL_TOKENS, Tokenizer

Texts = Callable[[], Iterator[list[str]]]

_LONGEST = 100  # characters of a word; longer ones are cut, as WordPiece would take them for unknown as a whole
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]  # as SentencePiece spells them


@dataclass(frozen=True)
class Trained:
    """A tokenizer learned from the training split.

    Args:
        kind: `wordpiece` (BERT), `bpe` (byte-level, GPT-2) or `unigram` (SentencePiece, ALBERT).
        vocabulary_size: at most so many tokens, special tokens included.
        lowercase: texts are lower-cased.
        strip_accents: accents of Latin, Greek and Cyrillic letters are stripped, as in BERT uncased; marks that are
            letters of their own, as vowels in Hindi and voicing in Japanese, never are.
        limit_alphabet: at most so many characters, without Chinese ones, are pieces by themselves; None takes as
            many as cover 99.99 % of the text, at least 1000. `bpe` knows all characters by their bytes.
        byte_fallback: of `unigram`, characters that are not in the vocabulary are spelled in the bytes of their
            UTF-8, which take 256 tokens; else they are [UNK].
    Raises:
        UserError: the vocabulary is too small to hold the special tokens and an alphabet, or `wordpiece` is to
            spell characters in bytes.
    """

    is_trained: ClassVar[bool] = True
    extend: ClassVar[int] = 0  # words that are added to it: it has those of the texts

    kind: Literal["wordpiece", "bpe", "unigram"]
    vocabulary_size: int
    lowercase: bool
    strip_accents: bool = False
    limit_alphabet: int | None = None
    byte_fallback: bool = False

    def __post_init__(self) -> None:
        if self.byte_fallback and self.kind == "wordpiece":
            raise UserError(
                "tokenizer.byte_fallback=true: WordPiece spells no characters in bytes. Take "
                "tokenizer=unigram with it, or tokenizer=bpe, which always does."
            )
        least = len(_BYTES) + len(SPECIAL_TOKENS) if self.kind == "bpe" else 64 + len(_BYTES) * self.byte_fallback
        if self.vocabulary_size < least:
            raise UserError(
                f"tokenizer.vocabulary_size={self.vocabulary_size} is too small for tokenizer.kind={self.kind}: "
                f"its special tokens and alphabet take at least {least}."
            )
        if self.limit_alphabet is not None and self.limit_alphabet < 1:
            raise UserError(
                f"tokenizer.limit_alphabet={self.limit_alphabet} leaves no character; set 1000 or null."
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
        # native code takes minutes, in which no signal would be handled
        backend = interruptible(lambda stopped: learn(lambda: _until(stopped, texts())))
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
        # clean_text would also remove joiners, with which words of Persian and Hindi are spelled
        noise = normalizers.Replace(tokenizers.Regex(r"(?![\u200c\u200d\s])[\p{Cc}\p{Cf}\ufffd]"), "")
        bert = normalizers.BertNormalizer(clean_text=False, strip_accents=False, lowercase=self.lowercase)
        normalizer = normalizers.Sequence([noise, *self._forms("C"), bert])
        words = pre_tokenizers.Sequence([_cut(), pre_tokenizers.BertPreTokenizer()])
        learner = tokenizers.Tokenizer(models.BPE())
        learner.normalizer = normalizer
        marks = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
        learner.pre_tokenizer = pre_tokenizers.Sequence([words, marks])
        ranked = ranked_characters(texts(), normalizer)
        characters = alphabet(ranked, self.vocabulary_size // 2, self.limit_alphabet)
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary_size,
            initial_alphabet=["▁", *characters],
            limit_alphabet=len(characters) + 1,
            show_progress=False,
        )
        learner.train_from_iterator(texts(), trainer)
        learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
        pieces = [
            *SPECIAL_TOKENS.values(),
            *characters,
            *(f"##{character}" for character in characters if not is_word(character)),
        ]
        pieces += [token[1:] if token.startswith("▁") else f"##{token}" for token, _ in learned if token != "▁"]
        pieces += [character for character in ranked if is_word(character)]  # where merges leave room
        vocabulary = list(dict.fromkeys(pieces))[: self.vocabulary_size]
        backend = tokenizers.Tokenizer(
            models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token=SPECIAL_TOKENS["unk"])
        )
        backend.normalizer, backend.pre_tokenizer, backend.decoder = normalizer, words, decoders.WordPiece()
        return backend

    def _bpe(self, texts: Texts) -> tokenizers.Tokenizer:
        backend = tokenizers.Tokenizer(models.BPE())
        backend.normalizer = self._normalizer("C")
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
        backend.normalizer = self._normalizer("KC")
        # Metaspace alone would leave line ends inside words, and punctuation glued to the word before it
        words = [
            pre_tokenizers.WhitespaceSplit(),
            _cut(),  # a word of thousands of letters would be learned from for hours
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Punctuation("isolated"),
        ]
        backend.pre_tokenizer = pre_tokenizers.Sequence(words)
        backend.decoder = decoders.Metaspace()
        in_bytes = len(_BYTES) if self.byte_fallback else 0
        trainer = trainers.UnigramTrainer(
            vocab_size=self.vocabulary_size - in_bytes,
            special_tokens=list(SPECIAL_TOKENS.values()),
            unk_token=SPECIAL_TOKENS["unk"],
            show_progress=False,
        )
        try:
            backend.train_from_iterator(texts(), trainer)
        except Exception as error:  # of no class of its own
            if "not large enough" not in str(error):
                raise
            number = len(ranked_characters(texts(), backend.normalizer)) + len(SPECIAL_TOKENS) + 1 + in_bytes
            raise UserError(
                f"tokenizer.vocabulary_size={self.vocabulary_size} is too small for a unigram vocabulary, which "
                f"holds every character of the texts: these and the special tokens are {number:,}. Set a larger "
                "one, or tokenizer=bpe, which knows every character by its bytes."
            ) from error
        if self.byte_fallback:
            _add_bytes(backend)
        return backend

    def _normalizer(self, form: str) -> normalizers.Normalizer:
        steps = self._forms(form) + ([normalizers.Lowercase()] if self.lowercase else [])
        return normalizers.Sequence(steps) if len(steps) > 1 else steps[0]

    def _forms(self, form: str) -> list[normalizers.Normalizer]:
        """The normal form C or KC, without accents where they are stripped."""
        compose, split = {
            "C": (normalizers.NFC(), normalizers.NFD()),
            "KC": (normalizers.NFKC(), normalizers.NFKD()),
        }[form]
        accents = normalizers.Replace(tokenizers.Regex(r"[\u0300-\u036f]"), "")
        return [split, accents, compose] if self.strip_accents else [compose]


def _until(stopped: threading.Event, texts: Iterator[list[str]]) -> Iterator[list[str]]:
    for batch in texts:
        if stopped.is_set():
            raise InterruptedError
        yield batch


def _add_bytes(backend: tokenizers.Tokenizer) -> None:
    """Adds the bytes to a unigram vocabulary, after the special tokens, for characters that it does not hold."""
    model = json.loads(backend.to_str())["model"]
    pieces = [(piece, score) for piece, score in model["vocab"]]
    first = len(SPECIAL_TOKENS)
    pieces[first:first] = [(byte, 0.0) for byte in _BYTES]  # as in SentencePiece; they are no part of the search
    backend.model = models.Unigram(pieces, model["unk_id"], byte_fallback=True)
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])


def _cut() -> pre_tokenizers.PreTokenizer:
    """Cuts words that are too long for a vocabulary of pieces."""
    return pre_tokenizers.Split(tokenizers.Regex(rf"[^\s\p{{P}}]{{{_LONGEST}}}"), "isolated")

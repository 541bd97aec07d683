"""The characters of texts, and those of them that a vocabulary holds as pieces by themselves."""

import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
from tokenizers import normalizers

_COMMON = 1000  # characters that an alphabet holds in any case
_COVERED = 0.9999  # of the characters of the texts, by an alphabet of more than these
_CHINESE = (
    *(("\u4e00", "\u9fff"), ("\u3400", "\u4dbf"), ("\uf900", "\ufaff")),
    *(("\U00020000", "\U0002a6df"), ("\U0002a700", "\U0002ceaf"), ("\U0002f800", "\U0002fa1f")),
)


def ranked_characters(texts: Iterator[list[str]], normalizer: normalizers.Normalizer) -> Counter[str]:
    """The characters of normalised texts, white space left out, most frequent first; ties by code point."""
    counts = np.zeros(sys.maxunicode + 1, dtype=np.int64)
    for batch in texts:
        points = np.frombuffer("".join(batch).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        counts += np.bincount(points, minlength=len(counts))
    normal: Counter[str] = Counter()
    for point in np.flatnonzero(counts).tolist():
        for character in normalizer.normalize_str(chr(point)):
            normal[character] += int(counts[point])
    ranked = sorted((-count, character) for character, count in normal.items() if not character.isspace())
    return Counter({character: -count for count, character in ranked})


def alphabet(ranked: Counter[str], pieces: int, limit: int | None) -> list[str]:
    """The most frequent characters that take at most this many pieces, sorted.

    A character takes two pieces, for the start of a word and for the rest of it; a Chinese one, which is a word by
    itself, takes one.

    Args:
        limit: at most so many characters that take two; None takes the first thousand, and as many more as cover
            99.99 % of the text.
    """
    chosen: list[str] = []
    total, covered, taken = sum(ranked.values()), 0, 0
    for character, count in ranked.items():
        cost = 1 if is_word(character) else 2
        enough = taken >= _COMMON and covered >= _COVERED * total if limit is None else taken >= limit
        if cost > pieces or (cost == 2 and enough):
            break
        chosen.append(character)
        pieces -= cost
        taken += cost == 2
        covered += count
    return sorted(chosen)


def is_word(character: str) -> bool:
    """Whether BERT's normalizer puts blanks around a character: those of Chinese, also in Japanese."""
    return any(first <= character <= last for first, last in _CHINESE)

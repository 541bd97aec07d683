"""How much texts differ: distinct-n and self-BLEU."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_WORDS = re.compile(r"\w+|[^\w\s]")
_BLEU_TEXTS = 100  # self-BLEU compares each text with all others, so its time grows with the square of their number


class Diversity(NamedTuple):
    """How much texts differ; None where they are too few or too short to tell.

    Attributes:
        distinct_1, distinct_2: the share of different words, and of different pairs of neighbouring words, among
            all of them (Li et al., 2016): 1 if none is there twice.
        self_bleu: the mean BLEU-2 of each text with all others as references (Zhu et al., 2018), between 0 and 1:
            lower if they differ more. Short texts hardly ever share longer n-grams, without which BLEU is 0. Of
            more than 100 texts, the first 100 are compared.
    """

    distinct_1: float | None
    distinct_2: float | None
    self_bleu: float | None


def diversity(texts: Sequence[str]) -> Diversity:
    """Returns how much texts differ. Words and punctuation marks are counted, in lower case."""
    words = [_WORDS.findall(text.lower()) for text in texts]
    return Diversity(distinct(words, 1), distinct(words, 2), self_bleu(words))


def distinct(texts: Sequence[Sequence[str]], n: int) -> float | None:
    """Returns the number of different n-grams of texts, divided by that of all their n-grams."""
    ngrams = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else None


def self_bleu(texts: Sequence[Sequence[str]]) -> float | None:
    """Returns the mean BLEU-2 of each text with the others as references."""
    from torchmetrics.functional.text import bleu_score  # takes a second to import

    joined = [" ".join(words) for words in texts if words][:_BLEU_TEXTS]
    if len(joined) < 2:
        return None
    scores = [float(bleu_score([text], [joined[:i] + joined[i + 1 :]], n_gram=2)) for i, text in enumerate(joined)]
    return sum(scores) / len(scores)

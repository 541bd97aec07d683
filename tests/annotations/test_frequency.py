import math

import numpy as np
import pytest

from maskwright.annotations.annotation import piece_of_texts
from maskwright.annotations.frequency import Frequency, Tfidf
from maskwright.text.tokenizer import Trained

TEXTS = ["the cat and the dog", "the dog sleeps, the dog dreams of the sea", "a cat"]


@pytest.fixture(scope="module")
def tokenizer():
    return Trained("wordpiece", 70, lowercase=True).make(lambda: iter([TEXTS]))


def weights(annotation, folder, tokenizer, text) -> dict[str, float]:
    """The weight of each word of a text."""
    annotation.learn(folder, lambda: (piece_of_texts([t], tokenizer) for t in TEXTS), tokenizer)
    piece = piece_of_texts([text], tokenizer)
    numbers = annotation.open(folder, tokenizer)(piece)
    words: dict[str, float] = {}
    first = np.flatnonzero(piece.starts).tolist()
    for begin, end in zip(first, [*first[1:], len(piece.ids)], strict=True):
        assert len(set(numbers[begin:end])) == 1  # all tokens of a word weigh the same
        spelled = text[piece.offsets[begin, 0] : piece.offsets[end - 1, 1]]
        words[spelled] = float(numbers[begin])
    return words


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, -1.0])
def test_frequency_is_a_power_of_the_count(tokenizer, tmp_path, alpha):
    found = weights(Frequency(alpha), tmp_path, tokenizer, "the dog and a whale")
    counts = {"the": 5, "dog": 3, "and": 1, "a": 1, "whale": 1}  # a word that training has not: 1
    for word, count in counts.items():
        assert found[word] == pytest.approx(count**-alpha)


def test_tfidf_is_that_of_the_formula(tokenizer, tmp_path):
    found = weights(Tfidf(), tmp_path, tokenizer, "the cat saw the dog and the dog slept")
    tf = {"the": 3, "cat": 1, "saw": 1, "dog": 2, "and": 1, "slept": 1}
    df = {"the": 2, "cat": 2, "saw": 1, "dog": 2, "and": 1, "slept": 1}
    for word in tf:
        assert found[word] == pytest.approx((1 + math.log(tf[word])) * math.log((1 + 3) / df[word]))


def test_documents_of_a_piece_do_not_mix(tokenizer, tmp_path):
    annotation = Tfidf()
    annotation.learn(tmp_path, lambda: iter([piece_of_texts(TEXTS, tokenizer)]), tokenizer)
    annotate = annotation.open(tmp_path, tokenizer)
    together = annotate(piece_of_texts(TEXTS, tokenizer))
    alone = np.concatenate([annotate(piece_of_texts([text], tokenizer)) for text in TEXTS])
    assert np.array_equal(together, alone)


def test_an_exponent_that_is_no_number_is_refused():
    for alpha in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"mask\.weights\.alpha"):
            Frequency(alpha)

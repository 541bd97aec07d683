"""Pseudo-log-likelihoods of texts under a masked language model (Salazar et al., 2020)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from maskwright.inference.asked import AskedModel, Query
from maskwright.text.text_rows import Encoded, Long, windows
from maskwright.text.tokenizer import Tokenizer

Method = Literal["word_l2r", "original", "whole_word"]
METHODS: tuple[Method, ...] = get_args(Method)

_QUERIES_AT_ONCE = 2**16  # rows that are sorted by length together


@dataclass(frozen=True)
class Score:
    """What a model says about the N tokens of a text, in nats.

    Attributes:
        encoded: the text.
        log_probabilities: (N,) float32, the log-probability of each token where it is masked.
    """

    encoded: Encoded
    log_probabilities: np.ndarray

    @property
    def pll(self) -> float:
        """The pseudo-log-likelihood: the sum over all tokens."""
        return float(self.log_probabilities.sum(dtype=np.float64))

    @property
    def pseudo_perplexity(self) -> float:
        """exp of the mean negative log-probability of a token; nan for a text without tokens."""
        return math.exp(-self.pll / len(self.encoded.ids)) if len(self.encoded.ids) else math.nan

    @property
    def bytes(self) -> int:
        """The length of the text in UTF-8."""
        return len(self.encoded.text.encode())

    @property
    def bits_per_byte(self) -> float:
        """The negative pseudo-log-likelihood in bits, for each byte; models with any tokenizer compare by it."""
        return -self.pll / math.log(2) / self.bytes if self.bytes else math.nan


def score(
    model: AskedModel,
    texts: Sequence[str],
    method: Method = "word_l2r",
    long: Long = "windows",
    progress: Callable[[int], None] = lambda number: None,
) -> list[Score]:
    """Returns the scores of texts, in their order.

    Each token is predicted from a row in which it is masked, and with it

    - `original`: nothing else (Salazar et al., 2020). Tokens of a rare word give each other away.
    - `word_l2r`: the tokens after it in its word (Kauf & Ivanova, 2023).
    - `whole_word`: all tokens of its word (Kauf & Ivanova, 2023).

    Args:
        long: `refuse` raises an error for a text that does not fit in a row.
        progress: called with the number of texts that have been scored since the last call.
    Raises:
        UserError: there is such a text.
    """
    found: list[Score] = []
    for encoded in _runs(model.encode(texts, long)):
        found += _score(model, encoded, method)
        progress(len(encoded))
    return found


def _runs(texts: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """Yields texts in runs of about as many tokens as there may be queries at once."""
    run: list[Encoded] = []
    tokens = 0
    for text in texts:
        if run and tokens + len(text.ids) > _QUERIES_AT_ONCE:
            yield run
            run, tokens = [], 0
        run.append(text)
        tokens += len(text.ids)
    if run:
        yield run


def _score(model: AskedModel, texts: Sequence[Encoded], method: Method) -> list[Score]:
    queries = [query for text in texts for query in queries_of(model, text, method)]
    ids = np.concatenate([text.ids for text in texts])
    # the tokens of a text are asked about in order, so the number of a question is that of its token
    values = model.log_probabilities(queries, ids)
    ends = np.cumsum([len(text.ids) for text in texts])[:-1]
    return [Score(text, part) for text, part in zip(texts, np.split(values, ends), strict=True)]


def queries_of(model: AskedModel, text: Encoded, method: Method) -> Iterator[Query]:
    """Yields the queries that ask about each token of a text once, in their order."""
    words = text.words
    for window in windows(len(text.ids), model.room):
        row = model.row(text.ids[window.begin : window.end])
        at = 1 - window.begin  # from tokens of the text to positions of the row
        first = window.first
        while first < window.last:
            # a word may be cut by its window, or by what the window is asked about
            begin = max(int(np.searchsorted(words, words[first])), window.begin)
            end = min(int(np.searchsorted(words, words[first], side="right")), window.end)
            last = min(end, window.last) if method == "whole_word" else first + 1
            hidden = {"original": (first, last), "word_l2r": (first, end), "whole_word": (begin, end)}[method]
            yield Query(row, range(hidden[0] + at, hidden[1] + at), range(first + at, last + at))
            first = last


def row_of(found: Score, tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the row of a text."""
    ids = found.encoded.ids
    return {
        "text": found.encoded.text,
        "pll": found.pll,
        "tokens": len(ids),
        "bytes": found.bytes,
        "pseudo_perplexity": found.pseudo_perplexity if len(ids) else None,
        "bits_per_byte": found.bits_per_byte if found.bytes else None,
        "token": [tokenizer.backend.id_to_token(int(i)) for i in ids],
        "log_probability": [round(float(value), 6) for value in found.log_probabilities],
    }

"""Named spans of a text: names, dates and numbers, as units of a mask.

They are the spans that the corpus tags. In a corpus without tags, a rule finds them:

* a run of capitalised words, without the first word of a sentence;
* a date: 12 March 1990, March 12, 1990, March 1990, 1990-03-12, 12/3/1990, 1990s;
* a number with its digits, sign of currency, per cent or power of ten.
"""

import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.annotations.annotation import Annotate, BaseAnnotation
from maskwright.annotations.shards import Shard
from maskwright.corpora.marks import Spans
from maskwright.text.tokenizer import Tokenizer

_MONTH = (
    "(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?)"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE = (
    rf"\b(?:{_DAY} (?:of )?{_MONTH}(?:,? \d{{4}})?|{_MONTH} {_DAY}(?:,? \d{{4}})?|{_MONTH},? \d{{4}}"
    r"|\d{4}-\d\d-\d\d|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}|\d{3,4}s)\b"
)
_NUMBER = (
    r"(?<!\w)[$€£¥]?\d+(?:[.,]\d+)*(?:%| ?per ?cent\b| (?:hundred|thousand|million|billion|trillion)\b|(?!\w))"
)
_TITLES = "Mr Mrs Ms Dr St Prof Gen Sen Rep Gov Lt Col Capt Sgt Rev Hon".split()
_OPENS = frozenset(".!?:;\n•*|")
_QUOTES = " \t\"'“”‘’«»([{—–-"


@cache
def _pattern() -> re.Pattern[str]:
    upper = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if c.isupper() or c.istitle())
    first = f"[{re.escape(upper)}]"
    initials, title = rf"(?:{first}\.)+{first}\.", rf"(?:{first}|{'|'.join(_TITLES)})\.(?= {first})"
    word = rf"(?!{_DATE})(?:{initials}|{title}|{first}(?:\w|['’&.-](?=\w))*)"
    name = rf"(?<!\w){word}(?: {word})*"
    return re.compile(rf"(?P<date>{_DATE})|(?P<number>{_NUMBER})|(?P<name>{name})")


def named_spans(text: str) -> Spans:
    """The first character of each named span, and the one after its last, in order."""
    spans = []
    for match in _pattern().finditer(text):
        start, end = match.span()
        if match.lastgroup == "name":
            start, end = _name(text, start, end)
        if start < end:
            spans.append((start, end))
    return spans


def _name(text: str, start: int, end: int) -> tuple[int, int]:
    """The part of a run of capitalised words that is a name: not the first word of a sentence, not `I`."""
    words = text[start:end].split(" ")
    if _opens_sentence(text, start) or words[0] in (
        "I",
        "I'm",
        "I've",
        "I'll",
        "I'd",
        "I’m",
        "I’ve",
        "I’ll",
        "I’d",
    ):
        start = min(start + len(words[0]) + 1, end)
    return start, end


def _opens_sentence(text: str, start: int) -> bool:
    before = text[max(start - 40, 0) : start].rstrip(_QUOTES)
    if not before:
        return True
    if before[-1] not in _OPENS:
        return False
    last = re.search(r"(\w+)\.$", before)  # J. or Dr. ends no sentence
    return last is None or not (last[1] in _TITLES or (len(last[1]) == 1 and last[1].isupper()))


@dataclass(frozen=True)
class Entities(BaseAnnotation):
    """Units: named spans, and each other word by itself (ERNIE, Sun et al., 2019; REALM, Guu et al., 2020).

    Args:
        source: `tags`, the spans that the corpus tags (data.tags); `rule`, those of the rule at the top of this
            file; or `auto`, tags if the corpus has those of entities, else the rule. A text from outside the corpus
            has no tags, so the rule applies.
    Raises:
        ValueError: the source is unknown.
    """

    source: str = "auto"

    name = "entities"
    kind = "units"
    reads_text = True
    margin = 16  # as units of a mask: longer ones are not masked
    version = 2

    def __post_init__(self) -> None:
        if self.source not in ("auto", "tags", "rule"):
            raise ValueError(f"source is '{self.source}'; it is one of 'auto', 'tags', 'rule'")

    @property
    def needs_tags(self) -> bool:  # type: ignore[override]
        return self.source == "tags"

    def settings(self) -> Any:
        return [self.source]

    def open(self, folder: Path, tokenizer: Tokenizer) -> Annotate:
        return self.annotate

    def annotate(self, shard: Shard) -> np.ndarray:
        """Returns the tokens that open a unit, (N,) bool. A word that ends inside a span belongs to it."""
        assert shard.texts is not None
        assert shard.marks is not None
        assert shard.offsets is not None
        opens = shard.starts.copy()
        begin = 0
        for text, marks, end in zip(shard.texts, shard.marks, shard.ends.tolist(), strict=True):
            tagged = None if self.source == "rule" or marks is None else marks.entities
            found = named_spans(text) if tagged is None else tagged
            spans = np.array(found, np.int64).reshape(-1, 2)
            last = shard.offsets[begin : end - 1, 1] - 1  # some tokens begin with a blank; none ends with one
            if len(spans) and len(last):
                number = np.searchsorted(spans[:, 0], last, side="right") - 1
                number = np.where((number >= 0) & (last < spans[number, 1]), number, -1)
                continues = (number[1:] == number[:-1]) & (number[1:] >= 0)
                opens[begin + 1 : end - 1][continues] = False
            begin = end
        return opens

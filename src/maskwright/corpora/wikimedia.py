"""Wikimedia dumps (`pages-articles` from dumps.wikimedia.org): their articles as wiki markup, and that as text."""

import bz2
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError, iterparse

from maskwright.core.errors import UserError

_OPENERS: dict[str, Callable[..., Any]] = {".bz2": bz2.open, ".gz": gzip.open}
_REDIRECT = re.compile(r"\s*#\s*redirect\b", re.IGNORECASE)
_DISAMBIGUATION = re.compile(  # but {{disambiguation needed}} and {{Infobox given name}} occur in articles
    r"\{\{\s*(?:(?!infobox)[\w-]+ ){0,2}(?:disambiguation(?: page)?|disambig|disamb|dab|hndis|geodis)\s*(?:\||\}\})"
    r"|\{\{\s*(?:surname|given name)\s*(?:\||\}\})",
    re.IGNORECASE,
)

_QUOTES = re.compile(r"'{2,5}")  # bold and italics
_HEADING = re.compile(r"^(=+)\s*(.*?)\s*\1\s*$", re.MULTILINE)
_BULLET = re.compile(r"^[*#:;]+\s*", re.MULTILINE)
_TABLE = re.compile(
    r"^\s*(?:\{\||\|\}|\|-|[|!]).*$|^.*\b(?:colspan|rowspan|cellpadding|bgcolor)\s*=.*$", re.MULTILINE
)
_NO_LETTER = re.compile(r"^(?:(?!\n)[\W\d_])+$", re.MULTILINE)  # rules, and cells of numbers
_EMPTY_BRACKETS = re.compile(r"\(\s*[,;:.]*\s*\)|\[\s*\]|\{\s*\}")
_AFTER_BRACKET = re.compile(r"\(\s*[,;]\s*")
_BEFORE_MARK = re.compile(r"[^\S\n]+(?=[,;.](?:\s|$))")  # left where brackets or templates were removed
_MAGIC = re.compile(r"__[A-Z]+__")


def read(path: Path) -> Iterator[str]:
    """Yields the wiki markup of each article: namespace 0, no redirects, no disambiguation pages.

    Raises:
        UserError: the file is cut off, damaged, or no Wikimedia dump.
    """
    pages = 0
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            events = iterparse(file, events=("start", "end"))
            _, root = next(events)
            if not root.tag.endswith("mediawiki"):
                raise UserError(f"{path} is XML, but no Wikimedia dump: it opens with <{root.tag}>.")
            space = root.tag.removesuffix("mediawiki")
            for event, element in events:
                if event != "end" or element.tag != f"{space}page":
                    continue
                pages += 1
                text = element.findtext(f"{space}revision/{space}text") or ""
                article = element.findtext(f"{space}ns") == "0" and element.find(f"{space}redirect") is None
                root.clear()  # or every page read so far would stay in memory
                if article and not _REDIRECT.match(text) and not _DISAMBIGUATION.search(text):
                    yield text
    except (EOFError, ParseError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a fault of the device, not of the file
        raise UserError(
            f"{path} is cut off or damaged after page {pages}: {error}. Nothing of it is used. "
            "Download it again, and compare its checksum with the one beside it on dumps.wikimedia.org."
        ) from error


def plain_text(markup: str) -> str:
    """Returns the text of an article without markup: gensim removes most of it, this function the rest."""
    from gensim.corpora.wikicorpus import filter_wiki  # takes a second to import

    text = filter_wiki(markup)
    text = _QUOTES.sub("", text)
    text = _TABLE.sub("", text)
    text = _MAGIC.sub("", text)
    text = _BULLET.sub("", text)
    text = _HEADING.sub(r"\2", text)
    text = _AFTER_BRACKET.sub("(", text)
    text = _BEFORE_MARK.sub("", _EMPTY_BRACKETS.sub("", text))
    return _NO_LETTER.sub("", text)

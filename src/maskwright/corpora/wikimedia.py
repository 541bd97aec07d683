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
from maskwright.corpora import templates
from maskwright.corpora.disambiguation import is_disambiguation

_OPENERS: dict[str, Callable[..., Any]] = {".bz2": bz2.open, ".gz": gzip.open}
# the word differs by language: #WEITERLEITUNG [[...]]; a list has a blank after its mark
_REDIRECT = re.compile(r"\s*#\s*redirect\b|\s*[#＃][^\W\d][\w-]*\s*:?\s*\[\[", re.IGNORECASE)
# `<siteinfo>` has one name of each namespace; these older and other ones occur too
_ALIASES = {
    "File": "bild imagen immagine imagem afbeelding изображение 画像 文件 檔案 档案 圖像 图像 صورة תמונה".split(),
    "Category": "分类 分類".split(),
}
_LOCAL = {"6": "File", "14": "Category"}  # numbers of namespaces, and their names in English

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BLOCK = re.compile(
    r"<(gallery|syntaxhighlight|source|timeline|score|imagemap|hiero|graph|mapframe|inputbox)\b(?:[^>/]|/(?!>))*"
    r"(?:/>|>.*?</\1\s*>)",
    re.DOTALL | re.IGNORECASE,
)
_INTERWIKI = re.compile(r"\[\[(?:simple|[a-z]{2,3}(?:-[a-z]{1,8}){0,2})\s*:[^\[\]|]*\]\]")
_FILE = re.compile(r"\[\[\s*(?:file|image|media)\s*:", re.IGNORECASE)
_BRACKETS = re.compile(r"\[\[|\]\]")
_QUOTES = re.compile(r"'{2,5}")  # bold and italics
_HEADING = re.compile(r"^(=+)\s*(.*?)\s*\1\s*$", re.MULTILINE)
_BULLET = re.compile(r"^[*#:;]+\s*", re.MULTILINE)
_TABLE = re.compile(
    r"^\s*(?:\{\||\|\}|\|-|[|!]).*$|^.*\b(?:colspan|rowspan|cellpadding|bgcolor)\s*=.*$", re.MULTILINE
)
_NO_LETTER = re.compile(r"^(?:(?!\n)[\W\d_])+$", re.MULTILINE)  # rules, and cells of numbers
_EMPTY_BRACKETS = re.compile(r"\(\s*[,;:.]*\s*\)|\[\s*\]|\{\s*\}")
_AFTER_BRACKET = re.compile(r"\(\s*(?:[,;]\s*)+")
_BEFORE_MARK = re.compile(r"[^\S\n]+(?=[,;.](?:\s|$))")  # left where brackets or templates were removed
_MAGIC = re.compile(r"__[^\W\d_]+(?:_[^\W\d_]+)*__")  # in the language of the wiki, such as __БЕЗ_ОГЛ__
_VARIANT = re.compile(r"-\{([^{}]*)\}-")  # the same words in several scripts, of Chinese, Serbian and others
_REFERENCE = re.compile(r"<ref\b(?:[^<>\"']|\"[^\"<>]*\"|'[^'<>]*')*/>", re.IGNORECASE)
_UNCLOSED = re.compile(r"\{\{|\}\}")
_TABLE_EDGE = re.compile(r"(?:^[ \t:*#]*|[=|][ \t]*)(\{\|)(?!\})|^[ \t:*#]*\|\}(?!\})", re.MULTILINE)
_INTERLANGUAGE = re.compile(r"\[\[:[a-z]{2,3}(?:-[a-z]{2,8}){0,2}:([^\[\]|]*)\]\]")  # shown in the text


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
            names = {alias: english for english, aliases in _ALIASES.items() for alias in aliases}
            for event, element in events:
                if event == "end" and element.tag == f"{space}namespace" and element.get("key") in _LOCAL:
                    names[(element.text or "").lower()] = _LOCAL[element.get("key", "")]
                if event != "end" or element.tag != f"{space}page":
                    continue
                pages += 1
                text = element.findtext(f"{space}revision/{space}text") or ""
                article = element.findtext(f"{space}ns") == "0" and element.find(f"{space}redirect") is None
                root.clear()  # or every page read so far would stay in memory
                if article and not _REDIRECT.match(text) and not is_disambiguation(text):
                    yield in_english(text, names)
    except (EOFError, ParseError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a fault of the device, not of the file
        raise UserError(
            f"{path} is cut off or damaged after page {pages}: {error}. Nothing of it is used. "
            "Download it again, and compare its checksum with the one beside it on dumps.wikimedia.org."
        ) from error


def in_english(markup: str, names: dict[str, str]) -> str:
    """Returns markup with the English names of namespaces: `[[Datei:x.jpg]]` becomes `[[File:x.jpg]]`.

    Args:
        names: English names by those of the dump, in lower case, as its `<siteinfo>` has them.
    """
    local = [re.escape(name).replace(r"\ ", "[ _]") for name in names if name and name not in ("file", "category")]
    if not local:
        return markup
    link = re.compile(rf"\[\[\s*({'|'.join(local)})\s*:", re.IGNORECASE)
    return link.sub(lambda found: f"[[{names[found[1].lower().replace('_', ' ')]}:", markup)


def plain_text(markup: str) -> str:
    """Returns the text of an article without markup: gensim removes most of it, this function the rest."""
    from gensim.corpora.wikicorpus import filter_wiki  # takes a second to import

    text = _COMMENT.sub("", markup)
    text = _REFERENCE.sub("", _BLOCK.sub("", text))
    text = _VARIANT.sub(_variant, _INTERLANGUAGE.sub(r"\1", _INTERWIKI.sub("", text)))
    text = without_files(templates.expand(without_tables(text)))
    text = filter_wiki(_UNCLOSED.sub("", text))  # to gensim, all that follows would be of the template
    text = _QUOTES.sub("", text)
    text = _TABLE.sub("", text)
    text = _MAGIC.sub("", text)
    text = _BULLET.sub("", text)
    text = _HEADING.sub(r"\2", text)
    text = _AFTER_BRACKET.sub("(", text)
    text = _BEFORE_MARK.sub("", _EMPTY_BRACKETS.sub("", text))
    return _NO_LETTER.sub("", text)


def _variant(found: re.Match[str]) -> str:
    """Returns the first of the words of `-{zh-hans:计算机;zh-hant:電腦}-`; none of rules, as `-{H|...}-`."""
    flags, bar, words = found[1].rpartition("|")
    if bar and not {*flags.replace(";", "").strip()} <= {*"AR"}:
        return ""
    first = words.split(";")[0]
    return re.sub(r"^\s*[a-z]{2}(?:-[a-z]+)?\s*:", "", first).strip()


def without_tables(markup: str) -> str:
    """Removes tables, those in tables with them: their cells are no sentences. One that never ends stays."""
    kept: list[str] = []
    at = depth = opened = 0
    for edge in _TABLE_EDGE.finditer(markup):
        if edge[1]:
            opened = opened if depth else edge.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                kept.append(markup[at:opened])
                at = edge.end()
    return "".join([*kept, markup[at:]])


def without_files(markup: str) -> str:
    """Replaces pictures by their captions, which may hold links, on lines of their own."""
    kept: list[str] = []
    at = 0
    while opens := _FILE.search(markup, at):
        kept.append(markup[at : opens.start()])
        depth, end = 1, opens.end()
        while depth and (bracket := _BRACKETS.search(markup, end)):
            depth += 1 if bracket[0] == "[[" else -1
            end = bracket.end()
        if depth:  # it never ends
            kept.append(markup[opens.start() : opens.end()])
            at = opens.end()
            continue
        caption = templates.arguments(markup[opens.end() : end - 2])[-1].strip()
        # the other parameters are a name, a size or a place, in one word, or of the form alt=...
        if " " in caption and not re.match(r"\w+\s*=", caption) and "|" in markup[opens.end() : end]:
            kept.append(f"\n{caption}\n")
        at = end
    return "".join([*kept, markup[at:]])

"""Compares ways to clean wiki markup: seconds per MB, characters kept, and what they leave behind.

    pip install -e ".[dev]" mwparserfromhell
    python scripts/benchmarks/wikitext.py

The markup is that of the 98 articles of the dump that gensim ships. The contestants are our own cleaning (templates
expanded, then gensim's `filter_wiki`, then what it leaves), `filter_wiki` alone, `strip_code` of mwparserfromhell
alone, and our own cleaning with `strip_code` in the place of `filter_wiki`. They clean all articles in turns;
seconds are the median of the rounds.
"""

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import mwparserfromhell
from gensim.corpora.wikicorpus import filter_wiki

from maskwright.corpora import wikimedia
from maskwright.corpora.source import Source

DUMP = "pkg://gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
LEFTOVERS = {
    "{{ or }}": r"\{\{|\}\}",
    "[[ or ]]": r"\[\[|\]\]",
    "|": r"\|",
    "== at the start of a line": r"^==",
    "File:, Image: or Category:": r"\b(?:File|Image|Category):",
    "links to other languages": r"^\s*[a-z]{2,3}(?:-[a-z]{2,8})?:\S.*$",
    "thumb": r"\bthumb\b",
    "entities": r"&(?:#\d+|[a-z]+);",
    "tags": r"</?(?:ref|br|div|span|table|td|tr|gallery|math|small|sup|sub)\b[^>]*>",
    "attributes of tables": r"\b(?:colspan|rowspan|cellpadding|style|bgcolor)\s*=",
    "'' (bold, italics)": r"''",
    "* or # at the start of a line": r"^[*#:;]",
}
CUT = {  # text was removed from within a sentence
    "two blanks": r"(?<=\w)  +(?=\w)",
    "empty brackets": r"\(\s*[,;]?\s*\)",
    "a blank before , ; or .": r"(?<=\w) [,;.](?=\s)",
    "a bracket that opens with , or ;": r"\(\s*[,;]",
}


_DROPPED = re.compile(r"\[\[\s*Category\s*:[^\]]*\]\]|<ref\b[^>]*/>|<ref\b.*?</ref\s*>", re.DOTALL | re.IGNORECASE)


def stripped(markup: str) -> str:
    """Returns what mwparserfromhell alone takes for text."""
    return str(mwparserfromhell.parse(markup).strip_code(normalize=True, collapse=True))


def stripped_in_ours(markup: str) -> str:
    """Returns the text of our own cleaning, with mwparserfromhell in the place of gensim."""

    def strip(text: str) -> str:
        return stripped(_DROPPED.sub("", text))

    with patch("gensim.corpora.wikicorpus.filter_wiki", strip):
        return wikimedia.plain_text(markup)


CONTESTANTS: dict[str, Callable[[str], str]] = {
    "ours (with gensim)": wikimedia.plain_text,
    "filter_wiki": filter_wiki,
    "mwparserfromhell": stripped,
    "ours with mwparserfromhell": stripped_in_ours,
}


def counts(texts: list[str], patterns: dict[str, str]) -> dict[str, int]:
    """Returns how often each pattern occurs in all texts."""
    return {name: sum(len(re.findall(p, text, re.MULTILINE)) for text in texts) for name, p in patterns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--show", nargs=2, type=int, metavar=("ARTICLE", "CHARACTERS"), help="print texts instead")
    given = parser.parse_args()
    articles = [text for text in Source(DUMP, None, "text", "row").read("train") if isinstance(text, str)]
    if given.show:
        article, characters = given.show
        for name, clean in CONTESTANTS.items():
            print(f"--- {name}", clean(articles[article])[:characters], sep="\n")
        return
    megabytes = sum(len(markup.encode()) for markup in articles) / 1e6
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    texts: dict[str, list[str]] = {}
    for _ in range(given.rounds):
        for name, clean in CONTESTANTS.items():
            began = time.process_time()
            texts[name] = [clean(markup) for markup in articles]
            seconds[name].append(time.process_time() - began)
    for name in CONTESTANTS:
        row = {
            "cpu seconds per MB": round(statistics.median(seconds[name]) / megabytes, 3),
            "characters without blanks": sum(len("".join(text.split())) for text in texts[name]),
            "left": (left := counts(texts[name], LEFTOVERS)),
            "left in all": sum(left.values()),
            "cut": (cut := counts(texts[name], CUT)),
            "cut in all": sum(cut.values()),
        }
        print(name, json.dumps(row, indent=1))
    print(f"{len(articles)} articles, {megabytes:.2f} MB of markup")


if __name__ == "__main__":
    main()

"""From the raw texts of a source to clean rows, each in its split."""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

from maskwright.core.errors import UserError
from maskwright.core.parallel import Workers, parallel_map
from maskwright.corpora import wikimedia
from maskwright.corpora.cleaning import Cleaner
from maskwright.corpora.findings import Findings
from maskwright.corpora.labels import Labelled, Tagged
from maskwright.corpora.questions import Asked
from maskwright.corpora.recipe import SourceRecipe
from maskwright.corpora.splits import place_of, split_of

_CHARACTERS_PER_SHARD = 200_000
_WHITE_SPACE = re.compile(r"\s+")

Raw = str | Labelled | Tagged | Asked


class Row(NamedTuple):
    """A clean document, in the columns of `documents.SCHEMA`.

    The two texts of a pair are rows one after the other, and the first one has the label.
    """

    text: str
    label: str | None = None
    words: list[int] | None = None
    tags: list[str] | None = None
    document: int | None = None
    labels: list[str] | None = None
    question: dict[str, Any] | None = None


class Reading:
    """One pass over a source: iterating yields batches of clean rows, each with the split that they belong to.

    Args:
        recipe: what is read, and how.
        workers: processes that clean.
        documents: how many documents were numbered in the sources before this one.
    Attributes:
        findings: what was found in the texts that were read so far.
    """

    def __init__(self, recipe: SourceRecipe, workers: Workers, documents: int = 0):
        self.recipe, self.workers = recipe, workers
        self.findings = Findings(documents=documents)

    def __iter__(self) -> Iterator[tuple[str, list[Row]]]:
        recipe = self.recipe
        self.findings.own_splits = own_splits(recipe)
        is_dump = recipe.source.find()[0] == "dump"
        self.source = recipe.read_source()
        self.findings.plain = int(self.source.scheme == "plain")
        for name, targets in recipe.named.items():
            texts: Iterator[Raw] = chain.from_iterable(self._raw(split, targets) for split in name.split("+"))
            if recipe.limit is not None:
                texts = _sample(texts, recipe.limit) if _is_drawn(recipe) else islice(texts, recipe.limit)
            shares = recipe.shares if "train" in targets else {}
            clean = partial(_clean, steps=recipe.cleaning, is_dump=is_dump, shares=shares, target=targets[0])
            for shard in parallel_map(clean, _shards(texts), self.workers):
                self.findings.add(shard.counts)
                for split, rows in shard.rows.items():
                    yield from ((copy, rows) for copy in (targets if split == targets[0] else [split]))

    def _raw(self, split: str, targets: list[str]) -> Iterator[Raw]:
        """Yields the texts of a split of the source, counted, and tagged ones with the number of their document.

        Args:
            targets: the splits that they are for.
        Raises:
            UserError: words have no tags, and are for more than the test split.
        """
        found = self.findings
        sizes = found.by_split.setdefault(split, {})
        for text in self.recipe.read(split, self.source):
            sizes["texts"] = sizes.get("texts", 0) + 1
            if isinstance(text, Tagged):
                if text.tags is None and {*targets} != {"test"}:
                    raise UserError(
                        f"The words of the split '{split}' of data.source='{self.source.source}' have no tags "
                        f"(data.tags={self.source.tags}), but data.splits.{targets[0]} takes it. Only a test split "
                        "may be without tags: it is left out."
                    )
                tags = text.tags or []
                sizes["words"] = sizes.get("words", 0) + len(text.words)
                sizes["entities"] = sizes.get("entities", 0) + sum(tag.startswith("B-") for tag in tags)
                found.cut += text.cut
                found.strays += text.strays
                found.opened += text.opened
                found.documents += text.opens_document
                text = replace(text, document=found.documents)
            yield text


def own_splits(recipe: SourceRecipe) -> list[str]:
    """Returns the splits that a recipe takes as shares of the training data although the source has them."""
    own = recipe.source.splits() if recipe.shares else set()
    return [split for split in recipe.shares if split in own - {*recipe.taken}]


def _is_drawn(recipe: SourceRecipe) -> bool:
    return recipe.source.label is not None or recipe.source.question is not None


def _sample(texts: Iterator[Raw], number: int) -> Iterator[Raw]:
    """This many of labelled texts, in order, chosen by their hashes: data sets are often sorted by label."""
    drawn = heapq.nsmallest(number, enumerate(texts), key=lambda item: place_of(f"limit {_whole(item[1])}"))
    return (text for _, text in sorted(drawn, key=lambda item: item[0]))


def _whole(raw: Raw) -> str:
    """The text of a labelled document, both texts of a pair, or a question with its context."""
    if isinstance(raw, Asked):
        return raw.text
    return " ".join(raw.texts) if isinstance(raw, Labelled) else str(raw)


def _shards(texts: Iterator[Raw]) -> Iterator[list[Raw]]:
    """Runs of texts, of about the same number of characters."""
    shard: list[Raw] = []
    characters = 0
    for text in texts:
        shard.append(text)
        characters += len(text)
        if characters >= _CHARACTERS_PER_SHARD:
            yield shard
            shard, characters = [], 0
    if shard:
        yield shard


@dataclass
class _CleanShard:
    """The clean rows of a shard by split, and what cleaning made of its texts."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    counts: Findings = field(default_factory=Findings)


def _clean(
    texts: list[Raw], steps: tuple[str, ...], is_dump: bool, shares: dict[str, float], target: str
) -> _CleanShard:
    clean = Cleaner(steps)
    shard = _CleanShard()
    counts = shard.counts
    contexts: dict[str, str] = {}  # the last one of each split
    for raw in texts:
        if isinstance(raw, Asked):
            _add_question(shard, raw, clean, split_of(raw.group, shares, target), contexts)
            continue
        if isinstance(raw, Tagged):
            text, words = raw.plain(clean)
            before = "".join(raw.words)
            rows = [Row(text, None, [edge for word in words for edge in word], raw.tags, raw.document)]
        elif isinstance(raw, Labelled):
            before = "".join(raw.texts)
            labels = None if raw.labels is None else list(raw.labels)
            rows = [Row(clean(text)) for text in raw.texts]
            rows[0] = rows[0]._replace(label=raw.label, labels=labels)
        else:
            before = wikimedia.plain_text(raw) if is_dump else raw
            rows = [Row(clean(before))]
        size = _size(before)
        counts.cleaned += 1
        counts.characters += size
        counts.removed += max(0, size - sum(_size(row.text) for row in rows))
        if all(row.text for row in rows):
            whole = " ".join(row.text for row in rows)
            shard.rows.setdefault(split_of(whole, shares, target), []).extend(rows)
        else:
            _note_empty(counts)
    counts.lost = clean.lost
    return shard


def _note_empty(counts: Findings) -> None:
    """Counts the text that was cleaned last as an empty one."""
    counts.empty += 1
    counts.first_empty = counts.first_empty or counts.cleaned


def _add_question(shard: _CleanShard, raw: Asked, clean: Cleaner, split: str, contexts: dict[str, str]) -> None:
    """Adds a question, after its context where that is another one than the last of the split."""
    found, counts = raw.cleaned(clean), shard.counts
    size = _size(raw.question) + _size(raw.context)
    counts.cleaned += 1
    counts.characters += size
    counts.removed += max(0, size - _size(found.question) - _size(found.context))
    if not (found.question.strip() and found.context.strip()):
        _note_empty(counts)
        return
    rows = shard.rows.setdefault(split, [])
    if contexts.get(split) != found.context:
        contexts[split] = found.context
        rows.append(Row(found.context))
    places = found.places or []
    question = {
        "id": raw.id,
        "answers": raw.answers,
        "begins": [begin for begin, _ in places],
        "ends": [end for _, end in places],
        "moved": found.moved,
    }
    rows.append(Row(found.question, question=question))


def _size(text: str) -> int:
    """The number of characters, white space left out."""
    return len(text) - sum(map(len, _WHITE_SPACE.findall(text)))

"""Texts without labels as rows of tokens in memory, cut as those of a labelled corpus are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from maskwright.annotations.first_tokens import FirstTokens
from maskwright.annotations.shards import shard_of_texts
from maskwright.core.case import Case
from maskwright.corpora.inputs import Input
from maskwright.corpora.marks import Marks
from maskwright.data.label_spec import LabelKind
from maskwright.data.pair_rows import PairRows, cut_pairs
from maskwright.data.rows import Rows
from maskwright.data.tagged_rows import TaggedRows, Tags
from maskwright.data.windows import Truncate, cut, whole_texts
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import Tokens


def windows(
    items: Iterable[Input], size: int, margin: int
) -> Iterator[tuple[list[Input], list[Input], list[Input]]]:
    """Yields runs of `size` items, each with at most `margin` items before it and after it.

    Every run but the last has `size` items, so that a run depends on nothing but its number.
    """
    stream = iter(items)
    before: list[Input] = []
    held = list(islice(stream, size + margin))
    while held:
        own, after = held[:size], held[size:]
        yield before, own, after
        before = (before + own)[-margin:] if margin else []
        held = after + list(islice(stream, size + margin - len(after)))


def margin_of(data: Mapping[str, Any], kind: LabelKind) -> int:
    """Returns how many texts on either side of a text its rows can show.

    Each text has at least a separator, so that a row of `block_size` reaches no further.

    Args:
        data: the settings of `LabelledData`.
    """
    return data["block_size"] if kind == "tags" and data["context"] == "document" else 0


def rows_of_inputs(texts: Sequence[Input], kind: LabelKind, tokenizer: Tokenizer, data: Mapping[str, Any]) -> Rows:
    """Returns the rows of texts, none of which is empty, as `LabelledData` makes them, with 0 for all targets.

    Args:
        data: the settings of `LabelledData`.
    """
    paired = bool(texts) and texts[0].clean_second is not None
    spans = [text.clean_words or [] for text in texts]
    marks: list[Marks | None] | None = [Marks(own, []) for own in spans] if kind == "tags" else None
    shard = shard_of_texts([clean for text in texts for clean in text.clean_texts], tokenizer, marks)
    counts = np.zeros(0, np.int64)
    documents = np.array([text.document for text in texts]) if margin_of(data, kind) else None
    truncate: Truncate = "windows" if kind == "tags" else data["truncate"]
    size = data["block_size"]
    segments = (
        cut_pairs(shard.ends, size, truncate, tokenizer)
        if paired
        else cut(whole_texts(shard.ends, documents), size - 2, truncate)
    )
    shared: dict[str, Any] = {
        "tokens": Tokens(shard.ids, shard.starts.astype(np.uint8), shard.ends, counts, 0.0),
        "tokenizer": tokenizer,
        "annotations": {},
        "segments": segments,
        "block_size": size,
    }
    if kind != "tags":
        targets = np.zeros(len(texts), np.float32 if kind == "value" else np.int64)
        return (PairRows if paired else Rows)(targets=targets, **shared)
    cases = [Case.of(text.clean[a:b]) for text, own in zip(texts, spans, strict=True) for a, b in own]
    begins = np.concatenate([[0], np.cumsum([len(own) for own in spans])]).astype(np.int64)
    tags = Tags(np.zeros(len(cases), np.int64), np.array(cases, np.int64), begins)
    return TaggedRows(tags, FirstTokens().annotate(shard), **shared)

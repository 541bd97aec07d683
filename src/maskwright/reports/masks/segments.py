"""Texts cut where a mask hides them."""

from dataclasses import dataclass
from itertools import islice
from typing import Literal

from torch import Tensor

from maskwright.annotations.shards import Shard
from maskwright.corpora.documents import open_marked
from maskwright.corpora.marks import Marks
from maskwright.data.corpus import Corpus
from maskwright.masking import Masker
from maskwright.reports import fills
from maskwright.text.tokenizer import Tokenizer

Kind = Literal["plain", "mask", "random", "keep"]


@dataclass(frozen=True)
class Segment:
    """A part of a text that is plain, or hidden in one way as part of one unit.

    Attributes:
        text: what is there.
        shown: the random tokens that replace it, else an empty string.
    """

    text: str
    kind: Kind
    shown: str = ""

    def __str__(self) -> str:
        return {
            "plain": self.text,
            "mask": f"[{self.text}]",
            "random": f"[{self.text} → {self.shown}]",
            "keep": f"[{self.text} =]",
        }[self.kind]


def segments(
    masker: Masker, tokenizer: Tokenizer, batch: dict[str, Tensor], shard: Shard, progress: float = 0.0
) -> list[list[Segment]]:
    """The texts of a shard, one row of `batch` each, cut where tokens are hidden."""
    units, masked = masker.units_in(batch, progress), masker(batch, progress)
    out, begin = [], 0
    assert shard.texts is not None
    assert shard.offsets is not None
    for row, (text, end) in enumerate(zip(shard.texts, shard.ends.tolist(), strict=True)):
        hidden = set((masked.positions[row][masked.valid[row]] - 1).tolist())
        cut: list[Segment] = []
        at = 0
        opened: tuple[int, Kind] | None = None  # unit and kind of the segment that the next token may continue
        for i, (first, last) in enumerate(shard.offsets[begin : end - 1].tolist()):
            first += len(text[first:last]) - len(text[first:last].lstrip())  # the blank before a byte-level token
            first = max(first, at)  # tokens may share a character, as the bytes of one do
            if i not in hidden or last <= first:
                opened = opened if last <= at else None
                continue
            token = int(masked.input_ids[row, i + 1])
            kind: Kind = "random"
            if token == masker.mask_id:
                kind = "mask"
            elif token == int(batch["input_ids"][row, i + 1]):
                kind = "keep"
            shown = tokenizer.decode([token]).strip() if kind == "random" else ""
            key = (int(units[row, i + 1]), kind)
            if opened == key:
                before = cut.pop()
                cut.append(Segment(before.text + text[at:last], kind, f"{before.shown} {shown}".strip()))
            else:
                if at < first:
                    cut.append(Segment(text[at:first], "plain"))
                cut.append(Segment(text[first:last], kind, shown))
            opened, at = key, last
        if at < len(text):
            cut.append(Segment(text[at:], "plain"))
        out.append(cut)
        begin = end
    return out


def held_out(data: Corpus, number: int) -> tuple[list[str], list[Marks | None] | None]:
    """A few texts of the validation split: those of tagged words with what is marked in them, else sentences."""
    if data.tagged:
        return open_marked(data.documents_folder)["validation"](0, number)
    documents = (row["text"] for row in data.documents["validation"])
    return list(islice(fills.sentences(documents, each=1), number)), None

"""What a mask hides, to look at: on the terminal, as HTML, and as a picture."""

import html
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from maskwright.annotations.annotation import Piece
from maskwright.core.atomic import write_file
from maskwright.corpora.documents import open_marked
from maskwright.corpora.marks import Marks
from maskwright.data.corpus import Corpus
from maskwright.masking import Masker
from maskwright.reports import fills
from maskwright.text.tokenizer import Tokenizer

Kind = Literal["plain", "mask", "random", "keep"]
COLOURS: dict[str, str] = {"plain": "#ffffff", "mask": "#ffd54d", "random": "#e7a6f0", "keep": "#a8e0a0"}
_NAMES = {"mask": "[MASK]", "random": "random token", "keep": "kept, yet predicted"}
WRITERS = (".html", ".png", ".svg")


@dataclass(frozen=True)
class Part:
    """A stretch of a text: plain, or hidden in one way as part of one unit.

    Attributes:
        text: what stands there.
        shown: the random tokens that stand there instead, else an empty string.
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


@dataclass(frozen=True)
class Picture:
    """Texts under a mask, each with a title, in lines of `width` characters."""

    title: str
    rows: list[tuple[str, list[Part]]]
    width: int = 100


def parts(
    masker: Masker, tokenizer: Tokenizer, batch: dict[str, Tensor], piece: Piece, progress: float = 0.0
) -> list[list[Part]]:
    """The texts of a piece, one row of `batch` each, cut where they are hidden."""
    units, masked = masker.units_in(batch, progress), masker(batch, progress)
    out, begin = [], 0
    assert piece.texts is not None
    assert piece.offsets is not None
    for row, (text, end) in enumerate(zip(piece.texts, piece.ends.tolist(), strict=True)):
        hidden = set((masked.positions[row][masked.valid[row]] - 1).tolist())
        cut: list[Part] = []
        at = 0
        opened: tuple[int, Kind] | None = None  # unit and kind of the part that the next token may go on with
        for i, (first, last) in enumerate(piece.offsets[begin : end - 1].tolist()):
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
                cut.append(Part(before.text + text[at:last], kind, f"{before.shown} {shown}".strip()))
            else:
                if at < first:
                    cut.append(Part(text[at:first], "plain"))
                cut.append(Part(text[first:last], kind, shown))
            opened, at = key, last
        if at < len(text):
            cut.append(Part(text[at:], "plain"))
        out.append(cut)
        begin = end
    return out


def held_out(data: Corpus, number: int) -> tuple[list[str], list[Marks | None] | None]:
    """A few texts of the validation split: those of tagged words with what is marked in them, else sentences."""
    if data.tagged:
        return open_marked(data.documents_folder)["validation"](0, number)
    documents = (row["text"] for row in data.documents["validation"])
    return list(islice(fills.sentences(documents, each=1), number)), None


def on_terminal(cut: Sequence[Part]) -> Text:
    """A text for rich: hidden parts in brackets and in colour."""
    text = Text()
    for part in cut:
        text.append(str(part), style=None if part.kind == "plain" else f"black on {COLOURS[part.kind]}")
    return text


def legend() -> Text:
    """What colours and brackets mean."""
    examples = [Part("word", "mask"), Part("word", "random", "other"), Part("word", "keep")]
    return Text("  ").join(
        Text.assemble((str(part), f"black on {COLOURS[part.kind]}"), f" {_NAMES[part.kind]}") for part in examples
    )


def write(picture: Picture, path: Path) -> None:
    """Writes a picture as what the name of its file says, `.html`, `.png` or `.svg`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        write_file(path, lambda temporary: _save_png(picture, temporary))
    else:
        text = as_html(picture) if path.suffix == ".html" else as_svg(picture)
        write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def as_html(picture: Picture) -> str:
    """A page by itself."""
    body = "\n".join(
        f"<h2>{html.escape(title)}</h2>\n<p>{''.join(map(_html, cut))}</p>" for title, cut in picture.rows
    )
    marks = "\n".join(f"mark.{kind} {{ background: {COLOURS[kind]} }}" for kind in ("mask", "random", "keep"))
    key = " ".join(f'<mark class="{kind}">{html.escape(name)}</mark>' for kind, name in _NAMES.items())
    title = html.escape(picture.title)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.7 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }}
h2 {{ font-size: 1em; color: #666 }}
mark {{ border-radius: 3px; padding: 1px 3px }}
{marks}
</style></head>
<body><h1>{title}</h1>
<p>{key}</p>
{body}
</body></html>
"""


def _html(part: Part) -> str:
    text = html.escape(part.text)
    if part.kind == "plain":
        return text
    shown = f"<small> → {html.escape(part.shown)}</small>" if part.kind == "random" else ""
    return f'<mark class="{part.kind}">{text}{shown}</mark>'


def as_svg(picture: Picture) -> str:
    """A drawing whose text can be searched."""
    lines, wide, high = _lines(picture), 8.4, 24  # of a character, in pixels
    size = f'width="{wide * (picture.width + 2):.0f}" height="{high * len(lines)}"'
    style = "text { font: 14px ui-monospace, Menlo, Consolas, monospace; white-space: pre }"
    shapes = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{style}</style>"]
    shapes.append('<rect width="100%" height="100%" fill="#fff"/>')
    for number, line in enumerate(lines):
        column = 0
        for text, kind in line:
            x, y, width = wide * (column + 1), high * number, wide * len(text)
            if kind in _NAMES:
                box = f'x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{high - 6}" rx="3"'
                shapes.append(f'<rect {box} fill="{COLOURS[kind]}"/>')
            if shown := text.strip():
                x += wide * (len(text) - len(text.lstrip()))
                place = f'x="{x:.1f}" y="{y + 17}" textLength="{wide * len(shown):.1f}"'
                grey = ' fill="#777"' if kind == "title" else ""
                shapes.append(f"<text {place}{grey}>{html.escape(shown, quote=False)}</text>")
            column += len(text)
    return "\n".join([*shapes, "</svg>\n"])


def _save_png(picture: Picture, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    lines = _lines(picture)
    size, character = 10.0, 0.602 * 10.0 / 72  # points; inches of a character of the font
    figure = Figure(figsize=((picture.width + 2) * character, (len(lines) + 1) * 1.6 * size / 72))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(-1, picture.width + 1)
    axes.set_ylim(len(lines) + 0.5, -0.5)
    axes.axis("off")
    font: dict[str, Any] = {"family": "DejaVu Sans Mono", "size": size, "va": "center"}
    for number, line in enumerate(lines):
        column = 0
        for text, kind in line:
            if kind in _NAMES:
                axes.add_patch(Rectangle((column, number + 0.1), len(text), 0.8, color=COLOURS[kind], lw=0))
            colour = "#777777" if kind == "title" else "#000000"
            # a dollar would begin a formula
            axes.text(column, number + 0.5, text.replace("$", r"\$"), color=colour, **font)
            column += len(text)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # shown as boxes
        figure.savefig(path, format="png", dpi=110)


def _lines(picture: Picture) -> list[list[tuple[str, str]]]:
    """Title, legend and rows in lines of a width, each a list of stretches of one kind."""
    lines: list[list[tuple[str, str]]] = [[(picture.title, "plain")]]
    for kind, name in _NAMES.items():
        if sum(len(text) for text, _ in lines[-1]) + len(name) + 4 > picture.width:
            lines.append([])
        lines[-1] += [("  ", "plain")] if lines[-1] else []
        lines[-1].append((f" {name} ", kind))
    lines.append([])
    for title, cut in picture.rows:
        lines += [[(title, "title")], []]
        room = picture.width
        for part in cut:
            text = f"{part.text}→{part.shown}" if part.kind == "random" else part.text
            words = "".join(c if c.isprintable() else " " for c in text).split(" ")
            for i, word in enumerate(words):
                piece = word + (" " if i < len(words) - 1 else "")
                if len(piece.rstrip()) > room and room < picture.width:
                    lines.append([])
                    room, piece = picture.width, piece.lstrip()
                while len(piece) > picture.width:  # a script without blanks
                    lines[-1].append((piece[:room], part.kind))
                    lines.append([])
                    piece, room = piece[room:], picture.width
                room -= len(piece)
                # what a part has on one line is one stretch
                before = lines[-1].pop()[0] if i and lines[-1] else ""
                lines[-1].append((before + piece, part.kind))
        lines.append([])
    return lines[:-1]


@dataclass(frozen=True)
class Statistics:
    """What a mask did over many draws of some texts.

    Attributes:
        ratio: share of the maskable tokens that were hidden.
        units: how many hidden units had each number of words.
        words: pairs of a word and the share of draws in which it was hidden, most often first; the mean
            where a word occurs several times.
    """

    ratio: float
    units: dict[int, float]
    words: list[tuple[str, float]]


def statistics(
    masker: Masker, batch: dict[str, Tensor], piece: Piece, draws: int, progress: float = 0.0
) -> Statistics:
    """Counts over `draws` epochs."""
    assert piece.texts is not None
    assert piece.offsets is not None
    hidden, maskable = 0, 0
    lengths: Counter[int] = Counter()
    often: dict[str, list[float]] = {}
    begins = [0, *piece.ends[:-1].tolist()]
    for row, text in enumerate(piece.texts):
        many = {name: tensor[row : row + 1].expand(draws, *tensor.shape[1:]) for name, tensor in batch.items()}
        many["epochs"] = torch.arange(draws)
        units, masked = masker.units_in(many, progress), masker(many, progress)
        chosen = torch.zeros(many["input_ids"].shape, dtype=torch.bool)
        at = torch.where(masked.valid)
        chosen[at[0], masked.positions[at]] = True
        words = many["words"]
        hidden += int(chosen.sum())
        maskable += int((words >= 0).sum())
        # a pair of unit and word counts once; then the words of each unit are counted
        pairs = torch.stack((at[0], units[chosen], words[chosen])).unique(dim=1)
        _, sizes = pairs[:2].unique(dim=1, return_counts=True)
        lengths.update(sizes.tolist())
        shares = chosen.double().mean(0).numpy()
        own = words[0].numpy()
        offsets = piece.offsets[begins[row] : piece.ends[row] - 1]
        for word in np.unique(own[own >= 0]):
            positions = np.flatnonzero(own == word)
            spelled = text[offsets[positions[0] - 1, 0] : offsets[positions[-1] - 1, 1]].strip()
            often.setdefault(spelled, []).append(float(shares[positions].mean()))
    total = sum(lengths.values())
    ranked = sorted(((word, float(np.mean(shares))) for word, shares in often.items()), key=lambda pair: -pair[1])
    return Statistics(hidden / max(maskable, 1), {n: count / total for n, count in sorted(lengths.items())}, ranked)


def table(found: Statistics, draws: int, number: int = 6) -> Table:
    """The statistics on the terminal."""
    shown = Table(title=f"Over {draws:,} draws", show_header=False)
    shown.add_row("hidden tokens", f"{found.ratio:.1%}")
    shown.add_row("words of a unit", _listed([(str(n), share) for n, share in found.units.items()]) or "none")
    shown.add_row("most often hidden", _listed(found.words[:number]))
    shown.add_row("least often hidden", _listed(found.words[::-1][:number]))
    return shown


def _listed(pairs: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in pairs).replace("[", r"\[")

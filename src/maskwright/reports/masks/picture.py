"""Texts under a mask, to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.padding import Padding
from rich.text import Text

from maskwright.reports.masks.segments import Segment
from maskwright.reports.picture import GREY

COLOURS: dict[str, str] = {"mask": "#ffd54d", "random": "#e7a6f0", "keep": "#a8e0a0"}
_NAMES = {"mask": "[MASK]", "random": "random token", "keep": "kept, yet predicted"}


@dataclass(frozen=True)
class Picture:
    """Texts under a mask, each with a title, in lines of `width` characters."""

    title: str
    rows: list[tuple[str, list[Segment]]]
    width: int = 100

    def __rich__(self) -> Padding:
        legend = (Text(f" {name} ", _style(kind)) for kind, name in _NAMES.items())
        blocks = [Text("  ").join([Text(self.title), *legend])]
        for title, segments in self.rows:
            text = Text()
            for segment in segments:
                shown = f"{segment.text}→{segment.shown}" if segment.kind == "random" else segment.text
                text.append("".join(c if c.isprintable() else " " for c in shown), _style(segment.kind))
            blocks += [Text(title, GREY), text]
        return Padding(Text("\n\n").join(blocks), (0, 1))


def on_terminal(segments: Sequence[Segment]) -> Text:
    """A text for rich: hidden parts in brackets and in colour."""
    return Text.assemble(*((str(segment), _style(segment.kind)) for segment in segments))


def legend() -> Text:
    """What colours and brackets mean."""
    examples = [Segment("word", "mask"), Segment("word", "random", "other"), Segment("word", "keep")]
    return Text("  ").join(
        Text.assemble((str(segment), _style(segment.kind)), f" {_NAMES[segment.kind]}") for segment in examples
    )


def _style(kind: str) -> str:
    return f"black on {COLOURS[kind]}" if kind in COLOURS else ""

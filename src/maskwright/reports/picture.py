"""Text in colour as a picture: HTML, SVG and PNG of what rich prints on a terminal."""

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.segment import Segment as Stretch
from rich.style import Style
from rich.terminal_theme import TerminalTheme

from maskwright.core.atomic import write_file

GREY = "#777777"
_THEME = TerminalTheme((255, 255, 255), (0, 0, 0), [(0, 0, 0)] * 8)  # black on white
# rich's own formats load a font from the network, and draw the frame of a window
_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><style>
pre {{ font: 15px/1.6 ui-monospace, Menlo, Consolas, monospace; margin: 2em }}
{stylesheet}
</style></head>
<body style="color: {foreground}; background: {background}"><pre>{code}</pre></body></html>
"""
_SVG = """<svg viewBox="0 0 {terminal_width} {terminal_height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, monospace; white-space: pre }}
{styles}
</style>
<defs>{lines}</defs>
<rect width="100%" height="100%" fill="#ffffff"/>
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</svg>
"""


class Picture(Protocol):
    """What can be drawn: something that rich prints, in lines of `width` characters."""

    @property
    def width(self) -> int: ...

    def __rich__(self) -> RenderableType: ...


def write(picture: Picture, path: Path) -> None:
    """Writes a picture in the format that its file is named for, `.html`, `.png` or `.svg`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, lambda temporary: WRITERS[path.suffix](picture, temporary))


def _save_html(picture: Picture, path: Path) -> None:
    page = _recorded(picture).export_html(theme=_THEME, code_format=_HTML)
    path.write_text(page, encoding="utf-8")


def _save_svg(picture: Picture, path: Path) -> None:
    drawing = _recorded(picture).export_svg(theme=_THEME, code_format=_SVG, unique_id="mask")
    path.write_text(drawing, encoding="utf-8")


def _console(picture: Picture) -> Console:
    # what is recorded must not depend on the terminal
    settings: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor", "legacy_windows": False}
    return Console(file=io.StringIO(), width=picture.width + 2, record=True, _environ={}, **settings)


def _recorded(picture: Picture) -> Console:
    console = _console(picture)
    console.print(picture)
    return console


def _save_png(picture: Picture, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    console = _console(picture)
    lines = console.render_lines(picture, pad=False)
    size, character = 10.0, 0.602 * 10.0 / 72  # points; inches of a character of the font
    figure = Figure(figsize=((picture.width + 2) * character, (len(lines) + 1) * 1.6 * size / 72))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, picture.width + 2)
    axes.set_ylim(len(lines) + 0.5, -0.5)
    axes.axis("off")
    font: dict[str, Any] = {"family": "DejaVu Sans Mono", "size": size, "va": "center"}
    for number, line in enumerate(lines):
        for column, stretch in _columns(line):
            style = stretch.style or Style.null()
            if style.bgcolor is not None:
                colour = style.bgcolor.name
                axes.add_patch(Rectangle((column, number + 0.1), stretch.cell_length, 0.8, color=colour, lw=0))
            colour = GREY if style.color is not None and style.color.name == GREY else "#000000"
            # a dollar would begin a formula
            axes.text(column, number + 0.5, stretch.text.replace("$", r"\$"), color=colour, **font)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # shown as boxes
        figure.savefig(path, format="png", dpi=110)


def _columns(line: list[Stretch]) -> Iterator[tuple[int, Stretch]]:
    """The stretches of a line, each with the column that it begins in."""
    column = 0
    for stretch in line:
        yield column, stretch
        column += stretch.cell_length


WRITERS: dict[str, Callable[[Picture, Path], None]] = {".html": _save_html, ".png": _save_png, ".svg": _save_svg}

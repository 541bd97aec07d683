"""Which words decided predictions, in colour, and which method to believe."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from maskwright.reports.picture import GREY

RANDOM = "random"  # the control among the scores
_FOR, _AGAINST = (66, 146, 236), (245, 140, 40)  # blue and orange, which the colour-blind tell apart
_MOST = 12  # units in a table
SCORES = {"comprehensiveness": "↑", "sufficiency": "↓"}  # which direction is better


@dataclass(frozen=True)
class Page:
    """Explained texts in lines of `width` characters; of several, with their mean scores."""

    rows: Sequence[Mapping[str, Any]]
    width: int = 100

    def __rich__(self) -> RenderableType:
        shown: list[RenderableType] = [legend()]
        means = Means()
        for row in self.rows:
            shown += [Text(), of_row(row)]
            means.add(row)
        if means.count > 1:
            shown += [Text(), means.table()]
        return Padding(Group(*shown), (0, 1))


def legend() -> Text:
    """What the colours mean."""
    return Text.assemble(("for the prediction", _colour(1)), "  ", ("against it", _colour(-1)))


def of_row(row: Mapping[str, Any]) -> RenderableType:
    """A text with the explanations of its predictions."""
    found: list[RenderableType] = []
    for explanation in row["explanations"]:
        found += [Text(), *_explained(row["read"], explanation)]
    if not found:
        return Text.assemble(row["text"], ("   nothing to explain", GREY))
    return Group(*found[1:])


def _explained(text: str, explanation: Mapping[str, Any]) -> Iterator[RenderableType]:
    title = f"{explanation['target']} {explanation['score']:.4f}"
    if explanation["of"] is not None:
        start, end = explanation["of"]
        title = f"{text[start:end]}: {title}"
    yield Text.assemble((title, "bold"), f"   {explanation['without']:.4f} with all words hidden")
    best = most_faithful(explanation["faithfulness"])
    for name, values in explanation["values"].items():
        yield Text(f"{name}: {_scores(explanation['faithfulness'][name])}{_best(name == best)}", GREY)
        yield coloured(text, explanation["spans"], values, explanation["of"])
    yield Text(f"{RANDOM}: {_scores(explanation['faithfulness'][RANDOM])}", GREY)
    yield _table(explanation)


def coloured(
    text: str, spans: Sequence[tuple[int, int]], values: Sequence[float], of: tuple[int, int] | None
) -> Text:
    """The part of a text that is explained, each unit on a colour as strong as its value is large.

    Args:
        of: the characters that are underlined.
    """
    largest = max(map(abs, values), default=0.0) or 1.0
    shown = Text("".join(c if c.isprintable() else " " for c in text))
    for (start, end), value in zip(spans, values, strict=True):
        if value:
            shown.stylize(_colour(value / largest), start, end)
    if of is not None:
        shown.stylize(Style(underline=True), *of)
    inside = [*spans, *([] if of is None else [of])]
    return shown[min(start for start, _ in inside) : max(end for _, end in inside)]


def _colour(share: float) -> Style:
    """Black on blue or orange, blended with white; `share` in [-1, 1]."""
    full = _FOR if share > 0 else _AGAINST
    red, green, blue = (round(255 + (own - 255) * abs(share)) for own in full)
    return Style(color="#000000", bgcolor=f"#{red:02x}{green:02x}{blue:02x}")


def _table(explanation: Mapping[str, Any]) -> Table:
    """The units with the largest values of the first method, with their values of all."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=GREY)
    table.add_column("unit")
    for name in explanation["values"]:
        table.add_column(name, justify="right")
    first = next(iter(explanation["values"].values()))
    order = sorted(range(len(first)), key=lambda unit: -abs(first[unit]))
    for unit in order[:_MOST]:
        values = (f"{own[unit]:+.4f}" for own in explanation["values"].values())
        table.add_row(Text(explanation["units"][unit]), *values)
    if len(order) > _MOST:
        table.add_row(Text(f"… {len(order) - _MOST} more", GREY))
    return table


def most_faithful(scores: Mapping[str, Mapping[str, float]]) -> str | None:
    """Returns the method with the largest difference of comprehensiveness and sufficiency.

    None where there is only one, or where random values have a larger one.
    """
    gains = {name: own["comprehensiveness"] - own["sufficiency"] for name, own in scores.items()}
    best = max(gains, key=lambda name: gains[name])
    return None if best == RANDOM or len(gains) < 3 else best


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {scores[name]:.4f}{better}" for name, better in SCORES.items())


def _best(is_best: bool) -> str:
    return "   the most faithful" if is_best else ""


@dataclass
class Means:
    """The mean scores of each method over many explanations.

    Attributes:
        count: how many there are.
    """

    count: int = 0
    seen: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        for explanation in row["explanations"]:
            self.count += 1
            for method, scores in explanation["faithfulness"].items():
                own = self.seen.setdefault(method, {name: [] for name in SCORES})
                for name in SCORES:
                    own[name].append(scores[name])

    def table(self) -> Table:
        """Methods with their means and standard errors."""
        means = {
            method: {name: sum(values) / len(values) for name, values in scores.items()}
            for method, scores in self.seen.items()
        }
        best = most_faithful(means)
        title = f"Faithfulness over {self.count:,} explanations, mean ± standard error"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style=GREY)
        table.add_column("method")
        for name, better in SCORES.items():
            table.add_column(f"{name} {better}", justify="right")
        table.add_column("")
        for method, scores in means.items():
            cells = (f"{mean:.4f} ± {_error(self.seen[method][name]):.4f}" for name, mean in scores.items())
            table.add_row(method, *cells, _best(method == best).strip())
        return table


def _error(values: Sequence[float]) -> float:
    """Returns the standard error of a mean; 0 of a single value."""
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))

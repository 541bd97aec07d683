"""Tables of several runs, or one, on several data sets or under several masks."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from rich.table import Table as RichTable

from maskwright.core.atomic import write_file
from maskwright.core.terminal import console
from maskwright.reports.summary import plain

_TITLES = {
    "loss": "loss, nats per token",
    "bits_per_byte": "loss, bits per byte of the masked text",
    "accuracy": "accuracy",
}
_FAVOURED = "* under the mask that the run was trained with, which favours it"
_TOKENIZERS = (
    "The runs have different tokenizers: a loss per token is about other tokens, and does not compare. Bits per "
    "byte do."
)


@dataclass(frozen=True)
class Row:
    """A run on one data set.

    Attributes:
        name: of the run, as short as tells it from the others.
        run, checkpoint: where it is.
        data: the name of the data set, or its source.
        size: what was evaluated, in words.
        experiment: equal for runs that differ in their seeds alone.
        tokenizer: the digest of its tokenizer.
        mask: which of the masks of the evaluation it was trained with; None if with none of them.
        trained_with: its mask and share in training, in words.
        metrics: by name; under several masks `<mask> <share>/<metric>`.
        main: the metrics that tables show.
    """

    name: str
    run: str
    checkpoint: str
    data: str
    size: str
    seed: int
    experiment: str
    tokenizer: str
    mask: str | None
    trained_with: str
    metrics: dict[str, float]
    main: tuple[str, ...]


class Table(NamedTuple):
    """A table of texts."""

    title: str
    heads: list[str]
    rows: list[list[str]]


class _Column(NamedTuple):
    """A column of numbers: its title, the name of its metric, and the mask that it is about, if any."""

    title: str
    metric: str
    mask: str | None = None


class Tables:
    """The tables of some rows.

    Args:
        masks: the masks by the columns that they are evaluated in: `{"token 0.15": "token"}`; empty where runs are
            evaluated with their own.
    """

    def __init__(self, rows: Sequence[Row], masks: Mapping[str, str]):
        self.rows, self.masks = rows, masks
        members: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            members.setdefault((row.experiment, row.data), []).append(row)
        self.groups = list(members.values())
        self.repeated = len(self.groups) < len(rows)

    @property
    def notes(self) -> list[str]:
        """What a reader has to know."""
        favoured = [_FAVOURED] * any(row.mask is not None for row in self.rows)
        return favoured + [_TOKENIZERS] * (len({row.tokenizer for row in self.rows}) > 1)

    def of_runs(self) -> list[Table]:
        """Returns the tables with a line for each row."""
        return list(self._tables([[row] for row in self.rows]))

    def of_seeds(self) -> list[Table]:
        """Returns the tables with means ± standard deviations over seeds; none if no experiment has several."""
        return list(self._tables(self.groups)) if self.repeated else []

    def _tables(self, groups: Sequence[Sequence[Row]]) -> Iterator[Table]:
        main = list(dict.fromkeys(name for row in self.rows for name in row.main))
        if not self.masks:
            yield self._table("", [_Column(name.replace("_", " "), name) for name in main], groups)
            return
        for name in main:
            columns = [_Column(own, f"{own}/{name}", mask) for own, mask in self.masks.items()]
            yield self._table(_TITLES[name], columns, groups)

    def _table(self, title: str, columns: Sequence[_Column], groups: Sequence[Sequence[Row]]) -> Table:
        several, seeds = len({row.data for row in self.rows}) > 1, any(len(group) > 1 for group in groups)
        heads = ["run", *["trained with"] * bool(self.masks), *["data"] * several, *["seeds"] * seeds]
        lines = []
        for group in groups:
            first = group[0]
            line = [", ".join(row.name for row in group), *[first.trained_with] * bool(self.masks)]
            line += [*[first.data] * several, *[str(len(group))] * seeds]
            lines.append(line + [_cell(column, group) for column in columns])
        return Table(title, [*heads, *(column.title for column in columns)], lines)

    def show(self) -> None:
        """Prints means over seeds where there are several, else all rows."""
        out = console()
        for table in self.of_seeds() or self.of_runs():
            shown = RichTable(title=table.title or None, title_justify="left")
            for head in table.heads:
                shown.add_column(head.replace(" ", "\n"), no_wrap=True)
            for line in table.rows:
                shown.add_row(*line)
            out.width = max(out.width, out.measure(shown).maximum)  # a number that is cut is none
            out.print(shown)
        for note in self.notes:
            out.print(note)


def _cell(column: _Column, group: Sequence[Row]) -> str:
    values = [row.metrics[column.metric] for row in group if column.metric in row.metrics]
    if not values:
        return ""
    share = column.metric.rpartition("/")[2] == "accuracy"
    mean, *spread = [statistics.fmean(values), *([statistics.stdev(values)] if len(values) > 1 else [])]
    text = f"{mean:.2%}" if share else f"{mean:.4f}"
    text += "".join(f" ± {own:.2%}" if share else f" ± {own:.4f}" for own in spread)
    return text + " *" * (column.mask is not None and column.mask == group[0].mask)


def write(folder: Path, split: str, tables: Tables) -> None:
    """Writes `matrix.json`, with all metrics, and `matrix.md`, each completely or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {key: value for key, value in asdict(row).items() if key not in ("experiment", "main")}
        for row in tables.rows
    ]
    found = {"split": split, "masks": list(tables.masks), "rows": [plain(row) for row in rows]}
    text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_file(folder / "matrix.json", lambda path: path.write_text(text))
    parts = [_markdown(table) for table in tables.of_seeds() + tables.of_runs()] + tables.notes
    write_file(folder / "matrix.md", lambda path: path.write_text("\n\n".join(parts) + "\n"))


def _markdown(table: Table) -> str:
    lines = [f"**{table.title}**\n"] if table.title else []
    lines += ["| " + " | ".join(table.heads) + " |", "|" + "---|" * len(table.heads)]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in line) + " |"
        for line in table.rows
    ]
    return "\n".join(lines)

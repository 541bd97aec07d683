"""Reports predictions for labelled texts: tables on the terminal, and a file of all predictions."""

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from rich.table import Table

from maskwright import loggers
from maskwright.core.atomic import write_file
from maskwright.core.terminal import console

_ERRORS, _ERRORS_SENT = 5, 50  # shown on the terminal, and sent to the loggers of a run
_WIDTH = 160  # characters of a text that are shown
_NEIGHBOURS = 6  # words on each side of a wrong tag that are shown


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    """Writes `predictions.jsonl`, one object per line."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_file(folder / "predictions.jsonl", lambda path: path.write_text(lines, encoding="utf-8"))


def show_scores(
    title: str,
    scores: dict[str, list[float]],
    counts: Sequence[int] | None = None,
    whole: list[float] | None = None,
) -> None:
    """Prints precision, recall and F1 by name.

    Args:
        counts: the number of examples of each name; None omits the column.
        whole: the scores over all names, which are printed first.
    """
    table = Table(title, "precision", "recall", "F1", *(["examples"] if counts is not None else []))
    rows = [] if whole is None else [("all", whole)]
    for number, (name, values) in enumerate([*rows, *scores.items()]):
        count = [] if counts is None else [f"{counts[number]:,}"]
        table.add_row(name, *(f"{value:.4f}" for value in values), *count)
    console().print(table)


def show_confident_errors(wrong: Iterable[tuple[str, str, float, str]], trainer: Trainer) -> None:
    """Prints the errors with the highest probabilities, and sends some more to the loggers.

    Args:
        wrong: for each error the label, the prediction, its probability, and a text.
    """
    worst = heapq.nlargest(_ERRORS_SENT, wrong, key=lambda error: error[2])
    shown = [[label, predicted, f"{probability:.3f}", text] for label, predicted, probability, text in worst]
    _show("The most confident errors", ["label", "predicted", "probability", "text"], shown, worst, trainer)


def show_largest_errors(rows: list[dict[str, Any]], trainer: Trainer) -> None:
    """Prints the texts whose `predicted` number differs most from their `label`; the loggers get some more."""
    worst = heapq.nlargest(_ERRORS_SENT, rows, key=lambda row: abs(row["predicted"] - row["label"]))
    values = [[row["label"], row["predicted"], shown_text(row)] for row in worst]
    shown = [[f"{label:.4g}", f"{predicted:.4g}", text] for label, predicted, text in values]
    _show("The largest errors", ["label", "predicted", "text"], shown, values, trainer)


def _show(
    title: str,
    columns: list[str],
    shown: Sequence[Sequence[str]],
    values: Sequence[Sequence[str | float]],
    trainer: Trainer,
) -> None:
    """Prints the first rows of a table, in which numbers are rounded, and sends all rows to the loggers."""
    table = Table(*columns, title=title, title_justify="left")
    for row in shown[:_ERRORS]:
        table.add_row(*row)
    if table.row_count:
        console().print(table)
    loggers.table("errors", columns, values, trainer)


def shown_text(row: Mapping[str, Any]) -> str:
    """Returns the text of a row shortened, or both texts of a pair."""
    return " ‖ ".join(shortened(row[name]) for name in ("text", "text_pair") if name in row)


def shortened(text: str) -> str:
    """Returns the beginning and the end of a text, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2]} … {text[-_WIDTH // 2 :]}"


def around(words: Sequence[str], place: int) -> str:
    """Returns a word, marked, with the words around it."""
    before, after = words[max(place - _NEIGHBOURS, 0) : place], words[place + 1 : place + 1 + _NEIGHBOURS]
    return " ".join([*before, f"»{words[place]}«", *after])

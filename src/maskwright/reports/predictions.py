"""Reports predictions for labelled texts: tables on the terminal, and a file of all predictions."""

import heapq
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from maskwright.core.atomic import write_file
from maskwright.core.terminal import console

_ERRORS = 5  # shown on the terminal
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


def show_confident_errors(wrong: Iterable[tuple[str, str, float, str]]) -> None:
    """Prints the errors with the highest probabilities.

    Args:
        wrong: for each error the label, the prediction, its probability, and a text.
    """
    table = Table(
        "label", "predicted", "probability", "text", title="The most confident errors", title_justify="left"
    )
    for label, predicted, probability, text in heapq.nlargest(_ERRORS, wrong, key=lambda error: error[2]):
        table.add_row(label, predicted, f"{probability:.3f}", text)
    if table.row_count:
        console().print(table)


def show_largest_errors(rows: list[dict[str, Any]]) -> None:
    """Prints the texts whose `predicted` number differs most from their `label`."""
    table = Table("label", "predicted", "text", title="The largest errors", title_justify="left")
    for row in heapq.nlargest(_ERRORS, rows, key=lambda row: abs(row["predicted"] - row["label"])):
        table.add_row(f"{row['label']:.4g}", f"{row['predicted']:.4g}", shortened(row["text"]))
    console().print(table)


def shortened(text: str) -> str:
    """Returns the beginning and the end of a text, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2]} … {text[-_WIDTH // 2 :]}"


def around(words: Sequence[str], place: int) -> str:
    """Returns a word, marked, with the words around it."""
    before, after = words[max(place - _NEIGHBOURS, 0) : place], words[place + 1 : place + 1 + _NEIGHBOURS]
    return " ".join([*before, f"»{words[place]}«", *after])

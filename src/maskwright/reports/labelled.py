"""What a model predicted for labelled texts: tables, a picture, and every prediction in a file."""

import heapq
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from maskwright.core.atomic import write_file
from maskwright.core.terminal import console
from maskwright.corpora.documents import open_table
from maskwright.data.labelled import LabelledData, Tags
from maskwright.reports import pictures
from maskwright.tasks.classification import Classification, Regression, class_scores
from maskwright.tasks.labelled import LabelledTask
from maskwright.tasks.tagging import Tagging, entity_scores

_ERRORS = 5  # shown on the terminal
_WIDTH = 160  # characters of a text that are shown
_NEIGHBOURS = 6  # words on each side of a wrong tag that are shown


def report(task: LabelledTask, data: LabelledData, split: str, metrics: dict[str, float], folder: Path) -> None:
    """Shows how well a split was predicted, and writes `predictions.jsonl` and, of classes, `confusion.png`.

    The picture also goes to the loggers of the task's trainer.

    Args:
        task: just evaluated on the split.
        metrics: of the split, by the names of the run.
        folder: where files go.
    """
    told = ", ".join(
        f"{name} {metrics[f'{split}/{name}']:.4f}" for name in task.metrics if f"{split}/{name}" in metrics
    )
    out = console()
    out.print(f"\n{split.capitalize()}: {told}")
    table = open_table(data.documents_folder, split)
    if isinstance(task, Classification):
        rows = _classes(task, table)
    elif isinstance(task, Tagging):
        rows = _tags(task, data, split, table)
    else:
        assert isinstance(task, Regression)
        rows = _values(task, table)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_file(folder / "predictions.jsonl", lambda path: path.write_text(lines, encoding="utf-8"))
    if isinstance(task, Classification):
        predicted, targets = task.predicted["outputs"].argmax(1), task.predicted["targets"].astype(np.int64)
        scores = class_scores(torch.tensor(predicted), torch.tensor(targets), len(task.names))
        out.print(
            _table(
                "class", [(name, [s[i] for s in _columns(scores)]) for i, name in enumerate(task.names)], targets
            )
        )
        picture = folder / "confusion.png"
        _draw_confusion(np.array(scores["confusion"]), task.names, picture)
        pictures.log("confusion", picture, task.trainer)
        _show_confident(
            (row["label"], row["predicted"], row["probability"], _shortened(row["text"]))
            for row in rows
            if row["predicted"] != row["label"]
        )
    elif isinstance(task, Tagging):
        whole, of_kinds = entity_scores([row["tags"] for row in rows], [row["predicted"] for row in rows])
        kinds = [(kind, list(scores.values())) for kind, scores in of_kinds.items()]
        out.print(_table("entity", [("all", list(whole.values())), *kinds], None))
        _show_confident(
            (tag, predicted, probability, _around(row["words"], place))
            for row in rows
            for place, (tag, predicted, probability) in enumerate(
                zip(row["tags"], row["predicted"], row["probabilities"], strict=True)
            )
            if predicted != tag
        )
    else:
        _show_far(rows)


def _columns(scores: dict[str, Any]) -> list[list[float]]:
    return [scores[name] for name in ("precision", "recall", "f1")]


def _table(kind: str, scores: list[tuple[str, list[float]]], targets: np.ndarray | None) -> Table:
    table = Table(kind, "precision", "recall", "F1", *(["examples"] if targets is not None else []))
    for number, (name, values) in enumerate(scores):
        count = [] if targets is None else [f"{(targets == number).sum():,}"]
        table.add_row(name, *(f"{value:.4f}" for value in values), *count)
    return table


def _classes(task: Classification, table: Any) -> list[dict[str, Any]]:
    texts = table.column("text")
    found = task.predicted
    return [
        {
            "text": texts[int(number)].as_py(),
            "label": task.names[int(target)],
            "predicted": task.names[int(outputs.argmax())],
            "probability": round(float(outputs.max()), 6),
            "probabilities": {name: round(float(p), 6) for name, p in zip(task.names, outputs, strict=True)},
        }
        for number, outputs, target in zip(found["texts"], found["outputs"], found["targets"], strict=True)
    ]


def _values(task: Regression, table: Any) -> list[dict[str, Any]]:
    texts = table.column("text")
    found = task.predicted
    return [
        {"text": texts[int(number)].as_py(), "label": float(target), "predicted": float(value)}
        for number, (value,), target in zip(found["texts"], found["outputs"], found["targets"], strict=True)
    ]


def _tags(task: Tagging, data: LabelledData, split: str, table: Any) -> list[dict[str, Any]]:
    wanted = data.rows[split].targets
    assert isinstance(wanted, Tags)
    rows = []
    for number, (text, edges) in enumerate(
        zip(table.column("text").to_pylist(), table.column("words").to_pylist(), strict=True)
    ):
        own = slice(wanted.begins[number], wanted.begins[number + 1])
        rows.append(
            {
                "words": [text[first:last] for first, last in zip(edges[::2], edges[1::2], strict=True)],
                "tags": [task.names[tag] for tag in wanted.tags[own]],
                "predicted": [task.names[tag] for tag in task.predicted[own]],
                "probabilities": [round(float(share), 6) for share in task.probability[own]],
            }
        )
    return rows


def _show_confident(wrong: Iterable[tuple[str, str, float, str]]) -> None:
    """The errors, each a label, what was predicted with which probability, and a text, of which it was surest."""
    table = Table(
        "label", "predicted", "probability", "text", title="The most confident errors", title_justify="left"
    )
    for label, predicted, probability, text in heapq.nlargest(_ERRORS, wrong, key=lambda error: error[2]):
        table.add_row(label, predicted, f"{probability:.3f}", text)
    if table.row_count:
        console().print(table)


def _show_far(rows: list[dict[str, Any]]) -> None:
    """The numbers that were missed by most."""
    table = Table("label", "predicted", "text", title="The largest errors", title_justify="left")
    for row in heapq.nlargest(_ERRORS, rows, key=lambda row: abs(row["predicted"] - row["label"])):
        table.add_row(f"{row['label']:.4g}", f"{row['predicted']:.4g}", _shortened(row["text"]))
    console().print(table)


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2]} … {text[-_WIDTH // 2 :]}"


def _around(words: list[str], place: int) -> str:
    """A word, marked, and those beside it."""
    before, behind = words[max(place - _NEIGHBOURS, 0) : place], words[place + 1 : place + 1 + _NEIGHBOURS]
    return " ".join([*before, f"»{words[place]}«", *behind])


def _draw_confusion(confusion: np.ndarray, names: list[str], path: Path) -> None:
    from matplotlib.figure import Figure  # takes a second to import

    size = min(3 + 0.5 * len(names), 20)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set(xlabel="predicted", ylabel="label")
    for row in range(len(names)):
        for column in range(len(names)):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{confusion[row, column]:,}", ha="center", va="center", color=colour)
    write_file(path, lambda temporary: figure.savefig(temporary, dpi=120, format="png"))

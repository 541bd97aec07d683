"""Scores minimal pairs, beside an untrained model and a constant one."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from maskwright.core.atomic import write_file
from maskwright.core.errors import UserError
from maskwright.core.terminal import bar, console
from maskwright.corpora.pairs import Pair, read_pairs
from maskwright.inference import MaskedModel
from maskwright.inference.minimal_pairs import Accuracy, accuracy
from maskwright.inference.score import Method, score
from maskwright.run.ask import masked_model
from maskwright.run.output import STDOUT, Row, stdout_for_rows
from maskwright.run.saved import SavedRun
from maskwright.settings.commands import ScoreSettings

_WIDTH = 110  # characters of the table, wherever it goes


def score_pairs(asked: ScoreSettings, saved: SavedRun) -> int:
    """Prints how often a model prefers the right sentence, and writes it; returns the number of pairs.

    Raises:
        UserError: the model predicts no masked tokens, or there are no pairs.
    """
    output = None if asked.output in (None, STDOUT) else _checked(Path(str(asked.output)).expanduser(), asked)
    pairs = read_pairs(Path(str(asked.pairs)).expanduser(), asked.limit)
    model = masked_model(asked, saved)
    with stdout_for_rows() as stdout:
        trained = _accuracy(model, pairs, asked.method, asked.long, "Scoring pairs")
        torch.manual_seed(asked.seed)
        control = masked_model(asked, saved, untrained=True)
        few = _first(pairs, asked.control_pairs)
        untrained = _accuracy(control, few, asked.method, asked.long, "The same, untrained")
        # each token has the same probability, so the sentence with fewer tokens is preferred
        tokens = [[-float(len(text.ids)) for text in model.encode(texts)] for texts in _sides(pairs)]
        constant = accuracy(pairs, *tokens)
        rows = _rows(trained, untrained, constant, asked.seed)
        if asked.output == STDOUT:
            stdout.write(_lines(rows))
        else:
            shown = console(stdout)
            shown.width = max(shown.width, _WIDTH)
            shown.print(_table(rows))
            shown.print(
                f"{len(pairs):,} pairs; intervals of 95 % over paradigms and pairs. untrained: the same "
                f"architecture with random weights, {len(few):,} pairs. constant: all tokens are equally probable, "
                "so the shorter sentence is preferred. Equal scores count one half."
            )
    if output is not None:
        write_file(output, lambda temporary: temporary.write_text(_lines(rows), encoding="utf-8"))
        console().print(f"{len(rows):,} rows are in {output}")
    return len(pairs)


def _checked(output: Path, asked: ScoreSettings) -> Path:
    if output.suffix != ".jsonl":
        raise UserError(f"output={output}: the results of pairs are JSON lines. Name a file that ends in .jsonl.")
    if output.exists() and not asked.overwrite:
        raise UserError(f"output={output} is finished already. Name another file, or replace it: overwrite=true")
    output.parent.mkdir(parents=True, exist_ok=True)
    return output


def _sides(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [pair.good for pair in pairs], [pair.bad for pair in pairs]


def _first(pairs: Sequence[Pair], number: int | None) -> list[Pair]:
    """Returns the first pairs of each paradigm."""
    counts: dict[str, int] = {}
    found = []
    for pair in pairs:
        counts[pair.paradigm] = counts.get(pair.paradigm, 0) + 1
        if number is None or counts[pair.paradigm] <= number:
            found.append(pair)
    return found


def _accuracy(model: MaskedModel, pairs: Sequence[Pair], method: Method, long: Any, doing: str) -> Accuracy:
    good, bad = _sides(pairs)
    texts = list(dict.fromkeys([*good, *bad]))  # many sentences are in several pairs
    with bar(doing, len(texts)) as progress:
        scores = score(model, texts, method, long, progress.advance)
    pll = {text: found.pll for text, found in zip(texts, scores, strict=True)}
    return accuracy(pairs, [pll[text] for text in good], [pll[text] for text in bad])


def _rows(trained: Accuracy, untrained: Accuracy, constant: Accuracy, seed: int) -> list[Row]:
    """Returns a row for each paradigm, each phenomenon, and all."""

    def row(level: str, name: str, share: float, chosen: Iterable[str], controls: tuple[float, float]) -> Row:
        chosen = [*chosen]
        of = {"overall": None, "phenomenon": name, "paradigm": trained.phenomena.get(name)}[level]
        outcomes = [trained.outcomes[paradigm] for paradigm in chosen]
        found = trained.interval(seed, chosen)
        return {
            "level": level,
            "name": name,
            "phenomenon": of,
            "accuracy": share,
            "low": found.low,
            "high": found.high,
            "pairs": sum(map(len, outcomes)),
            "ties": sum(int((own == 0.5).sum()) for own in outcomes),
            "untrained": controls[0],
            "constant": controls[1],
        }

    rows = [
        row("paradigm", name, share, [name], (untrained.by_paradigm[name], constant.by_paradigm[name]))
        | {"outcomes": trained.outcomes[name].tolist()}
        for name, share in trained.by_paradigm.items()
    ]
    for name, share in trained.by_phenomenon.items():
        own = [paradigm for paradigm, phenomenon in trained.phenomena.items() if phenomenon == name]
        controls = untrained.by_phenomenon[name], constant.by_phenomenon[name]
        rows.append(row("phenomenon", name, share, own, controls))
    rows.append(row("overall", "overall", trained.overall, trained.outcomes, (untrained.overall, constant.overall)))
    return rows


def _lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _table(rows: Sequence[Row]) -> Table:
    """Returns a table: below each phenomenon its paradigms, and all at the end."""
    table = Table(title="Accuracy on minimal pairs, %")
    table.add_column("")
    for name in ("accuracy", "95 %", "pairs", "ties", "untrained", "constant"):
        table.add_column(name, justify="right")

    def add(row: Row, name: str, style: str = "") -> None:
        shares = [f"{100 * row[key]:.1f}" for key in ("untrained", "constant")]
        interval = f"{100 * row['low']:.1f} – {100 * row['high']:.1f}"
        counts = [f"{row['pairs']:,}", f"{row['ties']:,}"]
        table.add_row(name, f"{100 * row['accuracy']:.1f}", interval, *counts, *shares, style=style)

    for phenomenon in (row for row in rows if row["level"] == "phenomenon"):
        add(phenomenon, phenomenon["name"], "bold")
        own = [row for row in rows if row["level"] == "paradigm" and row["phenomenon"] == phenomenon["name"]]
        for row in own if len(own) > 1 or own[0]["name"] != phenomenon["name"] else ():
            add(row, f"  {row['name'].removeprefix(phenomenon['name'] + '-')}")
    table.add_section()
    add(rows[-1], "all", "bold")
    return table

"""Scores minimal pairs, beside an untrained model and a constant one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.table import Table

from maskwright.core.atomic import write_file
from maskwright.core.errors import UserError
from maskwright.core.terminal import bar, console
from maskwright.corpora.pairs import Pair, first_of_each, read_pairs
from maskwright.inference.masked_model import MaskedModel
from maskwright.inference.minimal_pairs import Accuracy, accuracy
from maskwright.inference.score import Score, score
from maskwright.reports.prediction_file import line
from maskwright.run.ask import masked_model
from maskwright.run.output import STDOUT, Row, lines, stdout_for_rows
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
        scores = _scores(model, pairs, asked, "Scoring pairs")
        trained = _compared(pairs, lambda text: scores[text].pll)
        torch.manual_seed(asked.seed)
        control = masked_model(asked, saved, untrained=True)
        few = first_of_each(pairs, asked.control_pairs)
        of_control = _scores(control, few, asked, "The same, untrained")
        untrained = _compared(few, lambda text: of_control[text].pll)
        # each token has the same probability, so the sentence with fewer tokens is preferred
        constant = _compared(pairs, lambda text: -len(scores[text].encoded.ids))
        rows = _rows(trained, untrained, constant, asked.seed)
        if asked.output == STDOUT:
            lines(rows, stdout)
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
        write_file(output, lambda temporary: temporary.write_text("".join(map(line, rows)), encoding="utf-8"))
        console().print(f"{len(rows):,} rows are in {output}")
    return len(pairs)


def _checked(output: Path, asked: ScoreSettings) -> Path:
    if output.suffix != ".jsonl":
        raise UserError(f"output={output}: the results of pairs are JSON lines. Name a file that ends in .jsonl.")
    if output.exists() and not asked.overwrite:
        raise UserError(f"output={output} is finished already. Name another file, or replace it: overwrite=true")
    output.parent.mkdir(parents=True, exist_ok=True)
    return output


def _scores(model: MaskedModel, pairs: Sequence[Pair], asked: ScoreSettings, doing: str) -> dict[str, Score]:
    """Returns the score of each sentence, many of which are in several pairs."""
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.good, pair.bad)))
    with bar(doing, len(texts)) as progress:
        return dict(zip(texts, score(model, texts, asked.method, asked.long, progress.advance), strict=True))


def _compared(pairs: Sequence[Pair], value: Callable[[str], float]) -> Accuracy:
    return accuracy(pairs, [value(pair.good) for pair in pairs], [value(pair.bad) for pair in pairs])


def _rows(trained: Accuracy, untrained: Accuracy, constant: Accuracy, seed: int) -> list[Row]:
    """Returns a row for each paradigm, each phenomenon, and all."""

    def row(level: str, name: str, chosen: Sequence[str], phenomenon: str | None = None) -> Row:
        outcomes = [trained.outcomes[paradigm] for paradigm in chosen]
        found = trained.interval(seed, chosen)
        return {
            "level": level,
            "name": name,
            "phenomenon": phenomenon,
            "accuracy": trained.mean(chosen),
            "low": found.low,
            "high": found.high,
            "pairs": sum(map(len, outcomes)),
            "ties": sum(int((own == 0.5).sum()) for own in outcomes),
            "untrained": untrained.mean(chosen),
            "constant": constant.mean(chosen),
        }

    return [
        *(
            row("paradigm", name, [name], trained.phenomena[name]) | {"outcomes": own.tolist()}
            for name, own in trained.outcomes.items()
        ),
        *(row("phenomenon", name, own, name) for name, own in trained.paradigms.items()),
        row("overall", "overall", [*trained.outcomes]),
    ]


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

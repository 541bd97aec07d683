"""Fills the masks of texts with a finished run or a model of the hub."""

from collections.abc import Sequence
from typing import Any, TextIO

from omegaconf import DictConfig, OmegaConf
from rich.table import Table
from rich.text import Text

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.inference.fill import fill, row_of
from maskwright.run.ask import answer, masked_model, open_saved, texts_of
from maskwright.run.output import Row, checked_output
from maskwright.run.trainer import quiet
from maskwright.settings.commands import FillSettings
from maskwright.text.masked_text import MaskReader


def run_fill(cfg: DictConfig) -> int:
    """Fills the masks of the texts that a composed `conf/fill.yaml` describes; returns the number of texts.

    Raises:
        UserError: there is no such model, it predicts no masked tokens, there are no such texts, or one of them has
            no mask.
    """
    quiet()
    asked = FillSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    hide, only = (_words(asked, key) for key in ("hide", "candidates"))
    checked_output(asked.output, asked.overwrite)  # before the work
    saved = open_saved(asked)
    texts = texts_of(asked)
    model = masked_model(asked, saved)
    reader = MaskReader(model)
    ids = [reader.candidate(word) for word in only] or None

    def make(some: list[str]) -> list[Row]:
        masked = reader.read(some, hide, asked.long)
        found = fill(model, masked, asked.method, asked.top_k, asked.beams, ids)
        return [row_of(reader, text, fills, asked.top_k) for text, fills in zip(masked, found, strict=True)]

    settings = [asked.method, asked.top_k, asked.beams, asked.long, hide, only]
    return answer(asked, saved, texts, make, show, "Filling", settings)


def _words(asked: FillSettings, key: str) -> list[str]:
    """Returns the words that a key names; none if it is null.

    Raises:
        UserError: it names something else.
    """
    value: Any = getattr(asked, key)
    words = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) and word.strip() for word in words):
        raise UserError(f'{key}={value!r} is no word. Give one, or a list of words: {key}=\'["one","another"]\'')
    return words


def show(rows: Sequence[Row], stream: TextIO) -> None:
    """Prints a table of fills below each text, and one of its masks where there are several."""
    shown = console(stream)
    for row in rows:
        shown.print(Text(row["text"], style="bold"))
        if not row["fills"]:
            continue
        if len(row["masks"]) > 1:
            masks = Table("mask", "hidden", "best tokens")
            for number, mask in enumerate(row["masks"], start=1):
                best = zip(mask["tokens"], mask["probabilities"], strict=True)
                masks.add_row(str(number), mask["hidden"] or "", ", ".join(f"{t} {p:.1%}" for t, p in best))
            shown.print(masks)
        fills = Table("probability", "fill", "text")
        for found in row["fills"]:
            fills.add_row(f"{found['probability']:.3g}", " ".join(found["tokens"]), found["text"])
        shown.print(fills)

"""Scores texts, or minimal pairs, with a finished run or a model of the hub."""

import math
import sys
from collections.abc import Sequence
from typing import TextIO

from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.inference.score import row_of, score
from maskwright.run.ask import answer, masked_model, open_saved, texts_of
from maskwright.run.output import STDOUT, Row, checked_output
from maskwright.run.score_pairs import score_pairs
from maskwright.run.trainer import quiet
from maskwright.settings.commands import ScoreSettings
from maskwright.text.tokenizer import Tokenizer


def run_score(cfg: DictConfig) -> int:
    """Scores what a composed `conf/score.yaml` describes; returns the number of texts or pairs.

    Raises:
        UserError: there is no such model, it predicts no masked tokens, or there are no such texts or pairs.
    """
    quiet()
    asked = ScoreSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    saved = open_saved(asked)
    if asked.pairs is not None:
        if asked.text is not None or asked.file is not None:
            raise UserError("pairs and text or file are both given. Name one of them.")
        return score_pairs(asked, saved)
    checked_output(asked.output, asked.overwrite)  # before the work
    texts = texts_of(asked)
    model = masked_model(asked, saved)
    total = Total(model.tokenizer)

    def make(some: list[str]) -> list[Row]:
        rows = [row_of(found, model.tokenizer) for found in score(model, some, asked.method, asked.long)]
        for row in rows:
            total.add(row)
        return rows

    count = answer(asked, saved, texts, make, show, "Scoring", [asked.method, asked.long], total.add)
    console(sys.stderr if asked.output == STDOUT else None).print(total.said())
    return count


class Total:
    """What the rows of many texts sum up to."""

    def __init__(self, tokenizer: Tokenizer):
        self.unk = tokenizer.special.get("unk")
        self.pll = 0.0
        self.texts = self.tokens = self.bytes = self.unknown = 0

    def add(self, row: Row) -> None:
        """Adds the row of a text."""
        self.pll += row["pll"]
        self.texts += 1
        self.tokens += row["tokens"]
        self.bytes += row["bytes"]
        self.unknown += row["token"].count(self.unk)

    def said(self) -> str:
        """Returns the sums as sentences."""
        if not self.tokens:
            return f"texts: {self.texts:,}, all without a token"
        said = (
            f"texts: {self.texts:,}, tokens: {self.tokens:,}, bytes: {self.bytes:,}, {self.pll:,.4f} nats, "
            f"pseudo-perplexity {math.exp(-self.pll / self.tokens):,.2f}, "
            f"{-self.pll / math.log(2) / self.bytes:.4f} bits per byte"
        )
        if self.unknown:
            said += (
                f"\nnote: tokens that are {self.unk}, which stands for any text: "
                f"{self.unknown:,}. The bits per byte are too low to compare with other tokenizers."
            )
        return said


def show(rows: Sequence[Row], stream: TextIO) -> None:
    """Prints the score of each text, and below it that of each token."""
    shown = console(stream)
    for row in rows:
        shown.print(Text(row["text"], style="bold"))
        if not row["tokens"]:
            shown.print("  no tokens")
            continue
        shown.print(
            f"  {row['pll']:.4f} nats, pseudo-perplexity {row['pseudo_perplexity']:.2f}, "
            f"{row['bits_per_byte']:.4f} bits per byte"
        )
        pairs = zip(row["token"], row["log_probability"], strict=True)
        shown.print("  " + "  ".join(f"{token} {value:.3f}" for token, value in pairs))

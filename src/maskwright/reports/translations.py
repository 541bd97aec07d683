"""Reports translations: scores by sacrebleu, a table on the terminal, and a file of all translations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from rich.text import Text

from maskwright import loggers
from maskwright.core.terminal import console
from maskwright.reports import predictions

_SHOWN = 5


def scores(translated: Sequence[str], references: Sequence[str], tokenizer: str = "13a") -> dict[str, float]:
    """Returns `bleu` and `chrf` of translations, from 0 to 100, as sacrebleu computes them (Post, 2018).

    Args:
        references: one for each.
        tokenizer: how sacrebleu splits text into words for BLEU.
    """
    import sacrebleu  # takes a third of a second to import

    bleu = sacrebleu.corpus_bleu([*translated], [[*references]], tokenize=tokenizer, force=True)
    return {"bleu": bleu.score, "chrf": sacrebleu.corpus_chrf([*translated], [[*references]]).score}


def rows(sources: Sequence[str], references: Sequence[str], translated: Sequence[str]) -> list[dict[str, Any]]:
    """Returns a row for each translation, as `predictions.jsonl` has them."""
    return [
        {"text": text, "reference": reference, "translation": translation}
        for text, reference, translation in zip(sources, references, translated, strict=True)
    ]


def report(found: list[dict[str, Any]], by_iterations: Mapping[int, float], folder: Path, trainer: Trainer) -> None:
    """Prints BLEU by the number of iterations and the first few translations, and writes all of them.

    Args:
        found: what `rows` returns.
    """
    predictions.write(found, folder)
    for iterations, bleu in by_iterations.items():
        console().print(f"  {iterations} iteration{'s' * (iterations > 1)}: BLEU {bleu:.2f}")
    for row in found[:_SHOWN]:
        console().print(Text(row["text"], style="bold"))
        console().print(Text(f"  {row['translation']}\n  reference: {row['reference']}"))
    shown = [[row["text"], row["reference"], row["translation"]] for row in found[:50]]
    loggers.table("translations", ["text", "reference", "translation"], shown, trainer)

"""The words that a model fills into the gaps of a few held-out sentences."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from rich.table import Table
from torch import nn

from maskwright.models import Encoder
from maskwright.text.tokenizer import Tokenizer

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\s*[^\W\d_]{4,}")


@dataclass(frozen=True)
class Fill:
    """One gap.

    Attributes:
        sentence: the text, with the mask token in place of the hidden word.
        word: the hidden word.
        guesses: pairs of a token and its probability, best first.
    """

    sentence: str
    word: str
    guesses: list[tuple[str, float]]


def sentences(texts: Iterable[str], each: int, words: tuple[int, int] = (8, 25)) -> Iterator[str]:
    """Yields up to `each` whole sentences of each text, spread over the text.

    The first sentence, which often begins with a title, is skipped if there are others.

    Args:
        words: the fewest and the most words of a sentence.
    """
    for text in texts:
        fitting = [
            sentence
            for sentence in _SENTENCE.split(text)[1:] or [text]
            if words[0] <= len(sentence.split()) <= words[1] and sentence.endswith(".") and "\n" not in sentence
        ]
        yield from fitting[:: max(len(fitting) // each, 1)][:each]


@torch.no_grad()
def fill(
    encoder: Encoder, head: nn.Module, tokenizer: Tokenizer, texts: Iterable[str], number: int, each: int
) -> list[Fill]:
    """Returns the five best guesses for one word in each of `number` sentences, at most `each` from one text.

    The word is the middle one among those of four letters or more that are a single token. Sentences that are
    longer than a row of the encoder are left out.

    Args:
        encoder, head: in evaluation mode.
    """
    device = next(encoder.parameters()).device
    fills: list[Fill] = []
    for sentence in sentences(texts, each):
        if len(fills) == number:
            break
        encoding = tokenizer.backend.encode(sentence, add_special_tokens=False)
        starts = [*tokenizer.word_starts(np.array(encoding.ids), encoding), True]
        spans = [slice(*span) for span in encoding.offsets]
        whole = [
            i for i, span in enumerate(spans) if starts[i] and starts[i + 1] and _WORD.fullmatch(sentence[span])
        ]
        if not whole or len(encoding.ids) + 2 > (encoder.max_length or len(encoding.ids) + 2):
            continue
        gap = whole[len(whole) // 2]
        ids = [tokenizer.cls_id, *encoding.ids, tokenizer.sep_id]
        ids[gap + 1] = tokenizer.mask_id
        asked = torch.tensor([[gap + 1]], device=device)
        logits = head(encoder(torch.tensor([ids], device=device), None, asked))[0, 0].float()
        logits[tokenizer.special_ids] = -torch.inf
        best = logits.softmax(-1).topk(5)
        guesses = [
            (tokenizer.decode([i]).strip(), p)
            for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        word = sentence[spans[gap]]
        shown = sentence[: spans[gap].start] + word.replace(word.strip(), "[MASK]") + sentence[spans[gap].stop :]
        fills.append(Fill(shown, word.strip(), guesses))
    return fills


def table(fills: list[Fill]) -> Table:
    """Returns the fills as a table, one row per sentence."""
    shown = Table(title="Held-out sentences and the model's five best fills", show_lines=True)
    shown.add_column("sentence", ratio=3)
    shown.add_column("hidden")
    shown.add_column("fills", ratio=2)
    for row in columns_and_rows(fills)[1]:
        shown.add_row(*row)
    return shown


def columns_and_rows(fills: list[Fill]) -> tuple[list[str], list[list[str]]]:
    """Returns the names of the columns of the table, and its rows."""
    rows = [
        [fill_.sentence, fill_.word, ", ".join(f"{token} {share:.1%}" for token, share in fill_.guesses)]
        for fill_ in fills
    ]
    return ["sentence", "hidden", "fills"], rows

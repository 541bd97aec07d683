"""What a model puts into the gaps of a few held-out sentences."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from rich.table import Table

from maskwright.tasks import MaskedLanguageModeling
from maskwright.text.tokenizer import Tokenizer

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORDS = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True)
class Fill:
    """One gap.

    Attributes:
        sentence: the text, its hidden word written as the mask token.
        word: what stood there.
        guesses: pairs of a token and its probability, best first.
    """

    sentence: str
    word: str
    guesses: list[tuple[str, float]]


def sentences(texts: Iterable[str], words: tuple[int, int] = (8, 25)) -> Iterator[str]:
    """One whole sentence of each text: the first, behind the opening one, of a fitting number of words."""
    for text in texts:
        for sentence in _SENTENCE.split(text)[1:]:
            if words[0] <= len(sentence.split()) <= words[1] and sentence.endswith(".") and "\n" not in sentence:
                yield sentence
                break


@torch.no_grad()
def fill(
    task: MaskedLanguageModeling, tokenizer: Tokenizer, texts: Iterable[str], number: int, block_size: int
) -> list[Fill]:
    """The five best guesses for one word in each of `number` sentences of the texts.

    The word is the middle one of those of four letters or more that are one token of the vocabulary.
    """
    task.eval()
    fills: list[Fill] = []
    for sentence in sentences(texts):
        if len(fills) == number:
            break
        [(ids, starts)] = tokenizer.encode([sentence])
        whole = [
            i
            for i in range(len(ids))
            if starts[i]
            and (i + 1 == len(ids) or starts[i + 1])
            and _WORDS.fullmatch(tokenizer.decode([ids[i]]).strip())
        ]
        if not whole or len(ids) > block_size - 2:
            continue
        gap = whole[len(whole) // 2]
        hidden = [*ids[:gap].tolist(), tokenizer.mask_id, *ids[gap + 1 :].tolist()]
        input_ids = torch.tensor([[tokenizer.cls_id, *hidden, tokenizer.sep_id]], device=task.device)
        states = task.encoder(input_ids, None)
        logits = task.head(states, torch.tensor([[gap + 1]], device=task.device))[0, 0].float()
        logits[tokenizer.special_ids] = -torch.inf
        best = logits.softmax(-1).topk(5)
        guesses = [
            (tokenizer.decode([i]).strip(), p)
            for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        shown = f"{tokenizer.decode(hidden[:gap])} [MASK] {tokenizer.decode(hidden[gap + 1 :])}"
        fills.append(Fill(shown.strip(), tokenizer.decode([ids[gap]]).strip(), guesses))
    return fills


def table(fills: list[Fill]) -> Table:
    """The fills, one row a sentence."""
    shown = Table(title="Held-out sentences and the model's five best fills", show_lines=True)
    shown.add_column("sentence", ratio=3)
    shown.add_column("hidden")
    shown.add_column("fills", ratio=2)
    for fill_ in fills:
        guesses = ", ".join(f"{token} {share:.1%}" for token, share in fill_.guesses)
        shown.add_row(fill_.sentence.replace("[", r"\["), fill_.word, guesses.replace("[", r"\["))
    return shown

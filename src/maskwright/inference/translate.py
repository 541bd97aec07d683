"""Translates texts with a trained model."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwright.core.errors import UserError
from maskwright.data.batching import cut_by_budget
from maskwright.tasks.drafts import Sources
from maskwright.tasks.translation import Translation
from maskwright.text.text_rows import Long
from maskwright.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Translator:
    """A trained `Translation` with its tokenizer.

    Args:
        task: in evaluation mode, on one device.
        clean: cleans a text as those of training were.
        longest: the most positions of a row, which holds a text and its translation.
        iterations, length_candidates: see `Translation`.
        tokens_per_batch: positions of a forward pass, those of all candidates together.
        autocast: makes the context of a forward pass.
    """

    task: Translation
    tokenizer: Tokenizer
    clean: Callable[[str], str]
    longest: int
    iterations: int
    length_candidates: int
    tokens_per_batch: int
    autocast: Callable[[], AbstractContextManager] = nullcontext

    def __call__(self, texts: Sequence[str], long: Long) -> list[dict[str, Any]]:
        """Returns a row for each text: `text`, its `translation`, and the mean log-probability of its tokens.

        Args:
            long: what is done with a text that takes more than half of a row: `refuse`, or `windows`, which
                translates its parts one by one.
        Raises:
            UserError: a text is too long, and is to be refused.
        """
        parts: list[np.ndarray] = []
        of_text: list[list[int]] = []  # the parts of each text
        encoded = self.tokenizer.encode([self.clean(text) for text in texts])
        for text, (ids, starts) in zip(texts, encoded, strict=True):
            own = self._parts(text, ids, starts, long)
            of_text.append(list(range(len(parts), len(parts) + len(own))))
            parts += own
        found = self._translated(parts)
        rows = []
        for text, numbers in zip(texts, of_text, strict=True):
            tokens = sum(len(found[number][0]) for number in numbers)
            total = sum(found[number][1] * len(found[number][0]) for number in numbers)
            written = " ".join(self.tokenizer.decode(found[number][0]).strip() for number in numbers)
            score = total / tokens if tokens else None
            rows.append({"text": text, "translation": written, "log_probability": score})
        return rows

    def _parts(self, text: str, ids: np.ndarray, starts: np.ndarray, long: Long) -> list[np.ndarray]:
        """Returns the tokens of a text in parts that fit into a row together with their translations."""
        room = (self.longest - 2 - len(self.tokenizer.pair_layout.between)) // 2
        if len(ids) <= room:
            return [ids] if len(ids) else []
        if long == "refuse":
            raise UserError(
                f"The text '{text[:60]}…' has {len(ids):,} tokens, and the model reads {self.longest} in a row, of "
                f"which {room} are for a text and as many for its translation. Cut it into sentences, or set "
                "long=windows, which translates parts of it one by one."
            )
        parts, first = [], 0
        while len(ids) - first > room:
            words = np.flatnonzero(starts[first + 1 : first + room + 1]) + 1
            last = first + (int(words[-1]) if len(words) else room)
            parts.append(ids[first:last])
            first = last
        return [*parts, ids[first:]]

    @torch.inference_mode()
    def _translated(self, parts: Sequence[np.ndarray]) -> list[tuple[list[int], float]]:
        """Returns the tokens of each translation, and their mean log-probability."""
        found: list[tuple[list[int], float]] = [([], 0.0)] * len(parts)
        lengths = np.array([2 * len(part) + 3 for part in parts], dtype=np.int64) * self.length_candidates
        longest_first = np.argsort(-lengths, kind="stable")
        for batch in cut_by_budget(longest_first, lengths, self.tokens_per_batch):
            with self.autocast():
                translated = self.task.translate(
                    self._sources([parts[number] for number in batch]),
                    self.tokenizer.sep_id,
                    self.longest,
                    self.iterations,
                    self.length_candidates,
                )
            for number, ids, score in zip(batch, translated.ids, translated.scores, strict=True):
                found[number] = ids, score
        return found

    def _sources(self, parts: Sequence[np.ndarray]) -> Sources:
        layout, tokenizer = self.tokenizer.pair_layout, self.tokenizer
        opens, first, between, second, _ = layout.types
        tokens = np.array([len(part) for part in parts])
        begins = tokens + 1 + len(layout.between)
        ids = np.full((len(parts), int(begins.max())), tokenizer.pad_id, np.int64)
        types = np.full_like(ids, second)  # so that positions of the target are counted as in training
        for row, part in enumerate(parts):
            ids[row, : begins[row]] = [tokenizer.cls_id, *part, *layout.between]
            types[row, : begins[row]] = [opens, *[first] * len(part), *[between] * len(layout.between)]
        of_target = np.full_like(tokens, second)
        return Sources(*(self._tensor(array) for array in (ids, types, tokens, begins, of_target)))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.task.device)

"""What a task that learned from labels predicts of a text: a class, a value, or the tags of words."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskwright.core.errors import UserError, nearest
from maskwright.corpora.inputs import Input, WordRule, inputs
from maskwright.data.batching import MicroBatch, RowReader
from maskwright.data.label_spec import LabelSpec
from maskwright.data.loader import to_tensors
from maskwright.data.rows import Rows
from maskwright.data.unlabelled import rows_of_inputs
from maskwright.inference.asked import TOKENS_PER_BATCH
from maskwright.inference.explain.prediction import Prediction
from maskwright.inference.explain.question import Cutter, Question, spans_of
from maskwright.text.text_rows import Encoded, Window, shortened, too_long
from maskwright.text.tokenizer import Tokenizer

_LISTED = 20  # names in a message


@dataclass(frozen=True)
class Labels:
    """The predictions of a task.

    Args:
        task: a `LabelledTask` in evaluation mode that defines `outputs` and `read_from`, or a
            `PretrainedClassifier`.
        labels: what it learned.
        data: the settings of its `LabelledData`; of a classifier, `block_size` alone.
        clean: cleans a text, as for training.
        rule: how a text for tagging is split into words; None for other tasks.
    """

    task: Any
    labels: LabelSpec
    tokenizer: Tokenizer
    data: Mapping[str, Any]
    clean: Callable[[str], str]
    rule: WordRule | None
    cut: Cutter
    tokens_per_batch: int = TOKENS_PER_BATCH

    def questions(
        self, text: str, target: str | None = None, word: str | None = None, in_windows: bool = False
    ) -> tuple[str, list[Question]]:
        """Returns a text as the model reads it, and what of it is explained; nothing of an empty one.

        Args:
            target: the class or tag; None takes what is predicted.
            word: for tags, the word as it is spelled, or its number, from 1 on; None takes all words of entities.
            in_windows: whether a text that is longer than a row is explained window by window.
        Raises:
            UserError: there is no such class, tag or word, or the text is too long.
        """
        item, encoded, words, chosen = self._read(text, target, word, in_windows)
        if not len(encoded.ids):
            return item.clean, []
        rows = rows_of_inputs([item], self.labels.kind, self.tokenizer, {**self.data, "truncate": "windows"})
        found = [
            question
            for row in range(len(rows))
            for question in self._of_row(rows, row, encoded, item, words, chosen)
        ]
        return item.clean, found

    def check(
        self, text: str, target: str | None = None, word: str | None = None, in_windows: bool = False
    ) -> None:
        """Raises the errors of `questions`, without asking the model."""
        self._read(text, target, word, in_windows)

    def _read(
        self, text: str, target: str | None, word: str | None, in_windows: bool
    ) -> tuple[Input, Encoded, set[int] | None, int | None]:
        """Returns a text, its tokens, the words that are asked for, and the class or tag; see `questions`."""
        item = next(inputs([text], self.clean, self.rule))
        chosen = self._target(target)
        if self.labels.kind != "tags" and word is not None:
            raise UserError(f"word={word}, but this run predicts something of the whole text. Leave it out.")
        encoded = Encoded(item.clean, *self.tokenizer.encode([item.clean], offsets=True)[0])
        room = self.data["block_size"] - 2
        if len(encoded.ids) > room and not in_windows:
            instead = "Shorten it, or set long=windows, which explains each part of it by itself."
            raise too_long(text, len(encoded.ids), room, instead)
        return item, encoded, self._words(item, word) if len(encoded.ids) else None, chosen

    def _target(self, target: str | None) -> int | None:
        names = self.labels.names
        if target is None:
            return None
        if not names:
            raise UserError(f"target={target}, but this run predicts a value and no class. Leave it out.")
        if target not in names:
            listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
            what = "tag" if self.labels.kind == "tags" else "class"
            raise UserError(
                f"target={target} is no {what} of this run.{nearest(target, names)} They are: {listed}."
            )
        return names.index(target)

    def _words(self, item: Input, word: str | None) -> set[int] | None:
        """Returns the numbers of the words that are asked for; None for those of entities."""
        if word is None:
            if self.labels.kind == "tags" and not self.labels.entities:
                raise UserError("This run tags every word. Name the one to explain: word=3, or as it is spelled.")
            return None
        spelled = [item.text[start:end] for start, end in item.words or []]
        found = {number for number, own in enumerate(spelled) if own == word}
        if not found and word.isdecimal() and 1 <= int(word) <= len(spelled):
            return {int(word) - 1}
        if not found:
            raise UserError(
                f"word={word} is none of the {len(spelled)} words of {shortened(item.text)}."
                + nearest(word, spelled)
            )
        return found

    def _of_row(
        self, rows: Rows, number: int, encoded: Encoded, item: Input, words: set[int] | None, target: int | None
    ) -> Iterator[Question]:
        device = next(self.task.parameters()).device
        read = to_tensors(RowReader(rows).__getitems__(MicroBatch(np.array([number]))))
        batch = {name: tensor.to(device) for name, tensor in read.items()}
        begin = int(rows.segments.begins[number] - rows.before[number])
        end = begin + int(rows.shown[number])
        window = Window(begin, end, begin, end)
        units = self.cut(encoded, window)
        spans = spans_of(encoded, window, units)
        if not spans:
            return
        with torch.no_grad():
            decided, read_from = self.task.decided(batch)[0], self.task.read_from(batch)[0]
        for place in self._places(batch, decided, words):
            at = () if place is None else (place,)
            output = int(decided[at]) if target is None else target
            prediction = Prediction(
                batch["input_ids"][0],
                units,
                self._compute(batch, (*at, output)),
                self.task.encoder,
                self.tokenizer.mask_id,
                read_from[at],
                self.tokens_per_batch,
            )
            of = None
            if place is not None:
                assert item.clean_words is not None
                of = item.clean_words[int(batch["places"][0, place])]
            yield Question(prediction, self.labels.names[output] if self.labels.names else "value", of, spans)

    def _places(self, batch: dict[str, Tensor], decided: Tensor, words: set[int] | None) -> Iterator[int | None]:
        """Yields which outputs of a row are explained: of tags, the indices of words; else None, the only one."""
        if self.labels.kind != "tags":
            yield None
            return
        for place in range(int(batch["valid"][0].sum())):
            entity = self.labels.names[int(decided[place])] != "O"
            if entity if words is None else int(batch["places"][0, place]) in words:
                yield place

    def _compute(self, batch: dict[str, Tensor], output: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
        def compute(ids: Tensor) -> Tensor:
            rows = {name: tensor.expand(len(ids), *tensor.shape[1:]) for name, tensor in batch.items()}
            return self.task.outputs(rows | {"input_ids": ids})[(slice(None), *output)]

        return compute

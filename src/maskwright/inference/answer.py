"""Answers to questions, by a model that was trained to find them in a context."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskwright.core.errors import UserError
from maskwright.data.batching import MicroBatch, RowReader, cut_by_budget
from maskwright.data.loader import to_tensors
from maskwright.data.question_rows import QuestionRows, answer_text, question_rows_of_texts
from maskwright.tasks import QuestionAnswering
from maskwright.tasks.spans import Answer, Answers
from maskwright.text.tokenizer import Tokenizer

_SPANS = 20  # of a row that are looked at for each answer; most of the best spans overlap


class Question(NamedTuple):
    """A question about a context, with its name if it has one."""

    question: str
    context: str
    id: str = ""


@dataclass(frozen=True)
class Answerer:
    """A trained model that answers questions.

    Args:
        task: in evaluation mode, on one device.
        shown: `block_size`, `stride` and `longest_question`, see `QuestionRows`.
        tokens_per_batch: positions of a forward pass, padding included.
        threshold: how much higher the score of no answer has to be for the prediction that there is none; None
            always answers.
        clean: what the model read in training, of a text.
        autocast: makes the context of a forward pass.
    """

    task: QuestionAnswering
    tokenizer: Tokenizer
    shown: dict[str, Any]
    tokens_per_batch: int
    threshold: float | None
    clean: Callable[[str], str] = str
    autocast: Callable[[], AbstractContextManager] = nullcontext

    def __call__(self, questions: Sequence[Question], top_k: int) -> list[dict[str, Any]]:
        """Returns a row for each question.

        The characters `start` to before `end` of the context, as `clean` leaves it, are the answer; it is "" where
        there is none.
        `answers` are the best spans that do not overlap, at most `top_k`, whether or not one of them is the answer.

        Raises:
            UserError: a question or a context is empty.
        """
        clean = [Question(self.clean(own.question), self.clean(own.context), own.id) for own in questions]
        for given, own in zip(questions, clean, strict=True):
            for name in ("question", "context"):
                if not getattr(own, name).strip():
                    named = f" of the question '{given.question:.60}'" * (name == "context")
                    raise UserError(f"A {name}{named} is empty. Give a text.")
        rows = question_rows_of_texts(
            [own.question for own in clean], [own.context for own in clean], self.tokenizer, self.shown
        )
        found = self.task.answers(self._seen(rows, top_k), top_k)
        return [
            self._row(given, own.context, number, found[number], rows)
            for number, (given, own) in enumerate(zip(questions, clean, strict=True))
        ]

    def _seen(self, rows: QuestionRows, top_k: int) -> list[np.ndarray]:
        """Returns what `QuestionAnswering.answers` takes."""
        order, read = np.argsort(-rows.lengths, kind="stable"), RowReader(rows)
        batches = cut_by_budget(order, rows.lengths, self.tokens_per_batch)
        seen = [self._predict(to_tensors(read.__getitems__(MicroBatch(batch))), top_k) for batch in batches]
        return [np.concatenate(column) for column in zip(*seen, strict=True)]

    @torch.inference_mode()
    def _predict(self, batch: dict[str, Tensor], top_k: int) -> tuple[np.ndarray, ...]:
        device = next(self.task.parameters()).device
        with self.autocast():
            found = self.task.candidates({name: own.to(device) for name, own in batch.items()}, _SPANS * top_k)
        return tuple((own.float() if own.is_floating_point() else own).cpu().numpy() for own in found)

    def _row(
        self, asked: Question, context: str, number: int, found: Answers, rows: QuestionRows
    ) -> dict[str, Any]:
        def spelled(answer: Answer) -> dict[str, Any]:
            text, start, end = "", 0, 0
            if answer.begin >= 0:
                text, start, end = answer_text(context, *rows.characters(number, answer.begin, answer.end))
            return {"answer": text, "start": start, "end": end, "probability": round(answer.probability, 6)}

        return {
            **({"id": asked.id} if asked.id else {}),
            "question": asked.question,
            **spelled(found.chosen(self.threshold)),
            "no_answer_probability": round(found.nothing.probability, 6),
            "answers": [spelled(answer) for answer in found.best],
        }

"""Answers to questions, which are spans of a context."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.atomic import write_file
from maskwright.core.terminal import console
from maskwright.core.types import PositiveCount, Share
from maskwright.data.corpus import Corpus
from maskwright.data.question_rows import Questions, answer_text
from maskwright.models.encoder import types_of
from maskwright.models.layers.linear import ReadoutLinear
from maskwright.reports import answer_baselines, predictions
from maskwright.reports.answer_scores import answer_scores, best_of, best_threshold
from maskwright.tasks.labelled import LabelledTask
from maskwright.tasks.spans import Answers, Candidates, answers_of, best_spans, by_question
from maskwright.tasks.spec import Baseline, Metric

_SPANS = 20  # of a row that are compared with those of other rows
_SHOWN = 3  # answers of a question in a file of predictions

Masked = Literal["question", "context", "both"]


class QuestionAnswering(LabelledTask):
    """Predicts the first and the last token of the answer to a question, of all tokens of its context.

    Two linear maps of the hidden states score each token; a row without the answer points at [CLS] (Devlin et al.,
    2019, arXiv:1810.04805). The loss is the mean of both cross-entropies.

    Args:
        masked: where `mask` hides words in training: in the `question`, in the `context`, or in `both`.
        longest_answer: the most tokens of an answer that is predicted.
        no_answer_threshold: how much higher the score of no answer has to be than that of the best one for the
            prediction that there is none. None takes the threshold with the best F1 on the validation split; if all
            questions of the training split have answers, all are answered.
        dropout: the dropout of the hidden states.
        task: see `LabelledTask`.
    Attributes:
        predicted: after an evaluation, the `Answers` of each question by its number.
        no_answer_threshold: a scalar; infinite where all questions are answered.
    """

    label_kind = "answers"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "min"),
        Metric("exact_match", "max"),
        Metric("f1", "max"),
        Metric("f1_answerable", "max"),
        Metric("f1_unanswerable", "max"),
    )
    primary = "f1"
    label_weights: ClassVar[tuple[str, ...]] = ("output.", "no_answer_threshold")
    baseline_name = "guessing where the answer begins and ends, nats (all places alike)"
    no_answer_threshold: Tensor

    def __init__(
        self,
        masked: Masked = "question",
        longest_answer: PositiveCount = 30,
        no_answer_threshold: float | None = None,
        dropout: Share = 0.1,
        **task: Any,
    ):
        super().__init__(**task)
        self.hidden_part, self.longest_answer, self.given_threshold = masked, longest_answer, no_answer_threshold
        self.dropout = nn.Dropout(dropout)
        self.output = ReadoutLinear(self.encoder.hidden_size, 2)
        self.register_buffer("no_answer_threshold", torch.tensor(torch.inf))

    @property
    def threshold(self) -> float | None:
        """The doubt above which a question has no answer; None if all are answered."""
        if self.given_threshold is not None:
            return self.given_threshold
        found = float(self.no_answer_threshold)
        return None if np.isinf(found) else found

    def forward(self, batch: dict[str, Tensor], input_ids: Tensor | None = None) -> Tensor:
        """Returns logits (B, T, 2) of where answers begin and end, -inf where they may not."""
        input_ids = batch["input_ids"] if input_ids is None else input_ids
        hidden = self.encoder(input_ids, batch.get("attention_mask"), **types_of(self.encoder, batch))
        logits = self.output(self.dropout(hidden)).float()
        return logits.masked_fill(~batch["allowed"][..., None], -torch.inf)

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.forward(batch, input_ids)
        right = (logits.argmax(1) == batch["targets"]).all(1)
        return F.cross_entropy(logits.transpose(1, 2).flatten(0, 1), batch["targets"].flatten()), right

    # Masks hide words of one part of a row

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        return super().learn(self._maskable(batch))

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        return super().step_totals(self._maskable(step))

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        super().validation_step(self._maskable(batch), batch_idx)

    def _maskable(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns a batch whose `words` are those of the part of a row that masks may hide."""
        if self.hidden_part == "both":
            return batch
        kept = batch["allowed"] if self.hidden_part == "context" else ~batch["allowed"]
        return batch | {"words": batch["words"].masked_fill(~kept, -1)}

    # Evaluation

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return self.candidates(batch, _SPANS)

    def candidates(self, batch: dict[str, Tensor], number: int) -> tuple[Tensor, ...]:
        """Returns the questions of a batch (B,), the `shifts` of its rows (B,), the best `number` of spans of each
        (see `Candidates`), and losses (B,), NaN where the answer is unknown."""
        logits, targets = self.forward(batch), batch["targets"]
        losses = F.cross_entropy(logits.transpose(1, 2).flatten(0, 1), targets.flatten(), reduction="none")
        losses = losses.view_as(targets).mean(1).masked_fill(~batch["known"], torch.nan)
        found = best_spans(logits, batch["allowed"], self.longest_answer, number)
        return batch["texts"], batch["shifts"], *found, losses

    def evaluation_metrics(self, split: str) -> dict[str, Any]:
        self._split = split
        return super().evaluation_metrics(split)

    def measure(self, seen: list[np.ndarray]) -> dict[str, float]:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self.predicted = self.answers(seen, _SHOWN)
        questions: Questions = data.questions[self._split]
        golds = [questions.answers[number] or [] for number in self.predicted]
        answerable = np.array([bool(own) for own in golds])
        doubts = np.array([own.doubt for own in self.predicted.values()])
        scores = answer_scores(self._spelled(data, self._split, None), golds)
        fitting = self._split == "validation" and self.trainer.state.fn == "fit"
        if fitting and self.given_threshold is None and (counts := self.labels.counts) is not None:
            fitted = best_threshold(scores[:, 1], doubts, answerable) if counts[1] else torch.inf
            self.no_answer_threshold.fill_(fitted)  # also in place of that of a run that this one began with
        if (threshold := self.threshold) is not None:
            scores = np.where((doubts > threshold)[:, None], ~answerable[:, None], scores)
        metrics = {
            "loss": float(np.nanmean(seen[-1])),
            "exact_match": float(scores[:, 0].mean()),
            "f1": float(scores[:, 1].mean()),
        }
        if threshold is not None:
            parts = {"f1_answerable": answerable, "f1_unanswerable": ~answerable}
            metrics |= {name: float(scores[own, 1].mean()) for name, own in parts.items() if own.any()}
        return metrics

    def answers(self, seen: list[np.ndarray], number: int) -> dict[int, Answers]:
        """Returns the best answers to each question, by its number.

        Args:
            seen: see `measure`.
            number: of answers.
        """
        questions, shifts, *columns = seen[:-1]
        return {
            question: answers_of(Candidates(*(column[rows] for column in columns)), shifts[rows], number)
            for question, rows in by_question(questions)
        }

    def _spelled(self, data: Any, split: str, threshold: float | None) -> list[str]:
        """Returns the answer to each question in `predicted`; "" where there is none, see `Answers.chosen`."""
        texts, questions, rows = data.texts(split), data.questions[split], data.rows[split]
        spelled = []
        for number, own in self.predicted.items():
            chosen = own.chosen(threshold)
            found = "", 0, 0
            if chosen.begin >= 0:
                found = answer_text(
                    texts[questions.contexts[number]], *rows.characters(number, chosen.begin, chosen.end)
                )
            spelled.append(found[0])
        return spelled

    def baseline(self, data: Corpus) -> Baseline:
        rows: Any = data.rows["train"]  # type: ignore[attr-defined]
        return Baseline(float(np.log(rows.places).mean()), self.baseline_name)

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        """Also prints the most confident errors, and the scores of the best answers of a fixed length, which it
        writes into `baseline.json`; and writes `predictions.jsonl`, and `answers.json`, which the official script
        of SQuAD scores."""
        super().report(split, metrics, data, folder)
        if self.threshold is not None:
            console().print(f"There is no answer where its score is more than {self.threshold:.4f} higher.")
        own: Any = data
        asked = {name: _asked(own, name) for name in ("train", split) if name in own.rows}
        if (found := answer_baselines.best_baseline(asked["train"], asked[split])) is not None:
            console().print(
                f"Best answers of a fixed length: exact_match {found.exact_match:.4f}, f1 {found.f1:.4f} "
                f"({found.rule})"
            )
            _write_json(folder / "baseline.json", found._asdict())
        rows = self._rows(own, split)
        predictions.write(rows, folder)
        by_id = {row["id"]: row["predicted"] for row in rows if row["id"]}
        _write_json(folder / "answers.json", by_id)
        wrong = (
            (" | ".join(dict.fromkeys(row["answers"])), row["predicted"], row["probability"], row["question"])
            for row in rows
            if best_of(row["predicted"], row["answers"])[0] == 0
        )
        predictions.show_confident_errors(wrong, self.trainer)

    def _rows(self, data: Any, split: str) -> list[dict[str, Any]]:
        """Returns each question with its gold answers and the predicted ones."""
        texts, questions = data.texts(split), data.questions[split]
        return [
            {
                "id": questions.ids[number],
                "question": texts[questions.documents[number]],
                "answers": questions.answers[number] or [],
                "predicted": answer,
                "probability": round(own.chosen(self.threshold).probability, 6),
                "no_answer_probability": round(own.nothing.probability, 6),
            }
            for (number, own), answer in zip(
                self.predicted.items(), self._spelled(data, split, self.threshold), strict=True
            )
        ]


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=0) + "\n"
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _asked(data: Any, split: str) -> list[answer_baselines.Asked]:
    texts, own = data.texts(split), data.questions[split]
    return [
        answer_baselines.Asked(texts[question], texts[context], answers or [])
        for question, context, answers in zip(own.documents, own.contexts, own.answers, strict=True)
    ]

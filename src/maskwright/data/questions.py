"""Questions about contexts for fine-tuning: batches of rows of a question and a window of its context."""

from typing import Any

from maskwright.annotations.token_edges import TokenEdges
from maskwright.core.errors import UserError
from maskwright.core.types import Count, PositiveCount, Share
from maskwright.corpora.documents import open_table
from maskwright.corpora.splits import SPLITS
from maskwright.data.label_spec import LabelKind, LabelSpec
from maskwright.data.question_rows import QuestionRows, Questions
from maskwright.data.row_data import RowData

_SPECIAL = 3  # the least special tokens of a row: [CLS] and two [SEP]
_NAMED = 3  # questions that a message lists


class QuestionData(RowData):
    """A corpus of questions about contexts, whose answers are spans of characters of their contexts.

    A row shows a question and a window of its context, see `QuestionRows`.

    Args:
        target: what is predicted: `answers`.
        stride: tokens that two neighbouring windows of a context share.
        longest_question: tokens of a question that a row shows, the first ones.
        unusable_share: the largest share of the questions of a split whose answers are not in their contexts; they
            are not trained on.
        rows: see `RowData`.
    Raises:
        UserError: the corpus has no questions, or rows have no room for contexts; after `setup`, more answers than
            that are not in their contexts.
    Attributes:
        questions: of each split, after `setup`.
    """

    def __init__(
        self,
        target: LabelKind,
        stride: Count,
        longest_question: PositiveCount,
        unusable_share: Share,
        **rows: Any,
    ):
        rows["annotations"] = [*rows.get("annotations", ()), TokenEdges("begin"), TokenEdges("end")]
        super().__init__(**rows)
        self.stride, self.longest_question, self.unusable_share = stride, longest_question, unusable_share
        if target != "answers":
            raise UserError(
                f"data/batches=questions makes rows of questions, but this task learns from labels of the kind "
                f"'{target}'. Leave the choice of data/batches to the task."
            )
        if any(own.source.question is None for own in self.recipe.sources.values()):
            raise UserError(
                "data.question names no column, but this task learns to answer questions. Choose data=squad, or "
                "name the columns: data.column=context data.question=question data.answers=answers"
            )
        check_room(self.block_size, stride, longest_question)

    def setup(self, stage: str | None = None) -> None:
        """Opens what `prepare_data` wrote.

        Raises:
            UserError: more answers than `unusable_share` allows are not in their contexts, or questions to train on
                come without answers.
        """
        super().setup(stage)
        self.questions = {split: Questions.of(open_table(self.documents_folder, split)) for split in SPLITS}
        self.rows = {}
        self.unlabelled = set()
        for split, own in self.questions.items():
            if missing := own.answers.count(None):
                self._leave_out(split, missing, len(own))
                continue
            annotations = self.annotated(split)
            edges = annotations.pop("token_begins"), annotations.pop("token_ends")
            self.rows[split] = QuestionRows(
                own,
                self.tokens[split],
                self.tokenizer,
                annotations,
                edges,
                self.block_size,
                self.stride,
                self.longest_question,
                trained=split == "train",
            )
            self._check_usable(split)
        answerable = int(self.questions["train"].are_answerable.sum())
        self.labels = LabelSpec("answers", counts=(answerable, len(self.questions["train"]) - answerable))

    def _leave_out(self, split: str, missing: int, number: int) -> None:
        if split != "test" or missing < number:
            raise UserError(
                f"{missing:,} of the {number:,} questions of the {split} split have no answers (data.answers); a "
                "question without an answer in its context has an empty list. Only a whole test split may be "
                "without."
            )
        self.unlabelled = {"test"}

    def _check_usable(self, split: str) -> None:
        own, number = self.questions[split], int(self.questions[split].are_answerable.sum())
        lost = [i for i, known in enumerate(self.rows[split].known) if not known]  # type: ignore[attr-defined]
        if len(lost) > self.unusable_share * number:
            texts = self.texts(split)
            named = ", ".join(
                f"'{(own.answers[i] or [''])[0]:.40}' to '{texts[own.documents[i]]:.60}'"
                + f" (id {own.ids[i]})" * bool(own.ids[i])
                for i in lost[:_NAMED]
            )
            raise UserError(
                f"{len(lost):,} of the {number:,} answers of the {split} split are not in their contexts, neither "
                f"where the data says nor near it: {named}{', …' * (len(lost) > _NAMED)}. Correct them "
                "(data.answers; answer_start counts characters from 0), or allow more, which leaves them out: "
                f"data.unusable_share={min(len(lost) / number + 0.005, 0.99):.2f}"
            )

    def remarks(self) -> list[str]:
        remarks = super().remarks()
        rows: dict[str, Any] = self.rows
        for split, shown in rows.items():
            if lost := int((~shown.known).sum()):
                kept = "not trained on" if split == "train" else "compared by their texts alone"
                remarks.append(f"{lost:,} {split} answers that are not in their contexts are {kept}")
            if moved := self.questions[split].moved:
                remarks.append(f"{moved:,} {split} answers were found elsewhere than the data says")
        long = sum(int((shown.shown_of_question == self.longest_question).sum()) for shown in rows.values())
        if long:
            remarks.append(
                f"{long:,} questions have data.longest_question={self.longest_question} tokens or more, and are "
                "cut there"
            )
        return remarks

    def size(self, split: str) -> str:
        own = self.questions[split]
        if split in self.unlabelled:
            return f"{len(own):,} questions without answers"
        contexts = len(set(own.contexts.tolist()))
        return f"{len(own):,} questions about {contexts:,} contexts in {len(self.rows[split]):,} rows"


def check_room(block_size: int, stride: int, longest_question: int) -> None:
    """Checks that each window of a context in a row shows more than what it shares with its neighbour.

    Raises:
        UserError: it does not.
    """
    # with a spare one: RoBERTa has two tokens between the texts
    room = block_size - _SPECIAL - 1 - longest_question
    if stride >= room:
        raise UserError(
            f"data.block_size={block_size} leaves {max(room, 0)} tokens for the context after a question of "
            f"data.longest_question={longest_question}, and data.stride={stride} of them would be in the next row "
            "too. Set a larger block_size, or a smaller stride or longest_question."
        )

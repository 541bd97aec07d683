"""Questions about contexts as rows of tokens, read from disk on demand."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from maskwright.data.rows import Rows
from maskwright.data.windows import Segments
from maskwright.text.packing import pair_rows_at
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import Tokens


@dataclass(frozen=True)
class Questions:
    """The Q questions of a split, among the D documents of its tokens.

    Attributes:
        documents, contexts: (Q,) int64, the document that a question is, and that of its context.
        ids: the name of each question; "" if it has none.
        answers: of each question, as they are spelled; none where the context does not hold the answer; None where
            the data does not say.
        places: (Q, 2) int64, the first character of the first answer that the context holds and the one after its
            last; -1 where there is none.
        moved: how many answers are not where the data says.
    """

    documents: np.ndarray
    contexts: np.ndarray
    ids: list[str]
    answers: list[list[str] | None]
    places: np.ndarray
    moved: int = 0

    def __len__(self) -> int:
        return len(self.documents)

    @classmethod
    def of(cls, table: pa.Table) -> "Questions":
        """Returns the questions among the documents of a split, see `documents.SCHEMA`."""
        column = table.column("question").to_pylist()
        documents = np.array([number for number, row in enumerate(column) if row is not None], np.int64)
        is_context = np.array([row is None for row in column], bool)
        last = np.maximum.accumulate(np.where(is_context, np.arange(len(column)), 0)) if column else documents
        rows = [row for row in column if row is not None]
        places = np.full((len(rows), 2), -1, np.int64)
        for number, row in enumerate(rows):
            known = (own for own in zip(row["begins"], row["ends"], strict=True) if own[0] >= 0)
            places[number] = next(known, (-1, -1))
        return cls(
            documents,
            last[documents],
            [row["id"] for row in rows],
            [row["answers"] for row in rows],
            places,
            sum(row["moved"] for row in rows),
        )

    @property
    def are_answerable(self) -> np.ndarray:
        """(Q,) bool, whether the data has an answer."""
        return np.array([bool(answers) for answers in self.answers], bool)

    @property
    def are_unusable(self) -> np.ndarray:
        """(Q,) bool, whether the data has answers, none of which the context holds where it should."""
        return self.are_answerable & (self.places[:, 0] < 0)


def question_windows(lengths: np.ndarray, rooms: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the windows that rows show of contexts: (R,) the number of the question of each, and its first token.

    Args:
        lengths: (Q,) tokens of each context.
        rooms: (Q,) the most tokens of it in a row, more than `stride`.
        stride: tokens that two neighbouring windows share.
    """
    steps = rooms - stride
    numbers = 1 + np.maximum(-(-(lengths - rooms) // steps), 0)
    question = np.repeat(np.arange(len(lengths)), numbers)
    window = np.arange(len(question)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    return question, window * steps[question]


class QuestionRows(Rows):
    """The rows of one split, each of which shows a question and a window of its context.

    Args:
        questions: of the split.
        tokens: of its documents.
        edges: (N,) of the tokens: their first characters, and the ones after their last.
        block_size: the most positions of a row, special tokens included.
        stride: tokens that two neighbouring windows of a context share.
        longest_question: tokens of a question that are shown, the first ones.
        trained: whether questions with answers that their contexts do not hold are left out.
    Attributes:
        documents: (R,) the question that a row shows, by its number in `questions`.
        lengths: (R,) positions of each row, special tokens included.
        places: (R,) where an answer can begin: the tokens of the context, and [CLS].
        known: (Q,) bool, whether a question has an answer that its context holds, or none.
    """

    def __init__(
        self,
        questions: Questions,
        tokens: Tokens,
        tokenizer: Tokenizer,
        annotations: dict[str, np.ndarray],
        edges: tuple[np.ndarray, np.ndarray],
        block_size: int,
        stride: int,
        longest_question: int,
        trained: bool = False,
    ):
        self.questions, self.edges = questions, edges
        ends = np.asarray(tokens.ends) - 1  # without the separators
        begins = np.concatenate([[0], ends[:-1] + 1])
        self.question_begins, self.context_begins = begins[questions.documents], begins[questions.contexts]
        self.shown_of_question = np.minimum(ends[questions.documents] - self.question_begins, longest_question)
        self.context_lengths = ends[questions.contexts] - self.context_begins
        self.targets_of_questions = self._targets()
        rooms = block_size - tokenizer.pair_layout.special - self.shown_of_question
        own, windows = question_windows(self.context_lengths, rooms, stride)
        lost = questions.are_unusable | (questions.are_answerable & (self.targets_of_questions[:, 0] < 0))
        self.known = ~lost
        if trained:
            own, windows = own[self.known[own]], windows[self.known[own]]
        begins = self.context_begins[own] + windows
        shown = np.minimum(rooms[own], self.context_lengths[own] - windows)
        segments = Segments(own, begins, begins + shown, begins, begins + shown)
        super().__init__(tokens, tokenizer, annotations, segments, self.targets_of_questions, block_size)
        self.windows, self.places = windows, shown + 1
        self.lengths = shown + self.shown_of_question[own] + tokenizer.pair_layout.special

    def _targets(self) -> np.ndarray:
        """Returns the first and the last token of each answer in its context, (Q, 2); -1 where there is none."""
        targets = np.full((len(self.questions), 2), -1, np.int64)
        for number in np.flatnonzero(self.questions.places[:, 0] >= 0).tolist():
            begin, end = self.questions.places[number]
            first = self.context_begins[number]
            own = slice(first, first + self.context_lengths[number])
            token = np.searchsorted(self.edges[1][own], begin, side="right")
            last = np.searchsorted(self.edges[0][own], end, side="left") - 1
            if token <= last:
                targets[number] = token, last
        return targets

    def characters(self, question: int, begin: int, end: int) -> tuple[int, int]:
        """Returns the first character in a context of its token `begin`, and the one after the last of `end`."""
        first = self.context_begins[question]
        return int(self.edges[0][first + begin]), int(self.edges[1][first + end])

    def read(self, rows: np.ndarray, epochs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the rows numbered `rows` (B,) as a batch.

        Returns:
            What `pair_rows_at` returns; `examples` and `epochs` (B,); `texts` (B,), the number of the question of
            each row; `allowed` (B, T) bool, [CLS] and the tokens of the context, among which an answer begins and
            ends; `shifts` (B,), what is added to the number of a token in its context for its position in the row;
            `targets` (B, 2), the positions of the first and the last token of the answer, 0, that of [CLS], where
            the row does not show the answer; and `known` (B,) bool, whether the data has a usable answer or says
            that there is none.
        """
        own, windows = self.documents[rows], self.windows[rows]
        first = self.shown_of_question[own]
        shown = (self.segments.ends - self.segments.begins)[rows]
        column = np.arange(int((first + shown).max(initial=0)))
        real = column < (first + shown)[:, None]
        is_first = column < first[:, None]
        begins = np.where(
            is_first, self.question_begins[own][:, None], (self.segments.begins[rows] - first)[:, None]
        )
        tokens = self.tokens
        batch = pair_rows_at(
            begins + column, real, first, tokens.ids, tokens.flags, self.annotations, self.tokenizer
        )
        opens = first + self.tokenizer.pair_layout.special - 1  # the position of the first token of the context
        position = np.arange(batch["input_ids"].shape[1])
        allowed = (position >= opens[:, None]) & (position < (opens + shown)[:, None])
        allowed[:, 0] = True
        targets = self.targets_of_questions[own]
        inside = (targets[:, 0] >= windows) & (targets[:, 1] < windows + shown)
        shifts = opens - windows
        return batch | {
            "examples": rows,
            "epochs": epochs,
            "texts": own,
            "allowed": allowed,
            "shifts": shifts,
            "targets": np.where(inside[:, None], targets + shifts[:, None], 0),
            "known": self.known[own],
        }


def answer_text(context: str, begin: int, end: int) -> tuple[str, int, int]:
    """Returns the characters of a context from `begin` to before `end`, without blanks around them, and where they
    are."""
    text = context[begin:end]
    begin += len(text) - len(text.lstrip())
    text = text.strip()
    return text, begin, begin + len(text)


def question_rows_of_texts(
    questions: list[str],
    contexts: list[str],
    tokenizer: Tokenizer,
    shown: dict[str, Any],
) -> QuestionRows:
    """Returns the rows of questions in memory, as those of a corpus are.

    Args:
        contexts: of each question.
        shown: `block_size`, `stride` and `longest_question`.
    """
    encoded = tokenizer.encode([text for pair in zip(contexts, questions, strict=True) for text in pair], True)
    separator, flag, edge = np.array([tokenizer.sep_id]), np.array([1], np.uint8), np.zeros((1, 2), np.int64)
    ids = np.concatenate([part for ids, _, _ in encoded for part in (ids, separator)])
    flags = np.concatenate([part for _, starts, _ in encoded for part in (starts.astype(np.uint8), flag)])
    edges = np.concatenate([part for _, _, offsets in encoded for part in (offsets, edge)])
    ends = np.cumsum([len(own) + 1 for own, _, _ in encoded])
    tokens = Tokens(ids, flags, ends, np.zeros(0, np.int64), 0.0)
    number = np.arange(len(questions))
    nothing = np.full((len(questions), 2), -1, np.int64)
    asked = Questions(2 * number + 1, 2 * number, [""] * len(questions), [None] * len(questions), nothing)
    return QuestionRows(asked, tokens, tokenizer, {}, (edges[:, 0], edges[:, 1]), **shown)

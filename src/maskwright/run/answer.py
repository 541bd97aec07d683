"""Answers questions about contexts with a finished run."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig, OmegaConf
from rich.table import Table
from rich.text import Text

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.corpora.cleaning import Cleaner
from maskwright.corpora.decoding import ending
from maskwright.corpora.rows import Format
from maskwright.corpora.tables import READERS
from maskwright.data.questions import check_room
from maskwright.inference.answer import Answerer, Question
from maskwright.run.ask import WINDOW, checked_text, deliver, open_saved
from maskwright.run.assemble import task_spec
from maskwright.run.output import Row, Rows, checked_output
from maskwright.run.predict_inputs import cleaning_of
from maskwright.run.predictor import one_device
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import quiet
from maskwright.settings.commands import AnswerSettings

_COLUMNS = {"data.column": "context", "data.question": "question", "data.id": "id"}
_ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


def run_answer(cfg: DictConfig) -> int:
    """Answers the questions that a composed `conf/answer.yaml` describes; returns their number.

    Raises:
        UserError: there is no such run, it does not answer questions, or there are no questions.
    """
    quiet()
    asked = AnswerSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    checked_output(asked.output, asked.overwrite)  # before the work
    questions = list(_questions(asked))
    saved = open_saved(asked)
    answerer = make_answerer(asked, saved)
    rows = Rows(
        _windows(questions),
        lambda window: answerer(window, asked.top_k),
        lambda window: [own.question for own in window],
        WINDOW,
        len(questions),
        "Answering",
        key="question",
    )
    settings = [asked.top_k, asked.stride, asked.longest_answer, asked.no_answer_threshold]
    given: Any = [questions, settings]
    return deliver(rows, asked, saved, show, given, "answers")


def make_answerer(asked: AnswerSettings, saved: SavedRun) -> Answerer:
    """Returns the model of a run, on the device that the command names.

    Raises:
        UserError: it does not answer questions, or rows have no room for contexts.
    """
    task: Any = None if saved.place is not None else saved.task
    if task is None or task_spec(saved.settings.task).label_kind != "answers":
        what = "is a model of the hub" if task is None else f"was trained with {type(task).__name__}"
        raise UserError(
            f"run='{asked.run}' {what}, which does not answer questions. Name a run of task=question_answering."
        )
    data = saved.settings.data.arguments
    shown = {key: data[key] for key in ("block_size", "stride", "longest_question")}
    if asked.stride is not None:
        shown["stride"] = asked.stride
        check_room(**shown)
    if asked.longest_answer is not None:
        task.longest_answer = asked.longest_answer
    fabric = one_device(asked.hardware)
    fabric.setup_module(task)  # in place
    threshold = task.threshold if asked.no_answer_threshold is None else asked.no_answer_threshold
    clean = Cleaner(cleaning_of(saved.config["data"]))
    return Answerer(task, saved.tokenizer, shown, asked.tokens_per_batch, threshold, clean, fabric.autocast)


def _questions(asked: AnswerSettings) -> Iterator[Question]:
    """Yields the questions that a command names.

    Raises:
        UserError: it names none, or names them twice; or the file holds something else.
    """
    given = (asked.question, asked.context)
    if asked.file is not None:
        if given != (None, None):
            raise UserError("file is given, and question or context too. Name the questions by one of them.")
        yield from _of_file(Path(asked.file).expanduser())
        return
    if not isinstance(asked.context, str) or asked.question is None:
        raise UserError(
            "There is no question. Name one and its context: question='Who …?' context='A text', or a file with "
            "several: file=questions.jsonl"
        )
    questions = [asked.question] if isinstance(asked.question, str) else asked.question
    if not isinstance(questions, list) or not all(isinstance(own, str) for own in questions) or not questions:
        raise UserError(f'question={questions!r} is no text. Give one, or a list: question=\'["Who?","When?"]\'')
    for own in questions:
        yield Question(checked_text(own), checked_text(asked.context))


def _of_file(path: Path) -> Iterator[Question]:
    if ending(path) not in _ENDINGS:
        raise UserError(f"file={path} is no format of questions; it ends in {', '.join(_ENDINGS)}.")
    if not path.is_file():
        raise UserError(f"file={path} does not exist. Name a file with the columns question and context.")
    rows = READERS[ending(path)](path, _COLUMNS, Format())
    empty = True
    try:
        for where, (context, question, name) in rows:
            empty = False
            asked, given = _text_of(question, "question", where), _text_of(context, "context", where)
            yield Question(asked, given, "" if name is None else str(name))
    except UserError as error:  # of the reader, which names settings of training
        raise UserError(re.sub(r" \(data\.\w+\)", "", str(error))) from None
    if empty:
        raise UserError(f"file={path} is empty. Name a file with the columns question and context.")


def _text_of(value: object, column: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"file: {where} has no text in its column '{column}'.")
    return value


def _windows(questions: Sequence[Question]) -> Iterator[list[Question]]:
    own = iter(questions)
    while some := list(islice(own, WINDOW)):
        yield some


def show(rows: Sequence[Row], stream: TextIO) -> None:
    """Prints the answer below each question, and a table of others."""
    shown = console(stream)
    for row in rows:
        shown.print(Text(row["question"], style="bold"))
        shown.print(Text(row["answer"] or f"no answer ({row['no_answer_probability']:.1%})"))
        table = Table("probability", "answer", "characters")
        for own in row["answers"]:
            table.add_row(f"{own['probability']:.3g}", Text(own["answer"]), f"{own['start']}-{own['end']}")
        shown.print(table)

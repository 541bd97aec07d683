"""Makes predictions with a finished run for texts without labels, in their order and in constant memory."""

import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig, OmegaConf

from maskwright.core.atomic import fingerprint
from maskwright.core.errors import UserError, nearest
from maskwright.core.terminal import bar, console
from maskwright.corpora.inputs import Input
from maskwright.data.unlabelled import margin_of, windows
from maskwright.reports.prediction_file import PredictionFile, check_ending, line
from maskwright.run.assemble import task_spec
from maskwright.run.predict_inputs import Texts, texts_of
from maskwright.run.predictor import Predictor
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import quiet
from maskwright.settings.commands import PredictSettings

WINDOW = 1024  # texts whose rows are sorted by length together, and written together

Row = dict[str, Any]
Window = tuple[list[Input], list[Input], list[Input]]  # texts, with those before and after them


def predict(cfg: DictConfig, overrides: Sequence[str] = ()) -> int:
    """Makes the predictions that a composed `conf/predict.yaml` describes; returns their number.

    Args:
        overrides: the overrides of the command line, as typed.
    Raises:
        UserError: there is no such run, it predicts nothing of whole texts, or there are no such texts.
    """
    quiet()
    asked = PredictSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    output = None if asked.output is None else Path(asked.output).expanduser()
    if output is not None:
        check_ending(output)
    if asked.hardware.devices != 1:
        raise UserError(
            f"hardware.devices={asked.hardware.devices}, but predictions are made on one device. Set it to 1."
        )
    saved = _open(asked)
    texts = texts_of(asked, saved, overrides)
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):  # which leaves stdout to the predictions
        count = _print(asked, saved, texts, stdout) if output is None else _write(asked, saved, texts, output)
        if count.empty:
            console().print(f"note: texts that are empty after cleaning, and have no prediction: {count.empty:,}")
        if output is not None:
            console().print(f"{count.all:,} predictions are in {output}")
    return count.all


class _Count:
    """How many texts there were, and how many of them were empty after cleaning."""

    all = empty = 0

    def add(self, texts: Sequence[Input]) -> None:
        self.all += len(texts)
        self.empty += sum(not text.clean for text in texts)


def _open(asked: PredictSettings) -> SavedRun:
    if asked.checkpoint not in (kinds := ("best", "last")):
        raise UserError(
            f"checkpoint={asked.checkpoint} does not exist.{nearest(asked.checkpoint, kinds)} It is best or last."
        )
    saved = SavedRun.open(asked.run, "run", prefer=(asked.checkpoint,))
    if saved.place is not None:
        raise UserError(
            f"run='{asked.run}' is no run with a checkpoint {asked.checkpoint}.ckpt, but a name or folder of "
            "the hub. Name the directory of a run of src/train.py."
        )
    if not task_spec(saved.settings.task).predicts_texts:
        name = saved.settings.task.target.rpartition(".")[2]
        raise UserError(
            f"run='{asked.run}' was trained with {name}, which predicts nothing of a whole text. Name a run of "
            "task=classification, tagging, regression, or multitask."
        )
    return saved


def _windows(saved: SavedRun, texts: Texts) -> Iterator[Window]:
    assert saved.labels is not None
    return windows(texts.read(), WINDOW, margin_of(saved.settings.data.arguments, saved.labels.kind))


def _predictor(asked: PredictSettings, saved: SavedRun) -> Predictor:
    return Predictor(saved, asked.hardware, asked.tokens_per_batch)


def _print(asked: PredictSettings, saved: SavedRun, texts: Texts, stdout: TextIO) -> _Count:
    """Prints predictions as JSON lines; ends where nobody reads them any more."""
    count, predictor = _Count(), _predictor(asked, saved)
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(encoding="utf-8")  # as JSON is, whatever the locale is
    try:
        with bar("Predicting", texts.number) as progress:
            for before, own, after in _windows(saved, texts):
                stdout.write("".join(map(line, predictor(before, own, after))))
                stdout.flush()
                count.add(own)
                progress.advance(len(own))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())  # so that Python does not flush at its end
    return count


def _write(asked: PredictSettings, saved: SavedRun, texts: Texts, output: Path) -> _Count:
    """Writes predictions into a file, or continues it."""
    count, predictor = _Count(), _Later(lambda: _predictor(asked, saved))
    assert saved.checkpoint is not None
    with saved.checkpoint.open("rb") as weights:
        run = hashlib.file_digest(weights, "blake2b").hexdigest()[:16]
    identity = {"run": run, "input": fingerprint(texts.identity)}
    with PredictionFile(output, identity, asked.overwrite, WINDOW) as file:
        kept, held = file.windows, file.held()
        with bar("Predicting", texts.number) as progress, _told(output):
            for number, (before, own, after) in enumerate(_windows(saved, texts)):
                if number >= kept:
                    file.write(predictor.get()(before, own, after))
                elif any(text.text != next(held)["text"] for text in own):
                    raise file.begun_with("another input")
                count.add(own)
                progress.advance(len(own))
        if count.all < kept * WINDOW:
            raise file.begun_with("another input")
        file.finish()
    if kept:
        console().print(f"note: {kept * WINDOW:,} predictions were there already")
    return count


@contextmanager
def _told(output: Path) -> Iterator[None]:
    """Says after an interruption how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        console().print(f"note: output={output} is not finished; the same command continues it")
        raise


class _Later:
    """A predictor that is made when it is first needed."""

    def __init__(self, make: Callable[[], Predictor]):
        self.make = make
        self._made: Predictor | None = None

    def get(self) -> Predictor:
        self._made = self._made or self.make()
        return self._made

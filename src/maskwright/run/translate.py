"""Translates texts with a finished run."""

from collections.abc import Sequence
from typing import Any, TextIO

from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.corpora.cleaning import Cleaner
from maskwright.inference.translate import Translator
from maskwright.run.ask import answer, open_saved, texts_of
from maskwright.run.output import Row, checked_output
from maskwright.run.predict_inputs import cleaning_of
from maskwright.run.predictor import one_device
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import quiet
from maskwright.settings.commands import TranslateSettings


def run_translate(cfg: DictConfig) -> int:
    """Translates the texts that a composed `conf/translate.yaml` describes; returns the number of texts.

    Raises:
        UserError: there is no such run, it does not translate, there are no such texts, or one of them is too long.
    """
    quiet()
    asked = TranslateSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    checked_output(asked.output, asked.overwrite)  # before the work
    saved = open_saved(asked)
    texts = texts_of(asked)
    translator = make_translator(asked, saved)
    settings = [translator.iterations, translator.length_candidates, asked.long]
    return answer(asked, saved, texts, lambda some: translator(some, asked.long), show, "Translating", settings)


def make_translator(asked: TranslateSettings, saved: SavedRun) -> Translator:
    """Returns what translates, on the device that the command names.

    Raises:
        UserError: the run does not translate.
    """
    if not saved.translates:
        raise UserError(f"run='{asked.run}' has not learned to translate. Name a run of task=translation.")
    fabric = one_device(asked.hardware)
    task: Any = saved.task
    fabric.setup_module(task)  # in place
    assert saved.max_length is not None  # that of the data
    return Translator(
        task,
        saved.tokenizer,
        Cleaner(cleaning_of(saved.config["data"])),
        saved.max_length,
        asked.iterations or task.iterations,
        asked.length_candidates or task.length_candidates,
        asked.tokens_per_batch,
        fabric.autocast,
    )


def show(rows: Sequence[Row], stream: TextIO) -> None:
    """Prints each translation below its text."""
    shown = console(stream)
    for row in rows:
        shown.print(Text(row["text"], style="bold"))
        shown.print(Text(f"  {row['translation']}"))

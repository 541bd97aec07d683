"""One evaluation: a finished run on one data set."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from lightning import Trainer

from maskwright.core import sharding
from maskwright.core.atomic import write_file
from maskwright.core.distributed import is_main, one_first
from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.corpora.recipe import pair_columns
from maskwright.corpora.rows import listed
from maskwright.data.corpus import Corpus
from maskwright.reports.summary import plain
from maskwright.run.assemble import (
    check_maskers,
    make_maskers,
    make_task,
    other_data,
    prepare,
    vocabulary_of,
)
from maskwright.run.evaluated_data import Data, data_of, folder_of, limits_of
from maskwright.run.ranks import Place
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import make_trainer
from maskwright.settings.commands import EvaluateSettings, TrainSettings
from maskwright.tasks import Task


class Tested(NamedTuple):
    """What an evaluation leaves: the metrics by name, and its objects."""

    metrics: dict[str, float]
    task: Task
    data: Corpus
    trainer: Trainer


def _named(columns: Sequence[str | int] | None) -> str:
    return "single texts" if columns is None else f"pairs of texts (data.column={listed(columns)})"


@dataclass(frozen=True)
class Evaluation:
    """A finished run, and the data that it is evaluated on.

    Attributes:
        saved: the run.
        name: of the data, where there are several; empty otherwise.
        given: the group `data` of the command for it: an option of it, or a few changes to the data of the run.
        overrides: those of the command line.
    """

    asked: EvaluateSettings
    saved: SavedRun
    place: Place
    overrides: Sequence[str] = ()
    name: str = ""

    @property
    def given(self) -> Data:
        return self.asked.data[self.name] if self.name else self.asked.data

    @cached_property
    def data(self) -> Data:
        """The settings of the data that is evaluated."""
        key = ".".join(filter(None, ("data", self.name, "splits")))
        chosen = any(override.startswith(key) for override in self.overrides)
        data = data_of(self.saved.data, other_data(self.given), self.asked.split, chosen)
        labels = self.saved.labels
        if labels is not None and (pair_columns(data) is None) != (self.saved.pair_columns is None):
            raise UserError(
                f"run='{self.saved.name}' learned from {_named(self.saved.pair_columns)}, and data.column names "
                f"those of {_named(pair_columns(data))}."
            )
        return data if labels is None or not labels.names else data | {"labels": list(labels.names)}

    @property
    def folder(self) -> str:
        """The name of a folder for it."""
        return folder_of(self.asked.split, self.data, self.saved.data, self.asked.checkpoint)

    @property
    def settings(self) -> TrainSettings:
        """The settings of the run, with the data and the hardware of the evaluation."""
        return self.saved.settings.replace(
            data=self.data,
            hardware=self.asked.hardware,
            preparation=self.asked.preparation,
            callbacks={},
            logger={},
            run_dir=str(self.saved.directory),
        )

    def test(self, settings: TrainSettings, masks_alone: bool = False) -> Tested:
        """Evaluates the weights of the run.

        Args:
            settings: those of the evaluation, which may have other masks.
            masks_alone: whether masked tokens are evaluated under `evaluation_masks` alone.
        Raises:
            UserError: the data does not fit the run, or has no labels to compare with.
        """
        asked, saved, place = self.asked, self.saved, self.place
        with one_first(place.node, place.local == 0, f"{saved.name}: {self.name}"):
            data, masks = prepare(settings)
        for remark in Corpus.remarks(data):  # without the remarks of its subclass, which are about training
            console().print(f"note: {remark}")
        if asked.split in data.unlabelled:
            raise UserError(f"split={asked.split} of {data.recipe} has no labels to compare predictions with.")
        maskers = make_maskers(settings, masks, vocabulary_of(saved.tokenizer, data))
        check_maskers(maskers, data)
        if masks_alone:
            del maskers["evaluation_mask"]
        task = make_task(settings, maskers, saved.tokenizer, saved.labels)
        saved.load_into(task)
        trainer = make_trainer(settings, saved.directory, None, place)
        console().print(f"{asked.split}: {data.size(asked.split)}")
        test = trainer.validate if asked.split == "validation" else trainer.test
        [metrics] = test(task, datamodule=data, verbose=False)
        return Tested({name: float(value) for name, value in metrics.items()}, task, data, trainer)

    def report(self, tested: Tested, output: str | None) -> None:
        """Writes the metrics and the report of the task.

        Args:
            output: the folder; None takes one in the directory of the run.
        """
        own, split = self.saved, self.asked.split
        folder = own.directory / "evaluations" / self.folder if output is None else Path(output).expanduser()
        with sharding.whole_weights(tested.task):
            if not is_main(tested.trainer):
                return
            folder.mkdir(parents=True, exist_ok=True)
            tested.task.report(split, tested.metrics, tested.data, folder)
        limits = limits_of(self.data)
        written = {
            "data": ", ".join(str(source.source) for source in tested.data.recipe.sources.values()),
            "limit": limits.get("", limits),
            "size": tested.data.size(split),
            "checkpoint": str(own.checkpoint),
            "metrics": tested.metrics,
        }
        text = json.dumps(plain(written), indent=2)
        write_file(folder / "metrics.json", lambda temporary: temporary.write_text(text + "\n"))
        console().print(f"Everything is in {folder}")

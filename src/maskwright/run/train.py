"""One training run, from the config to the summary."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import lightning
from omegaconf import DictConfig, OmegaConf

from maskwright.core.distributed import is_main, one_first
from maskwright.core.job_output import JobOutput
from maskwright.core.terminal import console
from maskwright.run import rules
from maskwright.run.adapting import adapt, extended_here
from maskwright.run.assemble import (
    check_maskers,
    encoder_before_data,
    make_maskers,
    make_task,
    prepare,
    verify_components,
    vocabulary_of,
)
from maskwright.run.checkpoints import AUTO, check_resumable, completed, find_checkpoint
from maskwright.run.describe import describe
from maskwright.run.directory import RunDirectory
from maskwright.run.experiment import check_unchanged
from maskwright.run.init_from import Start, starting_point
from maskwright.run.lifecycle import Outcome, Result, Run, outcome
from maskwright.run.ranks import Place, find_place, follow, hardware_of, together
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import make_trainer, quiet
from maskwright.settings.commands import TrainSettings


def train(
    cfg: DictConfig,
    overrides: Sequence[str] = (),
    output: JobOutput | None = None,
    multirun: bool = False,
    choices: Mapping[str, str] | None = None,
    sweep: str | None = None,
) -> Outcome:
    """Runs the experiment that a composed `conf/train.yaml` describes.

    Returns:
        A `Result`, with the objects of the run; an `Outcome` if ckpt_path=auto finds that the run is complete.

    Args:
        overrides: the overrides of the command line, as typed.
        output: the directory that Hydra has made for the job, if Hydra runs it.
        multirun: whether this is a job of a sweep.
        choices: the options that were chosen, by their groups, which dashboards show.
        sweep: the directory of the sweep that this is a job of.
    Raises:
        UserError: the config, the data, the checkpoint or the device does not allow the run.
        Interrupted: the run was stopped by Ctrl-C, after it wrote a checkpoint and its summary.
    """
    began = time.monotonic()
    quiet()
    place = find_place(hardware_of(cfg), multirun=multirun)
    if place.rank.number:  # torchrun and srun start the command once for each device
        return follow(place, lambda task, place: beside(OmegaConf.create(task[1]), task[2], place, output))
    with RunDirectory(cfg, output) as directory:
        checked = _check(cfg, overrides, directory)
        if checked.settings.ckpt_path == AUTO and (metrics := completed(checked.settings)) is not None:
            console().print(f"Nothing is left to do: the run in {directory.path} is complete.")
            return outcome(checked.settings, metrics)
        if checked.checkpoint is not None:
            cfg.ckpt_path = str(checked.checkpoint.checkpoint)
        task = ("train", OmegaConf.to_container(cfg, resolve=True), tuple(overrides))
        with together(place, task) as place:
            run, begins_with = _assemble(checked, directory, place, began)
            run.introduce(begins_with)
            return run.execute(describe(run, choices or {}, sweep))


def beside(cfg: DictConfig, overrides: Sequence[str], place: Place, output: JobOutput | None = None) -> Result:
    """Runs the experiment as one of the processes beside the first, with its config; see `train`."""
    began = time.monotonic()
    quiet()
    with RunDirectory(cfg, output, shared=True) as directory:
        run, _ = _assemble(_check(cfg, overrides, directory), directory, place, began)
        return run.execute()


class _Checked(NamedTuple):
    """What a run is made of, as far as that is known before its corpus is prepared."""

    settings: TrainSettings
    start: Start | None
    checkpoint: SavedRun | None
    changed: list[str]  # since that


def _check(cfg: DictConfig, overrides: Sequence[str], directory: RunDirectory) -> _Checked:
    settings = TrainSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    settings, start = starting_point(settings, overrides)
    verify_components(settings)
    rules.check(settings)
    checkpoint = find_checkpoint(settings, directory.named)
    auto = settings.ckpt_path == AUTO
    own = checkpoint is not None and checkpoint.directory.resolve() == directory.path.resolve()
    changed = check_unchanged(checkpoint, settings) if auto or checkpoint is not None else []
    directory.check(goes_on=auto or own)
    return _Checked(settings, start, checkpoint, changed)


def _assemble(checked: _Checked, directory: RunDirectory, place: Place, began: float) -> tuple[Run, list[str]]:
    """Returns a run that is ready to begin, in its directory, and the lines that introduce it."""
    settings, start, checkpoint, begins_with = checked
    lightning.seed_everything(settings.seed, verbose=False)
    encoder = encoder_before_data(settings)
    with one_first(place.node, place.local == 0):
        data, masks = prepare(settings)
    rules.metrics_of_labels_exist(settings, [] if data.labels is None else data.labels.kinds)
    epochs = settings.trainer.max_epochs
    steps = None if epochs is None else data.steps(epochs)
    settings = settings.replace(trainer=settings.trainer.with_steps_of_epochs(steps))
    maskers = make_maskers(settings, masks, vocabulary_of(data.tokenizer, data))
    check_maskers(maskers, data)
    task = make_task(settings, maskers, data.tokenizer, data.labels, encoder)
    if checkpoint is not None:
        check_resumable(checkpoint, task, settings)
        adapt(task, settings, data.tokenizer)
    else:
        loaded = None if start is None else start.load(task, extended_here(settings, data.tokenizer))
        begins_with = [*begins_with, *(loaded.lines if loaded else []), *adapt(task, settings, data.tokenizer)]
        counted = task.count(data, new_encoder=loaded is None, new_head=loaded is None or not loaded.head)
        begins_with = [*begins_with, *([] if counted is None else [counted])]
    if settings.hardware.compile:
        for encoder in {task.encoder, task.token_encoder}:
            encoder.compile(dynamic=None)  # in place, which keeps the names of its weights

    run_dir = directory.path
    baseline = task.baseline(data)
    trainer = make_trainer(settings, run_dir, baseline, place)
    directory.begin(OmegaConf.create(settings.plain()))
    if is_main(trainer):
        data.tokenizer.save(run_dir / "tokenizer")
        task.encoder.save_architecture(run_dir)
        _keep_metrics(run_dir)
    return Run(settings, run_dir, task, data, trainer, baseline, began, checkpoint), begins_with


def _keep_metrics(run_dir: Path) -> None:
    """Renames the metrics of an earlier run in the same directory, which the CSV logger would delete."""
    metrics = run_dir / "metrics.csv"
    if metrics.exists():
        number = 1
        while (aside := run_dir / f"metrics-{number}.csv").exists():
            number += 1
        os.replace(metrics, aside)

"""The loss matrix: several runs, or one, on several data sets or under several masks."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.core.atomic import fingerprint
from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.reports import matrix as report
from maskwright.reports.matrix import Row
from maskwright.run.assemble import check_further, is_option, task_spec
from maskwright.run.evaluated_data import in_name
from maskwright.run.evaluation import Evaluation
from maskwright.run.ranks import Place
from maskwright.run.saved import SavedRun
from maskwright.settings.build import find_target
from maskwright.settings.commands import EvaluateSettings, TrainSettings
from maskwright.settings.component import Component
from maskwright.settings.mask import MaskSettings
from maskwright.tasks.evaluation_masks import METRICS

# keys in which runs of one experiment differ
_OF_ONE_RUN = ("seed", "run_dir", "ckpt_path", "resume", "hardware", "preparation", "logger", "callbacks")
# keys that do not change what is evaluated, or are seen in where the tables are
_NOT_EVALUATED = ("run", "output", "hardware", "preparation")
_LONGEST_NAME = 120  # characters of the name of a folder, without its digest


def data_sets(asked: EvaluateSettings) -> list[str]:
    """Returns the names of the data sets, where the command names several."""
    return [name for name, value in asked.data.items() if isinstance(value, Mapping) and is_option(value)]


def check(asked: EvaluateSettings, runs: Sequence[SavedRun]) -> None:
    """Checks what is known before any data is prepared.

    Raises:
        UserError: a run predicts no masked tokens, a mask evaluates none, or keys do not fit together.
    """
    if names := data_sets(asked):
        others = [key for key, value in asked.data.items() if key not in names and value is not None]
        if others:
            raise UserError(
                f"data.{others[0]} is said of one data set, but there are several: {', '.join(names)}. Write "
                f"data.{names[0]}.{others[0]} for that of {names[0]}."
            )
    if asked.masks:
        check_further(asked.masks, "masks")
        _of_masks(asked, runs)


def _of_masks(asked: EvaluateSettings, runs: Sequence[SavedRun]) -> list[SavedRun]:
    """Returns the runs that predict masked tokens and nothing else."""
    found = []
    for saved in runs:
        kind = Component.from_node(saved.config["task"])
        spec, name = task_spec(kind), find_target(kind, "task").__name__
        if spec.predicts_tokens and spec.label_kind is None:
            found.append(saved)
        elif not any(Path(own).expanduser() == saved.directory for own in asked.runs):
            console().print(f"note: {saved.directory} is left out; its task is {name}")
        else:
            raise UserError(
                f"masks={','.join(asked.masks)} evaluates masked language models, but run={saved.directory} has "
                f"the task {name}. Leave masks out, or name a run of task=mlm."
            )
    if not found:
        raise UserError(f"run={','.join(asked.runs)} has no run of task=mlm, which masks= evaluates.")
    return found


def rows(asked: EvaluateSettings, runs: Sequence[SavedRun], overrides: Sequence[str], place: Place) -> list[Row]:
    """Evaluates each run on each data set, and writes and prints the tables.

    Each batch is read once, and seen by the encoder once under each mask.
    """
    runs = _of_masks(asked, runs) if asked.masks else runs
    names = _names([saved.directory for saved in runs])
    masks = _columns(asked)
    found: list[Row] = []
    evaluations = [
        (name, Evaluation(asked, saved, place, overrides, data))
        for name, saved in zip(names, runs, strict=True)
        for data in data_sets(asked) or [""]
    ]
    for number, (name, evaluation) in enumerate(evaluations, 1):
        console().print(f"\n{number} of {len(evaluations)}: {name} {evaluation.name}".rstrip())
        found.append(_row(name, evaluation, masks))
    if place.rank.number == 0:
        shown = report.Tables(found, {column: column.rpartition(" ")[0] for column in masks})
        folder = _output(asked, [saved.directory for saved in runs], evaluations[0][1], list(masks))
        report.write(folder, asked.split, shown)
        shown.show()
        console().print(f"Everything is in {folder}")
    return found


def _columns(asked: EvaluateSettings) -> dict[str, MaskSettings]:
    """Returns the masks by the names of their columns, `<mask> <share>`."""
    found: dict[str, MaskSettings] = {}
    for name, mask in asked.masks.items():
        own = [mask] if asked.ratios is None else [mask.replace(ratio=ratio) for ratio in asked.ratios]
        found |= {f"{name} {_share(each)}": each for each in own}
    return found


def _share(mask: MaskSettings) -> str:
    ratio = mask.parts["ratio"]
    return f"{ratio['value']:g}" if "value" in ratio else ratio.target.rpartition(".")[2].lower()


def _row(name: str, evaluation: Evaluation, masks: Mapping[str, MaskSettings]) -> Row:
    asked, saved, settings = evaluation.asked, evaluation.saved, evaluation.settings
    if masks:
        # no mask of the run itself, which may need annotations that nothing here reads
        first = next(iter(masks.values()))
        settings = settings.replace(mask=first, evaluation_mask=first, evaluation_masks=dict(masks))
        tested = evaluation.test(settings, masks_alone=True)
    else:
        tested = evaluation.test(settings)
        evaluation.report(tested, None)
    of_split = {key.partition("/")[2]: value for key, value in tested.metrics.items()}
    mask, shown = _trained_with(saved.settings, asked.masks)
    return Row(
        name=name,
        run=str(saved.directory),
        checkpoint=str(saved.checkpoint),
        data=evaluation.name or ", ".join(str(source.source) for source in tested.data.recipe.sources.values()),
        size=tested.data.size(asked.split),
        seed=settings.seed,
        experiment=json.dumps({key: saved.config[key] for key in saved.config if key not in _OF_ONE_RUN}),
        tokenizer=saved.vocabulary,
        mask=mask,
        trained_with=shown,
        metrics=of_split,
        main=tuple(own.name for own in (METRICS if masks else task_spec(settings.task).metrics)),
    )


def _trained_with(settings: TrainSettings, masks: Mapping[str, MaskSettings]) -> tuple[str | None, str]:
    """Returns which of the masks a run was trained with, if any, and that mask and its share in words."""
    own, parts = settings.mask.plain(), ("units", "weights")
    name = next((name for name, mask in masks.items() if all(mask.plain()[p] == own[p] for p in parts)), None)
    words = [own[part]["_target_"].rpartition(".")[2].lower() for part in parts]
    described = name or ", ".join(word for word in words if word != "uniform")
    return name, f"{described} {_share(settings.mask)}"


def _names(directories: Sequence[Path]) -> list[str]:
    """Returns short names of runs that tell them apart."""
    paths = [directory.resolve() for directory in directories]
    above = Path(os.path.commonpath([path.parent for path in paths]))
    return [str(path.relative_to(above)) for path in paths]


def _output(
    asked: EvaluateSettings, directories: Sequence[Path], first: Evaluation, columns: Sequence[str]
) -> Path:
    """Returns the folder of the tables: beside the runs, or in the directory of the one run.

    Its name ends in a digest of all that is evaluated, so that no other evaluation has the same.
    """
    if asked.output is not None:
        return Path(asked.output).expanduser()
    several = len(directories) > 1
    above = Path(os.path.commonpath([path.resolve() for path in directories])) if several else directories[0]
    of_data = [asked.split, *data_sets(asked)] if data_sets(asked) else [first.folder]
    ratios = dict.fromkeys(column.rpartition(" ")[2] for column in columns)
    name = in_name("-".join([*of_data, *asked.masks, *ratios]))[:_LONGEST_NAME]
    chosen: dict[str, Any] = {key: value for key, value in asked.plain().items() if key not in _NOT_EVALUATED}
    if len(asked.runs) > 1:  # a folder stays the same if there are more runs in it later
        chosen["runs"] = [os.path.relpath(Path(own).expanduser().resolve(), above) for own in asked.runs]
    return above / "evaluations" / f"{name}-{fingerprint(chosen)[:8]}"

"""Evaluates a finished run, on any data that it can read."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from maskwright.core import sharding
from maskwright.core.atomic import write_file
from maskwright.core.distributed import is_main, one_first
from maskwright.core.errors import UserError, nearest
from maskwright.core.terminal import console
from maskwright.corpora.recipe import SOURCE_KEYS, sources_of
from maskwright.corpora.source import Source
from maskwright.corpora.splits import SPLITS as ALL_SPLITS
from maskwright.data.corpus import Corpus
from maskwright.reports.summary import plain
from maskwright.run.assemble import (
    check_maskers,
    is_option,
    make_maskers,
    make_task,
    other_data,
    prepare,
    vocabulary_of,
)
from maskwright.run.ranks import Place, find_place, follow, hardware_of, together
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import make_trainer, quiet
from maskwright.settings.commands import EvaluateSettings

SPLITS = ("validation", "test")

Data = Mapping[str, Any]  # the group `data` of a config, plain


def evaluate(cfg: DictConfig, overrides: Sequence[str] = (), multirun: bool = False) -> dict[str, float]:
    """Evaluates what a composed `conf/evaluate.yaml` describes; returns the metrics by name.

    Writes `metrics.json` and the files of the task's report into the folder `output`.

    Args:
        overrides: the overrides of the command line, as typed.
        multirun: whether this is a job of a sweep.
    Raises:
        UserError: there is no such run or split, or the data does not fit the run.
    """
    quiet()
    place = find_place(hardware_of(cfg), multirun=multirun)
    if place.rank.number:
        return follow(place, lambda task, place: beside(OmegaConf.create(task[1]), task[2], place))
    _open(_asked(cfg))  # finds what is wrong before other processes are started
    with together(place, ("evaluate", OmegaConf.to_container(cfg, resolve=True), tuple(overrides))) as place:
        return beside(cfg, overrides, place)


def _asked(cfg: DictConfig) -> EvaluateSettings:
    asked = EvaluateSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    _check(asked)
    return asked


def beside(cfg: DictConfig, overrides: Sequence[str], place: Place) -> dict[str, float]:
    """Evaluates as one of the processes of the evaluation; see `evaluate`."""
    quiet()
    asked = _asked(cfg)
    split, saved = asked.split, _open(asked)
    own = saved.data
    chosen = any(override.startswith("data.splits") for override in overrides)
    of_data = _data(own, other_data(asked.data), split, chosen)
    if saved.labels is not None and saved.labels.names:
        of_data["labels"] = list(saved.labels.names)
    settings = saved.settings.replace(
        data=of_data,
        hardware=asked.hardware,
        preparation=asked.preparation,
        callbacks={},
        logger={},
        run_dir=str(saved.directory),
    )
    with one_first(place.node, place.local == 0):
        data, masks = prepare(settings)
    for remark in Corpus.remarks(data):  # without the remarks of its subclass, which are about training
        console().print(f"note: {remark}")
    if split in data.unlabelled:
        raise UserError(f"split={split} of {data.recipe} has no labels to compare predictions with.")
    maskers = make_maskers(settings, masks, vocabulary_of(saved.tokenizer, data))
    check_maskers(maskers, data)
    task = make_task(settings, maskers, saved.tokenizer, saved.labels)
    saved.load_into(task)
    trainer = make_trainer(settings, saved.directory, None, place)
    console().print(f"{split}: {data.size(split)}")
    test = trainer.validate if split == "validation" else trainer.test
    [metrics] = test(task, datamodule=data, verbose=False)
    metrics = {name: float(value) for name, value in metrics.items()}
    folder = saved.directory / "evaluations" / _folder(split, of_data, own, asked.checkpoint)
    output = folder if asked.output is None else Path(asked.output).expanduser()
    with sharding.whole_weights(task):
        if not is_main(trainer):
            return metrics
        output.mkdir(parents=True, exist_ok=True)
        task.report(split, metrics, data, output)
    sources = ", ".join(str(own.source) for own in data.recipe.sources.values())
    written = {
        "data": sources,
        "limit": limits[""] if "" in (limits := _limits(of_data)) else limits,
        "size": data.size(split),
        "checkpoint": str(saved.checkpoint),
        "metrics": metrics,
    }
    text = json.dumps(plain(written), indent=2)
    write_file(output / "metrics.json", lambda temporary: temporary.write_text(text + "\n"))
    console().print(f"Everything is in {output}")
    return metrics


def _check(asked: EvaluateSettings) -> None:
    if asked.split not in SPLITS:
        raise UserError(
            f"split='{asked.split}' cannot be evaluated.{nearest(asked.split, SPLITS)} Choose one of: "
            f"{', '.join(SPLITS)}."
        )


def _open(asked: EvaluateSettings) -> SavedRun:
    run = Path(asked.run).expanduser()
    path = run / "checkpoints" / f"{asked.checkpoint}.ckpt"
    if not path.is_file():
        raise UserError(f"run='{run}' has no checkpoint {path}. Name the directory of a run that wrote one.")
    return SavedRun.open(path, "run")


def _data(own: Data, asked: Data, split: str, chosen: bool) -> dict[str, Any]:
    """Returns the settings of the data of a run, or of other data in batches of the same kind.

    Other data is evaluated on its own split of that name. If it has none, everything that would be trained on is
    evaluated. The source of the run itself, or one of its sources, is never evaluated beyond the split; a part of
    it that is named, such as one of its files, is evaluated completely.

    Args:
        chosen: whether the command line sets `data.splits`.
    """
    if is_option(asked):
        of_source = {"sources", *SOURCE_KEYS}
        data = {key: value for key, value in own.items() if key not in of_source} | dict(asked)
    else:
        data = dict(own) | {key: value for key, value in asked.items() if value is not None}
    splits = data.get("splits") or {}
    if data.get("sources") is not None or chosen:
        return data
    places = _places(data)
    for settings in sources_of(own).values():
        if places == _places(settings):
            return data | {"splits": settings.get("splits", splits)}
    source = _source(data)
    held = source.splits()
    if taken := _first_held(held, splits.get(split), split):
        _warn_of_training(source, taken, own)
        return data | {"splits": dict.fromkeys(ALL_SPLITS, taken)}
    if not held:
        return data
    taken = _first_held(held, splits.get("train"), "train") or "+".join(sorted(held))
    whole = "all of it" if held == {*taken.split("+")} else f"all of its split {taken}"
    console().print(f"note: data.source='{source}' has no split {split} of its own; {whole} is evaluated")
    _warn_of_training(source, taken, own)
    return data | {"splits": dict.fromkeys(ALL_SPLITS, taken), "published": None}


def _warn_of_training(source: Source, split: str, own: Data) -> None:
    """Says which files of a split of a source the run was trained on, if any."""
    trained: set[Path] = set()
    for settings in sources_of(own).values():
        with suppress(UserError):
            trained |= _source(settings).files_of((settings.get("splits") or {}).get("train", "train"))
    if seen := sorted(path.name for path in source.files_of(split) & trained):
        listed = ", ".join(seen[:3]) + ", …" * (len(seen) > 3)
        console().print(
            f"note: the run was trained on texts of {listed}, so these numbers are not of held-out data"
        )


def _source(settings: Data) -> Source:
    """Returns where the texts of a source are, whatever is read from there."""
    names = settings["source"]
    where = names if isinstance(names, str) else tuple(names)
    return Source(where, settings.get("config"), "text", "row", settings.get("tags"))


def _first_held(held: set[str], *names: str | float | None) -> str | None:
    """Returns the first of `names`, each a split or several joined by `+`, that is among the splits in `held`."""
    return next((name for name in names if isinstance(name, str) and held.issuperset(name.split("+"))), None)


def _places(data: Data) -> set[tuple[str, str | None]]:
    """Returns where the texts of a corpus come from: files or names on the hub, each with its configuration.

    Sources that no longer exist are left out.
    """
    found = set()
    for settings in sources_of(data).values():
        source = _source(settings)
        with suppress(UserError):
            names = {str(path.resolve()) for path in source.find()[1]} or {str(source)}
            found |= {(name, settings.get("config")) for name in names}
    return found


def _folder(split: str, data: Data, own: Data, checkpoint: str) -> str:
    """Returns the name of the folder for an evaluation: its split, and what else sets it apart.

    Another source, another limit than the run's and another checkpoint than `best` each get a folder of their own.
    """
    parts = [split]
    others = _places(data) != _places(own)
    if others:
        parts += [_in_name(str(_source(settings)))[-60:] for settings in sources_of(data).values()]
    before = {} if others else _limits(own)
    for name, limit in _limits(data).items():
        if limit != before.get(name):
            parts += [_in_name(name)] * bool(name) + [f"limit-{'none' if limit is None else limit}"]
    if checkpoint != "best":
        parts.append(_in_name(checkpoint))
    return "-".join(parts)


def _limits(data: Data) -> dict[str, int | None]:
    """Returns the limit of each source, by its name."""
    return {name: settings.get("limit") for name, settings in sources_of(data).items()}


def _in_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")

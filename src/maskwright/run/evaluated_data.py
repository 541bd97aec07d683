"""Which data of a run, or which other data, is evaluated, and the folder that is named after it."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.corpora.recipe import REPLAY, SOURCE_KEYS, sources_of
from maskwright.corpora.source import Source
from maskwright.corpora.splits import SPLITS as ALL_SPLITS
from maskwright.run.assemble import is_option

Data = Mapping[str, Any]  # the group `data` of a config, plain


def data_of(own: Data, asked: Data, split: str, chosen: bool) -> dict[str, Any]:
    """Returns the settings of the data of a run, or of other data in batches of the same kind.

    Other data is evaluated on its own split of that name. If it has none, everything that would be trained on is
    evaluated. The source of the run itself, or one of its sources, is never evaluated beyond the split; a part of
    it that is named, such as one of its files, is evaluated completely.

    Args:
        chosen: whether the command line sets `data.splits`.
    """
    if is_option(asked):
        of_source = {"sources", "temperature", REPLAY, *SOURCE_KEYS}
        data = {key: value for key, value in own.items() if key not in of_source} | dict(asked)
    else:
        data = dict(own) | {key: value for key, value in asked.items() if value is not None}
    splits = data.get("splits") or {}
    if data.get("sources") is not None or chosen:
        return data
    places = _places({**data, REPLAY: None})
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


def folder_of(split: str, data: Data, own: Data, checkpoint: str) -> str:
    """Returns the name of the folder for an evaluation: its split, and what else sets it apart.

    Another source, another limit than the run's and another checkpoint than `best` each get a folder of their own.
    """
    parts = [split]
    others = _places(data) != _places(own)
    if others:
        parts += [in_name(str(_source(settings)))[-60:] for settings in sources_of(data).values()]
    before = {} if others else limits_of(own)
    for name, limit in limits_of(data).items():
        if limit != before.get(name):
            parts += [in_name(name)] * bool(name) + [f"limit-{'none' if limit is None else limit}"]
    if checkpoint != "best":
        parts.append(in_name(checkpoint))
    return "-".join(parts)


def limits_of(data: Data) -> dict[str, int | None]:
    """Returns the limit of each source, by its name."""
    return {name: settings.get("limit") for name, settings in sources_of(data).items()}


def in_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")

"""Data sets of the Hugging Face hub, and local folders in its layout."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow

from maskwright.core.errors import UserError, is_disk_full, nearest
from maskwright.core.hub import go_offline_without_network
from maskwright.corpora.columns import DOCUMENT
from maskwright.corpora.files import Columns, as_text, check_columns
from maskwright.corpora.labels import Labelled, Tagged, label_of, tagged


def read(
    source: str, config: str | None, split: str, columns: Columns, labels: Sequence[str] | None, tally: Counter[str]
) -> Iterator[str | Labelled | Tagged]:
    """The documents of one split, row by row; a hub data set is downloaded into the hub's cache first.

    They are texts; labelled texts where `columns` names a label; tagged words where it names tags. Of these, the
    split opens a document, and so does each row of `DOCUMENT` alone.

    Args:
        labels: the labels that there are; None takes all.
        tally: see `labels.tagged`.
    Raises:
        UserError: there is no such data set, configuration, split or column, or no network.
    """
    import datasets  # takes a second to import

    path, local = _where(source)
    try:
        # what lies on this disk already is streamed from there instead of being copied into a cache
        rows = datasets.load_dataset(path, config, split=split, streaming=local)
    except Exception as error:
        if is_disk_full(error):
            raise
        raise _explain(error, source, config, split, local) from error
    where = f"data.source='{source}'"
    try:
        present: Any = rows.column_names or next(iter(rows), {})
        check_columns(columns, present, where)
        features = rows.features or {}
        names = {key: _names(features.get(column)) for key, column in columns.items()}
        number = 0
        tally["documents"] += 1
        for batch in rows.select_columns(list(dict.fromkeys(columns.values()))).iter(batch_size=256):
            for text, *value in zip(*(batch[column] for column in columns.values()), strict=True):
                place, number = f"{where}, row {number} of split '{split}',", number + 1
                if "data.tags" in columns and text == [DOCUMENT]:
                    tally["documents"] += 1
                elif "data.tags" in columns:
                    yield tagged(text, value[0], names["data.tags"], labels, place, tally)
                elif "data.label" in columns:
                    label = label_of(value[0], names["data.label"], labels, place)
                    yield Labelled(as_text(text, columns["data.column"], place), label)
                else:
                    yield as_text(text, columns["data.column"], place)
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # ValueError: also of text that is not UTF-8
        if is_disk_full(error):
            raise
        raise UserError(f"{where} cannot be read to its end: {error}") from error


def splits(source: str, config: str | None) -> set[str]:
    """The splits of a data set; none where they cannot be told, which `read` tells the reason of."""
    import datasets  # takes a second to import

    try:
        return set(datasets.get_dataset_split_names(_where(source)[0], config))
    except Exception:
        return set()


def _where(source: str) -> tuple[str, bool]:
    """What to ask the library for, and whether it lies on this disk."""
    import datasets

    datasets.disable_progress_bars()
    path = Path(source).expanduser()
    if path.is_dir():
        return str(path), True
    go_offline_without_network()
    return source, False


def _names(feature: Any) -> list[str] | None:
    """The names of labels that stand as numbers."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def _explain(error: Exception, source: str, config: str | None, split: str, local: bool) -> UserError:
    """What a failure to load means for the user."""
    said = str(error).split("\n")[0]
    if isinstance(error, ValueError) and ("BuilderConfig" in said or "Config name is missing" in said):
        return UserError(f"data.source='{source}' has no configuration data.config='{config}': {said}")
    if isinstance(error, ValueError) and ("split" in said.lower()):
        return UserError(f"data.source='{source}' has no split '{split}' (data.splits): {said}")
    if local:
        return UserError(f"data.source='{source}' is not a data set in the hub's layout: {said}")
    near = nearest(source.split("/")[0], [path.name for path in Path().iterdir()])
    return UserError(
        f"data.source='{source}' is no file or folder here.{near} The hub did not hand it out either: {said}\n"
        "Without network, point data.source to local data: a folder in the hub's layout, a Wikimedia dump "
        "(.xml, .xml.bz2, .xml.gz), or files of yours (data=text)."
    )

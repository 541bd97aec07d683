"""Data sets of the Hugging Face hub, and local folders in its layout."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow

from maskwright.core.errors import UserError, is_disk_full, nearest
from maskwright.core.hub import go_offline_without_network
from maskwright.corpora.column_layout import DOCUMENT
from maskwright.corpora.files import Columns, as_text, check_columns
from maskwright.corpora.labels import Labelled, Tagged, label_of, tagged
from maskwright.corpora.tag_schemes import Scheme


def read(
    source: str,
    config: str | None,
    split: str,
    columns: Columns,
    labels: Sequence[str] | None,
    scheme: Scheme | None = None,
) -> Iterator[str | Labelled | Tagged]:
    """Yields the documents of one split, row by row; a hub data set is first downloaded into the hub's cache.

    They are texts, or labelled texts where `columns` names a label, or tagged words where it names tags. The first
    tagged text opens a document, and so does each one after a row that holds `DOCUMENT` alone.

    Args:
        labels: the labels that may occur; None allows all.
        scheme: of the tags; None is `prefix`.
    Raises:
        UserError: there is no such data set, configuration, split or column, or no network.
    """
    import datasets  # takes a second to import

    path, local = _where(source)
    try:
        # what is on this disk already is streamed from there instead of being copied into a cache
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
        number, opens = 0, True  # opens: whether the next tagged text opens a document
        for batch in rows.select_columns(list(dict.fromkeys(columns.values()))).iter(batch_size=256):
            for text, *value in zip(*(batch[column] for column in columns.values()), strict=True):
                place, number = f"{where}, row {number} of split '{split}',", number + 1
                if "data.tags" in columns and text == [DOCUMENT]:
                    opens = True
                elif "data.tags" in columns:
                    yield tagged(text, value[0], names["data.tags"], labels, place, opens, None, scheme)
                    opens = False
                elif "data.label" in columns:
                    label = label_of(value[0], names["data.label"], labels, place)
                    yield Labelled(as_text(text, columns["data.column"], place), label)
                else:
                    yield as_text(text, columns["data.column"], place)
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8, too
        if is_disk_full(error):
            raise
        raise UserError(f"{where} cannot be read to its end: {error}") from error


def splits(source: str, config: str | None) -> set[str]:
    """Returns the splits of a data set; an empty set if they cannot be found, for a reason that `read` reports."""
    import datasets  # takes a second to import

    try:
        return set(datasets.get_dataset_split_names(_where(source)[0], config))
    except Exception:
        return set()


def _where(source: str) -> tuple[str, bool]:
    """Returns the path or name for the library, and whether it is a local folder."""
    import datasets

    datasets.disable_progress_bars()
    path = Path(source).expanduser()
    if path.is_dir():
        return str(path), True
    go_offline_without_network()
    return source, False


def _names(feature: Any) -> list[str] | None:
    """Returns the names of labels that are stored as numbers."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def _explain(error: Exception, source: str, config: str | None, split: str, local: bool) -> UserError:
    """Returns what a failure to load means for the user."""
    said = str(error).split("\n")[0]
    if isinstance(error, ValueError) and ("BuilderConfig" in said or "Config name is missing" in said):
        return UserError(f"data.source='{source}' has no configuration data.config='{config}': {said}")
    if isinstance(error, ValueError) and ("split" in said.lower()):
        return UserError(f"data.source='{source}' has no split '{split}' (data.splits): {said}")
    if local:
        return UserError(f"data.source='{source}' is not a data set in the hub's layout: {said}")
    near = nearest(source.split("/")[0], [path.name for path in Path().iterdir()])
    return UserError(
        f"data.source='{source}' is no local file or folder.{near} Loading it from the hub failed too: {said}\n"
        "Without network, point data.source to local data: a folder in the hub's layout, a Wikimedia dump "
        "(.xml, .xml.bz2, .xml.gz), or your own files (data=text)."
    )

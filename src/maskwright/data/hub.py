"""Data sets of the Hugging Face hub, and local folders in its layout."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow

from maskwright.data.files import as_text, check_column
from maskwright.data.tagged import Tagged, tagged
from maskwright.errors import UserError, is_disk_full, nearest
from maskwright.network import go_offline_without_network


def read(
    source: str, config: str | None, split: str, column: str, tags: str | None = None
) -> Iterator[str | Tagged]:
    """The documents of one split, row by row; a hub data set is downloaded into the hub's cache first.

    They are texts, or, where `tags` names a column beside that of their words, tagged words.

    Raises:
        UserError: there is no such data set, configuration, split or column, or no network.
    """
    import datasets  # takes a second to import

    datasets.disable_progress_bars()
    local = Path(source).expanduser().is_dir()
    if not local:
        go_offline_without_network()
    try:
        # what lies on this disk already is streamed from there instead of being copied into a cache
        path = str(Path(source).expanduser()) if local else source
        rows = datasets.load_dataset(path, config, split=split, streaming=local)
    except Exception as error:
        if is_disk_full(error):
            raise
        raise _explain(error, source, config, split, local) from error
    where = f"data.source='{source}'"
    try:
        present: Any = rows.column_names or next(iter(rows), {})
        check_column(column, present, where)
        if tags is not None:
            check_column(tags, present, where, "data.tags")
            kind = getattr((rows.features or {}).get(tags), "feature", None)
            names = getattr(kind, "names", None)
            for batch in rows.select_columns([column, tags]).iter(batch_size=256):
                for words, numbers in zip(batch[column], batch[tags], strict=True):
                    yield tagged(words, numbers, names, where, (column, tags))
            return
        for batch in rows.select_columns([column]).iter(batch_size=256):
            yield from (as_text(value, column, where) for value in batch[column])
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # ValueError: also of text that is not UTF-8
        if is_disk_full(error):
            raise
        raise UserError(f"{where} cannot be read to its end: {error}") from error


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

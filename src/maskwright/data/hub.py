"""Data sets of the Hugging Face hub, and local folders in its layout."""

from collections.abc import Iterator
from pathlib import Path

from maskwright.data.files import check_column
from maskwright.errors import UserError, is_disk_full, nearest


def read(source: str, config: str | None, split: str, column: str) -> Iterator[str]:
    """The texts of one split, row by row; a hub data set is downloaded into the hub's cache first.

    Raises:
        UserError: there is no such data set, configuration, split or column, or no network.
    """
    import datasets  # takes a second to import

    datasets.disable_progress_bars()
    local = Path(source).expanduser().is_dir()
    try:
        # what lies on this disk already is streamed from there instead of being copied into a cache
        path = str(Path(source).expanduser()) if local else source
        rows = datasets.load_dataset(path, config, split=split, streaming=local)
    except Exception as error:
        if is_disk_full(error):
            raise
        raise _explain(error, source, config, split, local) from error
    check_column(column, rows.column_names or next(iter(rows), {}), f"data.source='{source}'")
    for batch in rows.select_columns([column]).iter(batch_size=256):
        yield from (text or "" for text in batch[column])


def _explain(error: Exception, source: str, config: str | None, split: str, local: bool) -> UserError:
    """What a failure to load means for the user."""
    said = str(error).split("\n")[0]
    if isinstance(error, ValueError) and ("BuilderConfig" in said or "Config name is missing" in said):
        return UserError(f"data.source='{source}' has no configuration data.config='{config}': {said}")
    if isinstance(error, ValueError) and ("split" in said.lower()):
        return UserError(f"data.source='{source}' has no split '{split}' (data.splits): {said}")
    if local:
        return UserError(f"data.source='{source}' is not a data set in the hub's layout: {said}")
    near = nearest(source.split("/")[0], [p.name for p in Path().iterdir()])
    return UserError(
        f"data.source='{source}' is no file or folder here{',' + near if near else ','} and the hub did not "
        f"hand it out: {said}\nWithout network, point data.source to local data: a folder in the hub's layout, "
        "a Wikimedia dump (.xml, .xml.bz2, .xml.gz), or files of yours (data=text)."
    )

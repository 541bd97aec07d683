"""Data sets of the Hugging Face hub, and local folders in its layout."""

import glob
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow

from maskwright.core.errors import UserError, is_disk_full, nearest
from maskwright.core.hub import go_offline_without_network
from maskwright.corpora.labels import Labelled, Spelling, Tagged
from maskwright.corpora.listing import no_split
from maskwright.corpora.questions import Asked
from maskwright.corpora.rows import Columns, Row, positions, texts_of
from maskwright.corpora.tables import names_of


def read(
    source: str,
    config: str | None,
    split: str,
    columns: Columns,
    spelling: Spelling,
    unlabelled: bool = False,
    files: Collection[Path] | None = None,
) -> Iterator[str | Labelled | Tagged | Asked]:
    """Yields the documents of one split, row by row; a hub data set is first downloaded into the hub's cache.

    What `save_to_disk` of `datasets` wrote is read too.

    Args:
        columns: the names of columns by the keys that name them, `data.column` first.
        unlabelled: see `Source.read`.
        files: those to read of a folder in the hub's layout, see `files_by_split`; None reads all.
    Raises:
        UserError: there is no such data set, configuration, split or column, or no network.
    """
    import datasets  # takes a second to import

    path, local = _where(source)
    saved = _saved(path) if local else None
    if local and split not in (held := set(saved or splits(source, config))) and held:
        raise UserError(no_split(split, held, source))
    if files is not None and not files:
        return
    try:
        # what is on this disk already is streamed from there instead of being copied into a cache
        rows: Any
        if saved:
            rows = saved[split]
        elif files is None:
            rows = datasets.load_dataset(path, config, split=split, streaming=local)
        else:
            rows = _rows_of(datasets.load_dataset_builder(path, config), split, files)
    except Exception as error:
        if is_disk_full(error):
            raise
        raise _explain(error, source, config, split, local) from error
    where = f"data.source='{source}'"
    yield from texts_in(rows, columns, where, split, spelling, unlabelled)


def open_file(path: Path) -> Any:
    """Returns the rows of a file in any format that `datasets` knows by its name."""
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(str(path.parent), data_files=glob.escape(path.name), split="train", streaming=True)


def texts_in(
    rows: Any, columns: Columns, where: str, split: str, spelling: Spelling, unlabelled: bool = False
) -> Iterator[str | Labelled | Tagged | Asked]:
    """Yields the documents in rows that `datasets` reads; see `read`."""
    try:
        present: Any = rows.column_names or next(iter(rows), {})
        chosen = positions(columns, present, where, unlabelled)
        features = rows.features or {}
        found = {key: names_of(features.get(str(column))) for key, column in columns.items()}
        names = {key: own for key, own in found.items() if own is not None}
        taken = [None if position is None else list(present)[position] for position in chosen]
        yield from texts_of(_rows(rows, taken, where, split), columns, names, spelling, unlabelled)
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8, too
        if is_disk_full(error):
            raise
        raise UserError(f"{where} cannot be read to its end: {error}") from error


def _rows(rows: Any, columns: list[str | None], where: str, split: str) -> Iterator[Row]:
    number = 0
    for batch in rows.select_columns([*dict.fromkeys(name for name in columns if name)]).iter(batch_size=256):
        nothing = [None] * len(batch[columns[0]])
        for values in zip(*(nothing if name is None else batch[name] for name in columns), strict=True):
            yield f"{where}, row {number} of split '{split}',", values
            number += 1


def splits(source: str, config: str | None) -> set[str]:
    """Returns the splits of a data set; an empty set if they cannot be found, for a reason that `read` reports."""
    import datasets  # takes a second to import

    path, local = _where(source)
    try:
        saved = _saved(path) if local else None
        return set(saved or datasets.get_dataset_split_names(path, config))
    except Exception:
        return set()


def files_by_split(folder: Path, config: str | None) -> dict[str, list[Path]]:
    """Returns the files that a folder in the hub's layout has for each split, resolved, in the order of reading.

    There are none if the folder cannot be read, for a reason that `read` reports.
    """
    import datasets  # takes a second to import

    try:
        found = datasets.load_dataset_builder(str(folder), config).config.data_files or {}
    except Exception:
        return {}
    return {str(split): [Path(name).resolve() for name in names] for split, names in found.items()}


def _rows_of(builder: Any, split: str, files: Collection[Path]) -> Any:
    """Returns the rows of some files of a split, with the features that the folder says it has."""
    wanted = {path.resolve() for path in files}
    own = [name for name in builder.config.data_files[split] if Path(name).resolve() in wanted]
    builder.config.data_files = {split: own}
    return builder.as_streaming_dataset(split=split)


def _where(source: str) -> tuple[str, bool]:
    """Returns the path or name for the library, and whether it is a local folder."""
    import datasets

    datasets.disable_progress_bars()
    path = Path(source).expanduser()
    if path.is_dir():
        return str(path), True
    go_offline_without_network()
    return source, False


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` of `datasets` wrote a folder, by the files that it leaves there."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _saved(path: str) -> Mapping[str, Any] | None:
    """Returns by split what `save_to_disk` wrote into a folder; None where it did not.

    Raises:
        UserError: the folder is damaged.
    """
    import datasets

    if not is_saved(Path(path)):
        return None
    try:
        saved = datasets.load_from_disk(path)
    except Exception as error:
        raise UserError(f"data.source='{path}' is no folder that save_to_disk wrote: {error}") from error
    return saved if isinstance(saved, datasets.DatasetDict) else {str(saved.split or "train"): saved}


def _explain(error: Exception, source: str, config: str | None, split: str, local: bool) -> UserError:
    """Returns what a failure to load means for the user."""
    said = str(error).split("\n")[0]
    if isinstance(error, ValueError) and ("BuilderConfig" in said or "Config name is missing" in said):
        return UserError(f"data.source='{source}' has no configuration data.config='{config}': {said}")
    if isinstance(error, ValueError) and ("split" in said.lower()):
        if held := splits(source, config) - {split}:
            return UserError(no_split(split, held, source))
        return UserError(f"data.source='{source}' has no split '{split}' (data.splits): {said}")
    if local:
        return UserError(f"data.source='{source}' is not a data set in the hub's layout: {said}")
    near = nearest(source.split("/")[0], [path.name for path in Path().iterdir()])
    return UserError(
        f"data.source='{source}' is no local file or folder.{near} Loading it from the hub failed too: {said}\n"
        "Without network, point data.source to local data: a folder in the hub's layout, a Wikimedia dump "
        "(.xml, .xml.bz2, .xml.gz), or your own files (data=text)."
    )

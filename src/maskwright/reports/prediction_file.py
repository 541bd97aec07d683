"""Files of predictions that can be continued: a partial file of whole windows, then the finished file."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from maskwright.core.atomic import write_file
from maskwright.core.errors import UserError, is_disk_full

_ROWS_AT_ONCE = 1024  # of a parquet file

Row = dict[str, Any]


class PredictionFile:
    """Takes rows window by window, and becomes the file `path` when all are there.

    Until then the rows are in a folder beside it, `.<name>.part`, from which a later call continues.

    Args:
        path: ends in one of `WRITERS`.
        identity: of the run and the input, by their names for messages.
        overwrite: whether a finished file may be replaced.
        window: rows of a window.
    Raises:
        UserError: the ending is unknown, the file is finished, another process writes it, or its part belongs to
            another run or input.
    Attributes:
        windows: how many windows the part holds.
    """

    def __init__(self, path: Path, identity: dict[str, str], overwrite: bool, window: int):
        self.path, self.window = path, window
        check_output(path, overwrite)
        self.folder = path.with_name(f".{path.name}.part")
        self.rows = self.folder / "rows.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / "lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise UserError(f"output={path} is being written by another process. Name another file.") from None
        try:
            self.windows = self._cut()
            self._check(identity)
        except BaseException:
            self._lock.release()
            raise
        self._file = self.rows.open("a", encoding="utf-8", newline="\n")

    def _check(self, identity: dict[str, str]) -> None:
        about = self.folder / "about.json"
        if not about.is_file() or not self.windows:
            text = json.dumps(identity, indent=2)
            write_file(about, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        held = json.loads(about.read_text(encoding="utf-8"))
        for name in identity:
            if held.get(name) != identity[name]:
                raise self.begun_with(f"another {name}")

    def begun_with(self, other: str) -> UserError:
        """Returns the error for a part that does not belong to what is being written."""
        return UserError(
            f"output={self.path} was begun with {other}, so it is not continued. Name another file, or begin anew: "
            f"rm -r {self.folder}"
        )

    def _cut(self) -> int:
        """Removes what a stopped process left of a window; returns the number of whole windows."""
        self.rows.touch()
        lines = place = whole = 0
        with self.rows.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                lines, place = lines + 1, place + len(line)
                if lines % self.window == 0:
                    whole = place
        os.truncate(self.rows, whole)
        return lines // self.window

    def held(self) -> Iterator[Row]:
        """Yields the rows of the part."""
        with self.rows.open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def write(self, rows: Sequence[Row]) -> None:
        """Appends the rows of a window."""
        self._file.write("".join(line(row) for row in rows))
        self._file.flush()

    def finish(self) -> None:
        """Makes the finished file, and removes the part."""
        self._file.close()
        write_file(self.path, lambda temporary: WRITERS[self.path.suffix](self.rows, temporary, self.held))
        self._lock.release()
        shutil.rmtree(self.folder)

    def __enter__(self) -> "PredictionFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        begun = self.folder.is_dir() and self._cut()
        self._lock.release()
        if not begun:  # nothing that could be continued; a corrected command begins anew
            shutil.rmtree(self.folder, ignore_errors=True)
        if is_disk_full(error):
            raise UserError(
                f"No space left on the device of output={self.path}. Free some; the same command continues."
            ) from error


def line(row: Row) -> str:
    """Returns a row as a line of JSON."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def check_output(path: Path, overwrite: bool) -> None:
    """Checks that a file of this name can be written.

    Raises:
        UserError: its ending is unknown, or it is there already.
    """
    check_ending(path)
    if path.is_dir():
        raise UserError(f"output={path} is a folder. Name a file, such as output={path}/predictions.jsonl")
    if path.exists() and not overwrite:
        raise UserError(f"output={path} is finished already. Name another file, or replace it: overwrite=true")


def check_ending(path: Path, others: Iterable[str] = ()) -> None:
    """Raises a UserError unless files of this name can be written; `others` are endings of other formats."""
    if path.suffix not in (endings := [*WRITERS, *others]):
        raise UserError(f"output={path} is no format that can be written; it ends in {', '.join(endings)}.")


Held = Callable[[], Iterator[Row]]


def _write_jsonl(rows: Path, path: Path, held: Held) -> None:
    shutil.copyfile(rows, path)


def _write_csv(rows: Path, path: Path, held: Held) -> None:
    """Writes shares by name as columns of their own, and lists as JSON."""
    columns: dict[str, None] = {}
    for row in held():
        columns |= dict.fromkeys(_flat(row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(map(_flat, held()))


def _flat(row: Row) -> Row:
    flat: Row = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": own for key, own in value.items()}
        else:
            flat[name] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
    return flat


def _runs(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield some


def _write_parquet(rows: Path, path: Path, held: Held) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas = list(dict.fromkeys(pa.Table.from_pylist(some).schema for some in _runs(held())))
    schema = (
        pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema({"text": pa.string()})
    )
    with pq.ParquetWriter(path, schema) as writer:
        for some in _runs(held()):
            columns = {name: [row.get(name) for row in some] for name in schema.names}
            writer.write_table(pa.Table.from_pydict(columns, schema))


WRITERS: dict[str, Callable[[Path, Path, Held], None]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}

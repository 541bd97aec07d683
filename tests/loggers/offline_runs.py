"""Reads what W&B writes to this disk, which it has no reader for itself.

The file is a log of LevelDB (blocks of 32 KiB; records, or parts of them, after a header of checksum, length and
kind), which holds protocol buffers.
"""

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 32768, 7


@dataclass
class OfflineRun:
    """What a `.wandb` file says of a run."""

    run: Any = None
    environment: list[Any] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    preempting: bool = False

    def column(self, name: str) -> list[tuple[int, Any]]:
        """The step and the value of each row that has the metric."""
        return [(row["_step"], row[name]) for row in self.history if name in row]


def records(path: Path) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = (
        path.read_bytes(),
        _HEADER,
        b"",
    )  # the file has a header of its own, as long as that of a record
    while at + _HEADER <= len(data):
        if (left := _BLOCK - at % _BLOCK) < _HEADER:
            at += left
            continue
        length, kind = struct.unpack_from("<4xHB", data, at)
        parts += data[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(parts)
            parts = b""


def read(path: Path) -> OfflineRun:
    found = OfflineRun()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        value = getattr(record, kind)
        if kind == "run":
            found.run = value
            found.config |= _items(value.config.update)
        elif kind == "environment":
            found.environment.append(value)
        elif kind == "config":
            found.config |= _items(value.update)
        elif kind == "summary":
            found.summary |= _items(value.update)
        elif kind == "metric":
            found.metrics[value.name] = value
        elif kind == "history":
            found.history.append(_items(value.item))
        elif kind == "exit":
            found.exit_code = value.exit_code
        elif kind == "preempting":
            found.preempting = True
    return found


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def runs_in(run_dir: Path) -> list[OfflineRun]:
    """The parts of the W&B run of a run directory, in the order in which they were written.

    W&B's own process writes the end of a run shortly after the run has ended.
    """
    paths = sorted(run_dir.glob("wandb/offline-run-*/*.wandb"))
    until = time.monotonic() + 10
    while any(read(path).exit_code is None for path in paths) and time.monotonic() < until:
        time.sleep(0.05)
    return [read(path) for path in paths]

"""What prepares a corpus: processes of this machine, or the workers of a Dask cluster."""

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from maskwright.core.atomic import write_once
from maskwright.core.errors import UserError
from maskwright.core.parallel import Pool, Workers, cores
from maskwright.core.terminal import bar

Advance = Callable[[int, int], None]  # called with how many documents, and how many tokens, were just finished
Write = Callable[[Path, Workers, Advance], None]


class Engine(Protocol):
    """Writes folders of the cache.

    Attributes:
        pool: processes of this machine.
    """

    pool: Pool

    def fill(self, folders: Mapping[Path, Write], description: str, documents: int | None) -> None:
        """Fills each folder by `write_once`; what is written does not depend on the engine.

        Args:
            folders: how each is written. Those functions are picklable.
            description: what is done, for a progress bar.
            documents: how many of them there are in all; None if that is not known.
        """


class Processes:
    """The engine `processes`: one folder after another, each by all processes of this machine."""

    def __init__(self, pool: Pool):
        self.pool = pool

    def fill(self, folders: Mapping[Path, Write], description: str, documents: int | None) -> None:
        if not folders:
            return
        began, written = time.monotonic(), 0
        with bar(description, documents) as progress:

            def advance(finished: int, tokens: int) -> None:
                nonlocal written
                written += tokens
                rate = written / (time.monotonic() - began)
                progress.advance(finished, f"{written:,} tokens, {rate:,.0f} tokens/s" if written else None)

            for folder, write in folders.items():
                write_once(folder, partial(_write, write=write, pool=self.pool, advance=advance))


def _write(folder: Path, write: Write, pool: Pool, advance: Advance) -> None:
    write(folder, pool, advance)


@dataclass(frozen=True)
class Preparation:
    """How a corpus is prepared; see `conf/preparation`.

    Args:
        engine: `processes` of this machine; or `dask`, a task for each shard.
        workers: how many processes; None takes one per core.
        address: of the scheduler of a Dask cluster; None starts a cluster of this machine while it is needed.
    Raises:
        UserError: the settings do not fit together, or dask is not installed.
    """

    engine: Literal["processes", "dask"] = "processes"
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.engine == "dask" and importlib.util.find_spec("distributed") is None:
            raise UserError('preparation.engine=dask needs the package distributed: pip install -e ".[cluster]"')
        if self.address is not None and self.engine != "dask":
            raise UserError(
                f"preparation.address={self.address} is that of a Dask cluster. Set preparation.engine=dask."
            )
        if self.address is not None and self.workers is not None:
            raise UserError(
                f"preparation.workers={self.workers}, but the cluster at preparation.address={self.address} has "
                "its own workers. Leave one of the two out."
            )

    @contextmanager
    def open(self) -> Iterator[Engine]:
        """Returns the engine; processes and cluster start when they are first needed, and end with the block."""
        number = self.workers or cores()
        with Pool(number) as pool:
            if self.engine == "processes":
                yield Processes(pool)
                return
            from maskwright.core.cluster import Dask

            with Dask(pool, self.address) as engine:
                yield engine

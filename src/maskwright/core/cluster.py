"""Prepares a corpus on a Dask cluster: a task for each shard, which writes its folder on a disk that all share."""

import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack, chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.atomic import is_whole, refuse_import, write_once
from maskwright.core.engines import Write
from maskwright.core.errors import UserError
from maskwright.core.parallel import KILLED, Pool
from maskwright.core.terminal import bar

if TYPE_CHECKING:
    from distributed import Client

_TIMEOUT = "10s"  # to find a scheduler
_one_at_a_time = threading.Lock()  # a worker may run tasks in several threads, and the folder is the process's


class Dask:
    """The engine `dask`; a context manager, which leaves the cluster at its end.

    Args:
        pool: the processes for what is no shard, such as annotations; as many workers are started.
        address: of a scheduler; None starts a cluster of this machine.
    """

    def __init__(self, pool: Pool, address: str | None):
        self.pool, self.address = pool, address
        self._opened = ExitStack()
        self._client: Client | None = None

    def __enter__(self) -> "Dask":
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.close()

    def fill(self, folders: Mapping[Path, Write], description: str, documents: int | None) -> None:
        """See `Engine.fill`; the bar counts folders.

        Raises:
            UserError: no scheduler answers, a worker was killed, or the workers write to another disk.
        """
        if not folders:
            return
        refuse_import()
        from distributed import KilledWorker, as_completed

        client = self._connected()
        here = os.getcwd()
        tasks = [
            client.submit(_fill, os.path.abspath(folder), write, here, pure=False)
            for folder, write in folders.items()
        ]
        try:
            with bar(f"{description}, shards", len(tasks)) as progress:
                for task in as_completed(tasks):
                    task.result()
                    progress.advance(1)
        except KilledWorker as error:
            raise UserError(KILLED) from error
        finally:
            client.cancel(tasks, force=True)
        for folder in folders:
            if not is_whole(folder):
                raise UserError(
                    f"The workers of preparation.address={self.address} have written {folder}, which is not there "
                    "on this machine. Point data.cache_dir to a folder that all machines share."
                )

    def _connected(self) -> "Client":
        if self._client is not None:
            return self._client
        import dask
        from distributed import Client, LocalCluster

        if self.address is None:
            # processes do not try again either
            with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
                local = LocalCluster(
                    n_workers=self.pool.workers,
                    threads_per_worker=1,
                    memory_limit=None,  # pages of mapped files, which the system takes back, would count
                    dashboard_address=None,
                    silence_logs="CRITICAL",
                )
            cluster = self._opened.enter_context(local)
            self._client = self._opened.enter_context(Client(cluster))
            return self._client
        try:
            self._client = self._opened.enter_context(Client(self.address, timeout=_TIMEOUT))
        except (OSError, ValueError) as error:
            raise UserError(
                f"preparation.address={self.address}: no scheduler of a Dask cluster answers there ({error}). It "
                "is what `dask scheduler` prints, such as tcp://10.0.0.1:8786; null starts one of this machine."
            ) from error
        return self._client


def _fill(folder: str, write: Write, directory: str) -> None:
    """Writes a folder, as one task.

    Args:
        directory: the working directory of the command, which relative paths are seen from.
    """
    with _one_at_a_time, chdir(directory):
        write_once(Path(folder), lambda temporary: write(temporary, 1, lambda *_: None))

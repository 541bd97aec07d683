"""Maps a function over a stream with several processes, in order, with bounded memory."""

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from maskwright.core.errors import UserError

KILLED = (
    "A process that prepares the corpus was killed, as systems do when memory runs out. What is finished is "
    "kept: start the command again, with fewer processes where memory is short, such as preparation.workers=1."
)

Item = TypeVar("Item")
Result = TypeVar("Result")


_numbers = itertools.count()


def cores() -> int:
    """Returns how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """`workers` processes, started when they are first needed, which stay until the block ends."""

    def __init__(self, workers: int):
        self.workers = workers
        self._processes: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        if self._processes is not None:
            self._processes.shutdown(wait=True, cancel_futures=True)

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        initializer: Callable[..., None] | None = None,
        arguments: tuple[Any, ...] = (),
    ) -> Iterator[Result]:
        """See `parallel_map`."""
        items = iter(items)
        begun = list(itertools.islice(items, 2))
        items = itertools.chain(begun, items)
        if self.workers <= 1 or (len(begun) < 2 and self._processes is None):
            if initializer is not None:
                initializer(*arguments)
            yield from map(function, items)
            return
        if self._processes is None:
            # fork would copy the locks of the threads that torch and tokenizers have started
            context = multiprocessing.get_context("spawn")
            if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
                # a process of joblib names a method that the processes which it starts do not know
                multiprocessing.set_start_method("spawn", force=True)
            self._processes = ProcessPoolExecutor(self.workers, context, _start)
        opening = (next(_numbers), initializer, arguments)
        pending: deque[Any] = deque()
        try:
            for item in items:
                pending.append(self._processes.submit(_compute, opening, function, item))
                if len(pending) > 2 * self.workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(KILLED) from error
        finally:
            for future in pending:
                future.cancel()


Workers = int | Pool  # how many processes, or those that are already there


def parallel_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: Workers,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """Yields `map(function, items)` in order, computed by `workers` processes.

    One worker, or a single item, computes in this process, without the seconds that others take to start. At most
    two items per worker are in flight, so the stream may have any length.

    Args:
        initializer: called with `arguments` once in each process before its first item.
    Raises:
        UserError: a process was killed.
    """
    if isinstance(workers, Pool):
        yield from workers.map(function, items, initializer, arguments)
        return
    with Pool(workers) as pool:
        yield from pool.map(function, items, initializer, arguments)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism


_opened = -1  # in each process, the number of the map that it was last prepared for


def _compute(
    opening: tuple[int, Callable[..., None] | None, tuple[Any, ...]], function: Callable[[Item], Result], item: Item
) -> Result:
    global _opened
    number, initializer, arguments = opening
    if number != _opened and initializer is not None:
        initializer(*arguments)
    _opened = number
    return function(item)

"""Maps a function over a stream with several processes, in order, with bounded memory."""

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Returns how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """Yields `map(function, items)` in order, computed by `workers` processes.

    One worker, or a single item, computes in this process, without the seconds that others take to start. At most
    two items per worker are in flight, so the stream may have any length.

    Args:
        initializer: called with `arguments` once in each process before its first item.
    """
    items = iter(items)
    begun = list(itertools.islice(items, 2))
    items = itertools.chain(begun, items)
    if workers <= 1 or len(begun) < 2:
        if initializer is not None:
            initializer(*arguments)
        yield from map(function, items)
        return
    # fork would copy the locks of the threads that torch and tokenizers have started
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (initializer, arguments)) as pool:
        pending: deque[Any] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    if initializer is not None:
        initializer(*arguments)

"""A PyTorch loader whose data sets return whole batches, as NumPy arrays."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

Collate = Callable[[dict[str, np.ndarray]], dict[str, Tensor]]


class Batched(Protocol):
    """What reads batches, a data set in PyTorch's terms.

    The argument is whatever the batch sampler yields: positions of a stream, or rows and their epoch.
    """

    def __getitems__(self, batch: Any, /) -> dict[str, np.ndarray]:
        """Returns one batch."""


class TimedLoader(DataLoader):
    """A loader that measures how long it was waited for.

    Attributes:
        waited: seconds, over all iterations.
    """

    waited = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch


def spread(number: float, rows: int) -> np.ndarray:
    """Returns at most `number` of so many rows, evenly spread."""
    number = int(min(number, rows))
    return np.arange(number) * rows // number


def ids_in_parts(
    read: Callable[[np.ndarray], dict[str, np.ndarray]], rows: np.ndarray, at_once: int = 4096
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the ids of rows (B, T), -1 at padding, and which may be masked (B, T), as many at once as given."""
    for first in range(0, len(rows), at_once):
        batch = to_tensors(read(rows[first : first + at_once]))
        yield batch["input_ids"].masked_fill(batch["documents"] < 0, -1), batch["words"] >= 0


def make_loader(
    read: Batched, batches: Iterable[Any], workers: int, pin_memory: bool, collate: Collate | None = None
) -> TimedLoader:
    """Returns a loader of the batches that `read` returns for each item of `batches`.

    Args:
        collate: makes tensors of the arrays of a batch, in the worker; None takes `to_tensors`.
    """
    return TimedLoader(
        read,  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=collate or to_tensors,  # type: ignore[arg-type]
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        worker_init_fn=_leave_signals_to_the_parent,
    )


def _leave_signals_to_the_parent(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def to_tensors(batch: dict[str, Any]) -> dict[str, Tensor]:
    """Returns the arrays of a batch, and those of a batch inside it, as tensors that share their memory."""
    return {
        name: to_tensors(array) if isinstance(array, dict) else torch.from_numpy(array)  # type: ignore[misc]
        for name, array in batch.items()
    }

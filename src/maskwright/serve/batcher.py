"""Requests that wait at the same time share a forward pass."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from maskwright.serve.engine import Engine, Row
from maskwright.serve.metrics import Metrics


class Busy(Exception):
    """More texts wait than may wait."""


@dataclass
class _Job:
    skill: str
    texts: Sequence[str]
    options: dict[str, Any]
    done: "Future[list[Row]]" = field(default_factory=Future)


class Batcher:
    """Answers requests in a thread of its own, one batch after the other.

    A batch is the oldest request with all others that wait and ask the same with the same options. Nothing waits
    for a batch to fill up: while one is computed, the next gathers. If a batch fails, each of its requests is tried
    alone, so that only the one at fault fails.

    Args:
        most: texts of a batch; a request with more is a batch by itself.
        waiting: texts that may wait; further ones are refused.
    """

    def __init__(self, engine: Engine, metrics: Metrics, most: int, waiting: int):
        self.engine, self.metrics, self.most, self.waiting = engine, metrics, most, waiting
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def submit(self, skill: str, texts: Sequence[str], options: dict[str, Any]) -> "Future[list[Row]]":
        """Returns what will hold a row for each text.

        Raises:
            Busy: too many texts wait.
        """
        job = _Job(skill, texts, options)
        with self._changed:
            if self._closed or sum(len(own.texts) for own in self._jobs) + len(texts) > self.waiting:
                raise Busy
            self._jobs.append(job)
            self._changed.notify()
        return job.done

    def close(self) -> None:
        """Ends the thread after all that waits has been answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            batch = [job for job in batch if job.done.set_running_or_notify_cancel()]
            if batch and not self._answer(batch):
                for job in batch:
                    self._answer([job])

    def _next(self) -> list[_Job]:
        """Waits for a batch; returns none after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            batch: list[_Job] = []
            left: deque[_Job] = deque()
            room = self.most
            for job in self._jobs:
                same = not batch or (job.skill, job.options) == (batch[0].skill, batch[0].options)
                if same and (not batch or len(job.texts) <= room):
                    batch.append(job)
                    room -= len(job.texts)
                else:
                    left.append(job)
            self._jobs = left
            return batch

    def _answer(self, batch: list[_Job]) -> bool:
        """Answers requests together; returns whether they are answered: a single one always is, if by its error."""
        texts = [text for job in batch for text in job.texts]
        try:
            rows = iter(list(self.engine.skills[batch[0].skill].answer(texts, **batch[0].options)))
            answers = [[next(rows) for _ in job.texts] for job in batch]
        except Exception as error:
            if len(batch) == 1:
                batch[0].done.set_exception(error)
            return len(batch) == 1
        self.metrics.batch(len(texts))
        for job, answer in zip(batch, answers, strict=True):
            job.done.set_result(answer)
        return True

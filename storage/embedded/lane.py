"""A bounded queue of jobs in front of a thread or two: how an event loop uses a library that blocks.

Any number of event loops and threads may submit. A worker takes all that waits, up to a bound, as one batch;
for the writer that batch is one transaction, so callers that come together share one fsync, and a caller that
comes alone does not wait for company. Answers go back with one wake-up per loop and batch.
Knows nothing of SQLite.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kernel.errors import Code, Unavailable
from kernel.units import Millis

RETRY_AFTER_MS = Millis(100)
"""What a caller is told when the queue is full: a full queue drains in about that time."""

# A job's argument and result are known to the one who submits it; on the way through they are anything.
Erased = Any


@dataclass(frozen=True, slots=True)
class Job:
    """`run(connection, arguments) -> results`, one argument of which is this job's."""

    run: Callable[..., Erased]
    argument: Erased
    size: int
    """Bytes that it keeps in memory while it waits, roughly."""
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Erased]


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of a job that raised."""

    error: Exception


class Lane:
    """Threads that work off one queue."""

    def __init__(
        self,
        name: str,
        workers: Sequence[Callable[[list[Job]], list[Erased]]],
        *,
        jobs_max: int,
        bytes_max: int,
        batch_max: int,
    ) -> None:
        """Each worker gets a thread; it answers a batch with one outcome per job, `Failed` or the result."""
        self.name = name
        self._jobs_max = jobs_max
        self._bytes_max = bytes_max
        self._batch_max = batch_max
        self._waiting: deque[Job] = deque()
        self._waiting_bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        # Daemons: a program that forgot to close must still be able to end.
        self._threads = [
            threading.Thread(target=self._work, args=(worker,), name=f"{name}-{number}", daemon=True)
            for number, worker in enumerate(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def submit(self, run: Callable[..., Erased], argument: Erased, *, size: int) -> Erased:
        """The job's result. Raises Unavailable: BUSY when full, STORE_UNAVAILABLE when closed."""
        loop = asyncio.get_running_loop()
        job = Job(run, argument, size, loop, loop.create_future())
        with self._changed:
            if self._closing:
                raise Unavailable(Code.STORE_UNAVAILABLE, f"{self.name} rejected: the store is closed")
            # One job alone always fits, however large: it could never be done otherwise.
            if self._waiting and (
                len(self._waiting) >= self._jobs_max or self._waiting_bytes + size > self._bytes_max
            ):
                raise Unavailable(
                    Code.BUSY,
                    f"{self.name} rejected: {len(self._waiting)} jobs of {self._waiting_bytes} bytes wait,"
                    f" the most are {self._jobs_max} jobs of {self._bytes_max} bytes",
                    {"waiting": len(self._waiting)},
                    RETRY_AFTER_MS,
                )
            self._waiting.append(job)
            self._waiting_bytes += size
            self._changed.notify()
        return await job.future

    def close(self) -> None:
        """Finish what waits, then end the threads. Blocks until they have."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, worker: Callable[[list[Job]], list[Erased]]) -> None:
        while batch := self._next_batch():
            _answer(batch, worker(batch))

    def _next_batch(self) -> list[Job]:
        """Empty when the lane is closed and nothing waits."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            batch = [self._waiting.popleft() for _ in range(min(self._batch_max, len(self._waiting)))]
            self._waiting_bytes -= sum(job.size for job in batch)
            return batch


def _answer(batch: list[Job], outcomes: list[Erased]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Erased], Erased]]] = {}
    for job, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(job.loop, []).append((job.future, outcome))
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except RuntimeError:
            # The loop was closed while its job ran: nobody waits for the answer any more.
            continue


def _settle(settled: list[tuple[asyncio.Future[Erased], Erased]]) -> None:
    for future, outcome in settled:
        if future.done():
            continue  # The caller was cancelled; the job was done all the same.
        if isinstance(outcome, Failed):
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome)

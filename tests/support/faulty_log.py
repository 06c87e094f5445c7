"""An entity log whose store fails on cue: before the write, after it, or by a seeded throw of dice."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from random import Random

from kernel.errors import Code, Unavailable
from storage.ports import Append, EntityLog, LogRecord, Snapshot


class Fault(Enum):
    """What goes wrong with one call."""

    FULL = "full"
    """Refused for certain: its queue is full."""
    BEFORE = "before"
    """Nothing was written, but the caller cannot know."""
    AFTER = "after"
    """Everything was written, and the answer was lost."""


class FaultyLog:
    """`storage.ports.EntityLog` around another one. A fault that was asked for and did not come shows in
    `faults`, which a test may look at."""

    def __init__(self, inner: EntityLog, rng: Random | None = None) -> None:
        self.inner = inner
        self.faults: list[Fault] = []
        """Of the next appends, the first one first."""
        self.rng = rng
        """Throws a fault in one of four appends; None: only those in `faults`."""
        self.down = False
        """Every call fails, and nothing is written."""
        self.gate = asyncio.Event()
        """Appends wait for it before they write."""
        self.gate.set()
        self.thrown = 0
        self.appends = 0

    def _next(self) -> Fault | None:
        if self.faults:
            return self.faults.pop(0)
        if self.rng is not None and self.rng.random() < 0.25:
            return self.rng.choice(list(Fault))
        return None

    async def append(self, records: Sequence[LogRecord]) -> list[Append]:
        await self.gate.wait()
        self._check()
        self.appends += 1
        fault = self._next()
        self.thrown += fault is not None
        if fault is Fault.FULL:
            raise Unavailable(Code.BUSY, "append asked for: the queue is full")
        if fault is Fault.BEFORE:
            raise unknown()
        outcomes = await self.inner.append(records)
        if fault is Fault.AFTER:
            raise unknown()
        return outcomes

    async def load(self, key: str) -> tuple[Snapshot | None, list[LogRecord]]:
        self._check()
        return await self.inner.load(key)

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        self._check()
        await self.inner.put_snapshot(snapshot)

    def _check(self) -> None:
        if self.down:
            raise unknown()


def unknown() -> Unavailable:
    return Unavailable(Code.STORE_UNAVAILABLE, "the store asked: no answer")

"""One SQLite file behind two lanes: one writer thread with group commit, and a few reader threads.

The one place where SQLite runs and where its errors become ours. Python hands the interpreter lock over at
each step of a statement and may wait milliseconds to get it back from a busy event loop; therefore writes of
one kind are run together, and rows go in and out many at a time (`rows.py`).
"""

import asyncio
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from kernel.errors import Code, Rejected, Unavailable
from kernel.units import Millis
from storage.embedded import schema
from storage.embedded.lane import Erased, Failed, Job, Lane
from storage.embedded.schema import Durability, Schema, connect, migrate

A = TypeVar("A")
R = TypeVar("R")

READERS = 2
"""Reader threads; SQLite's readers wait for nobody, so two are there for the one that is slow."""
WRITES_WAITING_MAX = 4_096
READS_WAITING_MAX = 4_096
WAITING_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of jobs that wait, per lane."""
WRITE_BATCH_MAX = 512
"""Jobs in one transaction: bounds how long one holds the lock against the other processes."""
READ_BATCH_MAX = 16
"""Jobs that one reader takes at a time: small, so that the other reader gets its share."""
STORE_RETRY_AFTER_MS = Millis(500)
"""What a caller is told when SQLite failed."""
LOOK_AGAIN_S = 5e-4
"""Pause between two looks at whether another process has ended its transaction."""
SWITCH_INTERVAL_S = 1e-4
"""How soon a thread that waits for the interpreter lock may ask for it; Python's own default is 5 ms.

A busy event loop lets go of the lock in each of its rounds and has it back before the waiting thread is
awake; each such release starts the thread's 5 ms anew, so with rounds shorter than that it starves. Measured
beside a loop that was never idle: a commit took up to 2.8 s, a load up to 25 s; with 0.1 ms
neither took 10 ms.
"""


class Database:
    """Opened by its constructor, which blocks; `write` and `read` never block the loop."""

    def __init__(self, path: Path, tables: Schema, *, durability: Durability) -> None:
        """Raises Unavailable STORE_UNAVAILABLE, or Rejected DISALLOWED when the file is of a newer Segue."""
        self.path = path
        self._connections: list[sqlite3.Connection] = []
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = self._connect(durability)
            migrate(writer, tables, path)
            writer.execute("PRAGMA busy_timeout=0")  # From here on `_begin` waits.
            readers = [self._connect(durability, read_only=True) for _ in range(READERS)]
        except (OSError, sqlite3.Error, Rejected) as error:
            for connection in self._connections:
                connection.close()
            if isinstance(error, Rejected):
                raise
            raise _unavailable(f"opening {path}", error) from error
        self._writes = Lane(
            f"write to {path.name}",
            [partial(self._write_batch, writer)],
            jobs_max=WRITES_WAITING_MAX,
            bytes_max=WAITING_BYTES_MAX,
            batch_max=WRITE_BATCH_MAX,
        )
        self._reads = Lane(
            f"read of {path.name}",
            [partial(self._read_batch, reader) for reader in readers],
            jobs_max=READS_WAITING_MAX,
            bytes_max=WAITING_BYTES_MAX,
            batch_max=READ_BATCH_MAX,
        )

    async def write(
        self, run: Callable[[sqlite3.Connection, Sequence[A]], Sequence[R]], argument: A, *, size: int = 0
    ) -> R:
        """Durable when it returns. `run` gets the arguments of all jobs of its kind in this transaction.

        `run` may be called again after a rollback, so its results are in what it returns and nowhere else.
        """
        result: R = await self._writes.submit(run, argument, size=size)
        return result

    async def read(self, run: Callable[[sqlite3.Connection, A], R], argument: A) -> R:
        """What `run` returns. Several statements in it may see different states; one statement sees one."""
        result: R = await self._reads.submit(run, argument, size=0)
        return result

    async def aclose(self) -> None:
        """`close`, without blocking the loop."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Finish accepted jobs and close the file. Idempotent. Blocks."""
        self._reads.close()
        self._writes.close()
        for connection in self._connections:
            connection.close()

    def _connect(self, durability: Durability, *, read_only: bool = False) -> sqlite3.Connection:
        connection = connect(self.path, durability, read_only=read_only)
        self._connections.append(connection)
        return connection

    def _write_batch(self, connection: sqlite3.Connection, batch: list[Job]) -> list[Erased]:
        try:
            return _in_one_transaction(connection, batch)
        except Exception as error:
            _roll_back(connection)
            if len(batch) == 1 or _is_of_the_world(error):
                return [self._failed("write to", error) for _ in batch]
        # One job of the batch is at fault; alone, each stands for itself.
        return [self._write_batch(connection, [job])[0] for job in batch]

    def _read_batch(self, connection: sqlite3.Connection, batch: list[Job]) -> list[Erased]:
        outcomes: list[Erased] = []
        for job in batch:
            try:
                outcomes.append(job.run(connection, job.argument))
            except Exception as error:
                outcomes.append(self._failed("read of", error))
        return outcomes

    def _failed(self, what: str, error: Exception) -> Failed:
        return Failed(_unavailable(f"{what} {self.path}", error) if _is_of_the_world(error) else error)


def _in_one_transaction(connection: sqlite3.Connection, batch: list[Job]) -> list[Erased]:
    kinds: dict[Callable[..., Erased], list[int]] = {}
    for place, job in enumerate(batch):
        kinds.setdefault(job.run, []).append(place)
    outcomes: list[Erased] = [None] * len(batch)
    _begin(connection)
    for run, places in kinds.items():
        results = run(connection, [batch[place].argument for place in places])
        for place, result in zip(places, results, strict=True):
            outcomes[place] = result
    connection.execute("COMMIT")
    return outcomes


def _begin(connection: sqlite3.Connection) -> None:
    """Wait for other processes' transactions, then begin one. Raises OperationalError after the timeout."""
    # SQLite's own wait sleeps for up to 100 ms at a time. Measured beside three processes that never paused
    # it missed its turn for 1.3 s; looking often it waited 60 ms at most, at the same throughput.
    tries = max(1, int(schema.BUSY_TIMEOUT_MS / 1000 / LOOK_AGAIN_S))
    for left in reversed(range(tries)):
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if left == 0 or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        time.sleep(LOOK_AGAIN_S)


def _roll_back(connection: sqlite3.Connection) -> None:
    # A transaction that SQLite ended by itself, or a file that is gone: there is nothing to roll back then.
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _is_of_the_world(error: Exception) -> bool:
    """Locked, full, unreadable or damaged; as opposed to a fault in what was asked."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def _unavailable(what: str, error: Exception) -> Unavailable:
    details = {"cause": type(error).__name__}
    return Unavailable(Code.STORE_UNAVAILABLE, f"{what} failed: {error}", details, STORE_RETRY_AFTER_MS)

"""Short-lived values in an SQLite file of their own that waits for no disk.

A machine that loses power may lose the file's last seconds, or all of it; the port allows both.
"""

import sqlite3
from collections.abc import Sequence

from kernel.units import Clock, Millis
from storage.embedded.database import Database
from storage.embedded.rows import insert_rows, one_of, select_rows
from storage.memory import CHANGED_MAX

_Put = tuple[str, bytes, int, int, int]
"""key, value, epoch, expires_ms, now_ms"""


class SqliteVolatile:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(self, key: str, value: bytes, *, epoch: int, ttl_ms: Millis) -> bool:
        now_ms = self._clock.now_ms()
        return await self._database.write(_put, (key, value, epoch, now_ms + ttl_ms, now_ms), size=len(value))

    async def get(self, key: str) -> tuple[int, bytes] | None:
        return await self._database.read(_get, (key, self._clock.now_ms()))

    async def changed(self, prefix: str, *, since: int) -> tuple[int, list[tuple[str, int, bytes]]]:
        return await self._database.read(_changed, (prefix, since, self._clock.now_ms()))


def _put(connection: sqlite3.Connection, callers: Sequence[_Put]) -> list[bool]:
    now_ms = max(now_ms for *_, now_ms in callers)
    # What has expired fences nobody, and does not pile up.
    connection.execute("DELETE FROM volatile WHERE expires_ms <= ?", (now_ms,))
    (change,) = connection.execute("SELECT change FROM cursor").fetchone()
    # Time is mixed in so that the cursor still grows when the file was lost and began again at zero.
    change = max(change, now_ms * 1024)
    rows = [
        (key, epoch, value, expires_ms, change + number)
        for number, (key, value, epoch, expires_ms, _) in enumerate(callers, start=1)
    ]
    written = insert_rows(
        connection,
        "volatile",
        rows,
        conflict="(key) DO UPDATE SET epoch = excluded.epoch, value = excluded.value,"
        " expires_ms = excluded.expires_ms, change = excluded.change"
        " WHERE excluded.epoch >= volatile.epoch",
    )
    connection.execute("UPDATE cursor SET change = ?", (change + len(rows),))
    if written == len(rows):
        return [True] * len(rows)
    keys = one_of([key for key, *_ in rows])
    found = select_rows(
        connection,
        "key, epoch",
        "SELECT * FROM volatile WHERE key IN (SELECT value FROM json_each(?))",
        (keys,),
    )
    kept = {key: epoch for key, epoch in found}  # noqa: C416 - the names say what the columns are
    return [kept[key] <= epoch for key, epoch, *_ in rows]


def _get(connection: sqlite3.Connection, argument: tuple[str, Millis]) -> tuple[int, bytes] | None:
    found: tuple[int, bytes] | None = connection.execute(
        "SELECT epoch, value FROM volatile WHERE key = ? AND expires_ms > ?", argument
    ).fetchone()
    return found


def _changed(
    connection: sqlite3.Connection, argument: tuple[str, int, Millis]
) -> tuple[int, list[tuple[str, int, bytes]]]:
    prefix, since, now_ms = argument
    # The cursor is read first: what is written between the two statements is seen twice, never missed.
    # Changes become visible in the order of their numbers: these are given out under the writer's lock.
    (cursor,) = connection.execute("SELECT change FROM cursor").fetchone()
    rows = select_rows(
        connection,
        "key, epoch, hex(value), change",
        "SELECT * FROM volatile WHERE change > ? AND expires_ms > ? AND substr(key, 1, ?) = ?"
        " ORDER BY change LIMIT ?",
        (since, now_ms, len(prefix), prefix, CHANGED_MAX),
    )
    found = [(key, epoch, bytes.fromhex(value)) for key, epoch, value, _ in rows]
    return rows[-1][3] if len(rows) == CHANGED_MAX else max(cursor, since), found

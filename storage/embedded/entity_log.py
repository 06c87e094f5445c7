"""The entity log in SQLite: one row per record, inserted once."""

import sqlite3
from collections.abc import Sequence

from storage.embedded.database import Database
from storage.embedded.rows import insert_rows, select_rows
from storage.ports import Append, LogRecord, Snapshot


class SqliteEntityLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, records: Sequence[LogRecord]) -> list[Append]:
        if not records:
            return []
        size = sum(len(record.payload) for record in records)
        return await self._database.write(_append, records, size=size)

    async def load(self, key: str) -> tuple[Snapshot | None, list[LogRecord]]:
        return await self._database.read(_load, key)

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        await self._database.write(_put_snapshots, snapshot, size=len(snapshot.payload))


def _append(connection: sqlite3.Connection, callers: Sequence[Sequence[LogRecord]]) -> list[list[Append]]:
    rows = [(r.key, r.seq, r.owner_epoch, r.payload) for records in callers for r in records]
    written = insert_rows(
        connection,
        "records",
        rows,
        conflict="DO NOTHING",
        # A place at or before a snapshot was filled once, even when the trim has emptied it since. Without
        # this a writer that slept through two snapshots would be told that its stale record was kept.
        guard="NOT EXISTS (SELECT 1 FROM snapshots WHERE key = new.column1 AND seq >= new.column2)",
    )
    if written == len(rows):
        return [[Append.WRITTEN] * len(records) for records in callers]
    # Somebody lost a race. Who holds the place says who: a record that is there was written, now or earlier.
    return [[_outcome(connection, record) for record in records] for records in callers]


def _outcome(connection: sqlite3.Connection, record: LogRecord) -> Append:
    found = connection.execute(
        "SELECT owner_epoch, payload FROM records WHERE key = ? AND seq = ?", (record.key, record.seq)
    ).fetchone()
    return Append.WRITTEN if found == (record.owner_epoch, record.payload) else Append.TAKEN


def _load(connection: sqlite3.Connection, key: str) -> tuple[Snapshot | None, list[LogRecord]]:
    # One statement, so that a trim between two cannot leave a gap.
    rows = select_rows(
        connection,
        "seq, owner_epoch, hex(payload)",
        """
        WITH newest AS (SELECT max(seq) AS seq FROM snapshots WHERE key = :key)
        SELECT snapshots.seq, NULL AS owner_epoch, payload FROM snapshots, newest
            WHERE key = :key AND snapshots.seq = newest.seq
        UNION ALL
        SELECT records.seq, owner_epoch, payload FROM records, newest
            WHERE key = :key AND records.seq > ifnull(newest.seq, 0)
        """,
        {"key": key},
    )
    snapshot = None
    records = []
    for seq, owner_epoch, payload in rows:
        if owner_epoch is None:
            snapshot = Snapshot(key=key, seq=seq, payload=bytes.fromhex(payload))
        else:
            records.append(
                LogRecord(key=key, seq=seq, owner_epoch=owner_epoch, payload=bytes.fromhex(payload))
            )
    records.sort(key=lambda record: record.seq)
    return snapshot, records


def _put_snapshots(connection: sqlite3.Connection, snapshots: Sequence[Snapshot]) -> list[None]:
    insert_rows(
        connection, "snapshots", [(s.key, s.seq, s.payload) for s in snapshots], conflict="DO NOTHING"
    )
    for key in {snapshot.key for snapshot in snapshots}:
        _trim(connection, key)
    return [None] * len(snapshots)


def _trim(connection: sqlite3.Connection, key: str) -> None:
    previous = connection.execute(
        "SELECT seq FROM snapshots WHERE key = ? ORDER BY seq DESC LIMIT 1 OFFSET 1", (key,)
    ).fetchone()
    if previous is not None:
        connection.execute("DELETE FROM records WHERE key = ? AND seq <= ?", (key, *previous))
        connection.execute("DELETE FROM snapshots WHERE key = ? AND seq < ?", (key, *previous))

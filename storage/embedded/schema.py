"""The tables of the embedded stores, their version, and how a file is opened.

A schema is a list of steps; a file records in `user_version` how many of them it has seen. Opening runs the
missing ones, in one transaction, whoever of several processes comes first.
"""

import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kernel.errors import Code, Rejected

BUSY_TIMEOUT_MS = 5_000
"""How long a transaction waits for another process's; then the store is unavailable."""
CACHE_KIB = 16_384
"""Pages kept in memory, per connection."""
OPEN_TRIES_MAX = 200
"""Switching a new file to WAL does not wait for locks by itself; tried so often,"""
OPEN_PAUSE_S = 0.025
"""this far apart."""


class Durability(StrEnum):
    """What a commit waits for: SQLite's `synchronous`."""

    FULL = "FULL"
    """The disk has it: survives kill -9 and loss of power."""
    NONE = "OFF"
    """Nothing: for what may be lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """Steps that lead from an empty file to today's tables; a step that was released never changes."""

    steps: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> int:
        return len(self.steps)


MAIN = Schema(
    steps=(
        (
            # Clustered by place: loading an entity is one range read.
            "CREATE TABLE records (key TEXT, seq INTEGER, owner_epoch INTEGER NOT NULL,"
            " payload BLOB NOT NULL, PRIMARY KEY (key, seq)) WITHOUT ROWID",
            "CREATE TABLE snapshots (key TEXT, seq INTEGER, payload BLOB NOT NULL, PRIMARY KEY (key, seq))",
            "CREATE TABLE owners (shard INTEGER, owner_epoch INTEGER, host_id TEXT NOT NULL,"
            " incarnation INTEGER NOT NULL, why TEXT NOT NULL,"
            " PRIMARY KEY (shard, owner_epoch)) WITHOUT ROWID",
            "CREATE TABLE hosts (host_id TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
            "CREATE TABLE documents (collection TEXT, id TEXT, value BLOB NOT NULL,"
            " PRIMARY KEY (collection, id))",
            "CREATE TABLE blobs (key TEXT PRIMARY KEY, size INTEGER NOT NULL, content_type TEXT NOT NULL)"
            " WITHOUT ROWID",
        ),
    )
)

VOLATILE = Schema(
    steps=(
        (
            "CREATE TABLE volatile (key TEXT PRIMARY KEY, epoch INTEGER NOT NULL, value BLOB NOT NULL,"
            " expires_ms INTEGER NOT NULL, change INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE INDEX volatile_by_change ON volatile (change)",
            "CREATE INDEX volatile_by_expiry ON volatile (expires_ms)",
            "CREATE TABLE cursor (only INTEGER PRIMARY KEY CHECK (only = 1), change INTEGER NOT NULL)",
            "INSERT INTO cursor VALUES (1, 0)",
        ),
    )
)


def connect(path: Path, durability: Durability, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection for one thread at a time; transactions are begun and ended by hand."""
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
    )
    try:
        _in_wal_mode(connection)
        connection.execute(f"PRAGMA synchronous={durability}")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute(f"PRAGMA query_only={int(read_only)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _in_wal_mode(connection: sqlite3.Connection) -> None:
    for _ in range(OPEN_TRIES_MAX):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=WAL")
            return
        time.sleep(OPEN_PAUSE_S)
    connection.execute("PRAGMA journal_mode=WAL")


def migrate(connection: sqlite3.Connection, schema: Schema, path: Path) -> None:
    """Run the missing steps. Raises Rejected DISALLOWED when a newer Segue has been here."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > schema.version:
            raise Rejected(
                Code.DISALLOWED,
                f"opening {path} rejected: its schema is version {found}, this Segue knows up to"
                f" {schema.version}; install the newer Segue that wrote it, or name another data folder",
                {"found": found, "known": schema.version},
            )
        for step in schema.steps[found:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={schema.version}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise

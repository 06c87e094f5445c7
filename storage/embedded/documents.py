"""Collections of opaque values in SQLite."""

import sqlite3
from collections.abc import Sequence

from storage.embedded.database import Database
from storage.embedded.rows import insert_rows, one_of, select_rows


class SqliteDocuments:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, collection: str, ids: Sequence[str]) -> list[bytes | None]:
        if not ids:
            return []
        return await self._database.read(_get, (collection, ids))

    async def insert(self, collection: str, doc_id: str, value: bytes) -> bool:
        return await self._database.write(_insert, (collection, doc_id, value), size=len(value))

    async def put(self, collection: str, values: Sequence[tuple[str, bytes]]) -> None:
        if values:
            rows = [(collection, doc_id, value) for doc_id, value in values]
            await self._database.write(_put, rows, size=sum(len(value) for _, value in values))

    async def delete(self, collection: str, ids: Sequence[str]) -> None:
        if ids:
            await self._database.write(_delete, (collection, ids))

    async def scan(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int
    ) -> list[tuple[str, bytes]]:
        return await self._database.read(_scan, (collection, prefix, after, limit))


def _get(connection: sqlite3.Connection, argument: tuple[str, Sequence[str]]) -> list[bytes | None]:
    collection, ids = argument
    rows = select_rows(
        connection,
        "id, hex(value)",
        "SELECT id, value FROM documents WHERE collection = ? AND id IN (SELECT value FROM json_each(?))",
        (collection, one_of(ids)),
    )
    found = {doc_id: bytes.fromhex(value) for doc_id, value in rows}
    return [found.get(doc_id) for doc_id in ids]


def _insert(connection: sqlite3.Connection, callers: Sequence[tuple[str, str, bytes]]) -> list[bool]:
    return [bool(insert_rows(connection, "documents", [row], conflict="DO NOTHING")) for row in callers]


def _put(connection: sqlite3.Connection, callers: Sequence[Sequence[tuple[str, str, bytes]]]) -> list[None]:
    insert_rows(
        connection,
        "documents",
        [row for rows in callers for row in rows],
        conflict="(collection, id) DO UPDATE SET value = excluded.value",
    )
    return [None] * len(callers)


def _delete(connection: sqlite3.Connection, callers: Sequence[tuple[str, Sequence[str]]]) -> list[None]:
    for collection, ids in callers:
        connection.execute(
            "DELETE FROM documents WHERE collection = ? AND id IN (SELECT value FROM json_each(?))",
            (collection, one_of(ids)),
        )
    return [None] * len(callers)


def _scan(connection: sqlite3.Connection, argument: tuple[str, str, str, int]) -> list[tuple[str, bytes]]:
    collection, prefix, after, limit = argument
    rows = select_rows(
        connection,
        "id, hex(value)",
        "SELECT id, value FROM documents WHERE collection = ? AND id >= ? AND id > ? AND id < ?"
        " ORDER BY id LIMIT ?",
        (collection, prefix, after, _after_all_with(prefix), limit),
    )
    return [(doc_id, bytes.fromhex(value)) for doc_id, value in rows]


def _after_all_with(prefix: str) -> str | bytes:
    """Greater than every id that begins with `prefix`, smaller than what comes after those."""
    # U+10FFFF is no character, so no id has it; and SQLite orders every blob after every text.
    return prefix + "\U0010ffff" if prefix else b""

"""Many rows in few steps, into SQLite and out of it.

A step per row would cost a hand-over of the interpreter lock per row; see `database.py`.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

_CHUNKS = (128, 16, 1)
"""Rows per statement: a few sizes, so that SQLite's compiled statements are used again."""

_decode = msgspec.json.Decoder(list[list[Any]]).decode


def insert_rows(
    connection: sqlite3.Connection,
    table: str,
    rows: Sequence[tuple[object, ...]],
    *,
    conflict: str,
    guard: str = "true",
) -> int:
    """Insert `rows`, in order; how many rows were inserted or replaced.

    `conflict` is what follows ON CONFLICT. `guard` is a condition on `new.column1`, `new.column2`, …
    """
    written = 0
    first = 0
    for size in _CHUNKS:
        while len(rows) - first >= size:
            chunk = rows[first : first + size]
            statement = _statement(table, len(chunk[0]), size, conflict, guard)
            written += connection.execute(statement, [value for row in chunk for value in row]).rowcount
            first += size
    return written


def select_rows(
    connection: sqlite3.Connection,
    columns: str,
    source: str,
    parameters: Sequence[object] | Mapping[str, object] = (),
) -> list[list[Any]]:
    """`SELECT columns FROM (source)`, in one step; integers, text and None. Bytes travel as `hex(column)`.

    The rows come in the order of `source`.
    """
    (rows,) = connection.execute(
        f"SELECT json_group_array(json_array({columns})) FROM ({source})", parameters
    ).fetchone()
    return _decode(rows)


def one_of(values: Sequence[str] | Sequence[int]) -> str:
    """The parameter for `IN (SELECT value FROM json_each(?))`, however many values there are."""
    return msgspec.json.encode(values).decode()


@lru_cache(maxsize=64)
def _statement(table: str, width: int, size: int, conflict: str, guard: str) -> str:
    row = f"({','.join('?' * width)})"
    return (
        f"INSERT INTO {table} SELECT * FROM (VALUES {','.join([row] * size)}) AS new"
        f" WHERE {guard} ON CONFLICT {conflict}"
    )

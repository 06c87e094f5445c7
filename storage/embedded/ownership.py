"""Who owns which shard, in SQLite: one row per epoch, inserted once."""

import sqlite3
from collections.abc import Sequence

import msgspec

from kernel.ids import HostId
from storage.embedded.database import Database
from storage.embedded.rows import insert_rows, one_of, select_rows
from storage.ports import HostRecord, ShardOwner

_encode_host = msgspec.msgpack.Encoder().encode
_decode_host = msgspec.msgpack.Decoder(HostRecord).decode


class SqliteOwnership:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, owners: Sequence[ShardOwner]) -> list[bool]:
        if not owners:
            return []
        return await self._database.write(_claim, owners)

    async def owners(self) -> list[ShardOwner]:
        return await self._database.read(_owners, None)

    async def put_host(self, host: HostRecord) -> None:
        await self._database.write(_put_hosts, host)

    async def hosts(self) -> list[HostRecord]:
        return await self._database.read(_hosts, None)


def _claim(connection: sqlite3.Connection, callers: Sequence[Sequence[ShardOwner]]) -> list[list[bool]]:
    rows = [(o.shard, o.owner_epoch, o.host_id, o.incarnation, o.why) for owners in callers for o in owners]
    insert_rows(
        connection,
        "owners",
        rows,
        conflict="DO NOTHING",
        # An epoch that was passed can no longer be taken, so older rows need not be kept to stand in its way.
        guard="NOT EXISTS (SELECT 1 FROM owners WHERE shard = new.column1 AND owner_epoch > new.column2)",
    )
    shards = one_of(sorted({owner.shard for owners in callers for owner in owners}))
    rows_there = select_rows(
        connection,
        "shard, owner_epoch, host_id, incarnation",
        "SELECT * FROM owners WHERE shard IN (SELECT value FROM json_each(?))",
        (shards,),
    )
    connection.execute(
        "DELETE FROM owners WHERE shard IN (SELECT value FROM json_each(?)) AND owner_epoch"
        " < (SELECT max(newer.owner_epoch) FROM owners AS newer WHERE newer.shard = owners.shard)",
        (shards,),
    )
    # True for the winner, and for its repeat.
    held = {tuple(row) for row in rows_there}
    return [[_identity(owner) in held for owner in owners] for owners in callers]


def _identity(owner: ShardOwner) -> tuple[int, int, str, int]:
    return owner.shard, owner.owner_epoch, owner.host_id, owner.incarnation


def _owners(connection: sqlite3.Connection, _: None) -> list[ShardOwner]:
    # With one max(), SQLite takes the other columns from the row that has it (sqlite.org/lang_select.html).
    rows = select_rows(
        connection,
        "shard, owner_epoch, host_id, incarnation, why",
        "SELECT shard, max(owner_epoch) AS owner_epoch, host_id, incarnation, why FROM owners"
        " GROUP BY shard ORDER BY shard",
    )
    return [
        ShardOwner(shard=shard, owner_epoch=epoch, host_id=HostId(host_id), incarnation=incarnation, why=why)
        for shard, epoch, host_id, incarnation, why in rows
    ]


def _put_hosts(connection: sqlite3.Connection, hosts: Sequence[HostRecord]) -> list[None]:
    insert_rows(
        connection,
        "hosts",
        [(host.host_id, _encode_host(host)) for host in hosts],
        conflict="(host_id) DO UPDATE SET value = excluded.value",
    )
    return [None] * len(hosts)


def _hosts(connection: sqlite3.Connection, _: None) -> list[HostRecord]:
    rows = select_rows(connection, "hex(value)", "SELECT value FROM hosts ORDER BY host_id")
    return [_decode_host(bytes.fromhex(value)) for (value,) in rows]

"""The entity log in MongoDB: one document per record, `_id` = entity and place, inserted once.

A trim deletes records, and an insert cannot see what is gone: alone it would let a writer that slept through
two snapshots take a place again. So an append looks at the entities' snapshots after the insert. It must be
after: a snapshot that is there before says nothing of those that come while the insert is on its way. A place
at or before the newest snapshot is not told WRITTEN, and what was put there is taken out again; nothing reads
it in between, since a load begins after the newest snapshot.
"""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from storage.mongo.database import ROWS_AT_A_TIME, MongoDatabase, Row, insert
from storage.ports import Append, LogRecord, Snapshot
from storage.together import Together

RECORDS = "records"
SNAPSHOTS = "snapshots"
SEQ_DIGITS = 12
RECORDS_TOGETHER_MAX = 256
"""Records of several callers that go in one insert; more only when one caller brings them."""
RECORDS_WAITING_MAX = 16_384
APPENDS_AT_ONCE = 4
"""Inserts on their way at a time: few, so that what comes meanwhile goes together."""
SEPARATOR, AFTER_SEPARATOR = "#", "$"
"""Between entity and place, and the character that follows it: together the range of one entity."""


class MongoEntityLog:
    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._appends = Together(
            "MongoDB: append",
            self._append,
            items_max=RECORDS_TOGETHER_MAX,
            waiting_max=RECORDS_WAITING_MAX,
            requests_max=APPENDS_AT_ONCE,
        )

    async def append(self, records: Sequence[LogRecord]) -> list[Append]:
        return await self._appends.submit(records) if records else []

    async def _append(self, records: Sequence[LogRecord]) -> list[Append]:
        async with self._database.call("append", RECORDS) as collection:
            there = await insert(collection, [_row(record) for record in records])
        held = await self._held([records[place] for place in there])
        snapshots = await self._snapshots({record.key for record in records})
        outcomes = []
        stale = []
        for place, record in enumerate(records):
            seqs = snapshots[record.key]
            newest, previous = (seqs[0] if seqs else 0), (seqs[1] if len(seqs) > 1 else 0)
            if place not in there and record.seq <= newest:
                outcomes.append(Append.TAKEN)
                stale.append(_id(record.key, record.seq))
            elif place in there and (record.seq <= previous or record not in held):
                # Up to the previous snapshot everything is trimmed, or is about to be.
                outcomes.append(Append.TAKEN)
            else:
                outcomes.append(Append.WRITTEN)
        if stale:
            async with self._database.call("delete", RECORDS) as collection:
                await collection.delete_many({"_id": {"$in": stale}})
        return outcomes

    async def load(self, key: str) -> tuple[Snapshot | None, list[LogRecord]]:
        # Records first: whatever a trim takes away meanwhile is held by the snapshot that is read after.
        async with self._database.call("load", RECORDS) as collection:
            ids = {"$gt": key + SEPARATOR, "$lt": key + AFTER_SEPARATOR}
            rows = await collection.find({"_id": ids}, batch_size=ROWS_AT_A_TIME).sort("_id", 1).to_list()
        async with self._database.call("load", SNAPSHOTS) as collection:
            newest = await collection.find({"key": key}).sort("seq", -1).limit(1).to_list()
        after = newest[0]["seq"] if newest else 0
        records = [_record(row) for row in rows]
        snapshot = Snapshot(key=key, seq=after, payload=newest[0]["payload"]) if newest else None
        return snapshot, [record for record in records if record.seq > after]

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        key = snapshot.key
        row = {"_id": _id(key, snapshot.seq), **msgspec.structs.asdict(snapshot)}
        async with self._database.call("insert", SNAPSHOTS) as collection:
            await insert(collection, [row])
        seqs = (await self._snapshots({key}))[key]
        if len(seqs) < 2:
            return
        previous = seqs[1]
        async with self._database.call("trim", RECORDS) as collection:
            await collection.delete_many({"_id": {"$gt": key + SEPARATOR, "$lte": _id(key, previous)}})
        async with self._database.call("trim", SNAPSHOTS) as collection:
            await collection.delete_many({"key": key, "seq": {"$lt": previous}})

    async def _held(self, records: Sequence[LogRecord]) -> set[LogRecord]:
        """The records that hold the places of `records`."""
        if not records:
            return set()
        ids = sorted({_id(record.key, record.seq) for record in records})
        async with self._database.call("read", RECORDS) as collection:
            rows = await collection.find({"_id": {"$in": ids}}, batch_size=ROWS_AT_A_TIME).to_list()
        return {_record(row) for row in rows}

    async def _snapshots(self, keys: set[str]) -> defaultdict[str, list[int]]:
        """The places of each entity's snapshots, the newest first: three at most, but for a crash."""
        query = {"key": {"$in": sorted(keys)}}
        fields = {"_id": False, "key": True, "seq": True}
        async with self._database.call("read", SNAPSHOTS) as collection:
            rows = await collection.find(query, fields, batch_size=ROWS_AT_A_TIME).to_list()
        found: defaultdict[str, list[int]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: -row["seq"]):
            found[row["key"]].append(row["seq"])
        return found


def _id(key: str, seq: int) -> str:
    assert SEPARATOR not in key, f"an entity is called {key!r}: {SEPARATOR!r} ends its name in the store"
    assert 0 <= seq < 10**SEQ_DIGITS, f"place {seq} has more than {SEQ_DIGITS} digits"
    return f"{key}{SEPARATOR}{seq:0{SEQ_DIGITS}d}"


def _row(record: LogRecord) -> Row:
    return {"_id": _id(record.key, record.seq), "epoch": record.owner_epoch, "payload": record.payload}


def _record(row: Row) -> LogRecord:
    key, _, seq = row["_id"].rpartition(SEPARATOR)
    return LogRecord(key=key, seq=int(seq), owner_epoch=row["epoch"], payload=row["payload"])

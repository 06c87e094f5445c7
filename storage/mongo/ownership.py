"""Who owns which shard, in MongoDB: one document per epoch, `_id` = shard and epoch, inserted once."""

from collections.abc import Iterable, Sequence

import msgspec
from pymongo.errors import DuplicateKeyError

from kernel.ids import HostId
from storage.mongo.database import ROWS_AT_A_TIME, MongoDatabase, Row, insert
from storage.ports import HostRecord, ShardOwner

SHARDS = "shards"
HOSTS = "hosts"
SHARDS_ASKED_MAX = 64
"""Above so many shards all rows are read: there is about one per shard, and 4,096 shards."""
REPLACE_TRIES_MAX = 3


class MongoOwnership:
    def __init__(self, database: MongoDatabase) -> None:
        self._database = database

    async def claim(self, owners: Sequence[ShardOwner]) -> list[bool]:
        if not owners:
            return []
        async with self._database.call("claim", SHARDS) as collection:
            await insert(collection, [_row(owner) for owner in owners])
        # Read after the insert, so an epoch that was passed meanwhile is seen to be: older rows are deleted
        # and do not stand in anybody's way.
        rows = await self._rows({owner.shard for owner in owners})
        highest = _highest(rows)
        passed = [_id(owner) for owner in rows if owner.owner_epoch < highest[owner.shard].owner_epoch]
        if passed:
            async with self._database.call("delete", SHARDS) as collection:
                await collection.delete_many({"_id": {"$in": passed}})
        return [_same_life(highest[owner.shard], owner) for owner in owners]

    async def owners(self) -> list[ShardOwner]:
        highest = _highest(await self._rows(set()))
        return [highest[shard] for shard in sorted(highest)]

    async def put_host(self, host: HostRecord) -> None:
        row = {"_id": host.host_id, **msgspec.structs.asdict(host)}
        del row["host_id"]
        async with self._database.call("replace", HOSTS) as collection:
            for left in reversed(range(REPLACE_TRIES_MAX)):
                try:
                    await collection.replace_one({"_id": host.host_id}, row, upsert=True)
                    return
                except DuplicateKeyError:
                    # Two first ones at a time (a host that restarts): the other was inserted, replace it.
                    if not left:
                        raise

    async def hosts(self) -> list[HostRecord]:
        async with self._database.call("read", HOSTS) as collection:
            rows = await collection.find(batch_size=ROWS_AT_A_TIME).sort("_id", 1).to_list()
        return [msgspec.convert({**row, "host_id": row["_id"]}, HostRecord) for row in rows]

    async def _rows(self, shards: set[int]) -> list[ShardOwner]:
        """Rows of `shards`, or of all when there are too many or none."""
        query = {"shard": {"$in": sorted(shards)}} if 0 < len(shards) <= SHARDS_ASKED_MAX else {}
        async with self._database.call("read", SHARDS) as collection:
            rows = await collection.find(query, batch_size=ROWS_AT_A_TIME).to_list()
        return [
            ShardOwner(
                shard=row["shard"],
                owner_epoch=row["epoch"],
                host_id=HostId(row["host"]),
                incarnation=row["incarnation"],
                why=row["why"],
            )
            for row in rows
        ]


def _highest(owners: Iterable[ShardOwner]) -> dict[int, ShardOwner]:
    found: dict[int, ShardOwner] = {}
    for owner in owners:
        if owner.shard not in found or owner.owner_epoch > found[owner.shard].owner_epoch:
            found[owner.shard] = owner
    return found


def _same_life(held: ShardOwner, claimed: ShardOwner) -> bool:
    return (held.owner_epoch, held.host_id, held.incarnation) == (
        claimed.owner_epoch,
        claimed.host_id,
        claimed.incarnation,
    )


def _id(owner: ShardOwner) -> str:
    return f"{owner.shard:04d}:{owner.owner_epoch:012d}"


def _row(owner: ShardOwner) -> Row:
    return {
        "_id": _id(owner),
        "shard": owner.shard,
        "epoch": owner.owner_epoch,
        "host": owner.host_id,
        "incarnation": owner.incarnation,
        "why": owner.why,
    }

"""Collections of opaque values in MongoDB, one of its collections for each of ours."""

from collections.abc import Sequence

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from storage.mongo.database import (
    DOCUMENTS_PREFIX,
    DUPLICATE_KEY,
    ROWS_AT_A_TIME,
    MongoDatabase,
    Row,
    insert,
)

REPLACE_TRIES_MAX = 5


class MongoDocuments:
    def __init__(self, database: MongoDatabase) -> None:
        self._database = database

    async def get(self, collection: str, ids: Sequence[str]) -> list[bytes | None]:
        if not ids:
            return []
        async with self._database.call("get", DOCUMENTS_PREFIX + collection) as rows:
            query = {"_id": {"$in": sorted(set(ids))}}
            found = {row["_id"]: row["value"] async for row in rows.find(query, batch_size=ROWS_AT_A_TIME)}
        return [found.get(doc_id) for doc_id in ids]

    async def insert(self, collection: str, doc_id: str, value: bytes) -> bool:
        async with self._database.call("insert", DOCUMENTS_PREFIX + collection) as rows:
            return not await insert(rows, [_row(doc_id, value)])

    async def put(self, collection: str, values: Sequence[tuple[str, bytes]]) -> None:
        last = dict(values)
        if not last:
            return
        async with self._database.call("put", DOCUMENTS_PREFIX + collection) as rows:
            # Most of what is put is new (a library that is taken in), and inserts are the cheapest.
            new = [_row(doc_id, value) for doc_id, value in last.items()]
            left = [new[place] for place in sorted(await insert(rows, new))]
            for tries_left in reversed(range(REPLACE_TRIES_MAX)):
                if not left:
                    return
                try:
                    replacements = [ReplaceOne({"_id": row["_id"]}, row, upsert=True) for row in left]
                    await rows.bulk_write(replacements, ordered=False)
                    return
                except BulkWriteError as fault:
                    # Deleted and put anew by another at this moment: two upserts race, one is to try again.
                    errors = fault.details["writeErrors"]
                    racing = all(error["code"] == DUPLICATE_KEY for error in errors)
                    if fault.details.get("writeConcernErrors") or not racing or not tries_left:
                        raise
                    left = [left[error["index"]] for error in errors]

    async def delete(self, collection: str, ids: Sequence[str]) -> None:
        if ids:
            async with self._database.call("delete", DOCUMENTS_PREFIX + collection) as rows:
                await rows.delete_many({"_id": {"$in": sorted(set(ids))}})

    async def scan(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int
    ) -> list[tuple[str, bytes]]:
        if limit <= 0:
            return []  # For MongoDB a limit of zero is none.
        ids = {"$gte": prefix, "$gt": after}
        if prefix:
            # U+10FFFF is no character, so no id has it.
            ids["$lt"] = prefix + "\U0010ffff"
        async with self._database.call("scan", DOCUMENTS_PREFIX + collection) as rows:
            found = rows.find({"_id": ids}, batch_size=min(limit, ROWS_AT_A_TIME)).sort("_id", 1).limit(limit)
            return [(row["_id"], row["value"]) async for row in found]


def _row(doc_id: str, value: bytes) -> Row:
    return {"_id": doc_id, "value": value}

"""One MongoDB database: its client, its indexes, its version, and the translation of its errors.

Everything is written with `w: majority, j: true` and read with `readConcern: majority`: what was acknowledged
survives the loss of a minority of the servers. A client belongs to the event loop that first uses it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from pymongo import AsyncMongoClient, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConfigurationError, DuplicateKeyError, InvalidURI, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from kernel.errors import Code, Rejected
from storage.faults import Calls

SCHEMA_VERSION = 1
"""Of the collections and what is in them; a Segue that knows less refuses to touch them."""
CONNECTIONS_MAX = 32
"""Per process. Each may hold one call; the others wait, as many as `storage.faults.CALLS_MAX`."""
WAIT_FOR_CONNECTION_MS = 2_000
CONNECT_MS = 2_000
FIND_SERVER_MS = 5_000
"""How long a call waits for a primary: longer than a usual election would hold every caller."""
ANSWER_MS = 10_000
"""After it the outcome is unknown."""
ACKNOWLEDGE_MS = 5_000
"""How long the server waits for the majority; less than `ANSWER_MS`, so that it can say so."""
ROWS_AT_A_TIME = 1_000

DEFAULT_DATABASE = "segue"
DUPLICATE_KEY = 11_000
DOCUMENTS_PREFIX = "documents."

Row = dict[str, Any]
"""A document of MongoDB, as the driver gives it. Each adapter turns it into a type of ours at once."""


class Index(NamedTuple):
    collection: str
    fields: tuple[str, ...]


INDEXES = (
    # The newest snapshot of an entity, and of a batch of entities, answered from the index alone.
    Index("snapshots", ("key", "seq")),
    # The epochs of some shards.
    Index("shards", ("shard", "epoch")),
)
"""Every index beside the one on `_id` that each collection has. Records and documents need only that."""


class MongoDatabase:
    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises Rejected BAD_REQUEST when the URL cannot be one."""
        try:
            self._client: AsyncMongoClient[Row] = AsyncMongoClient(
                url,
                appname="segue",
                maxPoolSize=CONNECTIONS_MAX,
                waitQueueTimeoutMS=WAIT_FOR_CONNECTION_MS,
                connectTimeoutMS=CONNECT_MS,
                serverSelectionTimeoutMS=FIND_SERVER_MS,
                socketTimeoutMS=ANSWER_MS,
            )
        except (ConfigurationError, InvalidURI, ValueError) as fault:
            # Not the URL: it may hold a password.
            raise Rejected(Code.BAD_REQUEST, f"MongoDB's URL rejected: {fault}") from None
        self._database: AsyncDatabase[Row] = self._client.get_default_database(DEFAULT_DATABASE).with_options(
            write_concern=WriteConcern(w="majority", j=True, wtimeout=ACKNOWLEDGE_MS),
            read_concern=ReadConcern("majority"),
        )
        self._calls = Calls("MongoDB", PyMongoError)
        self._prepared = False
        self._preparing = asyncio.Lock()

    @asynccontextmanager
    async def call(self, what: str, collection: str) -> AsyncIterator[AsyncCollection[Row]]:
        """A collection to use once. Raises Unavailable, and Rejected DISALLOWED on a newer Segue's data."""
        await self.prepare()
        with self._calls(f"{what} in {collection}"):
            yield self._database[collection]

    async def prepare(self) -> None:
        """Check the version, make the indexes that are missing. Once; safe beside other processes."""
        if not self._prepared:
            async with self._preparing:
                await self._prepare_once()

    async def _prepare_once(self) -> None:
        if self._prepared:
            return
        with self._calls("opening"):
            await self._check_version()
            for index in INDEXES:
                model = IndexModel([(field, 1) for field in index.fields], name="_".join(index.fields))
                await self._database[index.collection].create_indexes([model])
        self._prepared = True

    async def _check_version(self) -> None:
        versions = self._database["schema"]
        # One row per version that was ever used, inserted once: the highest is what the data needs.
        rows = await versions.find().to_list(ROWS_AT_A_TIME)
        found = max((row["version"] for row in rows), default=0)
        if found > SCHEMA_VERSION:
            raise Rejected(
                Code.DISALLOWED,
                f"opening MongoDB database {self._database.name} rejected: its schema is version {found},"
                f" this Segue knows up to {SCHEMA_VERSION}; install the newer Segue that wrote it, or name"
                " another database in the URL",
                {"found": found, "known": SCHEMA_VERSION},
            )
        if found < SCHEMA_VERSION:
            try:
                await versions.insert_one({"_id": f"{SCHEMA_VERSION:06d}", "version": SCHEMA_VERSION})
            except DuplicateKeyError:
                return  # Another process was quicker to write the same.

    async def close(self) -> None:
        """Idempotent."""
        await self._client.close()


async def insert(collection: AsyncCollection[Row], rows: Sequence[Row]) -> set[int]:
    """Insert each row that can be; the places in `rows` of those whose `_id` was there before.

    Raises PyMongoError when anything else happened to any of them.
    """
    try:
        await collection.insert_many(rows, ordered=False)
    except BulkWriteError as fault:
        details: Mapping[str, Any] = fault.details
        errors = details["writeErrors"]
        if details.get("writeConcernErrors") or any(error["code"] != DUPLICATE_KEY for error in errors):
            raise
        return {error["index"] for error in errors}
    return set()

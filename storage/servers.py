"""The stores behind URLs. A module of its own, since the drivers take a second to import."""

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Protocol

from kernel.units import Clock
from storage.mongo.database import MongoDatabase
from storage.mongo.documents import MongoDocuments
from storage.mongo.entity_log import MongoEntityLog
from storage.mongo.ownership import MongoOwnership
from storage.redis_volatile import RedisVolatile
from storage.s3_blobs import S3Blobs


class _Server(Protocol):
    def prepare(self) -> Awaitable[None]: ...

    def close(self) -> Awaitable[None]: ...


class Servers:
    """Up to three of them; None where no URL was given."""

    def __init__(self, *, mongo: str | None, redis: str | None, s3: str | None, clock: Clock) -> None:
        """Connects to nothing yet. Raises Rejected BAD_REQUEST when a URL cannot be one."""
        database = MongoDatabase(mongo) if mongo else None
        self.log = MongoEntityLog(database) if database else None
        self.ownership = MongoOwnership(database) if database else None
        self.documents = MongoDocuments(database) if database else None
        self.volatile = RedisVolatile(redis, clock) if redis else None
        self.blobs = S3Blobs(s3) if s3 else None
        every: list[_Server | None] = [database, self.volatile, self.blobs]
        self._every = [server for server in every if server is not None]

    async def prepare(self) -> None:
        for server in self._every:
            await server.prepare()

    async def close(self) -> None:
        # Each is closed, also when another cannot be.
        async with AsyncExitStack() as stack:
            for server in self._every:
                stack.push_async_callback(server.close)

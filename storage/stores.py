"""The five stores as one bundle, and the ways to get one: in memory, in a folder, or behind URLs.

Whoever opens a bundle closes it. Any number of processes may open the same data folder or the same URLs at
the same time. What has no URL is embedded.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from kernel.units import Clock
from storage.embedded.blobs import FileBlobs
from storage.embedded.database import Database
from storage.embedded.documents import SqliteDocuments
from storage.embedded.entity_log import SqliteEntityLog
from storage.embedded.ownership import SqliteOwnership
from storage.embedded.schema import MAIN, VOLATILE, Durability, Schema
from storage.embedded.volatile import SqliteVolatile
from storage.memory import MemoryBlobs, MemoryDocuments, MemoryEntityLog, MemoryOwnership, MemoryVolatile
from storage.ports import Blobs, Documents, EntityLog, Ownership, Volatile


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreUrls:
    """Where the stores are that are not embedded; None is embedded. A URL may hold a password."""

    mongo: str | None = None
    """`mongodb://…/DATABASE`: logs, ownership and documents."""
    redis: str | None = None
    """`redis://…`: volatile values."""
    s3: str | None = None
    """See `storage/s3_blobs.py`: blobs."""


EMBEDDED = StoreUrls()


async def _nothing() -> None:
    return


@dataclass(frozen=True, kw_only=True, slots=True)
class Stores:
    """One of each port."""

    log: EntityLog
    ownership: Ownership
    documents: Documents
    blobs: Blobs
    volatile: Volatile
    preparer: Callable[[], Awaitable[None]] = _nothing
    closer: Callable[[], Awaitable[None]] = _nothing

    async def prepare(self) -> None:
        """Reach the servers and make what is missing there; nothing to do for embedded stores.

        Raises Unavailable STORE_UNAVAILABLE, and Rejected DISALLOWED when a newer Segue wrote the data.
        """
        await self.preparer()

    async def close(self) -> None:
        """Finish the writes that were accepted, then let go of files, threads and connections. Idempotent."""
        await self.closer()


def memory_stores(clock: Clock) -> Stores:
    """Stores that live and die with this object."""
    return Stores(
        log=MemoryEntityLog(),
        ownership=MemoryOwnership(),
        documents=MemoryDocuments(),
        blobs=MemoryBlobs(),
        volatile=MemoryVolatile(clock),
    )


def open_stores(data_dir: Path, clock: Clock, urls: StoreUrls = EMBEDDED) -> Stores:
    """The stores behind `urls`, and for what has none the embedded one in `data_dir`, made when missing.

    Blocks for some milliseconds (opens files); needs no running event loop. Embedded stores may be used from
    any loop; one behind a URL belongs to the loop that first uses it, which is also when it connects.
    Raises Unavailable STORE_UNAVAILABLE when the folder cannot be used, Rejected DISALLOWED when a newer
    Segue wrote it, Rejected BAD_REQUEST when a URL cannot be one.
    """
    servers = None
    if urls != EMBEDDED:
        # Here and not above: whoever uses no server does not wait for its driver.
        from storage.servers import Servers

        servers = Servers(mongo=urls.mongo, redis=urls.redis, s3=urls.s3, clock=clock)
    closers: list[Callable[[], Awaitable[None]]] = [servers.close] if servers else []
    databases: list[Database] = []

    def database(name: str, tables: Schema, durability: Durability) -> Database:
        opened = Database(data_dir / name, tables, durability=durability)
        databases.append(opened)
        closers.append(opened.aclose)
        return opened

    log: EntityLog | None = servers.log if servers else None
    ownership: Ownership | None = servers.ownership if servers else None
    documents: Documents | None = servers.documents if servers else None
    blobs: Blobs | None = servers.blobs if servers else None
    volatile: Volatile | None = servers.volatile if servers else None
    try:
        if log is None or ownership is None or documents is None or blobs is None:
            # One file for all of them: the blobs' list is in it, too.
            main = database("segue.db", MAIN, Durability.FULL)
            log, ownership = log or SqliteEntityLog(main), ownership or SqliteOwnership(main)
            documents = documents or SqliteDocuments(main)
            if blobs is None:
                files = FileBlobs(data_dir / "blobs", main, clock)
                closers.append(files.close)
                blobs = files
        if volatile is None:
            volatile = SqliteVolatile(database("volatile.db", VOLATILE, Durability.NONE), clock)
    except BaseException:
        for opened in databases:
            opened.close()
        raise

    async def close() -> None:
        # Each is closed, also when another cannot be; the last opened first.
        async with AsyncExitStack() as stack:
            for closer in closers:
                stack.push_async_callback(closer)

    return Stores(
        log=log,
        ownership=ownership,
        documents=documents,
        blobs=blobs,
        volatile=volatile,
        preparer=servers.prepare if servers else _nothing,
        closer=close,
    )

"""The five stores as one bundle, and the two ways to get one that need no server.

Whoever opens a bundle closes it. Any number of processes may open the same data folder at the same time.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from kernel.units import Clock
from storage.embedded.blobs import FileBlobs
from storage.embedded.database import Database
from storage.embedded.documents import SqliteDocuments
from storage.embedded.entity_log import SqliteEntityLog
from storage.embedded.ownership import SqliteOwnership
from storage.embedded.schema import MAIN, VOLATILE, Durability
from storage.embedded.volatile import SqliteVolatile
from storage.memory import MemoryBlobs, MemoryDocuments, MemoryEntityLog, MemoryOwnership, MemoryVolatile
from storage.ports import Blobs, Documents, EntityLog, Ownership, Volatile


async def _nothing_to_close() -> None:
    return


@dataclass(frozen=True, kw_only=True, slots=True)
class Stores:
    """One of each port."""

    log: EntityLog
    ownership: Ownership
    documents: Documents
    blobs: Blobs
    volatile: Volatile
    closer: Callable[[], Awaitable[None]] = _nothing_to_close

    async def close(self) -> None:
        """Finish the writes that were accepted, then let go of files and threads. Idempotent."""
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


def open_stores(data_dir: Path, clock: Clock) -> Stores:
    """The embedded stores in `data_dir`, made when missing.

    Blocks for some milliseconds (opens files); needs no running event loop, and any loop may use the result.
    Raises Unavailable STORE_UNAVAILABLE when the folder cannot be used, Rejected DISALLOWED when a newer
    Segue wrote it.
    """
    main = Database(data_dir / "segue.db", MAIN, durability=Durability.FULL)
    try:
        volatile = Database(data_dir / "volatile.db", VOLATILE, durability=Durability.NONE)
        blobs = FileBlobs(data_dir / "blobs", main, clock)
    except BaseException:
        main.close()
        raise

    async def close() -> None:
        await blobs.close()
        await main.aclose()
        await volatile.aclose()

    return Stores(
        log=SqliteEntityLog(main),
        ownership=SqliteOwnership(main),
        documents=SqliteDocuments(main),
        blobs=blobs,
        volatile=SqliteVolatile(volatile, clock),
        closer=close,
    )

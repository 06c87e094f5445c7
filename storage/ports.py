"""What the rest of Segue asks of a store, and what each store promises in return.

Five small ports. Everything that must be safe is an *insert with a unique key*: a record of an entity's log,
an epoch of a shard, a document that may exist once. The loser of a race learns that it lost; nothing relies
on a conditional update or a transaction. All methods may suspend and raise `kernel.errors.Unavailable` with
STORE_UNAVAILABLE; after it the outcome of a write is unknown, and repeating the same insert is safe because
a repeat meets its own record.
"""

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from kernel.ids import HostId
from kernel.units import Millis


class LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One place in one entity's log."""

    key: str
    """The entity: `session/<user id>`."""
    seq: int
    """1, 2, 3, …: the place that the record takes. Unique with `key`."""
    owner_epoch: int
    """Epoch of the shard's owner that wrote it."""
    payload: bytes
    """Opaque to the store. Empty for a fence."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An entity's state after the record `seq`."""

    key: str
    seq: int
    payload: bytes


class Append(StrEnum):
    """What became of one record."""

    WRITTEN = "written"
    """It is there, durably; also when a repeat of the very same record found it there."""
    TAKEN = "taken"
    """Another record holds the place, or held it before a trim: no place at or before a snapshot is free."""


class EntityLog(Protocol):
    """Append-only log per entity, with snapshots."""

    async def append(self, records: Sequence[LogRecord]) -> list[Append]:
        """Insert records of any entities together; one outcome per record, in order.

        Durable when it returns. Not all-or-nothing: each record stands for itself.
        """
        ...

    async def load(self, key: str) -> tuple[Snapshot | None, list[LogRecord]]:
        """The newest snapshot, and the records after it in order of `seq`."""
        ...

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Keep the snapshot; then records and snapshots older than the previous snapshot may go.

        Idempotent: the state after one seq is one state.
        """
        ...


class ShardOwner(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch of one shard; the highest epoch owns."""

    shard: int
    owner_epoch: int
    host_id: HostId
    incarnation: int
    """Which life of that host."""
    why: str


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself; only that host writes it."""

    host_id: HostId
    incarnation: int
    heartbeat: int
    """Counts up once a second. Judged by change on the observer's monotonic clock, never compared to time."""
    address: str
    """`ws://host:port` that clients reach."""
    version: str
    state: str = "up"
    weight: float = 1.0


class Ownership(Protocol):
    """Who owns which shard: insert-only epochs."""

    async def claim(self, owners: Sequence[ShardOwner]) -> list[bool]:
        """Insert each epoch; False where that epoch of that shard was taken by somebody else, or was passed.

        A repeat by the same life of the same host is granted again. Durable when it returns.
        """
        ...

    async def owners(self) -> list[ShardOwner]:
        """The highest epoch of every shard that has one."""
        ...

    async def put_host(self, host: HostRecord) -> None:
        """Replace this host's record."""
        ...

    async def hosts(self) -> list[HostRecord]: ...


class Documents(Protocol):
    """Collections of opaque values under string ids; ids sort by their UTF-8 bytes."""

    async def get(self, collection: str, ids: Sequence[str]) -> list[bytes | None]:
        """Values in the order asked, None where there is none."""
        ...

    async def insert(self, collection: str, doc_id: str, value: bytes) -> bool:
        """False when the id exists; exactly one of several racing inserts wins. Durable when it returns."""
        ...

    async def put(self, collection: str, values: Sequence[tuple[str, bytes]]) -> None:
        """Insert or replace; the last writer wins. Durable when it returns."""
        ...

    async def delete(self, collection: str, ids: Sequence[str]) -> None: ...

    async def scan(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int
    ) -> list[tuple[str, bytes]]:
        """Up to `limit` pairs in id order, ids beginning with `prefix` and greater than `after`."""
        ...


class BlobInfo(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    """Bytes."""
    content_type: str


class Blobs(Protocol):
    """Immutable bytes under content-addressed keys (`audio/<sha256>`)."""

    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> None:
        """Keep the bytes, whole or not at all. A key that exists is left as it is."""
        ...

    async def info(self, key: str) -> BlobInfo | None:
        """None when there is no such blob."""
        ...

    def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Chunks of at most 256 KiB of bytes `start` to `end` (exclusive; None is the blob's end).

        Raises Rejected NOT_FOUND when there is no such blob.
        """
        ...

    async def delete(self, key: str) -> None: ...


class Volatile(Protocol):
    """Short-lived values shared by processes, last epoch wins; may be lost at any time."""

    async def put(self, key: str, value: bytes, *, epoch: int, ttl_ms: Millis) -> bool:
        """Keep the value unless one of a higher epoch is there; then False."""
        ...

    async def get(self, key: str) -> tuple[int, bytes] | None:
        """`(epoch, value)`; None when missing or expired."""
        ...

    async def changed(self, prefix: str, *, since: int) -> tuple[int, list[tuple[str, int, bytes]]]:
        """`(cursor, [(key, epoch, value)])` of live keys under `prefix` written after cursor `since`.

        For pollers (the edge learns newer device epochs so); start from 0.
        """
        ...

"""The five ports in process memory: for unit tests and the simulator. Nothing here survives the process.

Small real implementations, kept in step with the other adapters by `tests/contract`. Whoever shares one
object shares the data, so several hosts in one process race on it as they would on a server.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from kernel.errors import Code, Rejected
from kernel.ids import HostId
from kernel.units import Clock, Millis
from storage.blob_keys import CHUNK_BYTES, checked_blob_key
from storage.ports import Append, BlobInfo, HostRecord, LogRecord, ShardOwner, Snapshot

CHANGED_MAX = 10_000
"""Most rows of one `Volatile.changed`; the cursor stops at the last of them, and the next call goes on."""


class MemoryEntityLog:
    def __init__(self) -> None:
        self._records: defaultdict[str, dict[int, LogRecord]] = defaultdict(dict)
        self._snapshots: defaultdict[str, dict[int, Snapshot]] = defaultdict(dict)

    async def append(self, records: Sequence[LogRecord]) -> list[Append]:
        return [self._append(record) for record in records]

    def _append(self, record: LogRecord) -> Append:
        log = self._records[record.key]
        found = log.get(record.seq)
        if found is None:
            # A place at or before a snapshot was filled once, even when the trim has emptied it since.
            # Without this a writer that slept through two snapshots would be told that its record was kept.
            if any(seq >= record.seq for seq in self._snapshots[record.key]):
                return Append.TAKEN
            log[record.seq] = record
            return Append.WRITTEN
        return Append.WRITTEN if found == record else Append.TAKEN

    async def load(self, key: str) -> tuple[Snapshot | None, list[LogRecord]]:
        snapshots = self._snapshots[key]
        newest = snapshots[max(snapshots)] if snapshots else None
        after = newest.seq if newest else 0
        log = self._records[key]
        return newest, [log[seq] for seq in sorted(log) if seq > after]

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        snapshots = self._snapshots[snapshot.key]
        snapshots.setdefault(snapshot.seq, snapshot)
        if len(snapshots) < 2:
            return
        previous = sorted(snapshots)[-2]
        self._snapshots[snapshot.key] = {seq: kept for seq, kept in snapshots.items() if seq >= previous}
        log = self._records[snapshot.key]
        self._records[snapshot.key] = {seq: kept for seq, kept in log.items() if seq > previous}


class MemoryOwnership:
    def __init__(self) -> None:
        self._owners: dict[int, ShardOwner] = {}
        self._hosts: dict[HostId, HostRecord] = {}

    async def claim(self, owners: Sequence[ShardOwner]) -> list[bool]:
        return [self._claim(owner) for owner in owners]

    def _claim(self, owner: ShardOwner) -> bool:
        found = self._owners.get(owner.shard)
        if found is None or owner.owner_epoch > found.owner_epoch:
            self._owners[owner.shard] = owner
            return True
        return (found.owner_epoch, found.host_id, found.incarnation) == (
            owner.owner_epoch,
            owner.host_id,
            owner.incarnation,
        )

    async def owners(self) -> list[ShardOwner]:
        return [self._owners[shard] for shard in sorted(self._owners)]

    async def put_host(self, host: HostRecord) -> None:
        self._hosts[host.host_id] = host

    async def hosts(self) -> list[HostRecord]:
        return [self._hosts[host_id] for host_id in sorted(self._hosts)]


class MemoryDocuments:
    def __init__(self) -> None:
        self._values: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        # Python orders strings by code point, which is also the order of their UTF-8 bytes.
        self._ids: defaultdict[str, list[str]] = defaultdict(list)

    async def get(self, collection: str, ids: Sequence[str]) -> list[bytes | None]:
        values = self._values[collection]
        return [values.get(doc_id) for doc_id in ids]

    async def insert(self, collection: str, doc_id: str, value: bytes) -> bool:
        if doc_id in self._values[collection]:
            return False
        await self.put(collection, [(doc_id, value)])
        return True

    async def put(self, collection: str, values: Sequence[tuple[str, bytes]]) -> None:
        kept = self._values[collection]
        for doc_id, value in values:
            if doc_id not in kept:
                insort(self._ids[collection], doc_id)
            kept[doc_id] = value

    async def delete(self, collection: str, ids: Sequence[str]) -> None:
        order = self._ids[collection]
        for doc_id in ids:
            if self._values[collection].pop(doc_id, None) is not None:
                del order[bisect_left(order, doc_id)]

    async def scan(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int
    ) -> list[tuple[str, bytes]]:
        order = self._ids[collection]
        values = self._values[collection]
        first = max(bisect_left(order, prefix), bisect_right(order, after))
        found = []
        for doc_id in order[first : first + limit]:
            if not doc_id.startswith(prefix):
                break
            found.append((doc_id, values[doc_id]))
        return found


class MemoryBlobs:
    def __init__(self) -> None:
        self._blobs: dict[str, tuple[bytes, str]] = {}

    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> None:
        checked_blob_key(key)
        # Reading a file here blocks the loop, which is what a store for tests may do.
        data = source.read_bytes() if isinstance(source, Path) else bytes(source)  # noqa: ASYNC240
        self._blobs.setdefault(key, (data, content_type))

    async def info(self, key: str) -> BlobInfo | None:
        found = self._blobs.get(checked_blob_key(key))
        return BlobInfo(size=len(found[0]), content_type=found[1]) if found else None

    async def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        found = self._blobs.get(checked_blob_key(key))
        if found is None:
            raise Rejected(Code.NOT_FOUND, f"read of blob {key} rejected: there is no such blob")
        data = memoryview(found[0])[start:end]
        for offset in range(0, len(data), CHUNK_BYTES):
            yield bytes(data[offset : offset + CHUNK_BYTES])

    async def delete(self, key: str) -> None:
        self._blobs.pop(checked_blob_key(key), None)


class MemoryVolatile:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # key -> (epoch, value, expires_ms, change), in order of change.
        self._kept: dict[str, tuple[int, bytes, int, int]] = {}
        self._change = 0

    async def put(self, key: str, value: bytes, *, epoch: int, ttl_ms: Millis) -> bool:
        now_ms = self._clock.now_ms()
        found = self._kept.get(key)
        if found and found[0] > epoch and found[2] > now_ms:
            return False
        self._change += 1
        self._kept.pop(key, None)
        self._kept[key] = (epoch, value, now_ms + ttl_ms, self._change)
        # The oldest go first, so the expired do not pile up under a steady load.
        while self._kept and (oldest := next(iter(self._kept))) and self._kept[oldest][2] <= now_ms:
            del self._kept[oldest]
        return True

    async def get(self, key: str) -> tuple[int, bytes] | None:
        found = self._kept.get(key)
        return (found[0], found[1]) if found and found[2] > self._clock.now_ms() else None

    async def changed(self, prefix: str, *, since: int) -> tuple[int, list[tuple[str, int, bytes]]]:
        now_ms = self._clock.now_ms()
        found = []
        for key, (epoch, value, expires_ms, change) in self._kept.items():
            if change > since and key.startswith(prefix) and expires_ms > now_ms:
                found.append((key, epoch, value))
                if len(found) == CHANGED_MAX:
                    return change, found
        return max(self._change, since), found

"""An entity's place in its log: activation, the fence, appends, snapshots.

Every record is an insert under the unique key (entity, seq). Activation ends with an empty record of the new
owner: after it, whoever wrote before collides at the next insert and steps down. Whatever that writer had
committed by then is in the log and stays.

`LogWriter` is the host's one way to the store: the records of many entities go there together. While one
batch is being written the next one gathers: a quiet host commits at once, a busy one in large batches.
"""

import asyncio
from typing import NamedTuple

from kernel.errors import Code, Fenced, Unavailable
from kernel.units import Millis
from storage.ports import Append, EntityLog, LogRecord, Snapshot

BATCH_MAX = 256
WAITING_MAX = 8192
SNAPSHOT_EVERY = 64
"""Records between snapshots."""
_FENCE_TRIES = 8


class LogWriter:
    """Group commit for one host."""

    def __init__(self, log: EntityLog) -> None:
        self.log = log
        self._waiting: list[tuple[LogRecord, asyncio.Future[Append]]] = []
        self._task: asyncio.Task[None] | None = None

    async def append(self, record: LogRecord) -> Append:
        """Durable when it returns WRITTEN.

        Raises Unavailable BUSY when 8,192 records wait, STORE_UNAVAILABLE when the outcome is unknown.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable(
                Code.BUSY, f"record of {record.key} not taken: {WAITING_MAX} are waiting", None, Millis(500)
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Append] = loop.create_future()
        self._waiting.append((record, future))
        if self._task is None:
            self._task = loop.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                try:
                    outcomes = await self.log.append([record for record, _ in batch])
                except Exception as error:
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    if not future.done():
                        future.set_result(outcome)
        finally:
            self._task = None


class Loaded(NamedTuple):
    """What an activation found."""

    snapshot: bytes | None
    payloads: list[bytes]
    """Of the records after the snapshot, oldest first, fences left out."""


class Journal:
    """The log of one entity, as written by the owner of one epoch."""

    def __init__(self, writer: LogWriter, key: str, owner_epoch: int) -> None:
        self._writer = writer
        self.key = key
        self.owner_epoch = owner_epoch
        self.seq = 0
        """Place of the newest record."""
        self._snapshot_seq = 0

    async def open(self) -> Loaded:
        """Read the entity and put the fence behind what was read.

        Raises Fenced when a newer epoch has written already.
        """
        for _ in range(_FENCE_TRIES):
            snapshot, tail = await self._writer.log.load(self.key)
            self._snapshot_seq = snapshot.seq if snapshot else 0
            self.seq = tail[-1].seq if tail else self._snapshot_seq
            newest = max((record.owner_epoch for record in tail), default=0)
            if newest > self.owner_epoch:
                raise self._fenced(newest)
            loaded = Loaded(
                snapshot.payload if snapshot else None, [record.payload for record in tail if record.payload]
            )
            if await self._put(b"") is Append.WRITTEN:
                return loaded
        raise self._fenced(None)

    async def append(self, payload: bytes) -> None:
        """Commit one record; durable when it returns. Raises Fenced when another writer took the place."""
        if await self._put(payload) is Append.TAKEN:
            raise self._fenced(None)

    @property
    def wants_snapshot(self) -> bool:
        return self.seq - self._snapshot_seq >= SNAPSHOT_EVERY

    async def put_snapshot(self, payload: bytes) -> None:
        """Keep `payload` as the state after the newest record."""
        if self.seq == self._snapshot_seq:
            return
        await self._writer.log.put_snapshot(Snapshot(key=self.key, seq=self.seq, payload=payload))
        self._snapshot_seq = self.seq

    async def _put(self, payload: bytes) -> Append:
        record = LogRecord(key=self.key, seq=self.seq + 1, owner_epoch=self.owner_epoch, payload=payload)
        try:
            outcome = await self._writer.append(record)
        except Unavailable as error:
            if error.code is not Code.STORE_UNAVAILABLE:
                raise
            # The outcome is unknown. The same insert again either writes it or meets itself.
            outcome = await self._writer.append(record)
        if outcome is Append.WRITTEN:
            self.seq += 1
        return outcome

    def _fenced(self, epoch: int | None) -> Fenced:
        by = f"by epoch {epoch}" if epoch else "by another writer"
        return Fenced(
            Code.NOT_OWNER, f"{self.key} at seq {self.seq + 1}, epoch {self.owner_epoch}: place taken {by}"
        )

"""An entity's place in its log: activation, the fence, appends, snapshots.

Every record is an insert under the unique key (entity, seq). Activation ends with an empty record of the new
owner: after it, whoever wrote before collides at the next insert and steps down. Whatever that writer had
committed by then is in the log and stays.

`LogWriter` is the host's one way to the store: the records of many entities go there together. While one
batch is being written the next one gathers: a quiet host commits at once, a busy one in large batches.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

from kernel.errors import Code, Fenced, Unavailable
from kernel.units import Millis
from storage.ports import Append, EntityLog, LogRecord, Snapshot

BATCH_MAX = 256
WAITING_MAX = 8192
SNAPSHOT_EVERY = 64
"""Records between snapshots."""
TRY_AGAIN_S = 0.05
_FENCE_TRIES = 8

log = structlog.get_logger()


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
    seq: int
    """Place of the newest of all these; fences come after it."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A snapshot as stored: a log that ends with it still says who wrote last."""

    owner_epoch: int
    payload: bytes


_encode_kept = msgspec.msgpack.Encoder().encode
_decode_kept = msgspec.msgpack.Decoder(_Kept).decode


class Journal:
    """The log of one entity, as written by the owner of one epoch."""

    __slots__ = ("_snapshot_seq", "_writer", "in_doubt", "key", "owner_epoch", "seq")

    def __init__(self, writer: LogWriter, key: str, owner_epoch: int) -> None:
        self._writer = writer
        self.key = key
        self.owner_epoch = owner_epoch
        self.seq = 0
        """Place of the newest record."""
        self.in_doubt = False
        """Whether the store left it open if it took the last record. Only a new `open` can tell."""
        self._snapshot_seq = 0

    async def open(self) -> Loaded:
        """Read the entity and put the fence behind what was read.

        Raises Fenced when a newer epoch has written already.
        """
        for _ in range(_FENCE_TRIES):
            snapshot, tail = await self._writer.log.load(self.key)
            self._snapshot_seq = snapshot.seq if snapshot else 0
            self.seq = tail[-1].seq if tail else self._snapshot_seq
            kept = _decode_kept(snapshot.payload) if snapshot else None
            newest = max(record.owner_epoch for record in tail) if tail else kept.owner_epoch if kept else 0
            if newest > self.owner_epoch:
                raise self._fenced(newest)
            records = [record for record in tail if record.payload]
            loaded = Loaded(
                kept.payload if kept else None,
                [record.payload for record in records],
                records[-1].seq if records else self._snapshot_seq,
            )
            if await self._put(b"") is Append.WRITTEN:
                return loaded
        raise self._fenced(None)

    async def append(self, payload: bytes) -> None:
        """Commit one record; durable when it returns.

        Raises Fenced when another writer took the place, Unavailable when it was not taken or, with
        `in_doubt`, when nobody knows: then this journal is at its end.
        """
        if await self._put(payload) is Append.TAKEN:
            raise self._fenced(None)

    async def put_snapshot(self, payload: bytes) -> None:
        """Keep `payload` as the state after the newest record."""
        if self.seq == self._snapshot_seq:
            return
        kept = _encode_kept(_Kept(owner_epoch=self.owner_epoch, payload=payload))
        await self._writer.log.put_snapshot(Snapshot(key=self.key, seq=self.seq, payload=kept))
        self._snapshot_seq = self.seq

    async def put_snapshot_if_due(self, payload: Callable[[], bytes]) -> None:
        """Every 64 records. The log says all that a snapshot does, so a store that does not answer is
        asked again at the next record."""
        if self.seq - self._snapshot_seq < SNAPSHOT_EVERY:
            return
        try:
            await self.put_snapshot(payload())
        except Unavailable as error:
            log.warning("snapshot_not_written", key=self.key, seq=self.seq, why=str(error))

    async def _put(self, payload: bytes) -> Append:
        if self.in_doubt:
            raise Unavailable(
                Code.STORE_UNAVAILABLE, f"{self.key}: nobody knows what is at seq {self.seq + 1}"
            )
        record = LogRecord(key=self.key, seq=self.seq + 1, owner_epoch=self.owner_epoch, payload=payload)
        try:
            outcome = await self._writer.append(record)
        except Unavailable as error:
            if error.code is Code.BUSY:
                raise
            self.in_doubt = True
            await asyncio.sleep(TRY_AGAIN_S)
            # The same insert again either writes it or meets itself.
            outcome = await self._writer.append(record)
            self.in_doubt = False
        if outcome is Append.WRITTEN:
            self.seq += 1
        return outcome

    def _fenced(self, epoch: int | None) -> Fenced:
        by = f"by epoch {epoch}" if epoch else "by another writer"
        return Fenced(
            Code.NOT_OWNER, f"{self.key} at seq {self.seq + 1}, epoch {self.owner_epoch}: place taken {by}"
        )

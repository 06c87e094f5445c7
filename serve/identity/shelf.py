"""Documents that end: each is inserted once, and removed some time after it has lost its meaning.

A store has no expiry of its own, so every insert leaves a line in an index by time, and every now and then
whoever inserts removes the oldest few. Readers check the time themselves: what is still there may be over.
"""

from kernel.units import Clock, Millis
from storage.ports import Documents

INDEX = "expiries"
SWEEP_EVERY_S = 10.0
SWEPT_AT_ONCE = 200
"""Twenty a second go, at most; a server that lets in more in the long run has more than one process."""


class Shelf:
    def __init__(self, documents: Documents, clock: Clock) -> None:
        self.documents = documents
        self._clock = clock
        self._swept_s = clock.tick_s()

    async def insert(self, collection: str, doc_id: str, value: bytes, *, until_ms: Millis) -> bool:
        """False when it is there already. Raises Unavailable."""
        await self._sweep_if_due()
        # The line first: one without its document is swept, a document without its line would stay.
        await self.documents.put(INDEX, [(f"{until_ms:013d}/{collection}/{doc_id}", b"")])
        return await self.documents.insert(collection, doc_id, value)

    async def get(self, collection: str, doc_id: str) -> bytes | None:
        [found] = await self.documents.get(collection, [doc_id])
        return found

    async def _sweep_if_due(self) -> None:
        now_s = self._clock.tick_s()
        if now_s - self._swept_s >= SWEEP_EVERY_S:
            self._swept_s = now_s
            await self.sweep()

    async def sweep(self) -> int:
        """Remove at most SWEPT_AT_ONCE documents that are over; gives how many."""
        rows = await self.documents.scan(INDEX, limit=SWEPT_AT_ONCE)
        over = [line for line, _ in rows if int(line[:13]) <= self._clock.now_ms()]
        by_collection: dict[str, list[str]] = {}
        for line in over:
            _, collection, doc_id = line.split("/", 2)
            by_collection.setdefault(collection, []).append(doc_id)
        for collection, ids in by_collection.items():
            await self.documents.delete(collection, ids)
        if over:
            await self.documents.delete(INDEX, over)
        return len(over)

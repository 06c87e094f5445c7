"""The albums that were added last, worked out from the whole catalogue and kept until it changes.

The catalogue lists by name, not by date, and albums are looked at far more often than they are added.
"""

import asyncio
import heapq

from catalog.model import Album
from kernel.ids import AlbumId
from kernel.units import Clock, TickS
from storage.catalogue import PAGE_MAX, Catalogue

NEWEST_MAX = 100
SCANNED_MAX = 50_000
"""Albums looked at; a library beyond that shows the newest of its first so many."""
AGE_S = 5.0
"""How long an answer is good without asking whether the catalogue changed; while files are being taken in it
changes all the time."""


class Newest:
    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._reading = asyncio.Lock()
        self._revision = -1
        self._read_at: TickS | None = None
        self._ids: tuple[AlbumId, ...] = ()

    async def album_ids(self) -> tuple[AlbumId, ...]:
        """Newest first, at most `NEWEST_MAX`."""
        async with self._reading:
            now = self._clock.tick_s()
            if self._read_at is None or now - self._read_at > AGE_S:
                revision = await self._catalogue.revision()
                if revision != self._revision:
                    self._ids = await self._read()
                    self._revision = revision
                self._read_at = now
            return self._ids

    async def _read(self) -> tuple[AlbumId, ...]:
        newest: list[tuple[int, AlbumId]] = []
        after: str | None = None
        for _ in range(SCANNED_MAX // PAGE_MAX):
            page = await self._catalogue.album_page(after, PAGE_MAX)
            newest = heapq.nlargest(NEWEST_MAX, [*newest, *map(_dated, page.items)])
            after = page.after
            if after is None:
                break
        return tuple(album_id for _, album_id in newest)


def _dated(album: Album) -> tuple[int, AlbumId]:
    return album.added_at_ms, album.album_id

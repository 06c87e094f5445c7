"""A listener's library as it is stored: shelves of kept things, plays, and where episodes were left.

    saved           <user>/<shelf>/<item>             its place; inserted once: keeping twice changes nothing
    saved_by_place  <user>/<shelf>/<place>/<item>     nothing; the order of the shelf
    saved_changes   <user>/<shelf>                    anything new after each change
    plays           <user>/<newest first>/<play>      a `Play`
    resume_points   <user>/<episode>                  a `ResumeAt`

A row of `saved_by_place` counts only when `saved` names the same place, so a crash between the two leaves
nothing wrong to see, and repeating the request mends it.
"""

import secrets
from collections.abc import Sequence

import msgspec

from catalog.library import (
    Kept,
    Play,
    ResumeAt,
    Shelf,
    added_at_ms,
    check_room,
    place_of,
)
from kernel.ids import PlayId, TrackId, UserId
from kernel.units import Clock, Millis
from storage.ports import Documents
from storage.recent import Recent

SCAN_ROWS = 2_000
SHELVES_CACHED_MAX = 64
SHELVES_TTL_MS = Millis(60_000)
PLAYS_READ_MAX = 5_000
"""Plays that top items are counted from."""
PLAYS_KEPT_MS = Millis(400 * 24 * 3600 * 1000)
"""A year, which is the longest that top items look back, and some."""
PLAYS_FORGOTTEN_MAX = 20
"""With each new play; so old ones go faster than new ones come."""
_LATEST_MS = 10**15 - 1


class Library:
    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock
        # user/shelf -> (change it was read under, what is on it)
        self._shelves: Recent[str, tuple[bytes, tuple[Kept, ...]]] = Recent(
            clock, items_max=SHELVES_CACHED_MAX, ttl_ms=SHELVES_TTL_MS
        )

    # --- shelves ------------------------------------------------------------------------------------

    async def keep(self, user_id: UserId, shelf: Shelf, ids: Sequence[str]) -> None:
        """Durable when it returns. What is kept already stays where it is. Raises Rejected DISALLOWED."""
        base = f"{user_id}/{shelf}"
        ids = list(dict.fromkeys(ids))
        check_room(shelf, len(await self.shelf(user_id, shelf)), len(ids))
        now_ms = self._clock.now_ms()
        rows: list[tuple[str, bytes]] = []
        for index, item_id in enumerate(ids):
            place = place_of(now_ms, index)
            if not await self._documents.insert("saved", f"{base}/{item_id}", place.encode()):
                [found] = await self._documents.get("saved", [f"{base}/{item_id}"])
                place = (found or place.encode()).decode()
            rows.append((f"{base}/{place}/{item_id}", b""))
        await self._documents.put("saved_by_place", rows)
        await self._changed(base)

    async def drop(self, user_id: UserId, shelf: Shelf, ids: Sequence[str]) -> None:
        """Durable when it returns. What is not kept is no error."""
        base = f"{user_id}/{shelf}"
        names = [f"{base}/{item_id}" for item_id in ids]
        places = await self._documents.get("saved", names)
        await self._documents.delete("saved", names)
        rows = [
            f"{base}/{place.decode()}/{item_id}"
            for item_id, place in zip(ids, places, strict=True)
            if place is not None
        ]
        await self._documents.delete("saved_by_place", rows)
        await self._changed(base)

    async def holds(self, user_id: UserId, shelf: Shelf, ids: Sequence[str]) -> tuple[bool, ...]:
        found = await self._documents.get("saved", [f"{user_id}/{shelf}/{item_id}" for item_id in ids])
        return tuple(place is not None for place in found)

    async def shelf(self, user_id: UserId, shelf: Shelf) -> tuple[Kept, ...]:
        """All of it, newest first."""
        base = f"{user_id}/{shelf}"
        # Read before the rows: rows that are newer than it are read again, never the other way round.
        [change] = await self._documents.get("saved_changes", [base])
        if change is None:
            return ()
        cached = self._shelves.get(base)
        if cached is not None and cached[0] == change:
            return cached[1]
        kept = await self._read(base)
        self._shelves.put(base, (change, kept))
        return kept

    async def _read(self, base: str) -> tuple[Kept, ...]:
        found: list[Kept] = []
        after = ""
        while True:
            rows = await self._documents.scan(
                "saved_by_place", prefix=f"{base}/", after=after, limit=SCAN_ROWS
            )
            split = [row.rsplit("/", 2)[1:] for row, _ in rows]
            places = await self._documents.get("saved", [f"{base}/{item_id}" for _, item_id in split])
            found += [
                Kept(item_id=item_id, place=place, added_at_ms=added_at_ms(place))
                for (place, item_id), known in zip(split, places, strict=True)
                if known is not None and known.decode() == place
            ]
            if len(rows) < SCAN_ROWS:
                return tuple(found)
            after = rows[-1][0]

    async def _changed(self, base: str) -> None:
        await self._documents.put("saved_changes", [(base, secrets.token_bytes(8))])

    # --- plays --------------------------------------------------------------------------------------

    async def note_play(self, user_id: UserId, play_id: PlayId, play: Play) -> None:
        """Repeating it is safe: a play is known by its id and its time. Plays grown too old go."""
        key = f"{_played(user_id, play.played_at_ms)}/{play_id}"
        await self._documents.insert("plays", key, msgspec.msgpack.encode(play))
        oldest = _played(user_id, Millis(max(0, self._clock.now_ms() - PLAYS_KEPT_MS)))
        rows = await self._documents.scan(
            "plays", prefix=f"{user_id}/", after=f"{oldest}~", limit=PLAYS_FORGOTTEN_MAX
        )
        await self._documents.delete("plays", [row for row, _ in rows])

    async def plays(
        self, user_id: UserId, *, limit: int, before_ms: Millis | None = None, after_ms: Millis | None = None
    ) -> list[Play]:
        """Newest first: those before `before_ms`, and those after `after_ms`."""
        first = f"{_played(user_id, before_ms)}~" if before_ms is not None else ""
        rows = await self._documents.scan("plays", prefix=f"{user_id}/", after=first, limit=limit)
        found = [_decode_play(value) for _, value in rows]
        return [play for play in found if after_ms is None or play.played_at_ms > after_ms]

    # --- episodes -----------------------------------------------------------------------------------

    async def put_resume_point(self, user_id: UserId, episode_id: TrackId, resume: ResumeAt) -> None:
        """The last writer wins."""
        value = msgspec.msgpack.encode(resume)
        await self._documents.put("resume_points", [(f"{user_id}/{episode_id}", value)])

    async def resume_points(self, user_id: UserId, ids: Sequence[TrackId]) -> list[ResumeAt | None]:
        """In the order asked, None for what was never begun."""
        found = await self._documents.get("resume_points", [f"{user_id}/{each}" for each in ids])
        return [_decode_resume(value) if value is not None else None for value in found]


def _played(user_id: UserId, at_ms: Millis) -> str:
    """What begins the row of a play at that time; with `~` behind it, the earlier ones come after."""
    return f"{user_id}/{_LATEST_MS - at_ms:015d}"


_decode_play = msgspec.msgpack.Decoder(Play).decode
_decode_resume = msgspec.msgpack.Decoder(ResumeAt).decode

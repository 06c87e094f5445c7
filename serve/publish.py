"""Makes the catalogue show what all that is remembered of the library amounts to.

Writes only what differs: each source carries the digest of its track as it was last written.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from hashlib import sha256
from typing import Final, Protocol, TypeVar

import msgspec

from catalog.model import Album, Artist, Track
from kernel.ids import TrackId
from media.library import Shelf, Source, catalogue_of
from storage.catalogue import PAGE_MAX, Catalogue, Page
from storage.ports import Documents

T = TypeVar("T")

WRITE_BATCH: Final = 1_000
"""Items written together. Each call costs the store a few commits, however many items it has."""
SCAN_PAGE: Final = 1_000
SOURCES: Final = "library"
"""Collection: path inside the library → Source."""


async def publish(
    shelf: Shelf, catalogue: Catalogue, documents: Documents
) -> tuple[dict[TrackId, Track], int, int]:
    """Write whatever of the catalogue differs. Gives the tracks, and the numbers of albums and artists."""
    made = catalogue_of(shelf.sources.values())
    # Listings of an older Segue lack rows: then everything is put again, which makes them.
    again = not await catalogue.has_all_listings()
    differs = [
        (track, digest)
        for track_id, track in made.tracks.items()
        if (digest := _digest(track)) != shelf.sources[made.shown_by[track_id]].published or again
    ]
    for at in range(0, len(differs), WRITE_BATCH):
        batch = differs[at : at + WRITE_BATCH]
        stored = await catalogue.tracks([track.track_id for track, _ in batch])
        await catalogue.put_tracks(
            [
                msgspec.structs.replace(track, renditions=old.renditions if old else ())
                for (track, _), old in zip(batch, stored, strict=True)
            ]
        )
        published = [
            msgspec.structs.replace(shelf.sources[made.shown_by[track.track_id]], published=digest)
            for track, digest in batch
        ]
        for source in published:
            shelf.put(source)
        await write_sources(documents, published)
    await _publish_albums(catalogue, list(made.albums.values()), again=again)
    await _publish_artists(catalogue, list(made.artists.values()), again=again)
    await catalogue.mark_all_listings()
    return dict(made.tracks), len(made.albums), len(made.artists)


async def read_sources(documents: Documents) -> AsyncIterator[Source]:
    """Everything remembered of the library, in order of path."""
    after = ""
    while rows := await documents.scan(SOURCES, after=after, limit=SCAN_PAGE):
        for _, value in rows:
            yield msgspec.msgpack.decode(value, type=Source)
        after = rows[-1][0]


async def write_sources(documents: Documents, sources: Sequence[Source]) -> None:
    await documents.put(SOURCES, [(source.rel, msgspec.msgpack.encode(source)) for source in sources])


async def _publish_albums(catalogue: Catalogue, albums: list[Album], *, again: bool) -> None:
    made = {album.album_id: album for album in albums}
    stored = {album.album_id: album async for album in _all(catalogue.album_page)}
    stored |= {show.album_id: show async for show in _all(catalogue.show_page)}
    changed = [album for album_id, album in made.items() if again or stored.get(album_id) != album]
    for at in range(0, len(changed), WRITE_BATCH):
        await catalogue.put_albums(changed[at : at + WRITE_BATCH])
    await catalogue.delete_albums([album_id for album_id in stored if album_id not in made])


async def _publish_artists(catalogue: Catalogue, artists: list[Artist], *, again: bool) -> None:
    made = {artist.artist_id: artist for artist in artists}
    stored = {artist.artist_id: artist async for artist in _all(catalogue.artist_page)}
    changed = [artist for artist_id, artist in made.items() if again or stored.get(artist_id) != artist]
    for at in range(0, len(changed), WRITE_BATCH):
        await catalogue.put_artists(changed[at : at + WRITE_BATCH])
    await catalogue.delete_artists([artist_id for artist_id in stored if artist_id not in made])


class _Paged(Protocol[T]):
    def __call__(self, after: str | None, limit: int) -> Awaitable[Page[T]]: ...


async def _all(page_of: _Paged[T]) -> AsyncIterator[T]:
    """Every item of a listing."""
    after: str | None = None
    while True:
        page = await page_of(after, PAGE_MAX)
        for item in page.items:
            yield item
        if page.after is None:
            return
        after = page.after


def _digest(track: Track) -> str:
    return sha256(msgspec.msgpack.encode(track)).hexdigest()[:32]

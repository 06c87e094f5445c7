"""The catalogue as it is stored: tracks, albums and artists by id, and their listings.

Knows how values are laid out in collections; knows nothing of music files or of REST. A listing is a
collection whose ids are sort keys, so it pages on every document store. `put` changes the listings before the
item: a repeat after a crash finds the old item, and with it the rows that must go. A row whose item is not
there is skipped. Different items may be put by several writers at once, one item by one writer at a time.
"""

import asyncio
import unicodedata
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from catalog.model import Album, Artist, Track
from kernel.ids import AlbumId, ArtistId, TrackId
from kernel.units import Clock, Millis
from storage.ports import Documents
from storage.recent import Recent

CACHE_ITEMS_MAX = 10_000
"""Per kind. A track with its renditions takes a few kB."""
CACHE_TTL_MS = Millis(2_000)
"""How long a process may show what another has changed since."""
SORT_KEY_CHARS_MAX = 120
REVISIONS_MAX = 1_000
"""Far more than there are writers, each of which leaves at most a few revisions behind for a moment."""
PAGE_MAX = 500
"""Most items of one page; more are not an error, there is another page."""
LISTINGS_VERSION = b"2"
"""Raise it when items have rows that they did not have before."""
GENRES_MAX = 500
FOUND_MAX = 1_000
"""Rows of the index of words that one search looks at."""
WORDS_MAX = 16
"""Words of one item that it is found by."""

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a listing."""

    items: list[T]
    after: str | None
    """Give it back to get what follows; None at the end."""


class Catalogue:
    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._tracks = _Kind(documents, clock, "tracks", Track, lambda track: track.track_id, _track_rows)
        self._albums = _Kind(documents, clock, "albums", Album, lambda album: album.album_id, _album_rows)
        self._artists = _Kind(documents, clock, "artists", Artist, lambda a: a.artist_id, _artist_rows)

    async def tracks(self, ids: Sequence[TrackId]) -> list[Track | None]:
        """In the order asked, None where there is none; at most `CACHE_TTL_MS` old."""
        return await self._tracks.get(ids)

    async def copy_of(self, track: Track) -> Track | None:
        """The same recording (ISRC) in other files, when its own are gone; None when there is none."""
        if track.is_there or track.isrc is None or not track.artist_ids:
            return None
        theirs = await self.tracks_by_artist(track.artist_ids[0])
        return next((each for each in theirs if each.isrc == track.isrc and each.is_there), None)

    async def albums(self, ids: Sequence[AlbumId]) -> list[Album | None]:
        return await self._albums.get(ids)

    async def artists(self, ids: Sequence[ArtistId]) -> list[Artist | None]:
        return await self._artists.get(ids)

    async def put_tracks(self, tracks: Sequence[Track]) -> None:
        """Insert or replace, listings included. Durable when it returns; repeating it is safe."""
        await self._tracks.put(tracks)
        await self._count_revision(bool(tracks))

    async def put_albums(self, albums: Sequence[Album]) -> None:
        await self._albums.put(albums)
        await self._count_revision(bool(albums))

    async def put_artists(self, artists: Sequence[Artist]) -> None:
        await self._artists.put(artists)
        await self._count_revision(bool(artists))

    async def delete_albums(self, ids: Sequence[AlbumId]) -> None:
        """For an album that a retag emptied. Tracks are never deleted: they become unavailable."""
        await self._albums.delete(ids)
        await self._count_revision(bool(ids))

    async def delete_artists(self, ids: Sequence[ArtistId]) -> None:
        await self._artists.delete(ids)
        await self._count_revision(bool(ids))

    async def album_page(self, after: str | None = None, limit: int = 50) -> Page[Album]:
        """Albums by artist, then title, regardless of case and accents."""
        return await self._page(self._albums, "albums_by_name", "", after, limit)

    async def show_page(self, after: str | None = None, limit: int = 50) -> Page[Album]:
        """Shows by publisher, then title, as `album_page` has the albums."""
        return await self._page(self._albums, "shows_by_name", "", after, limit)

    async def artist_page(self, after: str | None = None, limit: int = 50) -> Page[Artist]:
        """Artists by name, regardless of case and accents."""
        return await self._page(self._artists, "artists_by_name", "", after, limit)

    async def tracks_by_artist(self, artist_id: ArtistId, limit: int = PAGE_MAX) -> list[Track]:
        """In no particular order."""
        page = await self._page(self._tracks, "tracks_by_artist", f"{artist_id}/", None, limit)
        return page.items

    async def tracks_by_genre(self, genre: str, limit: int = PAGE_MAX) -> list[Track]:
        """In no particular order; `genre` as in `Track.genres`."""
        page = await self._page(self._tracks, "tracks_by_genre", f"{sort_key(genre)}/", None, limit)
        return page.items

    async def albums_by_genre(self, genre: str, limit: int = PAGE_MAX) -> list[Album]:
        """In no particular order; `genre` as in `Album.genres`, or its sort key."""
        page = await self._page(self._albums, "albums_by_genre", f"{sort_key(genre)}/", None, limit)
        return page.items

    async def genres(self, limit: int = GENRES_MAX) -> list[str]:
        """The sort keys of all genres that albums have, in order."""
        found: list[str] = []
        after = ""
        while len(found) < limit:
            rows = await self._documents.scan("albums_by_genre", after=after, limit=1)
            if not rows:
                break
            key = rows[0][0].partition("/")[0]
            found.append(key)
            after = f"{key}0"  # the character after the slash: behind every album of this genre
        return sorted(found)

    async def find_tracks(self, words: str) -> list[Track]:
        """Whose title and artists have a word beginning with each of `words`, in no particular order.

        Regardless of case and accents. Of a very common beginning only `FOUND_MAX` are looked at.
        """
        return await self._find(self._tracks, "track_words", words, _track_words)

    async def find_albums(self, words: str) -> list[Album]:
        """As `find_tracks`; shows too."""
        return await self._find(self._albums, "album_words", words, _album_words)

    async def find_artists(self, words: str) -> list[Artist]:
        return await self._find(self._artists, "artist_words", words, _artist_words)

    async def _find(
        self, kind: "_Kind[T]", listing: str, text: str, words_of: Callable[[T], set[str]]
    ) -> list[T]:
        wanted = sort_key(text).split()
        if not wanted:
            return []
        # The longest says the most; the others are looked for in what it finds.
        rows = await self._documents.scan(listing, prefix=max(wanted, key=len), limit=FOUND_MAX)
        found = await kind.get(list(dict.fromkeys(value.decode() for _, value in rows)))
        return [
            item
            for item in found
            if item is not None
            and all(any(has.startswith(word) for has in words_of(item)) for word in wanted)
        ]

    async def has_all_listings(self) -> bool:
        """False for a catalogue whose items were put by a Segue that knew fewer listings."""
        [version] = await self._documents.get("catalogue_listings", ["version"])
        return version == LISTINGS_VERSION

    async def mark_all_listings(self) -> None:
        """To be said when every item was put since `has_all_listings` was false."""
        if not await self.has_all_listings():
            await self._documents.put("catalogue_listings", [("version", LISTINGS_VERSION)])

    async def revision(self) -> int:
        """Grows whenever anything changes; 0 for a catalogue that was never written."""
        rows = await self._documents.scan("catalogue_revisions", limit=REVISIONS_MAX)
        return int(rows[-1][0]) if rows else 0

    async def _page(
        self, kind: "_Kind[T]", listing: str, prefix: str, after: str | None, limit: int
    ) -> Page[T]:
        limit = max(1, min(limit, PAGE_MAX))
        rows = await self._documents.scan(listing, prefix=prefix, after=after or "", limit=limit)
        found = await kind.get([value.decode() for _, value in rows])
        return Page(
            items=[item for item in found if item is not None],
            after=rows[-1][0] if len(rows) == limit else None,
        )

    async def _count_revision(self, changed: bool) -> None:
        """Make `revision` greater than what anybody has seen, also beside other writers."""
        if not changed:
            return
        # A number is an insert with a unique key, and only numbers below the greatest are ever deleted. So if
        # mine is the greatest after it went in, nobody has seen it before, or a greater one.
        while True:
            mine = await self.revision() + 1
            inserted = await self._documents.insert("catalogue_revisions", _revision_id(mine), b"")
            if inserted and await self.revision() == mine:
                break
        rows = await self._documents.scan("catalogue_revisions", limit=REVISIONS_MAX)
        older = [row for row, _ in rows if row < _revision_id(mine)]
        await self._documents.delete("catalogue_revisions", older)


class _Kind(Generic[T]):
    """One kind of item: its collection, its listings and a cache in front."""

    def __init__(
        self,
        documents: Documents,
        clock: Clock,
        collection: str,
        of: type[T],
        id_of: Callable[[T], str],
        rows_of: Callable[[T], set[tuple[str, str]]],
    ) -> None:
        self._documents = documents
        self._collection = collection
        self._id_of = id_of
        self._rows_of = rows_of
        self._decode = msgspec.msgpack.Decoder(of).decode
        self._recent: Recent[str, T] = Recent(clock, items_max=CACHE_ITEMS_MAX, ttl_ms=CACHE_TTL_MS)

    async def get(self, ids: Sequence[str]) -> list[T | None]:
        found = {item_id: item for item_id in ids if (item := self._recent.get(item_id)) is not None}
        missing = [item_id for item_id in dict.fromkeys(ids) if item_id not in found]
        for item_id, item in (await self._stored(missing)).items():
            self._recent.put(item_id, item)
            found[item_id] = item
        return [found.get(item_id) for item_id in ids]

    async def put(self, items: Sequence[T]) -> None:
        """The last one wins where an id comes twice."""
        after = {self._id_of(item): item for item in items}
        before = await self._stored(list(after))
        gone = _listed(before, self._rows_of)
        listed = _listed(after, self._rows_of)
        # Together: an embedded store commits them as one.
        await asyncio.gather(
            *(
                self._documents.put(listing, [(row, item_id.encode()) for row, item_id in rows.items()])
                for listing, rows in listed.items()
            )
        )
        for listing, rows in listed.items():
            for row in rows:
                gone.get(listing, {}).pop(row, None)
        await self._unlist(gone)
        await self._documents.put(self._collection, [(key, _encode(item)) for key, item in after.items()])
        for item_id, item in after.items():
            self._recent.put(item_id, item)

    async def delete(self, ids: Sequence[str]) -> None:
        await self._unlist(_listed(await self._stored(ids), self._rows_of))
        await self._documents.delete(self._collection, ids)
        for item_id in ids:
            self._recent.drop(item_id)

    async def _stored(self, ids: Sequence[str]) -> dict[str, T]:
        values = await self._documents.get(self._collection, ids)
        return {
            item_id: self._decode(value)
            for item_id, value in zip(ids, values, strict=True)
            if value is not None
        }

    async def _unlist(self, rows: dict[str, dict[str, str]]) -> None:
        for listing, gone in rows.items():
            await self._documents.delete(listing, list(gone))


def _listed(items: dict[str, T], rows_of: Callable[[T], set[tuple[str, str]]]) -> dict[str, dict[str, str]]:
    """listing -> row -> id of the item in that row."""
    listings: dict[str, dict[str, str]] = {}
    for item_id, item in items.items():
        for listing, row in rows_of(item):
            listings.setdefault(listing, {})[row] = item_id
    return listings


def _track_rows(track: Track) -> set[tuple[str, str]]:
    by_artist = {("tracks_by_artist", f"{artist_id}/{track.track_id}") for artist_id in track.artist_ids}
    by_genre = {
        ("tracks_by_genre", f"{key}/{track.track_id}") for genre in track.genres if (key := sort_key(genre))
    }
    return by_artist | by_genre | _word_rows("track_words", _track_words(track), track.track_id)


def _album_rows(album: Album) -> set[tuple[str, str]]:
    artists = sort_key(", ".join(album.artist_names))
    listing = "shows_by_name" if album.is_show else "albums_by_name"
    by_name = {(listing, f"{artists} /{sort_key(album.title)} /{album.album_id}")}
    genres = () if album.is_show else album.genres
    by_genre = {("albums_by_genre", f"{key}/{album.album_id}") for each in genres if (key := sort_key(each))}
    return by_name | by_genre | _word_rows("album_words", _album_words(album), album.album_id)


def _artist_rows(artist: Artist) -> set[tuple[str, str]]:
    by_name = {("artists_by_name", f"{sort_key(artist.name)} /{artist.artist_id}")}
    return by_name | _word_rows("artist_words", _artist_words(artist), artist.artist_id)


def _track_words(track: Track) -> set[str]:
    return _words(track.title, *track.artist_names)


def _album_words(album: Album) -> set[str]:
    return _words(album.title, *album.artist_names)


def _artist_words(artist: Artist) -> set[str]:
    return _words(artist.name)


def _words(*names: str) -> set[str]:
    words = dict.fromkeys(word for name in names for word in sort_key(name).split())
    return set(list(words)[:WORDS_MAX])


def _word_rows(listing: str, words: set[str], item_id: str) -> set[tuple[str, str]]:
    return {(listing, f"{word}/{item_id}") for word in words}


def sort_key(text: str) -> str:
    """What `text` is listed under: its letters and digits without case and accents, in words.

    Single spaces stand between words. ` /` after it ends a part of a longer key: the slash is below every
    letter and digit, so "Abba" stands before "Abba Gold", and the space keeps both before "Abbas". Empty when
    the text has no letter or digit.
    """
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(char if char.isalnum() else " " for char in plain if not unicodedata.combining(char))
    return " ".join(kept.split())[:SORT_KEY_CHARS_MAX]


_encode = msgspec.msgpack.Encoder().encode


def _revision_id(number: int) -> str:
    return f"{number:015d}"

"""The catalogue over every document store."""

import asyncio
from random import Random

import pytest

from catalog.model import Album, Artist, Track
from kernel.ids import AlbumId, ArtistId, TrackId
from kernel.units import Millis
from storage.catalogue import CACHE_TTL_MS, Catalogue, sort_key
from storage.ports import Documents
from storage.stores import Stores
from tests.support.clock import FakeClock


def track(
    track_id: str, *, artists: tuple[str, ...] = ("a1",), genres: tuple[str, ...] = (), **more: str
) -> Track:
    return Track(
        track_id=TrackId(track_id),
        title=more.get("title", track_id),
        artist_ids=tuple(ArtistId(artist) for artist in artists),
        artist_names=artists,
        album_id=AlbumId("al1"),
        album_title="Album",
        duration_ms=Millis(90_500),
        genres=genres,
    )


def album(album_id: str, title: str, *artists: str) -> Album:
    return Album(
        album_id=AlbumId(album_id),
        title=title,
        artist_ids=(),
        artist_names=artists,
        track_ids=(),
        added_at_ms=Millis(1),
    )


def artist(artist_id: str, name: str) -> Artist:
    return Artist(artist_id=ArtistId(artist_id), name=name, album_ids=())


@pytest.fixture
def catalogue(stores: Stores, clock: FakeClock) -> Catalogue:
    return Catalogue(stores.documents, clock)


@pytest.fixture
def replica(stores: Stores, clock: FakeClock) -> Catalogue:
    """The same catalogue seen from another process."""
    return Catalogue(stores.documents, clock)


async def test_items_come_in_the_order_asked_with_none_for_what_is_not_there(catalogue: Catalogue) -> None:
    one, two = track("t1"), track("t2")
    await catalogue.put_tracks([one, two])
    found = await catalogue.tracks([TrackId("t2"), TrackId("t0"), TrackId("t1"), TrackId("t2")])
    assert found == [two, None, one, two]
    assert await catalogue.tracks([]) == []


async def test_another_process_reads_what_was_put(catalogue: Catalogue, replica: Catalogue) -> None:
    await catalogue.put_tracks([track("t1")])
    await catalogue.put_albums([album("al1", "Album", "Ann")])
    await catalogue.put_artists([artist("a1", "Ann")])
    assert await replica.tracks([TrackId("t1")]) == [track("t1")]
    assert await replica.albums([AlbumId("al1")]) == [album("al1", "Album", "Ann")]
    assert await replica.artists([ArtistId("a1")]) == [artist("a1", "Ann")]


async def test_a_change_is_seen_at_once_where_it_was_made_and_elsewhere_within_the_time_to_live(
    catalogue: Catalogue, replica: Catalogue, clock: FakeClock
) -> None:
    old, new = track("t1", title="old"), track("t1", title="new")
    await catalogue.put_tracks([old])
    assert await replica.tracks([TrackId("t1")]) == [old]
    await catalogue.put_tracks([new])
    assert await catalogue.tracks([TrackId("t1")]) == [new]
    clock.advance(CACHE_TTL_MS)
    assert await replica.tracks([TrackId("t1")]) == [new]


async def test_what_is_not_there_yet_is_seen_as_soon_as_it_is(
    catalogue: Catalogue, replica: Catalogue
) -> None:
    assert await replica.tracks([TrackId("t1")]) == [None]
    await catalogue.put_tracks([track("t1")])
    assert await replica.tracks([TrackId("t1")]) == [track("t1")]


async def test_albums_are_listed_by_artist_then_title_without_case_and_accents(catalogue: Catalogue) -> None:
    in_order = [
        album("8", "Gold", "ABBA"),
        album("7", "waterloo", "Abba"),
        album("6", "Arrival", "Abba Tribute"),
        album("5", "Anything", "Abbas"),
        album("4", "Été", "Édith Piaf"),
        album("3", "Zoo", "edith piaf"),
        album("2", "1", "Edith Zed"),
        album("1", "Ágætis byrjun", "Sigur Rós"),
    ]
    shuffled = Random(3).sample(in_order, len(in_order))
    await catalogue.put_albums(shuffled)
    assert (await catalogue.album_page()).items == in_order


async def test_pages_joined_are_the_whole_listing(catalogue: Catalogue) -> None:
    in_order = [artist(f"id{number}", f"Name {number:03d}") for number in range(25)]
    await catalogue.put_artists(in_order)
    seen: list[Artist] = []
    after = None
    pages = 0
    while True:
        page = await catalogue.artist_page(after, limit=10)
        seen += page.items
        after = page.after
        pages += 1
        if after is None:
            break
    assert seen == in_order
    assert pages == 3


async def test_a_renamed_album_is_listed_once_under_its_new_name(catalogue: Catalogue) -> None:
    await catalogue.put_albums([album("1", "Alpha", "Ann"), album("2", "Beta", "Ann")])
    renamed = album("1", "Gamma", "Ann")
    await catalogue.put_albums([renamed])
    assert (await catalogue.album_page()).items == [album("2", "Beta", "Ann"), renamed]


async def test_a_deleted_album_and_artist_are_neither_listed_nor_found(catalogue: Catalogue) -> None:
    await catalogue.put_albums([album("1", "Alpha", "Ann"), album("2", "Beta", "Ann")])
    await catalogue.put_artists([artist("a1", "Ann")])
    await catalogue.delete_albums([AlbumId("1"), AlbumId("never there")])
    await catalogue.delete_artists([ArtistId("a1")])
    assert (await catalogue.album_page()).items == [album("2", "Beta", "Ann")]
    assert await catalogue.albums([AlbumId("1")]) == [None]
    assert (await catalogue.artist_page()).items == []
    assert await catalogue.artists([ArtistId("a1")]) == [None]


async def test_tracks_are_found_by_each_of_their_artists_and_genres(catalogue: Catalogue) -> None:
    both = track("t1", artists=("a1", "a2"), genres=("trip hop", "dub"))
    one = track("t2", artists=("a1",), genres=("dub",))
    await catalogue.put_tracks([both, one, track("t3", artists=("a10",), genres=("dubstep", "???"))])
    assert sorted(t.track_id for t in await catalogue.tracks_by_artist(ArtistId("a1"))) == ["t1", "t2"]
    assert await catalogue.tracks_by_artist(ArtistId("a2")) == [both]
    assert await catalogue.tracks_by_genre("Trip Hop") == [both]
    assert sorted(t.track_id for t in await catalogue.tracks_by_genre("dub")) == ["t1", "t2"]
    assert len(await catalogue.tracks_by_genre("dub", limit=1)) == 1
    assert await catalogue.tracks_by_genre("???") == []


async def test_a_retagged_track_leaves_the_listings_it_no_longer_belongs_to(catalogue: Catalogue) -> None:
    await catalogue.put_tracks([track("t1", artists=("a1", "a2"), genres=("dub", "jazz"))])
    retagged = track("t1", artists=("a2", "a3"), genres=("jazz", "soul"))
    await catalogue.put_tracks([retagged])
    assert await catalogue.tracks_by_artist(ArtistId("a1")) == []
    assert await catalogue.tracks_by_genre("dub") == []
    for artist_id in ("a2", "a3"):
        assert await catalogue.tracks_by_artist(ArtistId(artist_id)) == [retagged]
    for genre in ("jazz", "soul"):
        assert await catalogue.tracks_by_genre(genre) == [retagged]


class Dies:
    """A document store whose process ends after so many writes."""

    def __init__(self, documents: Documents, writes: int) -> None:
        self._documents = documents
        self._writes = writes

    def __getattr__(self, verb: str) -> object:
        method = getattr(self._documents, verb)
        if verb not in ("put", "delete", "insert"):
            return method

        async def write(*args: object) -> object:
            self._writes -= 1
            if self._writes < 0:
                raise SystemError("died")
            return await method(*args)

        return write


@pytest.mark.parametrize("writes", range(6))
async def test_a_put_that_died_anywhere_is_healed_by_its_repeat(
    stores: Stores, clock: FakeClock, writes: int
) -> None:
    old, new = track("t1", artists=("a1",), genres=("dub",)), track("t1", artists=("a2",), genres=("jazz",))
    await Catalogue(stores.documents, clock).put_tracks([old])
    # The cast is not needed by Python: it answers to every verb of the port.
    dying: Documents = Dies(stores.documents, writes)  # type: ignore[assignment]
    with pytest.raises(SystemError):
        await Catalogue(dying, clock).put_tracks([new])
    # Whoever reads in between sees a track or none, never a fault.
    between = Catalogue(stores.documents, clock)
    await between.tracks_by_artist(ArtistId("a1"))
    await between.tracks_by_genre("jazz")
    after = Catalogue(stores.documents, clock)
    await after.put_tracks([new])
    assert await after.tracks_by_artist(ArtistId("a1")) == []
    assert await after.tracks_by_genre("dub") == []
    assert await after.tracks_by_artist(ArtistId("a2")) == [new]
    assert await after.tracks_by_genre("jazz") == [new]


async def test_the_revision_grows_with_each_change_and_only_then(
    catalogue: Catalogue, replica: Catalogue
) -> None:
    seen = [await replica.revision()]
    assert seen == [0]
    await catalogue.put_tracks([track("t1")])
    seen.append(await replica.revision())
    await catalogue.put_albums([album("1", "Alpha", "Ann")])
    seen.append(await replica.revision())
    await catalogue.put_artists([artist("a1", "Ann")])
    seen.append(await replica.revision())
    await catalogue.delete_albums([AlbumId("1")])
    seen.append(await replica.revision())
    assert seen == sorted(set(seen))
    await catalogue.put_tracks([])
    assert await replica.revision() == seen[-1]


async def test_each_of_racing_writers_leaves_a_revision_greater_than_it_found(
    stores: Stores, clock: FakeClock
) -> None:
    async def writer(number: int) -> None:
        catalogue = Catalogue(stores.documents, clock)
        for round_ in range(3):
            before = await catalogue.revision()
            await catalogue.put_tracks([track(f"t{number}/{round_}")])
            assert await catalogue.revision() > before

    await asyncio.gather(*(writer(number) for number in range(6)))
    # Old numbers are cleared away: a new process reads one or few rows.
    assert len(await stores.documents.scan("catalogue_revisions", limit=100)) <= 6


def test_a_sort_key_has_neither_case_nor_accents_nor_signs() -> None:
    assert sort_key("  Sigur Rós – ( ) ") == "sigur ros"
    assert sort_key("AC/DC") == "ac dc"
    assert sort_key("Straße № 2²") == "strasse no 22"
    assert sort_key("坂本龍一") == "坂本龍一"
    assert sort_key("!!!") == ""

"""Libraries, shows, genres and words over every document store."""

from msgspec.structs import replace

from catalog.library import Play, Shelf
from kernel.ids import PlayId, Uri, UserId
from kernel.units import Millis
from storage.catalogue import Catalogue
from storage.library import Library
from storage.stores import Stores
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, fill_catalogue
from tests.support.shelves import ADA, BEAS_ALBUM, SHOW, fill_shelves

USER = UserId("user-ada")
OTHER = UserId("user-ad")
"""Whose id is the beginning of the other's."""


async def filled(stores: Stores, clock: FakeClock) -> Catalogue:
    catalogue = Catalogue(stores.documents, clock)
    await fill_catalogue(catalogue)
    await fill_shelves(catalogue)
    return catalogue


async def test_a_shelf_is_newest_first_and_nobody_elses(stores: Stores, clock: FakeClock) -> None:
    library = Library(stores.documents, clock)
    for item_id in ("one", "two", "three"):
        await library.keep(USER, Shelf.TRACKS, [item_id])
        clock.advance(1)
    await library.keep(OTHER, Shelf.TRACKS, ["four"])
    await library.keep(USER, Shelf.ALBUMS, ["five"])
    await library.drop(USER, Shelf.TRACKS, ["two", "never"])
    again = Library(stores.documents, clock)
    assert [kept.item_id for kept in await again.shelf(USER, Shelf.TRACKS)] == ["three", "one"]
    assert [kept.item_id for kept in await again.shelf(OTHER, Shelf.TRACKS)] == ["four"]
    assert await again.holds(USER, Shelf.TRACKS, ["one", "two", "four"]) == (True, False, False)


async def test_plays_come_newest_first_before_and_after_a_time(stores: Stores, clock: FakeClock) -> None:
    library = Library(stores.documents, clock)
    now_ms = clock.now_ms()
    for number in range(4):
        at_ms = Millis(now_ms + number)
        play = Play(uri=Uri(f"u{number}"), context_uri=None, played_at_ms=at_ms, heard_ms=Millis(1))
        for _ in range(2):  # a repeat is no second play
            await library.note_play(USER, PlayId(f"p{number}"), play)
    await library.note_play(OTHER, PlayId("p9"), play)

    async def uris(**more: Millis) -> list[str]:
        return [play.uri for play in await library.plays(USER, limit=9, **more)]

    assert await uris() == ["u3", "u2", "u1", "u0"]
    assert await uris(before_ms=Millis(now_ms + 2)) == ["u1", "u0"]
    assert await uris(after_ms=Millis(now_ms + 1)) == ["u3", "u2"]


async def test_shows_are_listed_beside_the_albums_and_move_when_they_become_one(
    stores: Stores, clock: FakeClock
) -> None:
    catalogue = await filled(stores, clock)
    assert [show.album_id for show in (await catalogue.show_page()).items] == [SHOW]
    assert {album.album_id for album in (await catalogue.album_page()).items} == {ALBUM, BEAS_ALBUM}
    [album] = await catalogue.albums([ALBUM])
    assert album is not None
    await catalogue.put_albums([replace(album, is_show=True)])
    assert {show.album_id for show in (await catalogue.show_page()).items} == {SHOW, ALBUM}
    assert {each.album_id for each in (await catalogue.album_page()).items} == {BEAS_ALBUM}


async def test_each_genre_is_listed_once_and_finds_its_albums(stores: Stores, clock: FakeClock) -> None:
    catalogue = await filled(stores, clock)
    [lanterns] = await catalogue.albums([BEAS_ALBUM])
    assert lanterns is not None
    await catalogue.put_albums([replace(lanterns, genres=("Post-Rock", "étude", "étude  2"))])
    assert await catalogue.genres() == ["etude", "etude 2", "post rock"]
    assert len(await catalogue.genres(limit=2)) == 2
    assert {album.album_id for album in await catalogue.albums_by_genre("post rock")} == {ALBUM, BEAS_ALBUM}
    assert [album.album_id for album in await catalogue.albums_by_genre("ETUDE")] == [BEAS_ALBUM]


async def test_words_find_what_begins_so(stores: Stores, clock: FakeClock) -> None:
    catalogue = await filled(stores, clock)
    assert [artist.artist_id for artist in await catalogue.find_artists("AD")] == [ADA]
    assert {album.album_id for album in await catalogue.find_albums("ad stu")} == {ALBUM}
    assert await catalogue.find_albums("ada lanterns") == []
    assert await catalogue.find_tracks("  ") == []

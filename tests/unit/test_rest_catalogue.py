"""Tracks, albums and artists over REST: shapes, pages, ids that are not, and what a second look costs."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catalog.model import Album, Artist, Cover
from connect.frames import Media
from kernel.ids import AlbumId, ArtistId, TrackId, catalogue_id, uri
from kernel.units import Millis
from serve.rest.newest import AGE_S, NEWEST_MAX
from storage.catalogue import Catalogue
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, LATER_TRACKS, TRACKS, TestDevice
from tests.support.rest import Rest, running_rest
from tests.support.tracks import LADDER, a_track

ADA = ArtistId(catalogue_id("artist", "ada"))
NOBODY = "0" * 22
COVER = Cover(blob="art/" + "ab" * 32, mime="image/jpeg", width=640, height=640)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def rest(clock: FakeClock) -> AsyncIterator[Rest]:
    async with running_rest(clock=clock) as running:
        await catalogue(running, clock).put_artists(
            [Artist(artist_id=ADA, name="Ada", album_ids=(ALBUM,), genres=("étude",), covers=(COVER,))]
        )
        yield running


def catalogue(rest: Rest, clock: FakeClock) -> Catalogue:
    return Catalogue(rest.stores.documents, clock)


def album_id(number: int) -> AlbumId:
    return AlbumId(catalogue_id("album", "more", number))


async def put_albums(rest: Rest, clock: FakeClock, count: int, *, tracks: int = 1) -> list[AlbumId]:
    """Albums named in order, each later than the one before."""
    albums = [
        Album(
            album_id=album_id(number),
            title=f"Album {number:03d}",
            artist_ids=(ADA,),
            artist_names=("Ada",),
            track_ids=TRACKS[:tracks],
            release_date="1999-05",
            added_at_ms=Millis(1_000 + number),
            covers=(COVER,),
        )
        for number in range(count)
    ]
    await catalogue(rest, clock).put_albums(albums)
    return [album.album_id for album in albums]


async def body(rest: Rest, path: str, **params: str | int) -> Any:
    answer = await rest.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- one thing --------------------------------------------------------------------------------------


async def test_a_track_has_the_web_api_shape(rest: Rest) -> None:
    track = await body(rest, f"/v1/tracks/{TRACKS[0]}")
    assert set(track) == {
        "album", "artists", "available_markets", "disc_number", "duration_ms", "explicit", "external_ids",
        "external_urls", "href", "id", "is_local", "is_playable", "name", "popularity", "preview_url",
        "track_number", "type", "uri",
    }  # fmt: skip
    assert track["type"] == "track"
    assert track["uri"] == f"spotify:track:{TRACKS[0]}"
    assert track["href"] == f"http://127.0.0.1:8000/v1/tracks/{TRACKS[0]}"
    assert track["is_playable"] is True
    assert track["available_markets"] == ["NL"]  # the listener's
    assert track["album"]["id"] == ALBUM
    assert track["album"]["total_tracks"] == len(TRACKS)
    assert track["artists"] == [
        {
            "external_urls": {"spotify": f"http://127.0.0.1:8000/#/artist/{ADA}"},
            "href": f"http://127.0.0.1:8000/v1/artists/{ADA}",
            "id": ADA,
            "name": "Ada",
            "type": "artist",
            "uri": f"spotify:artist:{ADA}",
        }
    ]


async def test_a_track_that_is_gone_from_the_library_is_shown_and_not_playable(
    rest: Rest, clock: FakeClock
) -> None:
    gone = TrackId(catalogue_id("track", "gone"))
    await catalogue(rest, clock).put_tracks([a_track(*LADDER, track_id=gone, available=False)])
    track = await body(rest, f"/v1/tracks/{gone}")
    assert (track["is_playable"], track["available_markets"]) == (False, [])


async def test_a_copy_of_the_recording_stands_for_a_track_that_is_gone(rest: Rest, clock: FakeClock) -> None:
    gone, copy = TRACKS[0], LATER_TRACKS[0]
    await catalogue(rest, clock).put_tracks(
        [
            replace(a_track(*LADDER, track_id=gone, available=False), isrc="NLA502600001"),
            replace(a_track(*LADDER, track_id=copy), isrc="NLA502600001"),
        ]
    )
    shown = (await rest.get(f"/v1/tracks/{gone}")).json()
    listed = (await rest.get(f"/v1/albums/{ALBUM}/tracks")).json()["items"][0]
    for track in (shown, listed):
        assert (track["id"], track["is_playable"]) == (copy, True)
        assert track["linked_from"]["uri"] == uri("track", gone)
    assert "linked_from" not in (await rest.get(f"/v1/tracks/{copy}")).json()

    phone = TestDevice(rest.host, "phone-001")
    await phone.connect()
    asked = {"params": {"device_id": "phone-001"}, "json": {"uris": [uri("track", gone)]}}
    assert (await rest.ask("PUT", "/v1/me/player/play", **asked)).status_code == 204
    media = await phone.wait_for(Media, lambda media: bool(media.leases))
    assert media.leases[0].uri == uri("track", gone)
    assert (await rest.get("/v1/me/player")).json()["item"]["linked_from"]["id"] == gone


async def test_a_track_whose_album_is_not_there_still_has_one(rest: Rest, clock: FakeClock) -> None:
    await catalogue(rest, clock).delete_albums([ALBUM])
    clock.advance(10_000)
    track = await body(rest, f"/v1/tracks/{TRACKS[0]}")
    assert (track["album"]["id"], track["album"]["name"]) == (ALBUM, "Studies")


async def test_an_album_brings_its_first_tracks(rest: Rest) -> None:
    album = await body(rest, f"/v1/albums/{ALBUM}")
    assert [track["id"] for track in album["tracks"]["items"]] == list(TRACKS)
    assert "album" not in album["tracks"]["items"][0]  # simplified
    assert (album["tracks"]["total"], album["tracks"]["next"]) == (6, None)
    assert (album["album_type"], album["type"], album["release_date_precision"]) == ("album", "album", "year")
    assert {"label", "genres", "popularity", "copyrights", "external_ids"} <= set(album)


async def test_covers_are_at_the_edge(rest: Rest, clock: FakeClock) -> None:
    [one] = await put_albums(rest, clock, 1)
    album = await body(rest, f"/v1/albums/{one}")
    assert album["images"] == [{"url": f"http://127.0.0.1:8001/{COVER.blob}", "width": 640, "height": 640}]
    assert (album["release_date"], album["release_date_precision"]) == ("1999-05", "month")


async def test_an_artist_has_the_web_api_shape(rest: Rest) -> None:
    artist = await body(rest, f"/v1/artists/{ADA}")
    assert set(artist) == {
        "external_urls", "followers", "genres", "href", "id", "images", "name", "popularity", "type", "uri",
    }  # fmt: skip
    assert (artist["name"], artist["genres"]) == ("Ada", ["étude"])
    assert artist["followers"] == {"href": None, "total": 0}


@pytest.mark.parametrize(
    "path",
    ["tracks/{}", "albums/{}", "albums/{}/tracks", "artists/{}", "artists/{}/albums"],
)
async def test_what_does_not_exist_is_404_and_what_cannot_be_an_id_400(rest: Rest, path: str) -> None:
    missing = await rest.get(f"/v1/{path.format(NOBODY)}")
    assert (missing.status_code, missing.json()["error"]["reason"]) == (404, "NOT_FOUND")
    assert NOBODY in missing.json()["error"]["message"]
    wrong = await rest.get(f"/v1/{path.format('not-an-id')}")
    assert (wrong.status_code, wrong.json()["error"]["reason"]) == (400, "BAD_REQUEST")


# --- several ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "known"), [("tracks", TRACKS[1]), ("albums", ALBUM), ("artists", ADA)])
async def test_several_come_in_the_order_asked_with_null_where_there_is_none(
    rest: Rest, kind: str, known: str
) -> None:
    found = (await body(rest, f"/v1/{kind}", ids=f"{NOBODY},{known},{known}"))[kind]
    assert [each and each["id"] for each in found] == [None, known, known]


@pytest.mark.parametrize(("kind", "most"), [("tracks", 50), ("albums", 20), ("artists", 50)])
async def test_more_ids_than_a_request_may_name_are_refused(rest: Rest, kind: str, most: int) -> None:
    assert (await rest.get(f"/v1/{kind}", params={"ids": ",".join([NOBODY] * most)})).status_code == 200
    for ids in (",".join([NOBODY] * (most + 1)), "", ",", "short"):
        answer = await rest.get(f"/v1/{kind}", params={"ids": ids})
        assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "BAD_REQUEST"), ids


# --- pages ------------------------------------------------------------------------------------------


async def walk(rest: Rest, first: str, *inside: str) -> list[str]:
    """Ids of all items, found by following `next` as a client would."""
    seen = []
    url: str | None = first
    while url is not None:
        page: Any = (await rest.get(url)).json()
        for name in inside:
            page = page[name]
        assert len(page["items"]) <= page["limit"]
        seen += [item["id"] for item in page["items"]]
        url = page["next"]
    return seen


async def test_tracks_of_an_album_page_by_offset(rest: Rest) -> None:
    path = f"/v1/albums/{ALBUM}/tracks"
    page = await body(rest, path, offset=2, limit=2)
    assert [item["id"] for item in page["items"]] == list(TRACKS[2:4])
    assert page["next"] == f"http://127.0.0.1:8000{path}?offset=4&limit=2"
    assert page["previous"] == f"http://127.0.0.1:8000{path}?offset=0&limit=2"
    assert await walk(rest, f"{path}?limit=4") == list(TRACKS)
    beyond = await body(rest, path, offset=50)
    assert (beyond["items"], beyond["next"], beyond["total"]) == ([], None, 6)


async def test_albums_of_an_artist_page_and_can_be_chosen_by_kind(rest: Rest, clock: FakeClock) -> None:
    singles = await put_albums(rest, clock, 3)
    await catalogue(rest, clock).put_artists([Artist(artist_id=ADA, name="Ada", album_ids=(*singles, ALBUM))])
    clock.advance(10_000)
    path = f"/v1/artists/{ADA}/albums"
    assert await walk(rest, f"{path}?limit=2") == [*singles, ALBUM]
    assert await walk(rest, f"{path}?limit=2&include_groups=single,compilation") == singles
    assert (await body(rest, path, include_groups="album"))["total"] == 1
    assert (await rest.get(path, params={"include_groups": "mixtape"})).status_code == 400


async def test_all_albums_come_once_each_in_order_by_cursor(rest: Rest, clock: FakeClock) -> None:
    more = await put_albums(rest, clock, 7)
    assert await walk(rest, "/v1/browse/albums?limit=3") == [*more, ALBUM]
    page = await body(rest, "/v1/browse/albums", limit=3)
    assert f"after={page['cursors']['after']}" in page["next"]
    assert (await body(rest, "/v1/browse/albums"))["limit"] == 50


async def test_a_cursor_that_is_not_ours_is_refused(rest: Rest) -> None:
    for cursor in ("!!!", "a", "_____w", "A" * 2_000):
        answer = await rest.get("/v1/browse/albums", params={"after": cursor})
        assert answer.status_code == 400, cursor


async def test_new_releases_are_the_latest_first_and_follow_the_catalogue(
    rest: Rest, clock: FakeClock
) -> None:
    more = await put_albums(rest, clock, 3)
    assert await walk(rest, "/v1/browse/new-releases?limit=2", "albums") == [*reversed(more), ALBUM]
    newer = await put_albums(rest, clock, 4)
    clock.advance(int(AGE_S * 1000) + 1)
    first = (await body(rest, "/v1/browse/new-releases", limit=1))["albums"]
    assert (first["items"][0]["id"], first["total"]) == (newer[-1], 5)


async def test_new_releases_end_somewhere(rest: Rest, clock: FakeClock) -> None:
    await put_albums(rest, clock, NEWEST_MAX + 20)
    assert (await body(rest, "/v1/browse/new-releases"))["albums"]["total"] == NEWEST_MAX


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 51}, {"limit": "all"}, {"offset": -1}])
async def test_a_page_that_cannot_be_is_refused(rest: Rest, params: dict[str, str | int]) -> None:
    answer = await rest.get(f"/v1/albums/{ALBUM}/tracks", params=params)
    assert answer.status_code == 400
    assert next(iter(params)) in answer.json()["error"]["message"]


# --- markets and caches -----------------------------------------------------------------------------


async def test_markets_are_listed_and_a_request_may_only_name_one_of_them(rest: Rest) -> None:
    markets = (await body(rest, "/v1/markets"))["markets"]
    assert len(markets) == 249
    assert markets == sorted(markets)
    # The account's country decides, whatever is asked.
    track = await body(rest, f"/v1/tracks/{TRACKS[0]}", market="US")
    assert track["available_markets"] == ["NL"]
    assert (await rest.get(f"/v1/tracks/{TRACKS[0]}", params={"market": "XX"})).status_code == 400


async def test_a_second_look_is_304_until_something_changed(rest: Rest, clock: FakeClock) -> None:
    path = f"/v1/tracks/{TRACKS[0]}"
    first = await rest.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    known = {"if-none-match": first.headers["etag"]}
    second = await rest.get(path, headers=known)
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["etag"] == first.headers["etag"]
    [track] = await catalogue(rest, clock).tracks([TRACKS[0]])
    assert track is not None
    await catalogue(rest, clock).put_tracks([msgspec.structs.replace(track, title="Renamed")])
    clock.advance(10_000)
    third = await rest.get(path, headers=known)
    assert (third.status_code, third.json()["name"]) == (200, "Renamed")


async def test_head_has_the_headers_and_costs_no_body_on_the_wire(rest: Rest) -> None:
    path = f"/v1/tracks/{TRACKS[0]}"
    head = await rest.ask("HEAD", path)
    assert head.status_code == 200
    assert head.headers["etag"] == (await rest.get(path)).headers["etag"]

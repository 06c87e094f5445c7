"""Shows, episodes, genres, related artists and search over REST."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from actors.play_notes import PlayNotes
from kernel.ids import ArtistId, SessionId, UserId, catalogue_id, uri
from serve.tokens import SCOPES
from sessions.state import new_session
from storage.catalogue import Catalogue
from storage.library import Library
from storage.stores import memory_stores
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, ALBUM_URI, LATER_TRACKS, TRACKS, TestDevice, track_uri
from tests.support.rest import Rest, running_rest
from tests.support.shelves import ADA, BEA, BEAS_ALBUM, COVERS, EPISODES, GENRE_ID, SHOW, fill_shelves

NOBODY = "0" * 22


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def rest(clock: FakeClock) -> AsyncIterator[Rest]:
    async with running_rest(clock=clock) as running:
        await fill_shelves(Catalogue(running.stores.documents, clock))
        yield running


async def body(rest: Rest, path: str, **params: str | int) -> Any:
    answer = await rest.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- shows and episodes -----------------------------------------------------------------------------


async def test_a_show_is_a_show_and_no_album(rest: Rest) -> None:
    show = await body(rest, f"/v1/shows/{SHOW}")
    assert (show["type"], show["uri"], show["publisher"]) == ("show", uri("show", SHOW), "Ada")
    assert [each["id"] for each in show["episodes"]["items"]] == list(EPISODES)
    assert [image["width"] for image in show["images"]] == [640, 300, 64]
    assert [each["id"] for each in (await body(rest, "/v1/browse/shows"))["items"]] == [SHOW]
    assert {each["id"] for each in (await body(rest, "/v1/browse/albums"))["items"]} == {ALBUM, BEAS_ALBUM}
    assert (await body(rest, "/v1/shows", ids=f"{ALBUM},{SHOW}"))["shows"][0] is None
    assert (await rest.get(f"/v1/shows/{ALBUM}")).status_code == 404
    assert (await rest.get(f"/v1/episodes/{TRACKS[0]}")).status_code == 404


async def test_an_episode_has_its_show_and_where_it_was_left(rest: Rest) -> None:
    path = f"/v1/episodes/{EPISODES[0]}"
    begun = await body(rest, path)
    assert (begun["type"], begun["show"]["id"]) == ("episode", SHOW)
    assert begun["resume_point"] == {"fully_played": False, "resume_position_ms": 0}
    said = await rest.ask("PUT", f"/v1/me/episodes/{EPISODES[0]}/resume-point", json={"position_ms": 61_000})
    assert said.status_code == 204
    assert (await body(rest, path))["resume_point"]["resume_position_ms"] == 61_000
    listed = await body(rest, f"/v1/shows/{SHOW}/episodes", limit=1)
    assert listed["items"][0]["resume_point"]["resume_position_ms"] == 61_000
    without = rest.bearer(scopes=tuple(each for each in SCOPES if each != "user-read-playback-position"))
    assert "resume_point" not in (await rest.get(path, headers=without)).json()


async def test_the_session_writes_down_what_was_heard_and_where_an_episode_was_left() -> None:
    async with running_rest() as rest:
        await fill_shelves(Catalogue(rest.stores.documents, FakeClock()))
        phone = TestDevice(rest.host, "phone-001")
        await phone.connect()
        player = "/v1/me/player"
        for played, position_ms in ((uri("show", SHOW), 61_000), (ALBUM_URI, 6_000)):
            begun = await rest.ask(
                "PUT", f"{player}/play", params={"device_id": "phone-001"}, json={"context_uri": played}
            )
            assert begun.status_code == 204, begun.text
            await rest.ask("PUT", f"{player}/seek", params={"position_ms": position_ms})
        await rest.ask("POST", f"{player}/next")
        await rest.ask("POST", f"{player}/next")  # one that was not heard
        for _ in range(50):
            heard = (await rest.get(f"{player}/recently-played")).json()["items"]
            where = (await rest.get(f"/v1/episodes/{EPISODES[0]}")).json()["resume_point"]
            if heard and where["resume_position_ms"]:
                break
    assert [(each["track"]["id"], each["context"]["uri"]) for each in heard] == [(TRACKS[0], ALBUM_URI)]
    assert 61_000 <= where["resume_position_ms"] < 70_000


async def test_an_episode_in_the_player_is_an_episode() -> None:
    async with running_rest() as rest:
        await fill_shelves(Catalogue(rest.stores.documents, FakeClock()))
        phone = TestDevice(rest.host, "phone-001")
        await phone.connect()
        uris = [uri("episode", EPISODES[1]), track_uri(0)]
        await rest.ask("PUT", "/v1/me/player/play", params={"device_id": "phone-001"}, json={"uris": uris})
        now = await body(rest, "/v1/me/player")
        queue = await body(rest, "/v1/me/player/queue")
    assert (now["currently_playing_type"], now["item"]["uri"]) == ("episode", uris[0])
    assert [each["type"] for each in queue["queue"]] == ["track"]


def test_notes_of_a_session_that_plays_nothing_are_none(clock: FakeClock) -> None:
    notes = PlayNotes(Library(memory_stores(clock).documents, clock), clock)
    notes.left(new_session(SessionId("session"), UserId("user-ada"), clock.now_ms(), 1))


# --- artists and genres -----------------------------------------------------------------------------


async def test_related_artists_share_genres_and_are_others(rest: Rest) -> None:
    assert [each["id"] for each in (await body(rest, f"/v1/artists/{ADA}/related-artists"))["artists"]] == [
        BEA
    ]
    assert (await rest.get(f"/v1/artists/{NOBODY}/related-artists")).status_code == 404


async def test_top_tracks_are_the_artists_own_and_ten(rest: Rest) -> None:
    tracks = (await body(rest, f"/v1/artists/{ADA}/top-tracks"))["tracks"]
    assert len(tracks) == 10
    assert len({track["id"] for track in tracks}) == 10
    assert {track["album"]["id"] for track in tracks} == {ALBUM, BEAS_ALBUM}


async def test_genres_are_categories_with_their_albums(rest: Rest) -> None:
    listed = (await body(rest, "/v1/browse/categories"))["categories"]
    assert [(each["id"], each["name"]) for each in listed["items"]] == [(GENRE_ID, "post rock")]
    albums = (await body(rest, f"/v1/browse/categories/{GENRE_ID}/albums", limit=1))["albums"]
    assert albums["total"] == 2
    more = (await rest.get(albums["next"])).json()["albums"]
    assert {albums["items"][0]["id"], more["items"][0]["id"]} == {ALBUM, BEAS_ALBUM}
    assert (await rest.get("/v1/browse/categories/polka")).status_code == 404
    assert (await rest.get("/v1/browse/categories/post%2Frock/albums")).status_code == 404


async def test_objects_have_covers_in_three_sizes(rest: Rest) -> None:
    for path in (f"/v1/albums/{ALBUM}", f"/v1/artists/{ADA}", f"/v1/episodes/{EPISODES[0]}"):
        images = (await body(rest, path))["images"]
        assert [(each["width"], each["url"].rsplit("/", 1)[1]) for each in images] == [
            (cover.width, cover.blob.removeprefix("art/")) for cover in COVERS
        ], path


# --- search -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind", "found"),
    [
        ("etude", "track", set(TRACKS)),
        ("ÉTU", "track", set(TRACKS)),
        ("ada étude", "track", set(TRACKS)),
        ("etude bea", "track", set()),
        ("later", "track", set(LATER_TRACKS)),
        ("lant", "album", {BEAS_ALBUM}),
        ("hours", "album", set()),
        ("hours", "show", {SHOW}),
        ("angstrom", "episode", set(EPISODES)),
        ("angstrom", "track", set()),
        ("be", "artist", {BEA}),
        ("...", "artist", set()),
        ("ada", "playlist", set()),
    ],
)
async def test_search_finds_beginnings_of_words_regardless_of_case_and_accents(
    rest: Rest, words: str, kind: str, found: set[str]
) -> None:
    page = (await body(rest, "/v1/search", q=words, type=kind, limit=50))[f"{kind}s"]
    assert {each["id"] for each in page["items"]} == found
    assert page["total"] == len(found)


async def test_search_answers_each_kind_asked_for_and_pages(rest: Rest) -> None:
    answer = await body(rest, "/v1/search", q="a", type="track,artist", limit=2)
    assert set(answer) == {"tracks", "artists"}
    seen: list[str] = []
    page = (await body(rest, "/v1/search", q="etude", type="track", limit=4))["tracks"]
    seen += [each["id"] for each in page["items"]]
    page = (await rest.get(page["next"])).json()["tracks"]
    seen += [each["id"] for each in page["items"]]
    assert (sorted(seen), page["next"]) == (sorted(TRACKS), None)


async def test_a_name_that_is_the_words_comes_before_one_that_holds_them(
    rest: Rest, clock: FakeClock
) -> None:
    catalogue = Catalogue(rest.stores.documents, clock)
    [ada] = await catalogue.artists([ADA])
    assert ada is not None
    names = ("The Ada Band", "Adagio", "Ada")
    await catalogue.put_artists(
        [
            replace(
                ada, artist_id=ADA if name == "Ada" else ArtistId(catalogue_id("artist", name)), name=name
            )
            for name in names
        ]
    )
    found = (await body(rest, "/v1/search", q="ada", type="artist"))["artists"]["items"]
    assert [each["name"] for each in found] == ["Ada", "Adagio", "The Ada Band"]


async def test_a_renamed_item_is_found_by_its_new_name_only(rest: Rest, clock: FakeClock) -> None:
    catalogue = Catalogue(rest.stores.documents, clock)
    [bea] = await catalogue.artists([BEA])
    assert bea is not None
    await catalogue.put_artists([replace(bea, name="Zoë")])
    clock.advance(10_000)
    assert (await body(rest, "/v1/search", q="zoe", type="artist"))["artists"]["total"] == 1
    assert (await body(rest, "/v1/search", q="bea", type="artist"))["artists"]["total"] == 0

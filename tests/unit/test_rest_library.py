"""A listener's library over REST: pages that stay right, who may, and what is remembered of listening."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from catalog.library import IDS_MAX, Play, Shelf
from kernel.ids import PlayId, TrackId, UserId, catalogue_id, uri
from kernel.units import Millis
from serve.tokens import SCOPES
from storage.catalogue import Catalogue
from storage.library import PLAYS_KEPT_MS, Library
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, TRACKS, track_uri
from tests.support.rest import Rest, running_rest
from tests.support.shelves import ADA, BEA, EPISODES, SHOW, fill_shelves
from tests.support.tracks import LADDER, a_track

USER = UserId("user-ada")
NOBODY = "0" * 22
MANY = tuple(TrackId(catalogue_id("many", number)) for number in range(60))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def rest(clock: FakeClock) -> AsyncIterator[Rest]:
    async with running_rest(clock=clock) as running:
        await fill_shelves(Catalogue(running.stores.documents, clock))
        yield running


async def keep(rest: Rest, clock: FakeClock, *ids: str) -> None:
    """One after another, a second apart."""
    for item_id in ids:
        answer = await rest.ask("PUT", "/v1/me/tracks", params={"ids": item_id})
        assert answer.status_code == 200, answer.text
        clock.advance(1_000)


async def page(rest: Rest, path: str) -> Any:
    answer = await rest.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids_of(found: Any) -> list[str]:
    return [item["track"]["id"] for item in found["items"]]


# --- pages ------------------------------------------------------------------------------------------


async def test_saved_tracks_come_newest_first_with_their_time(rest: Rest, clock: FakeClock) -> None:
    await keep(rest, clock, *TRACKS[:3])
    found = await page(rest, "/v1/me/tracks")
    assert ids_of(found) == list(reversed(TRACKS[:3]))
    assert (found["total"], found["next"], found["previous"]) == (3, None, None)
    times = [item["added_at"] for item in found["items"]]
    assert times == sorted(times, reverse=True)
    assert all(time.endswith("Z") and len(time) == 20 for time in times)


async def test_following_next_shows_everything_once_while_the_library_changes(
    rest: Rest, clock: FakeClock
) -> None:
    await keep(rest, clock, *TRACKS[:5])
    first = await page(rest, "/v1/me/tracks?limit=2")
    await keep(rest, clock, TRACKS[5])  # in front of what was shown
    await rest.ask("DELETE", "/v1/me/tracks", params={"ids": ids_of(first)[0]})
    seen = ids_of(first)
    following = first["next"]
    while following is not None:
        found = await page(rest, following)
        seen += ids_of(found)
        following = found["next"]
    assert seen == list(reversed(TRACKS[:5]))


async def test_an_offset_without_a_place_is_one(rest: Rest, clock: FakeClock) -> None:
    await keep(rest, clock, *TRACKS[:4])
    assert ids_of(await page(rest, "/v1/me/tracks?limit=2&offset=1")) == [TRACKS[2], TRACKS[1]]
    assert ids_of(await page(rest, "/v1/me/tracks?offset=9")) == []


async def test_saving_again_changes_nothing(rest: Rest, clock: FakeClock) -> None:
    await keep(rest, clock, TRACKS[0], TRACKS[1], TRACKS[0])
    assert ids_of(await page(rest, "/v1/me/tracks")) == [TRACKS[1], TRACKS[0]]


async def test_a_page_that_did_not_change_is_304(rest: Rest, clock: FakeClock) -> None:
    await keep(rest, clock, TRACKS[0])
    first = await rest.get("/v1/me/tracks")
    known = {"if-none-match": first.headers["etag"]}
    assert (await rest.get("/v1/me/tracks", headers=known)).status_code == 304
    await keep(rest, clock, TRACKS[1])
    assert (await rest.get("/v1/me/tracks", headers=known)).status_code == 200


# --- saving -----------------------------------------------------------------------------------------


async def test_ids_come_in_the_query_or_in_the_body(rest: Rest) -> None:
    answer = await rest.ask("PUT", "/v1/me/tracks", json={"ids": list(TRACKS[:2])})
    assert answer.status_code == 200
    held = await page(rest, f"/v1/me/tracks/contains?ids={','.join(TRACKS[:3])}")
    assert held == [True, True, False]
    await rest.ask("DELETE", "/v1/me/tracks", json={"ids": [TRACKS[0]]})
    assert await page(rest, f"/v1/me/tracks/contains?ids={TRACKS[0]}") == [False]


async def test_fifty_go_in_one_request_and_fifty_one_do_not(rest: Rest, clock: FakeClock) -> None:
    catalogue = Catalogue(rest.stores.documents, clock)
    await catalogue.put_tracks([a_track(*LADDER, track_id=track_id) for track_id in MANY])
    too_many = await rest.ask("PUT", "/v1/me/tracks", json={"ids": list(MANY[: IDS_MAX + 1])})
    assert too_many.status_code == 400
    assert (await rest.ask("PUT", "/v1/me/tracks", json={"ids": list(MANY[:IDS_MAX])})).status_code == 200
    # In the order of the request, as if they had been saved one after another, the first one last.
    assert ids_of(await page(rest, "/v1/me/tracks?limit=50")) == list(MANY[:IDS_MAX])


@pytest.mark.parametrize("more", [{}, {"params": {"ids": ""}}, {"json": {"ids": []}}, {"json": {}}])
async def test_a_request_that_names_nothing_is_refused(rest: Rest, more: dict[str, Any]) -> None:
    assert (await rest.ask("PUT", "/v1/me/tracks", **more)).status_code == 400


@pytest.mark.parametrize(
    ("path", "item"),
    [("tracks", NOBODY), ("albums", NOBODY), ("shows", ALBUM), ("episodes", TRACKS[0])],
)
async def test_what_is_not_there_or_of_another_kind_is_not_saved(rest: Rest, path: str, item: str) -> None:
    answer = await rest.ask("PUT", f"/v1/me/{path}", params={"ids": item})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (404, "NOT_FOUND")
    assert (await page(rest, f"/v1/me/{path}"))["total"] == 0


async def test_uris_of_any_kind_are_saved_and_asked_for_together(rest: Rest) -> None:
    uris = [
        track_uri(0),
        uri("album", ALBUM),
        uri("show", SHOW),
        uri("episode", EPISODES[0]),
        uri("artist", ADA),
    ]
    assert (await rest.ask("PUT", "/v1/me/library", params={"uris": ",".join(uris)})).status_code == 200
    asked = ",".join([*uris, uri("artist", BEA)])
    assert await page(rest, f"/v1/me/library/contains?uris={asked}") == [True] * 5 + [False]
    assert (await page(rest, "/v1/me/shows"))["items"][0]["show"]["id"] == SHOW
    assert (await page(rest, "/v1/me/following?type=artist"))["artists"]["items"][0]["id"] == ADA
    wrong = await rest.ask("PUT", "/v1/me/library", params={"uris": f"spotify:playlist:{NOBODY}"})
    assert wrong.status_code == 400


async def test_nobody_follows_themselves(rest: Rest) -> None:
    grace = await rest.accounts.add("Grace", "correct horse")
    answer = await rest.ask(
        "PUT", "/v1/me/following", params={"type": "user", "ids": grace.user_id}, headers=rest.bearer(grace)
    )
    assert answer.status_code == 400
    assert (
        await rest.ask("PUT", "/v1/me/following", params={"type": "user", "ids": grace.user_id})
    ).status_code == 204


# --- who may ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/me/tracks", "user-library-read"),
        ("PUT", f"/v1/me/tracks?ids={TRACKS[0]}", "user-library-modify"),
        ("PUT", f"/v1/me/library?uris={track_uri(0)}", "user-library-modify"),
        ("PUT", f"/v1/me/library?uris={uri('artist', ADA)}", "user-follow-modify"),
        ("GET", "/v1/me/following?type=artist", "user-follow-read"),
        ("GET", "/v1/me/top/tracks", "user-top-read"),
        ("GET", "/v1/me/player/recently-played", "user-read-recently-played"),
    ],
)
async def test_each_needs_its_scope(rest: Rest, method: str, path: str, scope: str) -> None:
    without = rest.bearer(scopes=tuple(each for each in SCOPES if each != scope))
    refused = await rest.ask(method, path, headers=without)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (403, "FORBIDDEN")
    assert scope in refused.json()["error"]["message"]


async def test_another_listeners_library_is_another(rest: Rest, clock: FakeClock) -> None:
    await keep(rest, clock, TRACKS[0])
    grace = rest.bearer(await rest.accounts.add("Grace", "correct horse"))
    assert (await rest.get("/v1/me/tracks", headers=grace)).json()["total"] == 0


# --- listening --------------------------------------------------------------------------------------


async def note(rest: Rest, clock: FakeClock, *uris: str) -> None:
    library = Library(rest.stores.documents, clock)
    for number, each in enumerate(uris):
        clock.advance(1_000)
        play = Play(
            uri=uri(*each.split(":")[1:]), context_uri=None, played_at_ms=clock.now_ms(), heard_ms=Millis(1)
        )
        await library.note_play(USER, PlayId(f"play-{number}-{clock.now_ms()}"), play)


async def test_what_was_heard_comes_newest_first_and_by_cursor(rest: Rest, clock: FakeClock) -> None:
    await note(rest, clock, *(track_uri(number) for number in range(5)))
    seen: list[str] = []
    path: str | None = "/v1/me/player/recently-played?limit=2"
    while path is not None:
        found = await page(rest, path)
        seen += ids_of(found)
        path = found["next"]
    assert seen == list(reversed(TRACKS[:5]))
    newest = (await page(rest, "/v1/me/player/recently-played?limit=1"))["cursors"]["after"]
    assert (await page(rest, f"/v1/me/player/recently-played?after={newest}"))["items"] == []
    both = await rest.get("/v1/me/player/recently-played", params={"after": 1, "before": 2})
    assert both.status_code == 400


async def test_top_items_are_what_was_heard_most_in_the_time_asked_for(rest: Rest, clock: FakeClock) -> None:
    await note(rest, clock, track_uri(1), track_uri(1), track_uri(1))
    clock.advance(60 * 24 * 3600 * 1000)
    await note(rest, clock, track_uri(0), track_uri(2), track_uri(0), uri("episode", EPISODES[0]))
    assert [each["id"] for each in (await page(rest, "/v1/me/top/tracks"))["items"]] == [
        TRACKS[1], TRACKS[0], TRACKS[2],
    ]  # fmt: skip
    short = await page(rest, "/v1/me/top/tracks?time_range=short_term")
    assert [each["id"] for each in short["items"]] == [TRACKS[0], TRACKS[2]]
    artists = await page(rest, "/v1/me/top/artists")
    assert [each["name"] for each in artists["items"]] == ["Ada"]


async def test_plays_older_than_anybody_asks_for_are_forgotten(rest: Rest, clock: FakeClock) -> None:
    await note(rest, clock, track_uri(0))
    clock.advance(PLAYS_KEPT_MS)
    await note(rest, clock, track_uri(1))
    rows = await rest.stores.documents.scan("plays", limit=9)
    assert len(rows) == 1
    assert ids_of(await page(rest, "/v1/me/player/recently-played")) == [TRACKS[1]]


# --- the store --------------------------------------------------------------------------------------


async def test_a_save_that_was_cut_short_is_mended_by_the_next(rest: Rest, clock: FakeClock) -> None:
    documents, library = rest.stores.documents, Library(rest.stores.documents, clock)
    await library.keep(USER, Shelf.TRACKS, [TRACKS[0]])
    [(row, _)] = await documents.scan("saved_by_place", limit=9)
    await documents.delete("saved_by_place", [row])
    await library.keep(USER, Shelf.TRACKS, [TRACKS[0]])
    assert [each.item_id for each in await library.shelf(USER, Shelf.TRACKS)] == [TRACKS[0]]


async def test_a_row_that_a_drop_left_behind_is_not_shown(rest: Rest, clock: FakeClock) -> None:
    documents, library = rest.stores.documents, Library(rest.stores.documents, clock)
    await library.keep(USER, Shelf.TRACKS, TRACKS[:2])
    await documents.delete("saved", [f"{USER}/tracks/{TRACKS[0]}"])
    fresh = Library(documents, clock)
    assert [each.item_id for each in await fresh.shelf(USER, Shelf.TRACKS)] == [TRACKS[1]]


async def test_a_change_by_another_process_is_seen_at_once(rest: Rest, clock: FakeClock) -> None:
    one, other = (Library(rest.stores.documents, clock) for _ in range(2))
    await one.keep(USER, Shelf.TRACKS, [TRACKS[0]])
    assert len(await other.shelf(USER, Shelf.TRACKS)) == 1
    await one.drop(USER, Shelf.TRACKS, [TRACKS[0]])
    assert await other.shelf(USER, Shelf.TRACKS) == ()

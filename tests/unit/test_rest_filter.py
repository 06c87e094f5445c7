"""The explicit filter, and episodes that go on where they were left, from REST down to the session."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from connect.frames import Push
from kernel.ids import uri
from kernel.units import Millis
from serve.accounts import Account
from storage.catalogue import Catalogue
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, ALBUM_URI, LATER_TRACKS, TRACKS, TestDevice, track_uri
from tests.support.rest import Rest, running_rest
from tests.support.shelves import EPISODES, SHOW, fill_shelves

EXPLICIT = (TRACKS[1], LATER_TRACKS[0])
PLAYER = "/v1/me/player"
FILTER = "/v1/me/explicit-content"
RESTRICTED = {"reason": "explicit"}


class Listening:
    """A listener with an account and a player."""

    def __init__(self, rest: Rest, account: Account) -> None:
        self.rest = rest
        self.account = account
        self.headers = rest.bearer(account)
        self.phone = TestDevice(rest.host, "phone-001", user=account.user_id)

    async def ask(self, method: str, path: str, **more: object) -> dict[str, object]:
        answer = await self.rest.ask(method, path, headers=self.headers, **more)
        return {"status": answer.status_code, **(answer.json() if answer.content else {})}

    async def play(self, **body: object) -> dict[str, object]:
        return await self.ask("PUT", f"{PLAYER}/play", params={"device_id": "phone-001"}, json=body)

    async def set_filter(self, enabled: bool) -> None:
        assert await self.ask("PUT", FILTER, json={"filter_enabled": enabled}) == {"status": 204}

    async def current(self) -> tuple[str, int]:
        found = (await self.rest.get(PLAYER, headers=self.headers)).json()
        return found["item"]["id"], found["progress_ms"]

    async def queued(self) -> list[str]:
        found = (await self.rest.get(f"{PLAYER}/queue", headers=self.headers)).json()
        return [each["id"] for each in found["queue"]]


@pytest.fixture
async def grace() -> AsyncIterator[Listening]:
    async with running_rest() as rest:
        catalogue = Catalogue(rest.stores.documents, FakeClock())
        await fill_shelves(catalogue)
        tracks = [track for track in await catalogue.tracks(EXPLICIT) if track is not None]
        await catalogue.put_tracks([replace(track, explicit=True) for track in tracks])
        grace = Listening(rest, await rest.accounts.add("Grace", "correct horse"))
        await grace.phone.connect()
        yield grace


# --- the explicit filter ----------------------------------------------------------------------------


async def test_the_filter_is_the_account_s_and_read_where_it_is_set(grace: Listening) -> None:
    for enabled in (True, False):
        await grace.set_filter(enabled)
        me = await grace.ask("GET", "/v1/me")
        assert me["explicit_content"] == {"filter_enabled": enabled, "filter_locked": False}
        account = await grace.rest.accounts.get(grace.account.user_id)
        assert account is not None
        assert account.explicit_filter is enabled


async def test_an_account_may_be_made_with_the_filter_on(grace: Listening) -> None:
    made = await grace.rest.accounts.add("Kid", "correct horse", explicit_filter=True)
    kid = Listening(grace.rest, made)
    assert (await kid.ask("GET", "/v1/me"))["explicit_content"] == {
        "filter_enabled": True,
        "filter_locked": False,
    }


async def test_another_listener_s_filter_is_another(grace: Listening) -> None:
    await grace.set_filter(True)
    theirs = (await grace.rest.get(f"/v1/tracks/{EXPLICIT[0]}")).json()
    assert theirs["is_playable"] is True


async def test_setting_it_needs_the_scope_and_a_yes_or_no(grace: Listening) -> None:
    without = grace.rest.bearer(grace.account, ("user-read-private",))
    refused = await grace.rest.ask("PUT", FILTER, json={"filter_enabled": True}, headers=without)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (403, "FORBIDDEN")
    wrong = await grace.rest.ask("PUT", FILTER, json={"filter_enabled": "yes"}, headers=grace.headers)
    assert (wrong.status_code, wrong.json()["error"]["reason"]) == (400, "BAD_REQUEST")


async def test_an_explicit_piece_says_that_the_filter_keeps_it(grace: Listening) -> None:
    await grace.set_filter(True)
    track = await grace.ask("GET", f"/v1/tracks/{EXPLICIT[0]}")
    listed = (await grace.rest.get(f"/v1/albums/{ALBUM}/tracks", headers=grace.headers)).json()["items"]
    assert (track["is_playable"], track["restrictions"]) == (False, RESTRICTED)
    assert [each.get("restrictions") for each in listed[:3]] == [None, RESTRICTED, None]


async def test_an_explicit_piece_is_neither_played_nor_queued(grace: Listening) -> None:
    await grace.set_filter(True)
    for answer in (
        await grace.play(uris=[track_uri(1)]),
        await grace.ask("POST", f"{PLAYER}/queue", params={"uri": track_uri(1)}),
    ):
        error = answer["error"]
        assert isinstance(error, dict)
        assert (answer["status"], error["reason"]) == (403, "NOT_PLAYABLE")
        assert "explicit filter" in error["message"]


async def test_what_is_explicit_is_passed_over(grace: Listening) -> None:
    await grace.set_filter(True)
    await grace.play(context_uri=ALBUM_URI)
    assert TRACKS[1] not in await grace.queued()
    await grace.ask("POST", f"{PLAYER}/next")
    assert (await grace.current())[0] == TRACKS[2]


async def test_the_filter_reaches_what_plays_already(grace: Listening) -> None:
    await grace.play(context_uri=ALBUM_URI)
    later = uri("track", EXPLICIT[1])
    assert (await grace.ask("POST", f"{PLAYER}/queue", params={"uri": later}))["status"] == 204
    assert (await grace.queued())[:2] == [EXPLICIT[1], EXPLICIT[0]]
    grace.phone.forget()
    await grace.set_filter(True)
    assert not set(EXPLICIT) & set(await grace.queued())
    told = [
        item.uri
        for push in grace.phone.read()
        if isinstance(push, Push) and push.player is not UNSET and push.player.next_tracks is not UNSET
        for item in push.player.next_tracks
    ]
    assert track_uri(2) in told
    assert track_uri(1) not in told
    await grace.set_filter(False)
    assert (await grace.queued())[0] == EXPLICIT[0]


async def test_a_list_of_tracks_is_whole_again_without_the_filter(grace: Listening) -> None:
    await grace.set_filter(True)
    await grace.play(uris=[track_uri(0), track_uri(1)])
    assert await grace.queued() == []
    await grace.set_filter(False)
    assert await grace.queued() == [TRACKS[1]]


# --- episodes ---------------------------------------------------------------------------------------


async def left_at(grace: Listening, episode: int, position_ms: int) -> None:
    path = f"/v1/me/episodes/{EPISODES[episode]}/resume-point"
    assert await grace.ask("PUT", path, json={"position_ms": position_ms}) == {"status": 204}


async def resume_point(grace: Listening, episode: int) -> object:
    return (await grace.ask("GET", f"/v1/episodes/{EPISODES[episode]}"))["resume_point"]


@pytest.mark.parametrize(
    ("body", "from_ms"),
    [
        ({}, 61_000),
        ({"position_ms": 0}, 0),
        ({"position_ms": 5_000}, 5_000),
    ],
    ids=["nothing said", "from the start", "from a place"],
)
async def test_an_episode_goes_on_where_it_was_left_unless_a_place_is_said(
    grace: Listening, body: dict[str, int], from_ms: int
) -> None:
    await left_at(grace, 1, 61_000)
    assert await grace.play(uris=[uri("episode", EPISODES[1])], **body) == {"status": 204}
    now, at_ms = await grace.current()
    assert now == EPISODES[1]
    assert from_ms <= at_ms < from_ms + 5_000


async def test_an_episode_that_is_skipped_to_goes_on_where_it_was_left(grace: Listening) -> None:
    await left_at(grace, 1, 61_000)
    await grace.play(context_uri=uri("show", SHOW))
    await grace.ask("PUT", f"{PLAYER}/seek", params={"position_ms": 30_000})
    await grace.ask("POST", f"{PLAYER}/next")
    assert (await grace.current())[1] >= 61_000
    await grace.ask("PUT", f"{PLAYER}/seek", params={"position_ms": 0})
    await grace.ask("POST", f"{PLAYER}/previous")
    now, at_ms = await grace.current()
    assert (now, at_ms >= 30_000) == (EPISODES[0], True)


async def test_an_episode_heard_to_its_end_begins_again(grace: Listening) -> None:
    await left_at(grace, 0, 3_599_000)
    assert await resume_point(grace, 0) == {"fully_played": True, "resume_position_ms": 0}
    await grace.play(context_uri=uri("show", SHOW))
    assert (await grace.current())[1] < 5_000


async def test_a_pause_is_a_place_to_go_on_from(grace: Listening) -> None:
    await grace.play(context_uri=uri("show", SHOW), position_ms=61_000)
    assert await grace.ask("PUT", f"{PLAYER}/pause") == {"status": 204}
    notes = grace.rest.stores.documents
    for _ in range(50):
        if await notes.scan("resume_points", limit=1):
            break
        await asyncio.sleep(0)  # the note is written beside the session
    where = await resume_point(grace, 0)
    assert isinstance(where, dict)
    assert 61_000 <= where["resume_position_ms"] < 66_000


async def test_music_begins_at_its_start(grace: Listening) -> None:
    await grace.play(context_uri=ALBUM_URI)
    await grace.ask("PUT", f"{PLAYER}/seek", params={"position_ms": 50_000})
    await grace.play(context_uri=ALBUM_URI)
    assert (await grace.current())[1] < Millis(5_000)


async def test_speech_has_a_speed_and_music_has_not(grace: Listening) -> None:
    await grace.play(context_uri=uri("show", SHOW))
    assert await grace.ask("PUT", f"{PLAYER}/speed", params={"speed": "1.5"}) == {"status": 204}
    looked = await grace.rest.host.look(grace.account.user_id)
    assert looked.player.playback_speed == 1.5
    for value in ("4", "fast", "nan"):
        wrong = await grace.rest.ask("PUT", f"{PLAYER}/speed", params={"speed": value}, headers=grace.headers)
        assert wrong.status_code == 400
        assert "a number from 0.5 to 3.5" in wrong.json()["error"]["message"]
    await grace.play(context_uri=ALBUM_URI)
    refused = await grace.ask("PUT", f"{PLAYER}/speed", params={"speed": "1.5"})
    error = refused["error"]
    assert isinstance(error, dict)
    assert (refused["status"], error["reason"]) == (403, "DISALLOWED")

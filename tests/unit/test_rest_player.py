"""`/v1/me/player` on the same live session as a socket: bodies, refusals, and who hears of what."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec import UNSET

from connect.frames import CommandFrame, ErrorBody, Push, Reply, Snapshot, VolumeReport
from kernel.errors import Code, Unavailable
from kernel.ids import CommandId, DeviceId, UserId
from kernel.units import Millis
from sessions.commands import RestorePaused, Transfer
from tests.support.hosting import ALBUM, ALBUM_URI, TRACKS, TestDevice, track_uri
from tests.support.rest import Rest, running_rest

PLAYER = "/v1/me/player"


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with running_rest() as running:
        yield running


@pytest.fixture
async def phone(rest: Rest) -> TestDevice:
    device = TestDevice(rest.host, "phone-001")
    await device.connect()
    return device


@pytest.fixture
async def playing(rest: Rest, phone: TestDevice) -> TestDevice:
    """The phone, playing the album at its first track."""
    answer = await rest.ask(
        "PUT", f"{PLAYER}/play", params={"device_id": phone.device_id}, json={"context_uri": ALBUM_URI}
    )
    assert answer.status_code == 204, answer.text
    phone.forget()
    return phone


def refusal(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()["error"]
    assert body["status"] == answer.status_code
    assert body["message"]
    return answer.status_code, body["reason"]


class Recorder:
    """A host that writes down what it is asked and answers what it was told to."""

    def __init__(self, answer: Reply | Exception | None = None) -> None:
        self.asked: list[tuple[UserId, CommandFrame, DeviceId | None]] = []
        self.answer = answer

    async def command(self, user_id: UserId, frame: CommandFrame, device_id: DeviceId | None) -> Reply:
        self.asked.append((user_id, frame, device_id))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or Reply(command_id=frame.command_id, ok=True)

    async def look(self, user_id: UserId) -> Snapshot:
        raise Unavailable(Code.TIMEOUT, "looked in vain")

    async def reread(self, user_id: UserId) -> Snapshot:
        raise Unavailable(Code.TIMEOUT, "looked in vain")


# --- reading ----------------------------------------------------------------------------------------


async def test_nothing_active_is_204_and_no_body(rest: Rest) -> None:
    answer = await rest.get(PLAYER)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await rest.get(f"{PLAYER}/currently-playing")).status_code == 204


async def test_the_playback_state_has_the_web_api_shape(rest: Rest, playing: TestDevice) -> None:
    answer = await rest.get(PLAYER)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    state: dict[str, Any] = answer.json()
    assert set(state) == {
        "device", "repeat_state", "shuffle_state", "context", "timestamp", "progress_ms", "is_playing",
        "item", "currently_playing_type", "actions",
    }  # fmt: skip
    assert state["is_playing"] is True
    assert (state["repeat_state"], state["shuffle_state"]) == ("off", False)
    assert state["currently_playing_type"] == "track"
    assert state["context"] == {
        "type": "album",
        "href": f"http://127.0.0.1:8000/v1/albums/{ALBUM}",
        "external_urls": {"spotify": f"http://127.0.0.1:8000/#/album/{ALBUM}"},
        "uri": ALBUM_URI,
    }
    assert state["device"] == {
        "id": "phone-001",
        "is_active": True,
        "is_private_session": False,
        "is_restricted": False,
        "name": "phone-001",
        "type": "Unknown",
        "volume_percent": 50,
        "supports_volume": True,
    }
    item = state["item"]
    assert (item["id"], item["type"], item["uri"]) == (TRACKS[0], "track", track_uri(0))
    assert item["album"]["id"] == ALBUM
    assert item["available_markets"] == ["NL"]
    assert 0 <= state["progress_ms"] <= item["duration_ms"] == 10_000
    assert set(state["actions"]) == {"disallows"}
    assert "resuming" in state["actions"]["disallows"]  # it plays already


async def test_actions_that_the_web_api_does_not_know_are_left_out(rest: Rest, playing: TestDevice) -> None:
    shown = (await rest.get(PLAYER)).json()["actions"]["disallows"]
    known = (await rest.host.look(UserId("user-ada"))).player.disallows
    assert "undoing" in known or "restoring_queue" in known or "setting_speed" in known
    assert not {"undoing", "restoring_queue", "setting_speed"} & set(shown)
    assert all(value is True for value in shown.values())


async def test_devices_lists_players_and_not_remotes(rest: Rest, phone: TestDevice) -> None:
    remote = TestDevice(rest.host, "remote-001")
    await remote.connect(can_be_player=False)
    answer = await rest.get(f"{PLAYER}/devices")
    assert [device["id"] for device in answer.json()["devices"]] == ["phone-001"]


async def test_the_queue_is_what_plays_and_what_comes(rest: Rest, playing: TestDevice) -> None:
    await rest.ask("POST", f"{PLAYER}/queue", params={"uri": track_uri(5)})
    queue = (await rest.get(f"{PLAYER}/queue")).json()
    assert queue["currently_playing"]["id"] == TRACKS[0]
    assert [track["id"] for track in queue["queue"][:3]] == [TRACKS[5], TRACKS[1], TRACKS[2]]


async def test_currently_playing_is_the_state_without_the_device(rest: Rest, playing: TestDevice) -> None:
    current = (await rest.get(f"{PLAYER}/currently-playing")).json()
    assert current["item"]["id"] == TRACKS[0]
    assert "device" not in current


# --- changing ---------------------------------------------------------------------------------------


async def test_a_pause_by_rest_is_on_every_socket_at_once(rest: Rest, playing: TestDevice) -> None:
    laptop = TestDevice(rest.host, "laptop-001")
    await laptop.connect()
    laptop.forget()
    answer = await rest.ask("PUT", f"{PLAYER}/pause")
    assert (answer.status_code, answer.content) == (204, b"")
    for device in (playing, laptop):
        push = await device.wait_for(Push, lambda p: p.player is not UNSET and p.player.is_paused is True)
        assert push.command_id is not None
    assert (await rest.get(PLAYER)).json()["is_playing"] is False


async def test_play_without_a_body_resumes(rest: Rest, playing: TestDevice) -> None:
    await rest.ask("PUT", f"{PLAYER}/pause")
    assert (await rest.ask("PUT", f"{PLAYER}/play")).status_code == 204
    assert (await rest.get(PLAYER)).json()["is_playing"] is True


async def test_play_takes_uris_an_offset_and_a_position(rest: Rest, playing: TestDevice) -> None:
    body = {"uris": [track_uri(3), track_uri(4)], "offset": {"position": 1}, "position_ms": 5_000}
    assert (await rest.ask("PUT", f"{PLAYER}/play", json=body)).status_code == 204
    state = (await rest.get(PLAYER)).json()
    assert state["item"]["id"] == TRACKS[4]
    assert state["progress_ms"] >= 5_000
    body = {"context_uri": ALBUM_URI, "offset": {"uri": track_uri(2)}}
    assert (await rest.ask("PUT", f"{PLAYER}/play", json=body)).status_code == 204
    assert (await rest.get(PLAYER)).json()["item"]["id"] == TRACKS[2]


async def test_next_and_previous_move_and_seek_sets_the_position(rest: Rest, playing: TestDevice) -> None:
    assert (await rest.ask("POST", f"{PLAYER}/next")).status_code == 204
    assert (await rest.get(PLAYER)).json()["item"]["id"] == TRACKS[1]
    assert (await rest.ask("POST", f"{PLAYER}/previous")).status_code == 204
    assert (await rest.get(PLAYER)).json()["item"]["id"] == TRACKS[0]
    assert (await rest.ask("PUT", f"{PLAYER}/seek", params={"position_ms": 7_000})).status_code == 204
    assert (await rest.get(PLAYER)).json()["progress_ms"] >= 7_000


async def test_shuffle_and_repeat_are_set_by_their_names(rest: Rest, playing: TestDevice) -> None:
    assert (await rest.ask("PUT", f"{PLAYER}/shuffle", params={"state": "true"})).status_code == 204
    assert (await rest.ask("PUT", f"{PLAYER}/repeat", params={"state": "context"})).status_code == 204
    state = (await rest.get(PLAYER)).json()
    assert (state["shuffle_state"], state["repeat_state"]) == (True, "context")


async def test_volume_reaches_the_device(rest: Rest, playing: TestDevice) -> None:
    assert (await rest.ask("PUT", f"{PLAYER}/volume", params={"volume_percent": 31})).status_code == 204
    await playing.say(VolumeReport(volume_percent=31))
    assert (await rest.get(f"{PLAYER}/devices")).json()["devices"][0]["volume_percent"] == 31


@pytest.mark.parametrize(("play", "wanted"), [(True, "RESUME"), (False, "RESTORE"), (None, "RESTORE")])
async def test_a_transfer_names_its_device_and_whether_to_play(play: bool | None, wanted: str) -> None:
    recorder = Recorder()
    async with running_rest(reach=recorder) as rest:
        body: dict[str, object] = {"device_ids": ["speaker-001"]}
        if play is not None:
            body["play"] = play
        assert (await rest.ask("PUT", PLAYER, json=body)).status_code == 204
    [(user_id, frame, _)] = recorder.asked
    assert user_id == "user-ada"
    assert frame.command == Transfer(device_id=DeviceId("speaker-001"), restore_paused=RestorePaused[wanted])


async def test_each_request_is_a_command_with_an_id_of_its_own() -> None:
    recorder = Recorder()
    async with running_rest(reach=recorder) as rest:
        for _ in range(2):
            await rest.ask("PUT", f"{PLAYER}/pause", params={"device_id": "phone-001"})
    first, second = recorder.asked
    assert first[1].command_id != second[1].command_id
    assert first[2] == "phone-001"


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("PUT", "/play", {"content": b"{not json"}),
        ("PUT", "/play", {"json": {"uris": "spotify:track:1"}}),
        ("PUT", "/play", {"json": {"uris": ["spotify:track:x"] * 101}}),
        ("PUT", "/play", {"json": {"context_uri": ALBUM_URI, "position_ms": -1}}),
        ("PUT", "/play", {"json": {"context_uri": ALBUM_URI, "offset": {"position": -1}}}),
        ("PUT", "/seek", {}),
        ("PUT", "/seek", {"params": {"position_ms": "soon"}}),
        ("PUT", "/seek", {"params": {"position_ms": -1}}),
        ("PUT", "/volume", {"params": {"volume_percent": 101}}),
        ("PUT", "/shuffle", {"params": {"state": "yes"}}),
        ("PUT", "/shuffle", {}),
        ("PUT", "/repeat", {"params": {"state": "all"}}),
        ("POST", "/queue", {}),
        ("PUT", "", {"json": {"device_ids": []}}),
        ("PUT", "", {"json": {"device_ids": ["one-00000", "two-00000"]}}),
        ("PUT", "", {}),
    ],
)
async def test_what_cannot_be_a_request_is_400_and_reaches_no_host(
    method: str, path: str, more: dict[str, Any]
) -> None:
    recorder = Recorder()
    async with running_rest(reach=recorder) as rest:
        answer = await rest.ask(method, f"{PLAYER}{path}", **more)
    assert refusal(answer) == (400, "BAD_REQUEST")
    assert recorder.asked == []


async def test_no_active_device_is_404_with_its_reason(rest: Rest) -> None:
    answer = await rest.ask("PUT", f"{PLAYER}/play", json={"context_uri": ALBUM_URI})
    assert refusal(answer) == (404, "NO_ACTIVE_DEVICE")


async def test_a_device_nobody_knows_is_404(rest: Rest, playing: TestDevice) -> None:
    answer = await rest.ask("PUT", PLAYER, json={"device_ids": ["nobody-001"]})
    assert refusal(answer) == (404, "DEVICE_UNAVAILABLE")


async def test_what_the_state_forbids_is_403(rest: Rest, playing: TestDevice) -> None:
    assert refusal(await rest.ask("PUT", f"{PLAYER}/play")) == (403, "DISALLOWED")


async def test_a_token_without_the_scope_is_403_and_names_it(rest: Rest) -> None:
    reads = rest.bearer(scopes=("user-read-playback-state",))
    answer = await rest.ask("PUT", f"{PLAYER}/pause", headers=reads)
    assert refusal(answer) == (403, "FORBIDDEN")
    assert "user-modify-playback-state" in answer.json()["error"]["message"]
    assert (await rest.get(f"{PLAYER}/devices", headers=reads)).status_code == 200


@pytest.mark.parametrize(
    ("code", "status", "retry_after_ms"),
    [
        (Code.NOT_OWNER, 503, 1500),
        (Code.BUSY, 503, 200),
        (Code.TIMEOUT, 504, None),
        (Code.STORE_UNAVAILABLE, 503, None),
        (Code.RATE_LIMITED, 429, 60_000),
    ],
)
async def test_a_host_that_cannot_is_told_as_the_table_has_it(
    code: Code, status: int, retry_after_ms: int | None
) -> None:
    wait = Millis(retry_after_ms) if retry_after_ms is not None else None
    async with running_rest(reach=Recorder(Unavailable(code, "not now", None, wait))) as rest:
        answer = await rest.ask("PUT", f"{PLAYER}/pause")
    assert refusal(answer) == (status, code.value)
    # In whole seconds, and never sooner than was said.
    expected = None if retry_after_ms is None else str(-(-retry_after_ms // 1000))
    assert answer.headers.get("retry-after") == expected


async def test_a_refusal_in_a_reply_is_an_error_body() -> None:
    error = ErrorBody(code=Code.HANDOFF_FAILED, message="the target did not answer")
    async with running_rest(
        reach=Recorder(Reply(command_id=CommandId("a-command"), ok=False, error=error))
    ) as rest:
        answer = await rest.ask("PUT", PLAYER, json={"device_ids": ["speaker-001"]})
    assert refusal(answer) == (409, "HANDOFF_FAILED")
    assert answer.json()["error"]["message"] == "the target did not answer"


async def test_nobody_owning_the_session_is_503_with_a_time() -> None:
    async with running_rest(owned=False) as rest:
        answer = await rest.get(PLAYER)
    assert refusal(answer) == (503, "NOT_OWNER")
    assert answer.headers["retry-after"] == "1"

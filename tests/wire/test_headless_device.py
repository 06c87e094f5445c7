"""The Python client against a real host over real sockets: play, go on, hand over, come back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import NamedTuple

import httpx
import pytest

from catalog.model import Codec
from client.api import Api, Credentials
from client.device import HeadlessDevice
from client.paced import PacedBytes
from client.remote import Remote
from client.socket_dial import Socket
from client.stream import Manifest, ManifestRendition
from client.timing import SteadyClock
from connect.frames import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, Lease
from kernel.errors import Code, Rejected
from kernel.ids import DeviceId
from kernel.units import Millis
from sessions.commands import Pause, Play, Resume, SeekTo, SetVolume, SkipNext, Transfer
from sessions.view import PlayerState
from tests.support.hosting import ALBUM_URI
from tests.support.listening_host import OpenDoor, listening_host

WITHIN_S = 8.0
GAP_MS = 60.0
"""Timers of a busy machine fire late; the gap that two devices measure must still be about none."""


class ZeroBytes:
    """`client.stream.Source`: every track is so many zeros."""

    async def manifest(self, lease: Lease) -> Manifest:
        rendition = ManifestRendition(
            name=lease.rendition,
            file=f"{lease.rendition}.ogg",
            codec=Codec.VORBIS,
            mime="audio/ogg",
            bitrate_kbps=160,
            size=400_000,
            sample_rate=44_100,
            pcm_frames=1,
            encoder_delay=0,
            end_padding=0,
        )
        return Manifest(
            track_uri=lease.uri, duration_ms=lease.duration_ms, gain_db=0.0, renditions=(rendition,)
        )

    async def read(self, lease: Lease, rendition: ManifestRendition, *, start: int, end: int) -> bytes:
        return bytes(end - start)


class Room(NamedTuple):
    remote: Remote
    kitchen: HeadlessDevice
    den: HeadlessDevice
    answer: Callable[[httpx.Request], httpx.Response]
    """What `/v1/connect` says."""

    async def until(self, condition: Callable[[PlayerState], bool]) -> PlayerState:
        return await self.remote.wait_for(condition, within_s=WITHIN_S)


@pytest.fixture(params=[SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON])
async def room(request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    async with listening_host() as (_, url):
        door = OpenDoor(url)

        def answer(asked: httpx.Request) -> httpx.Response:
            return httpx.Response(
                200, json={"url": url, "ticket": "user-ada", "expires_in": 60, "subprotocols": []}
            )

        devices = []
        for name in ("Kitchen", "Den"):
            clock = SteadyClock()
            devices.append(
                HeadlessDevice(
                    name,
                    door,
                    PacedBytes(ZeroBytes(), clock),
                    device_id=DeviceId(f"headless-{name.lower()}"),
                    clock=clock,
                    subprotocols=(request.param,),
                )
            )
        running = [asyncio.ensure_future(device.run()) for device in devices]
        api = Api("http://server", Credentials(access_token="t"), transport=httpx.MockTransport(answer))
        async with Remote("http://server", api=api, subprotocols=(request.param,)) as remote:
            for name in ("Kitchen", "Den"):
                await remote.wait_for_device(name, within_s=WITHIN_S)
            yield Room(remote, devices[0], devices[1], answer)
        for device, task in zip(devices, running, strict=True):
            await device.close()
            with suppress(asyncio.CancelledError):
                await task


async def play_in_the_kitchen(room: Room) -> PlayerState:
    await room.remote.command(Play(context_uri=ALBUM_URI, device_id=DeviceId("headless-kitchen")))
    return await room.until(lambda player: player.is_playing and not player.is_buffering)


async def test_a_device_plays_what_a_remote_asks_for_and_reports_where_it_is(room: Room) -> None:
    player = await play_in_the_kitchen(room)
    assert player.active_device_id == "headless-kitchen"
    await room.remote.command(SeekTo(position_ms=Millis(5_000)))
    await room.until(lambda player: player.position_as_of_timestamp >= 5_000)
    await room.remote.command(Pause())
    await room.until(lambda player: player.is_paused)
    assert room.kitchen.output.position_ms() == 0.0
    await room.remote.command(Resume())
    await room.until(lambda player: player.is_playing)
    assert room.kitchen.output.fetched_bytes > 0  # type: ignore[attr-defined]  # it is a PacedBytes


async def test_music_is_handed_over_and_back_and_the_gap_is_published(room: Room) -> None:
    await play_in_the_kitchen(room)
    for target, source in ((room.den, room.kitchen), (room.kitchen, room.den)):
        reply = await room.remote.command(Transfer(device_id=target.link.device.device_id))
        player = await room.until(
            lambda player: (
                player.last_handoff is not None
                and player.last_handoff.handoff_id == reply.result["handoff_id"]  # noqa: B023
                and player.last_handoff.gap_ms is not None
            )
        )
        assert player.last_handoff is not None
        assert player.last_handoff.gap_ms is not None
        assert abs(player.last_handoff.gap_ms) < GAP_MS
        assert abs(player.last_handoff.jump_ms or 0.0) < GAP_MS
        assert player.active_device_id == target.link.device.device_id
        assert target.output.position_ms() > 0.0
        assert source.output.position_ms() == 0.0
        assert player.is_playing


async def test_the_next_track_follows_by_itself_and_the_server_is_told(room: Room) -> None:
    before = await play_in_the_kitchen(room)
    assert before.track is not None
    await room.remote.command(SeekTo(position_ms=Millis(before.duration - 400)))
    after = await room.until(lambda player: player.play_id != before.play_id)
    # Nobody commanded it: the version stands, and the device was never told to start anew.
    assert after.is_playing
    assert after.playhead_version == before.playhead_version + 1
    assert room.kitchen.player.play_id == after.play_id


async def test_a_skip_goes_to_the_next_track_on_the_device(room: Room) -> None:
    before = await play_in_the_kitchen(room)
    assert before.track is not None
    await room.remote.command(SkipNext(from_uid=before.track.uid))
    after = await room.until(lambda player: player.track is not None and player.track != before.track)
    await room.until(lambda player: player.is_playing and not player.is_buffering)
    assert room.kitchen.player.play_id == after.play_id


async def test_a_device_whose_socket_breaks_plays_on_and_comes_back_without_a_restart(room: Room) -> None:
    before = await play_in_the_kitchen(room)
    socket: Socket | None = room.kitchen.link._socket
    assert socket is not None
    # As a network does it: no close frame, no goodbye.
    socket._connection.transport.abort()  # type: ignore[attr-defined]
    async with asyncio.timeout(WITHIN_S):
        while room.kitchen.link.reconnects == 0:  # noqa: ASYNC110  # a real socket, a real backoff
            await asyncio.sleep(0.02)
    assert room.kitchen.player.play_id == before.play_id
    await room.remote.command(Pause())
    await room.until(lambda player: player.is_paused)
    assert room.kitchen.output.position_ms() == 0.0


async def test_a_volume_set_by_a_remote_arrives_and_a_reconnect_keeps_it(room: Room) -> None:
    await room.remote.command(SetVolume(volume_percent=23, device_id=DeviceId("headless-kitchen")))
    async with asyncio.timeout(WITHIN_S):
        while room.kitchen.link.device.volume_percent != 23:  # noqa: ASYNC110  # what is awaited is a frame
            await asyncio.sleep(0.01)
    assert room.kitchen.output.volume_percent == 23  # type: ignore[attr-defined]  # it is a PacedBytes


async def test_a_remote_is_told_why_it_cannot_hand_over(room: Room) -> None:
    await play_in_the_kitchen(room)
    with pytest.raises(Rejected) as refused:
        await room.remote.command(Transfer(device_id=room.remote.link.device.device_id))
    assert refused.value.code in {Code.DISALLOWED, Code.DEVICE_UNAVAILABLE, Code.BAD_REQUEST}
    assert room.remote.player.is_playing


async def test_a_remote_in_passing_leaves_no_device_behind(room: Room) -> None:
    async with Remote(
        "http://server",
        api=Api(
            "http://server",
            Credentials(access_token="t"),
            transport=httpx.MockTransport(room.answer),
        ),
    ) as passing:
        await room.remote.wait_for_device(passing.link.device.device_id, within_s=WITHIN_S)
    async with asyncio.timeout(WITHIN_S):
        while room.remote.mirror.device(passing.link.device.device_id) is not None:  # noqa: ASYNC110  # a frame
            await asyncio.sleep(0.01)

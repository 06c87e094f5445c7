"""Clients that do everything wrong, over real sockets: the host stays healthy and other users notice nothing.

Each test ends with Ada's own device doing what it always does. Nothing here is judged by time: a command is
answered or it is not.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

import msgspec
import pytest

from actors.host import EntityHost
from client.raw import Opcode, RawSocket, framed, open_raw
from connect.codec import Encoding
from connect.frames import (
    FRAME_BYTES_MAX,
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    CommandFrame,
    DeviceInfo,
    ErrorFrame,
    Goodbye,
    GoodbyeReason,
    Hello,
    Ping,
    Pong,
    Ready,
    Renew,
    Reply,
    Report,
    ReportState,
    Snapshot,
    Switched,
    VolumeReport,
    Welcome,
)
from kernel.errors import TABLE, Code, Unavailable
from kernel.ids import CommandId, DeviceId, HandoffId, PlayId, Uid
from kernel.units import Millis
from sessions.commands import ForgetDevice, Pause, Play, PlayItem, Resume, SeekTo, SetVolume, Transfer
from tests.support.hosting import ALBUM_URI
from tests.support.listening_host import Caller, call, listening_host

FLOOD_FRAMES = 10_000
FLOODERS = 3
NORMAL = 1000
PROTOCOL_ERROR, BAD_UTF8, TOO_BIG = 1002, 1007, 1009
"""Close codes of the websocket standard: these faults are caught before a frame of ours exists."""


class Scene(NamedTuple):
    host: EntityHost
    url: str
    ada: Caller

    async def stranger(self, *, encoding: Encoding = Encoding.MSGPACK) -> RawSocket:
        """A socket that has not said hello."""
        subprotocol = SUBPROTOCOL_MSGPACK if encoding is Encoding.MSGPACK else SUBPROTOCOL_JSON
        return await open_raw(self.url, subprotocol)

    async def mallory(self, *, encoding: Encoding = Encoding.MSGPACK) -> Caller:
        """A user with an account of his own, and bad intentions."""
        return await call(self.url, "mallory-1", user="user-mallory", encoding=encoding)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with listening_host() as (host, url):
        ada = await call(url, "ada-phone-1")
        assert (await ada.command(Play(context_uri=ALBUM_URI))).ok
        scene = Scene(host, url, ada)
        yield scene
        reply = await ada.command(SeekTo(position_ms=Millis(4_321)))
        assert reply.ok, "Ada's device no longer gets what it asks for"
        assert not ada.socket.closed.is_set()
        await ada.socket.close()


def close_of(code: Code) -> int:
    close = TABLE[code].close
    assert close is not None
    return close


def hello(ticket: str, device_id: str = "mallory-1", nonce: str = "nonce-9999") -> Hello:
    return Hello(
        ticket=ticket,
        device=DeviceInfo(device_id=DeviceId(device_id), name="M"),
        connection_nonce=nonce,
    )


async def wait_alone(scene: Scene) -> None:
    """Until only Ada is connected: what was closed or broke is let go of."""
    async with asyncio.timeout(10):
        # The other end of a real socket says nothing when it has gone: there is only looking.
        while scene.host.statistics()["peers"] > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- wrong order -------------------------------------------------------------------------------------

BEFORE_HELLO = [
    CommandFrame(command_id=CommandId("command-1"), command=Pause()),
    Ping(t0_ms=1.0),
    Renew(),
    Goodbye(reason=GoodbyeReason.SHUTDOWN),
    Ready(handoff_id=HandoffId("h"), buffered_ms=1),
    VolumeReport(volume_percent=100),
]


@pytest.mark.parametrize("frame", BEFORE_HELLO, ids=lambda frame: type(frame).__name__)
async def test_anything_before_hello_ends_the_connection(scene: Scene, frame: Ping) -> None:
    stranger = await scene.stranger()
    stranger.send(frame)
    assert await stranger.wait_closed() == close_of(Code.OUT_OF_ORDER)


async def test_a_second_hello_ends_the_connection(scene: Scene) -> None:
    mallory = await scene.mallory()
    mallory.socket.send(hello("user-mallory"))
    assert await mallory.socket.wait_closed() == close_of(Code.OUT_OF_ORDER)


async def test_frames_after_goodbye_are_dropped(scene: Scene) -> None:
    mallory = await scene.mallory()
    mallory.socket.send(Goodbye(reason=GoodbyeReason.USER_REQUEST))
    mallory.socket.send(CommandFrame(command_id=CommandId("command-1"), command=Pause()))
    assert await mallory.socket.wait_closed() == NORMAL
    left = []
    with suppress(Unavailable):
        while True:
            left.append(await mallory.socket.receive())
    assert not any(isinstance(frame, Reply) for frame in left)


# --- what cannot be decoded --------------------------------------------------------------------------


async def test_an_unknown_type_before_hello_ends_the_connection(scene: Scene) -> None:
    stranger = await scene.stranger()
    stranger.send_encoded(msgspec.msgpack.encode({"type": "takeover"}))
    assert await stranger.wait_closed() == close_of(Code.OUT_OF_ORDER)


async def test_an_unknown_type_after_hello_is_an_error_and_the_connection_stays(scene: Scene) -> None:
    mallory = await scene.mallory()
    mallory.socket.send_encoded(msgspec.msgpack.encode({"type": "takeover", "everything": True}))
    while not isinstance(frame := await mallory.socket.receive(), ErrorFrame):
        assert frame is not None
    assert frame.error.code is Code.UNKNOWN_TYPE
    mallory.socket.send(Ping(t0_ms=7.0))
    while not isinstance(pong := await mallory.socket.receive(), Pong):
        assert pong is not None
    assert pong.t0_ms == 7.0


async def test_an_unknown_endpoint_is_a_refused_command(scene: Scene) -> None:
    mallory = await scene.mallory()
    command = {"type": "command", "command_id": "command-1", "command": {"endpoint": "delete_everybody"}}
    mallory.socket.send_encoded(msgspec.msgpack.encode(command))
    while not isinstance(reply := await mallory.socket.receive(), Reply):
        assert reply is not None
    assert reply.error is not None
    assert (reply.command_id, reply.error.code) == ("command-1", Code.UNKNOWN_TYPE)


UNDECODABLE_MSGPACK = {
    "nothing": b"",
    "a reserved byte": b"\xc1",
    "not a map": b"\x93\x01\x02\x03",
    "a map that is cut off": b"\x82\xa4type\xa5hello",
    "arrays 60,000 deep": b"\x91" * 60_000,
    "maps 20,000 deep": b"\x81\xa1a" * 20_000,
    "an array that claims four billion items": b"\xdd\xff\xff\xff\xff",
    "text that claims four gigabytes": b"\xdb\xff\xff\xff\xff",
    "bad UTF-8 in a field": b"\x82\xa4type\xa4ping\xa5t0_ms\xa2\xc3\x28",
    "bad UTF-8 in a key": b"\x82\xa4type\xa4ping\xa2\xc3\x28\x01",
    "a number that is not one": b"\x82\xa4type\xa4ping\xa5t0_ms\xcb\x7f\xf8\0\0\0\0\0\0",
    "a type that is no text": msgspec.msgpack.encode({"type": ["hello"]}),
    "a wrong type of field": msgspec.msgpack.encode({"type": "ping", "t0_ms": "noon"}),
}


@pytest.mark.parametrize("data", UNDECODABLE_MSGPACK.values(), ids=UNDECODABLE_MSGPACK.keys())
async def test_what_is_not_a_frame_ends_that_connection_alone(scene: Scene, data: bytes) -> None:
    mallory = await scene.mallory()
    mallory.socket.send_encoded(data)
    assert await mallory.socket.wait_closed() == close_of(Code.BAD_FRAME)


UNDECODABLE_JSON = {
    "arrays 60,000 deep": b"[" * 60_000,
    "maps 10,000 deep": b'{"a":' * 10_000,
    "not a number": b'{"type":"ping","t0_ms":NaN}',
    "half a surrogate": b'{"type":"\\ud800"',
    "a number with 60,000 digits": b'{"type":"ping","t0_ms":"' + b"9" * 60_000 + b'"}',
}


@pytest.mark.parametrize("data", UNDECODABLE_JSON.values(), ids=UNDECODABLE_JSON.keys())
async def test_the_same_goes_for_json(scene: Scene, data: bytes) -> None:
    mallory = await scene.mallory(encoding=Encoding.JSON)
    mallory.socket.send_encoded(data)
    assert await mallory.socket.wait_closed() == close_of(Code.BAD_FRAME)


async def test_text_on_a_binary_connection_and_the_reverse_are_no_frames(scene: Scene) -> None:
    binary = await scene.mallory()
    binary.socket.send_bytes(framed(Opcode.TEXT, json.dumps({"type": "renew"}).encode()))
    assert await binary.socket.wait_closed() == close_of(Code.BAD_FRAME)
    text = await scene.mallory(encoding=Encoding.JSON)
    text.socket.send_bytes(framed(Opcode.BINARY, msgspec.msgpack.encode({"type": "renew"})))
    assert await text.socket.wait_closed() == close_of(Code.BAD_FRAME)


# --- huge frames, and what is below our frames -------------------------------------------------------


async def test_a_frame_larger_than_the_limit_is_refused_by_its_header_alone(scene: Scene) -> None:
    mallory = await scene.mallory()
    header = framed(Opcode.BINARY, bytes(FRAME_BYTES_MAX + 1))[:14]
    mallory.socket.send_bytes(header)
    assert await mallory.socket.wait_closed() in {TOO_BIG, close_of(Code.FRAME_TOO_LARGE)}


async def test_a_frame_that_claims_an_exabyte_is_refused(scene: Scene) -> None:
    mallory = await scene.mallory()
    mallory.socket.send_bytes(b"\x82\xff" + (1 << 60).to_bytes(8, "big") + b"\0\0\0\0")
    assert await mallory.socket.wait_closed() in {TOO_BIG, PROTOCOL_ERROR}


async def test_an_endless_message_in_small_pieces_is_refused(scene: Scene) -> None:
    mallory = await scene.mallory()
    mallory.socket.send_bytes(framed(Opcode.BINARY, b"\x81", fin=False))
    piece = framed(Opcode.CONTINUATION, bytes(1_000), fin=False)
    for _ in range(FRAME_BYTES_MAX // 1_000 + 2):
        mallory.socket.send_bytes(piece)
    assert await mallory.socket.wait_closed() == TOO_BIG


BELOW_FRAMES = {
    "bad UTF-8 in a text message": (framed(Opcode.TEXT, b"\xc3\x28"), {BAD_UTF8}),
    "a reserved opcode": (framed(0x3, b"x"), {PROTOCOL_ERROR}),
    "a reserved bit": (b"\xf2" + framed(Opcode.BINARY, b"x")[1:], {PROTOCOL_ERROR}),
    "a frame without a mask": (b"\x82\x01x", {PROTOCOL_ERROR}),
    "a fragment of nothing": (framed(Opcode.CONTINUATION, b"x"), {PROTOCOL_ERROR}),
    "a ping that is too long": (framed(Opcode.PING, bytes(126)), {PROTOCOL_ERROR}),
}


@pytest.mark.parametrize(("data", "closes"), BELOW_FRAMES.values(), ids=BELOW_FRAMES.keys())
async def test_a_broken_websocket_is_closed_by_the_standard(
    scene: Scene, data: bytes, closes: set[int]
) -> None:
    mallory = await scene.mallory()
    mallory.socket.send_bytes(data)
    assert await mallory.socket.wait_closed() in closes


@pytest.mark.parametrize(
    "head",
    [b"\0" * 4_096, b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"A" * 200_000],
    ids=["zeros", "no websocket", "HTTP/2", "an endless line"],
)
async def test_what_is_no_websocket_gets_no_connection(scene: Scene, head: bytes) -> None:
    host, _, port = scene.url.removeprefix("ws://").rstrip("/").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    writer.write_eof()
    async with asyncio.timeout(15):
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
    assert b" 101 " not in answer
    writer.close()
    await wait_alone(scene)


async def test_a_client_without_our_subprotocol_or_of_a_foreign_page_is_refused(scene: Scene) -> None:
    with pytest.raises(Unavailable, match="400"):
        await open_raw(scene.url, "chat")
    with pytest.raises(Unavailable, match="403"):
        await open_raw(scene.url, SUBPROTOCOL_MSGPACK, headers=("Origin: https://evil.example",))


async def test_connections_that_vanish_in_the_middle_of_a_frame_leave_nothing_behind(scene: Scene) -> None:
    for cut in (1, 3, 7, 20):
        stranger = await scene.stranger()
        stranger.send_bytes(framed(Opcode.BINARY, bytes(1_000))[:cut])
        stranger.abort()
    for _ in range(20):
        (await scene.stranger()).abort()
    await wait_alone(scene)


# --- somebody else's things --------------------------------------------------------------------------


@pytest.mark.parametrize("ticket", ["", "nobody", "\0", "x" * 4_096], ids=["empty", "wrong", "nul", "long"])
async def test_a_ticket_that_is_none_ends_the_connection(scene: Scene, ticket: str) -> None:
    stranger = await scene.stranger()
    stranger.send(hello(ticket))
    assert await stranger.wait_closed() == close_of(Code.UNAUTHORIZED)


async def test_another_users_device_id_is_just_a_name_of_ones_own(scene: Scene) -> None:
    mallory = await call(scene.url, str(scene.ada.device_id), user="user-mallory", nonce="nonce-newer")
    assert [device.device_id for device in mallory.snapshot.devices] == [scene.ada.device_id]
    assert mallory.snapshot.player.session_id != scene.ada.snapshot.player.session_id
    assert mallory.snapshot.player.track is None
    assert not scene.ada.socket.closed.is_set()
    await mallory.socket.close()


@pytest.mark.parametrize(
    "command",
    [
        Transfer(device_id=DeviceId("ada-phone-1")),
        SetVolume(volume_percent=100, device_id=DeviceId("ada-phone-1")),
        ForgetDevice(device_id=DeviceId("ada-phone-1")),
        Play(context_uri=ALBUM_URI, device_id=DeviceId("ada-phone-1")),
        Resume(device_id=DeviceId("ada-phone-1")),
    ],
    ids=lambda command: type(command).__name__,
)
async def test_another_users_device_cannot_be_commanded(
    scene: Scene, command: Transfer | SetVolume | ForgetDevice | Play | Resume
) -> None:
    mallory = await scene.mallory()
    reply = await mallory.command(command)
    assert not reply.ok
    assert reply.error is not None
    assert reply.error.code is Code.DEVICE_UNAVAILABLE
    await mallory.socket.close()


async def test_another_users_items_and_plays_mean_nothing_here(scene: Scene) -> None:
    await scene.ada.socket.close()
    ada = await call(scene.url, "ada-phone-1", nonce="nonce-0002")
    scene.ada.socket, before = ada.socket, ada.snapshot.player
    assert before.track is not None
    assert before.play_id is not None
    mallory = await scene.mallory()
    refused = await mallory.command(PlayItem(uid=before.track.uid))
    assert not refused.ok
    mallory.socket.send(
        Report(
            device_epoch=before.device_epoch,
            play_id=before.play_id,
            playhead_version=before.playhead_version,
            state=ReportState.ENDED,
            position_ms=Millis(0),
            measured_at_ms=Millis(before.timestamp),
        )
    )
    mallory.socket.send(Switched(handoff_id=HandoffId("made-up"), at_ms=1.0, position_ms=1.0))
    mallory.socket.send(Ready(handoff_id=HandoffId("made-up"), buffered_ms=10))
    mallory.socket.send(Ping(t0_ms=1.0))
    while not isinstance(frame := await mallory.socket.receive(), Pong):
        assert frame is not None
    await mallory.socket.close()
    look = await call(scene.url, "ada-laptop-1")
    assert look.snapshot.player.track == before.track
    assert look.snapshot.player.play_id == before.play_id
    await look.socket.close()


async def test_a_made_up_item_or_play_of_ones_own_is_refused_and_harmless(scene: Scene) -> None:
    mallory = await scene.mallory()
    refused = await mallory.command(PlayItem(uid=Uid("made-up")))
    assert not refused.ok
    mallory.socket.send(
        Report(
            device_epoch=10**9,
            play_id=PlayId("made-up"),
            playhead_version=10**9,
            state=ReportState.PLAYING,
            position_ms=Millis(0),
            measured_at_ms=Millis(1 << 45),
        )
    )
    assert (await mallory.command(Play(context_uri=ALBUM_URI))).ok
    await mallory.socket.close()


# --- too much ----------------------------------------------------------------------------------------


async def flood(scene: Scene, number: int) -> int | None:
    """10,000 frames at once, as fast as the network takes them; what the connection was closed with."""
    socket = await scene.stranger()
    device_id = f"flooder-{number}"
    socket.send(hello("user-mallory", device_id, f"nonce-flood-{number}"))
    assert isinstance(await socket.receive(), Welcome)
    socket.on_message = lambda payload: None
    seek = CommandFrame(command_id=CommandId("flood-command"), command=SeekTo(position_ms=Millis(1)))
    data = framed(Opcode.BINARY, msgspec.msgpack.encode(seek))
    for _ in range(FLOOD_FRAMES // 100):
        if socket.closed.is_set():
            break
        socket.send_bytes(data * 100)
        await asyncio.sleep(0)
    return await socket.wait_closed(within_s=30)


async def test_ten_thousand_frames_a_second_end_the_flooder_and_nobody_else(scene: Scene) -> None:
    floods = [asyncio.ensure_future(flood(scene, number)) for number in range(FLOODERS)]
    replies = [await scene.ada.command(SeekTo(position_ms=Millis(turn))) for turn in range(30)]
    assert [reply.ok for reply in replies] == [True] * 30
    closes = await asyncio.gather(*floods)
    # Or it broke: a server that closes while bytes still arrive resets the connection under them.
    assert set(closes) <= {close_of(Code.FLOODED), None}
    await wait_alone(scene)


async def test_a_crowd_that_only_knocks_is_let_go_of(scene: Scene) -> None:
    crowd = await asyncio.gather(*(scene.stranger() for _ in range(200)))
    assert (await scene.ada.command(Pause())).ok
    for socket in crowd:
        socket.abort()
    await wait_alone(scene)


async def test_one_device_id_that_connects_again_and_again_is_one_device(scene: Scene) -> None:
    sockets = []
    for turn in range(20):
        caller = await call(scene.url, "mallory-1", user="user-mallory", nonce=f"nonce-again-{turn}")
        assert len(caller.snapshot.devices) == 1
        sockets.append(caller.socket)
    for older in sockets[:-1]:
        assert await older.wait_closed() == close_of(Code.REPLACED)
    await sockets[-1].close()


async def test_a_device_that_reads_nothing_costs_its_host_no_memory_without_bound(scene: Scene) -> None:
    deaf = await call(scene.url, "ada-deaf-1")
    assert deaf.socket.transport is not None
    deaf.socket.transport.pause_reading()
    for turn in range(25):
        assert (await scene.ada.command(SeekTo(position_ms=Millis(turn)))).ok
    deaf.socket.transport.resume_reading()
    deaf.socket.send(Ping(t0_ms=3.0))
    while not isinstance(frame := await deaf.socket.receive(), Pong):
        assert not isinstance(frame, Snapshot) or frame.reason == "slow_consumer"
    await deaf.socket.close()

"""The load: users with two devices each, seeks in flight, replies counted; idle sockets; reconnects."""

import asyncio
import time
from random import Random
from typing import Any

import msgspec

from client.raw import RawSocket, open_raw
from connect.codec import decode_server
from connect.frames import (
    SUBPROTOCOL_MSGPACK,
    Capabilities,
    CommandFrame,
    DeviceInfo,
    DeviceType,
    Hello,
    Reply,
    Resume,
    Welcome,
)
from kernel.ids import CommandId, DeviceId, Uri
from kernel.units import Millis
from sessions.commands import Command, Play, SeekTo

OPENING_AT_ONCE = 32
REPLY_TAG = b"\xa4type\xa5reply"
"""How a reply begins; everything else that comes back is counted and not looked at."""
SEEK_RANGE_MS = 25 * 60 * 1000


def device_info(device_id: str, *, player: bool = True) -> DeviceInfo:
    return DeviceInfo(
        device_id=DeviceId(device_id),
        name=device_id,
        type=DeviceType.SPEAKER,
        capabilities=Capabilities(can_be_player=player),
    )


async def join(url: str, ticket: str, device: DeviceInfo, *, nonce: str) -> RawSocket:
    """Open, say hello, and wait for the welcome."""
    socket = await open_raw(url, SUBPROTOCOL_MSGPACK)
    socket.send(Hello(ticket=ticket, device=device, connection_nonce=nonce))
    while not isinstance(frame := await socket.receive(within_s=30), Welcome):
        assert frame is not None, "a frame or an exception"
    return socket


async def until_reply(socket: RawSocket, command_id: str) -> Reply:
    while True:
        frame = await socket.receive(within_s=30)
        if isinstance(frame, Reply) and frame.command_id == command_id:
            return frame


class User:
    """Two sockets, `window` commands in flight on the first."""

    def __init__(self, number: int, sockets: tuple[RawSocket, RawSocket]) -> None:
        self._rng = Random(number)
        self.sockets = sockets
        self._next = 0
        self._number = number
        self.replies = 0
        self.refused = 0
        self.pushes = 0
        self._running = False
        self._encode = msgspec.msgpack.Encoder().encode

    def frame(self, command: Command) -> CommandFrame:
        self._next += 1
        return CommandFrame(
            command_id=CommandId(f"bench-{self._number:06}-{self._next:010}"), command=command
        )

    def start(self, window: int) -> None:
        first, second = self.sockets
        self._running = True
        first.on_message = self._on_first
        second.on_message = self._on_second
        for _ in range(window):
            self._seek()

    def stop(self) -> None:
        self._running = False

    def _seek(self) -> None:
        position = Millis(self._rng.randrange(SEEK_RANGE_MS))
        self.sockets[0].send_encoded(self._encode(self.frame(SeekTo(position_ms=position))))

    def _on_first(self, payload: bytes) -> None:
        if payload.startswith(REPLY_TAG, 1):
            self.replies += 1
            if b"\xa2ok\xc3" not in payload:
                self.refused += 1
            if self._running:
                self._seek()
        else:
            self.pushes += 1

    def _on_second(self, payload: bytes) -> None:
        self.pushes += 1


async def fan_out(question: dict[str, Any]) -> dict[str, Any]:
    """Connect everybody, play where there is music to play, then seek for a while."""
    url, album = question["url"], question.get("album")
    gate = asyncio.Semaphore(OPENING_AT_ONCE)

    async def user(number: int, ticket: str) -> User:
        async with gate:
            first = await join(url, ticket, device_info(f"bench-{number:06}-a"), nonce=f"nonce-{number}-a")
            second = await join(url, ticket, device_info(f"bench-{number:06}-b"), nonce=f"nonce-{number}-b")
            one = User(number, (first, second))
            if album:
                play = one.frame(Play(context_uri=Uri(album)))
                first.send(play)
                reply = await until_reply(first, play.command_id)
                if not reply.ok:
                    raise RuntimeError(f"play was refused: {reply.error}")
            return one

    users = await asyncio.gather(*(user(*pair) for pair in enumerate(question["tickets"])))
    for one in users:
        one.start(question["window"])
    await asyncio.sleep(question["warm_up_s"])
    replies, pushes = sum(one.replies for one in users), sum(one.pushes for one in users)
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(question["seconds"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    replies = sum(one.replies for one in users) - replies
    pushes = sum(one.pushes for one in users) - pushes
    lost = sum(1 for one in users for socket in one.sockets if socket.closed.is_set())
    for one in users:
        one.stop()
    await asyncio.gather(*(socket.close() for one in users for socket in one.sockets))
    return {
        "per_s": replies / wall,
        "pushes_per_command": pushes / max(1, replies),
        "cpu_share": cpu / wall,
        "refused": sum(one.refused for one in users),
        "lost_sockets": lost,
    }


class Idle:
    """Sockets that are only there."""

    def __init__(self) -> None:
        self.sockets: list[RawSocket] = []

    async def open(self, question: dict[str, Any]) -> dict[str, Any]:
        gate = asyncio.Semaphore(OPENING_AT_ONCE)

        async def one(number: int, ticket: str) -> None:
            async with gate:
                socket = await join(
                    question["url"], ticket, device_info(f"idle-{number:06}"), nonce=f"nonce-{number:06}"
                )
                # What arrives is read and dropped, as a device would.
                socket.on_message = lambda payload: None
                self.sockets.append(socket)

        await asyncio.gather(*(one(*pair) for pair in enumerate(question["tickets"])))
        return {"open": sum(1 for socket in self.sockets if not socket.closed.is_set())}


async def reconnect(question: dict[str, Any]) -> dict[str, Any]:
    """Devices that vanish and come back with a resume, so many at a time, for a while."""
    url, tickets = question["url"], question["tickets"]
    encode = msgspec.msgpack.Encoder().encode
    samples: list[float] = []
    resumed = 0
    ends = 0.0

    async def device(number: int, ticket: str) -> None:
        nonlocal resumed
        info = device_info(f"again-{number:06}")
        socket = await open_raw(url, SUBPROTOCOL_MSGPACK)
        resume: Resume | None = None
        opened = 0.0
        for turn in range(1_000_000):
            began = time.perf_counter()
            if began > ends:
                break
            hello = Hello(
                ticket=ticket, device=info, connection_nonce=f"nonce-{number}-{turn}", resume=resume
            )
            socket.send_encoded(encode(hello))
            while not isinstance(
                frame := decode_server(await socket.receive_bytes(), socket.encoding), Welcome
            ):
                assert frame is not None, "a frame or an exception"
            if turn:
                samples.append(time.perf_counter() - opened)
                resumed += frame.resumed
            resume = Resume(owner_epoch=frame.owner_epoch, seq=frame.seq)
            socket.abort()
            opened = time.perf_counter()
            socket = await open_raw(url, SUBPROTOCOL_MSGPACK)
        socket.abort()

    ends = time.perf_counter() + question["seconds"]
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(device(*pair) for pair in enumerate(tickets)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "per_s": len(samples) / wall,
        "ms": [sample * 1000 for sample in samples],
        "resumed": resumed / max(1, len(samples)),
        "cpu_share": cpu / wall,
    }

"""The socket half of the client: one conversation that survives its connections.

Says hello and resumes, keeps the mirror, measures the clock, matches replies to commands, and connects
again when a connection is lost: with full jitter, at the time a `goaway` or a close reason named, or not at
all when the close code says that something must change first.

A command lives longer than a connection. It is sent again with the same `command_id` after a reconnect and
after an answer that invites another attempt; the server knows the id and never does a thing twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Protocol

import msgspec

from client.api import Doorkeeper
from client.backoff import Backoff
from client.socket_dial import Closed, Dial, Socket, dial
from client.state import Applied, Mirror
from client.timing import DeviceClock
from connect.clock import BURST_COUNT, BURST_EVERY_S, ClockFilter
from connect.close_codes import parse_close_reason, should_reconnect
from connect.codec import ENCODINGS, Encoding, decode_server, encode
from connect.frames import (
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    ClientFrame,
    CommandFrame,
    DeviceInfo,
    ErrorBody,
    GoAway,
    Goodbye,
    GoodbyeReason,
    Hello,
    Limits,
    Ping,
    Pong,
    Push,
    Reply,
    ServerFrame,
    Snapshot,
    Welcome,
)
from kernel.errors import TABLE, Code, Rejected, SegueError, Unavailable
from kernel.ids import CommandId, PlayId, ulid
from kernel.units import Millis
from sessions.commands import Command
from sessions.view import QueueVersion

OUTBOX_MAX = 64
"""Frames that wait to be sent; a frame more is refused."""
PENDING_MAX = 32
"""Commands without a reply; a command more is refused. All of them fit into one burst after a reconnect."""
COMMAND_WITHIN_S = 15.0
RETRIES_MAX = 4
RETRY_FIRST_MS = 200
RETRIED = frozenset(
    {
        Code.BUSY,
        Code.RATE_LIMITED,
        Code.TIMEOUT,
        Code.STORE_UNAVAILABLE,
        Code.NOT_OWNER,
        Code.GOING_AWAY,
    }
)
"""Answers after which the same command is sent again."""
SILENCE_FACTOR = 2.5
"""So many ping intervals without a frame, and the connection counts as broken."""
SUBPROTOCOLS = (SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON)


class Listener(Protocol):
    """Who is told what arrives, after the mirror has taken it. Called on the loop, never concurrently."""

    def on_frame(self, frame: ServerFrame) -> None: ...

    def on_connection(self, *, online: bool) -> None: ...

    def playing(self) -> PlayId | None:
        """What sounds at this moment, for the hello."""
        ...


class _Pending(msgspec.Struct, kw_only=True, eq=False):
    frame: CommandFrame
    answered: asyncio.Future[Reply]


class Link:
    """One device's connection to its user's session. `run` holds it open until `close`."""

    def __init__(
        self,
        doorkeeper: Doorkeeper,
        device: DeviceInfo,
        listener: Listener,
        *,
        clock: DeviceClock,
        rng: Random,
        mirror: Mirror | None = None,
        subprotocols: tuple[str, ...] = SUBPROTOCOLS,
        dial: Dial = dial,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._doorkeeper = doorkeeper
        self.device = device
        """Said in each hello; replace it when the volume changes."""
        self._listener = listener
        self._clock = clock
        self._rng = rng
        self.mirror = Mirror() if mirror is None else mirror
        self._subprotocols = subprotocols
        self._dial = dial
        self._sleep = sleep
        self._filter = ClockFilter()
        self._rough_offset_ms = 0.0
        """Device minus server, from the welcome: good to a round trip, until the first pong."""
        self._backoff = Backoff(rng)
        self._outbox: asyncio.Queue[ClientFrame] | None = None
        """None while there is no conversation."""
        self._pending: dict[CommandId, _Pending] = {}
        self._closing = asyncio.Event()
        self._socket: Socket | None = None
        self._refused_tickets = 0
        self.limits = Limits()
        self.reconnects = 0
        """Conversations after the first."""
        self._welcomes = 0

    # --- what callers do -----------------------------------------------------------------------------

    @property
    def online(self) -> bool:
        return self._outbox is not None

    def server_ms(self) -> float:
        """Server time now, by this device's estimate."""
        now_ms = self._clock.now_ms()
        if self._filter.estimate(now_ms) is None:
            return now_ms - self._rough_offset_ms
        return self._filter.server_ms(now_ms)

    def offer(self, frame: ClientFrame) -> bool:
        """Send when there is a conversation with room; False when not. For what the next one makes up for."""
        if self._outbox is None:
            return False
        try:
            self._outbox.put_nowait(frame)
        except asyncio.QueueFull:
            return False
        return True

    async def command(
        self,
        command: Command,
        *,
        within_s: float = COMMAND_WITHIN_S,
        if_device_epoch: int | None = None,
        if_queue_version: QueueVersion | None = None,
    ) -> Reply:
        """Send and wait for the reply, through lost connections if need be.

        Raises: Rejected when the server refuses, Unavailable TIMEOUT after `within_s` (the outcome is then
        unknown), Unavailable BUSY when too many commands wait already.
        """
        if len(self._pending) >= PENDING_MAX:
            raise Unavailable(
                Code.BUSY, f"{type(command).__name__} not sent: {PENDING_MAX} commands wait for replies"
            )
        frame = CommandFrame(
            command_id=CommandId(ulid(Millis(int(self._clock.now_ms())), self._rng)),
            command=command,
            if_device_epoch=if_device_epoch,
            if_queue_version=if_queue_version,
        )
        try:
            async with asyncio.timeout(within_s):
                return await self._until_settled(frame)
        except TimeoutError:
            state = "connected" if self.online else "not connected"
            raise Unavailable(
                Code.TIMEOUT, f"no reply to {type(command).__name__} within {within_s} s; {state} at the end"
            ) from None
        finally:
            self._pending.pop(frame.command_id, None)

    async def close(self, reason: GoodbyeReason = GoodbyeReason.USER_REQUEST) -> None:
        """Say goodbye and end `run`."""
        self._closing.set()
        socket, encoding = self._socket, self._encoding()
        if socket is not None and self.online:
            with suppress(Closed):
                await socket.send(_message(Goodbye(reason=reason), encoding))
        if socket is not None:
            await socket.close(1000, "goodbye")

    # --- the life of a link --------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, converse, connect again. Returns after `close`; raises when connecting again is no use."""
        while not self._closing.is_set():
            try:
                await self._converse()
            except Closed as closed:
                self._judge(closed)
            except Unavailable as fault:
                if fault.retry_after_ms is not None:
                    self._backoff.asked(reconnect_after_ms=fault.retry_after_ms, jitter_ms=Millis(1000))
            if self._closing.is_set():
                break
            self._backoff.closed(self._clock.tick_s())
            await self._sleep(self._backoff.delay_s())

    def _judge(self, closed: Closed) -> None:
        """Raise when the close code forbids another attempt."""
        if self._closing.is_set() or closed.code is None:
            return
        name, retry_after_ms = parse_close_reason(closed.reason)
        if retry_after_ms is not None:
            self._backoff.asked(reconnect_after_ms=retry_after_ms, jitter_ms=Millis(retry_after_ms // 2))
        if should_reconnect(closed.code):
            return
        code = Code[name] if name in Code.__members__ else Code.GOING_AWAY
        # Tickets are short-lived: a slow way from the ticket to the hello deserves one more.
        if code is Code.UNAUTHORIZED and self._refused_tickets == 0:
            self._refused_tickets += 1
            return
        raise Rejected(code, f"the server closed the connection for good ({closed.code}): {TABLE[code].text}")

    async def _converse(self) -> None:
        """One connection, from the ticket to its end. Raises Closed or Unavailable."""
        door = await self._doorkeeper.connect_info()
        socket = await self._dial(door.url, self._subprotocols)
        self._socket = socket
        try:
            if socket.subprotocol not in ENCODINGS:
                raise Unavailable(Code.INTERNAL, f"{door.url} chose subprotocol {socket.subprotocol!r}")
            await self._hello(socket, door.ticket)
            outbox: asyncio.Queue[ClientFrame] = asyncio.Queue(OUTBOX_MAX)
            self._outbox = outbox
            for pending in self._pending.values():
                outbox.put_nowait(pending.frame)
            self._listener.on_connection(online=True)
            await self._until_one_ends(
                self._send_all(socket, outbox), self._receive_all(socket), self._ping(outbox)
            )
        finally:
            was_online, self._outbox, self._socket = self.online, None, None
            await socket.close(1000, "")
            if was_online:
                self._listener.on_connection(online=False)

    async def _until_one_ends(self, *parts: Awaitable[None]) -> None:
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _hello(self, socket: Socket, ticket: str) -> None:
        hello = Hello(
            ticket=ticket,
            device=self.device,
            connection_nonce=ulid(Millis(int(self._clock.now_ms())), self._rng),
            resume=self.mirror.resume,
            play_id=self._listener.playing(),
        )
        encoding = ENCODINGS[socket.subprotocol]
        sent_ms = self._clock.now_ms()
        await socket.send(_message(hello, encoding))
        while True:
            frame = _read(await self._next(socket), encoding)
            if isinstance(frame, Welcome):
                break
            if frame is not None:
                self._take(frame)
        received_ms = self._clock.now_ms()
        self._rough_offset_ms = (sent_ms + received_ms) / 2 - frame.now_ms
        self.limits = frame.limits
        self._backoff.opened(self._clock.tick_s())
        self._refused_tickets = 0
        self.reconnects += 1 if self._welcomes else 0
        self._welcomes += 1

    async def _send_all(self, socket: Socket, outbox: asyncio.Queue[ClientFrame]) -> None:
        encoding = ENCODINGS[socket.subprotocol]
        while True:
            await socket.send(_message(await outbox.get(), encoding))

    async def _receive_all(self, socket: Socket) -> None:
        encoding = ENCODINGS[socket.subprotocol]
        while True:
            data = await self._next(socket)
            received_ms = self._clock.now_ms()
            frame = _read(data, encoding)
            if isinstance(frame, Pong):
                self._filter.add(t0_ms=frame.t0_ms, t1_ms=frame.t1_ms, t2_ms=frame.t2_ms, t3_ms=received_ms)
            elif frame is not None:
                self._take(frame)

    async def _next(self, socket: Socket) -> bytes | str:
        try:
            async with asyncio.timeout(self.limits.ping_every_s * SILENCE_FACTOR):
                return await socket.receive()
        except TimeoutError:
            raise Closed(None, "silence") from None

    async def _ping(self, outbox: asyncio.Queue[ClientFrame]) -> None:
        sent = 0
        while True:
            now_ms = self._clock.now_ms()
            known = self._filter.estimate(now_ms)
            ping = (
                Ping(t0_ms=now_ms)
                if known is None
                else Ping(
                    t0_ms=now_ms,
                    rtt_ms=min(known.rtt_ms, 60_000.0),
                    clock_offset_ms=known.offset_ms,
                    clock_error_ms=known.error_ms,
                )
            )
            await outbox.put(ping)
            sent += 1
            await self._sleep(BURST_EVERY_S if sent < BURST_COUNT else self.limits.ping_every_s)

    # --- what arrives --------------------------------------------------------------------------------

    def _take(self, frame: ServerFrame) -> None:
        match frame:
            case Reply():
                pending = self._pending.get(frame.command_id)
                if pending is not None and not pending.answered.done():
                    pending.answered.set_result(frame)
            case Snapshot() | Push():
                match self.mirror.take(frame):
                    case Applied.STALE:
                        return
                    case Applied.HOLE:
                        raise Closed(None, "a push is missing")
                    case Applied.TAKEN:
                        pass
            case GoAway():
                self._backoff.asked(reconnect_after_ms=frame.reconnect_after_ms, jitter_ms=frame.jitter_ms)
            case _:
                pass
        self._listener.on_frame(frame)

    async def _until_settled(self, frame: CommandFrame) -> Reply:
        """Send until there is an answer that is not an invitation to try again."""
        for attempt in range(RETRIES_MAX + 1):
            answered = asyncio.get_running_loop().create_future()
            self._pending[frame.command_id] = _Pending(frame=frame, answered=answered)
            # Not sent now: it goes out with the next conversation, or waits for room.
            if self._outbox is not None:
                await self._outbox.put(frame)
            reply: Reply = await answered
            if reply.ok:
                return reply
            error = reply.error
            assert error is not None, "a reply that is not ok says why"
            if error.code not in RETRIED or attempt == RETRIES_MAX:
                raise fault_of(error)
            wait_ms = error.retry_after_ms if error.retry_after_ms is not None else RETRY_FIRST_MS << attempt
            await self._sleep(wait_ms / 1000)
        raise AssertionError("the last attempt returns or raises")

    def _encoding(self) -> Encoding:
        return ENCODINGS.get(self._socket.subprotocol if self._socket else "", Encoding.MSGPACK)


def _read(data: bytes | str, encoding: Encoding) -> ServerFrame | None:
    """One frame; None for a type of a newer server. Raises Unavailable for what no server of ours sends."""
    try:
        return decode_server(data, encoding)
    except Rejected as fault:
        if fault.code is Code.UNKNOWN_TYPE:
            return None
        raise Unavailable(Code.INTERNAL, f"unreadable frame: {fault.message}") from fault


def fault_of(error: ErrorBody) -> SegueError:
    """The exception that an error on the wire stands for."""
    kind = Unavailable if TABLE[error.code].retry else Rejected
    return kind(error.code, error.message, error.details, error.retry_after_ms)


def _message(frame: ClientFrame, encoding: Encoding) -> bytes | str:
    data = encode(frame, encoding)
    return data.decode() if encoding is Encoding.JSON else data

"""The link: hello and resume, commands that outlive connections, when it comes back and when it does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

import pytest

from client.link import OUTBOX_MAX, PENDING_MAX, RETRIES_MAX, Link
from connect.frames import (
    Capabilities,
    CommandFrame,
    DeviceInfo,
    ErrorBody,
    GoAway,
    Goodbye,
    Hello,
    Ping,
    Pong,
    Push,
    Renew,
    Reply,
    Resume,
    ServerFrame,
    Snapshot,
)
from kernel.errors import Code, Rejected, Unavailable
from kernel.ids import CommandId, DeviceId, PlayId
from kernel.units import Millis
from sessions.commands import Pause, SkipNext
from tests.support.clock import FakeClock
from tests.support.devices import SERVER_NOW, player_state
from tests.support.held_socket import HeldDoor, HeldSocket


class Ears:
    """Keeps what the link hands on."""

    def __init__(self) -> None:
        self.frames: list[ServerFrame] = []
        self.connections: list[bool] = []
        self.play_id: PlayId | None = None

    def on_frame(self, frame: ServerFrame) -> None:
        self.frames.append(frame)

    def on_connection(self, *, online: bool) -> None:
        self.connections.append(online)

    def playing(self) -> PlayId | None:
        return self.play_id


class Line:
    """A link with its ends in reach. Its waits are over at once, except those for the next ping."""

    def __init__(self) -> None:
        self.door = HeldDoor()
        self.ears = Ears()
        self.clock = FakeClock(SERVER_NOW + 7_000)
        self.waits: list[float] = []
        self.link = Link(
            self.door,
            DeviceInfo(
                device_id=DeviceId("remote-01"), name="Remote", capabilities=Capabilities(can_be_player=False)
            ),
            self.ears,
            clock=self.clock,
            rng=Random(7),
            dial=self.door.dial,
            sleep=self.sleep,
        )
        self.running = asyncio.ensure_future(self.link.run())

    async def sleep(self, seconds: float) -> None:
        if seconds in (1.0, 10.0):
            await asyncio.Event().wait()  # between two pings; the test's time stands still
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def connected(self, *, seq: int = 0) -> HeldSocket:
        socket = await self.door.next_socket()
        await socket.heard()
        socket.welcome(seq=seq)
        await socket.heard()  # the first ping: the conversation has begun
        return socket

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    yield line
    line.running.cancel()
    with suppress(asyncio.CancelledError, Rejected):
        await line.running


def snapshot(seq: int = 3) -> Snapshot:
    return Snapshot(owner_epoch=1, seq=seq, player=player_state(), devices=(), handoff=None, reason="hello")


async def test_hello_carries_the_ticket_and_what_plays_here(line: Line) -> None:
    line.ears.play_id = PlayId("play-9")
    socket = await line.door.next_socket()
    hello = await socket.heard()
    assert isinstance(hello, Hello)
    assert (hello.ticket, hello.play_id, hello.resume) == ("ticket-1", "play-9", None)
    assert not line.link.online


async def test_a_broken_connection_is_resumed_from_where_it_was_with_a_new_nonce(line: Line) -> None:
    first = await line.door.next_socket()
    hello = await first.heard()
    assert isinstance(hello, Hello)
    first.welcome()
    first.say(snapshot(seq=3))
    first.say(Push(owner_epoch=1, seq=4, durable=True))
    await line.settle()
    first.hang_up(None)
    second = await line.door.next_socket()
    again = await second.heard()
    assert isinstance(again, Hello)
    assert again.resume == Resume(owner_epoch=1, seq=4)
    assert again.ticket == "ticket-2"
    assert again.connection_nonce != hello.connection_nonce
    assert line.ears.connections == [True, False]


async def test_a_hole_in_the_pushes_leads_to_a_snapshot_and_not_to_a_state_that_never_was(line: Line) -> None:
    first = await line.connected()
    first.say(snapshot(seq=3))
    first.say(Push(owner_epoch=1, seq=5, durable=True))
    second = await line.door.next_socket()
    hello = await second.heard()
    assert isinstance(hello, Hello)
    assert hello.resume is None
    second.welcome()
    second.say(snapshot(seq=5))
    await line.settle()
    assert line.link.mirror.resume == Resume(owner_epoch=1, seq=5)


async def test_a_command_gets_its_own_reply(line: Line) -> None:
    socket = await line.connected()
    one = asyncio.ensure_future(line.link.command(Pause()))
    two = asyncio.ensure_future(line.link.command(SkipNext()))
    first, second = await socket.heard(), await socket.heard()
    assert isinstance(first, CommandFrame)
    assert isinstance(second, CommandFrame)
    socket.say(Reply(command_id=second.command_id, ok=True, seq=2))
    socket.say(Reply(command_id=CommandId("of-nobody"), ok=True))
    socket.say(Reply(command_id=first.command_id, ok=True, seq=1))
    assert ((await one).seq, (await two).seq) == (1, 2)


async def test_a_command_whose_reply_was_lost_is_sent_again_under_the_same_id(line: Line) -> None:
    first = await line.connected()
    waiting = asyncio.ensure_future(line.link.command(Pause()))
    sent = await first.heard()
    first.hang_up(None)
    second = await line.door.next_socket()
    await second.heard()
    second.welcome()
    again = await second.heard(but=(Ping,))
    assert again == sent
    assert isinstance(again, CommandFrame)
    second.say(Reply(command_id=again.command_id, ok=True))
    assert (await waiting).ok


async def test_a_command_made_while_offline_goes_out_with_the_next_conversation(line: Line) -> None:
    waiting = asyncio.ensure_future(line.link.command(Pause()))
    socket = await line.door.next_socket()
    await socket.heard()
    socket.welcome()
    frame = await socket.heard(but=(Ping,))
    assert isinstance(frame, CommandFrame)
    socket.say(Reply(command_id=frame.command_id, ok=True))
    assert (await waiting).ok


async def test_busy_is_tried_again_after_the_time_named_and_then_given_up(line: Line) -> None:
    socket = await line.connected()
    waiting = asyncio.ensure_future(line.link.command(Pause()))
    busy = ErrorBody(code=Code.BUSY, message="full", retry_after_ms=Millis(40))
    ids = set()
    for _ in range(RETRIES_MAX + 1):
        frame = await socket.heard()
        assert isinstance(frame, CommandFrame)
        ids.add(frame.command_id)
        socket.say(Reply(command_id=frame.command_id, ok=False, error=busy))
    with pytest.raises(Unavailable) as refused:
        await waiting
    assert refused.value.code is Code.BUSY
    assert len(ids) == 1
    assert line.waits.count(0.04) == RETRIES_MAX


async def test_a_refusal_is_raised_with_its_details_and_not_tried_again(line: Line) -> None:
    socket = await line.connected()
    waiting = asyncio.ensure_future(line.link.command(Pause()))
    frame = await socket.heard()
    assert isinstance(frame, CommandFrame)
    body = ErrorBody(code=Code.DISALLOWED, message="pausing rejected", details={"reasons": ["not_playing"]})
    socket.say(Reply(command_id=frame.command_id, ok=False, error=body))
    with pytest.raises(Rejected) as refused:
        await waiting
    assert refused.value.details == {"reasons": ["not_playing"]}


async def test_a_command_without_a_reply_ends_by_its_deadline(line: Line) -> None:
    await line.connected()
    with pytest.raises(Unavailable) as late:
        await line.link.command(Pause(), within_s=0.01)
    assert late.value.code is Code.TIMEOUT


async def test_too_many_waiting_commands_are_refused_here(line: Line) -> None:
    await line.connected()
    waiting = [asyncio.ensure_future(line.link.command(Pause())) for _ in range(PENDING_MAX)]
    await line.settle()
    with pytest.raises(Unavailable) as refused:
        await line.link.command(Pause())
    assert refused.value.code is Code.BUSY
    for task in waiting:
        task.cancel()


async def test_frames_offered_offline_or_beyond_the_bound_are_refused(line: Line) -> None:
    assert not line.link.offer(Renew())
    await line.connected()
    offered = [line.link.offer(Renew()) for _ in range(OUTBOX_MAX + 1)]
    assert offered == [True] * OUTBOX_MAX + [False]


async def test_server_time_is_rough_after_the_welcome_and_measured_after_a_pong(line: Line) -> None:
    socket = await line.door.next_socket()
    await socket.heard()
    socket.welcome()
    ping = await socket.heard()
    assert isinstance(ping, Ping)
    assert line.link.server_ms() == SERVER_NOW
    line.clock.advance(20)
    socket.say(Pong(t0_ms=ping.t0_ms, t1_ms=SERVER_NOW + 110.0, t2_ms=SERVER_NOW + 110.0))
    await line.settle()
    assert line.link.server_ms() == SERVER_NOW + 120


async def test_a_goaway_says_when_to_come_back(line: Line) -> None:
    socket = await line.connected()
    socket.say(GoAway(reason="deploy", reconnect_after_ms=Millis(5_000), jitter_ms=Millis(2_000)))
    await line.settle()
    socket.hang_up(4003, "GOING_AWAY")
    await line.door.next_socket()
    assert 5.0 <= line.waits[-1] <= 7.0


async def test_a_close_reason_says_when_to_come_back(line: Line) -> None:
    socket = await line.connected()
    socket.hang_up(4001, "TOO_MANY_CONNECTIONS 8000")
    await line.door.next_socket()
    assert 8.0 <= line.waits[-1] <= 12.0


async def test_a_door_that_says_later_is_asked_later(line: Line) -> None:
    line.door.refuse = [Unavailable(Code.BUSY, "nobody owns it", None, Millis(3_000))]
    await line.door.next_socket()
    assert 3.0 <= line.waits[-1] <= 4.0


async def test_being_replaced_ends_the_link_for_good(line: Line) -> None:
    socket = await line.connected()
    socket.hang_up(4504, "REPLACED")
    with pytest.raises(Rejected) as ended:
        await line.running
    assert ended.value.code is Code.REPLACED
    assert line.door.asked == 1


async def test_a_refused_ticket_is_replaced_once(line: Line) -> None:
    for _ in range(2):
        socket = await line.door.next_socket()
        await socket.heard()
        socket.hang_up(4503, "UNAUTHORIZED")
    with pytest.raises(Rejected) as ended:
        await line.running
    assert ended.value.code is Code.UNAUTHORIZED
    assert line.door.asked == 2


async def test_a_wrong_password_ends_the_link(line: Line) -> None:
    line.door.refuse = [Rejected(Code.UNAUTHORIZED, "no such user")]
    line.door.opened.set()
    with pytest.raises(Rejected):
        await line.running


async def test_a_frame_of_a_newer_server_is_passed_over_and_garbage_ends_the_connection(line: Line) -> None:
    socket = await line.connected()
    socket.say_bytes(b"\x81\xa4type\xa7concert")
    socket.say(snapshot())
    await line.settle()
    assert line.link.mirror.player is not None
    socket.say_bytes(b"\xc1")
    await line.door.next_socket()
    assert line.ears.connections == [True, False]


async def test_leaving_says_goodbye_and_does_not_come_back(line: Line) -> None:
    socket = await line.connected()
    await line.link.close()
    assert isinstance(await socket.heard(but=(Ping,)), Goodbye)
    await line.running
    assert line.door.asked == 1

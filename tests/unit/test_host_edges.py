"""What goes wrong around a host: the store, the network, bugs, crowds; and what is left of them."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from actors import host as hosts
from actors import turn
from actors.host import LAGGING_EVERY_S, EntityHost
from actors.listener import Listener
from connect.close_codes import parse_close_reason
from connect.codec import Encoding
from connect.frames import (
    CommandFrame,
    DeviceInfo,
    ErrorFrame,
    Hello,
    Limits,
    Media,
    Push,
    Reply,
    Snapshot,
    Welcome,
)
from connect.outbox import HIGH_BYTES, LOW_BYTES
from kernel.errors import TABLE, Code, SegueError, Unavailable
from kernel.ids import CommandId, DeviceId, UserId
from kernel.units import Millis
from sessions.commands import (
    AddToQueue,
    Command,
    ForgetDevice,
    Pause,
    Play,
    SeekTo,
    SetVolume,
    SkipNext,
    Transfer,
)
from storage.stores import Stores
from tests.support.faulty_log import Fault, FaultyLog
from tests.support.hosting import ALBUM_URI, TestDevice, Wire, a_host, filled_stores, track_uri
from tests.support.waiting import until

ADA = UserId("user-ada")
NO_LIMITS = Limits(frames_per_s=100_000, frames_burst=100_000)
UNAVAILABLE_CLOSE = TABLE[Code.TOO_MANY_CONNECTIONS].close


class House:
    """A host whose log does as it is told."""

    def __init__(self, host: EntityHost, stores: Stores, log: FaultyLog) -> None:
        self.host = host
        self.stores = stores
        self.log = log

    async def device(self, device_id: str = "phone-001", *, user: str = "user-ada") -> TestDevice:
        device = TestDevice(self.host, device_id, user=user)
        await device.connect()
        return device


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("actors.journal.TRY_AGAIN_S", 0)
    stores = await filled_stores()
    log = FaultyLog(stores.log)
    stores = replace(stores, log=log)
    host = await a_host(stores, limits=NO_LIMITS)
    yield House(host, stores, log)
    log.gate.set()
    log.down = False
    await host.stop()
    assert not host._listeners
    assert not host._closing
    assert not host._opening


async def queue(host: EntityHost) -> list[str]:
    return [item.uri for item in (await host.listener(ADA)).session.session.queue]


# --- the store ----------------------------------------------------------------------------------------


async def test_a_hello_while_the_store_is_down_is_sent_away_with_a_time_and_later_let_in(
    house: House,
) -> None:
    house.log.down = True
    with pytest.raises(ConnectionError):
        await house.device()
    phone = TestDevice(house.host, "phone-001")
    with pytest.raises(ConnectionError):
        await phone.connect()
    close, reason = await phone.wait_closed()
    assert close == UNAVAILABLE_CLOSE
    code, wait_ms = parse_close_reason(reason)
    assert code == Code.STORE_UNAVAILABLE
    assert wait_ms
    house.log.down = False
    await phone.connect()


async def test_a_command_that_the_store_had_no_room_for_changes_nothing_and_may_be_repeated(
    house: House,
) -> None:
    phone = await house.device()
    house.log.faults = [Fault.FULL]
    reply = await phone.command(Play(context_uri=ALBUM_URI), command_id="command-1")
    assert reply.error is not None
    assert reply.error.code is Code.BUSY
    assert (await house.host.look(ADA)).player.track is None
    assert phone.wire.closed is None
    phone.forget()
    assert (await phone.command(Play(context_uri=ALBUM_URI), command_id="command-1")).ok


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_an_answer_that_was_lost_once_is_nobodys_concern(house: House, fault: Fault) -> None:
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    house.log.faults = [fault]
    assert (await phone.command(AddToQueue(uris=(track_uri(5),)))).ok
    assert await queue(house.host) == [track_uri(5)]
    assert phone.wire.closed is None


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_an_outcome_that_stays_unknown_drops_the_session_and_the_repeat_finds_out(
    house: House, fault: Fault
) -> None:
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    house.log.faults = [fault, Fault.BEFORE]
    add = AddToQueue(uris=(track_uri(5),))
    reply = await phone.command(add, command_id="command-add")
    assert reply.error is not None
    assert reply.error.code is Code.STORE_UNAVAILABLE
    close, reason = await phone.wait_closed()
    assert (close, parse_close_reason(reason)[0]) == (UNAVAILABLE_CLOSE, Code.STORE_UNAVAILABLE)
    phone.drop()
    await phone.connect()
    assert await queue(house.host) == ([track_uri(5)] if fault is Fault.AFTER else [])
    assert (await phone.command(add, command_id="command-add")).ok
    assert await queue(house.host) == [track_uri(5)]


BEHIND: list[Command] = [SkipNext(), Pause(), SkipNext()]


async def test_commands_behind_one_that_came_to_nothing_are_answered_too(house: House) -> None:
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    house.log.gate.clear()
    frames = [
        CommandFrame(command_id=CommandId(f"command-{number}"), command=command)
        for number, command in enumerate(BEHIND)
    ]
    calls = [asyncio.ensure_future(house.host.command(ADA, frame, None)) for frame in frames]
    await until(lambda: not house.host._listeners[ADA].session.idle)
    house.log.faults = [Fault.AFTER, Fault.AFTER]
    house.log.gate.set()
    replies = await asyncio.gather(*calls)
    assert [reply.error.code for reply in replies if reply.error] == [Code.STORE_UNAVAILABLE] * 3


async def test_a_store_that_hangs_costs_the_turn_and_everybody_hears_of_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    house.host._listeners[ADA].session._turn._deadline_s = 0.02
    house.log.gate.clear()
    frame = CommandFrame(command_id=CommandId("command-1"), command=SkipNext())
    reply = await house.host.command(ADA, frame, None)
    assert reply.error is not None
    assert reply.error.code is Code.TIMEOUT
    assert (await phone.wait_closed())[0] == TABLE[Code.TIMEOUT].close
    house.log.gate.set()
    # It was written after all, once the store had woken up; only the log can say so, and it does.
    assert (await house.host.command(ADA, frame, None)).ok
    track = (await house.host.look(ADA)).player.track
    assert track is not None
    assert track.uri == track_uri(1)


async def test_no_push_shows_what_is_not_yet_durable(house: House) -> None:
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    phone.forget()
    house.log.gate.clear()
    await phone.say(CommandFrame(command_id=CommandId("command-1"), command=SkipNext()))
    await until(lambda: not house.host._listeners[ADA].session.idle)
    assert not any(isinstance(frame, Push) and frame.durable for frame in phone.read())
    house.log.gate.set()
    await phone.wait_for(Push, lambda push: push.durable)


async def test_a_catalogue_that_is_away_for_a_moment_costs_a_moment_of_leases(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await house.device()
    monkeypatch.setattr("actors.leasing.AGAIN_MS", 1)
    listener = house.host._listeners[ADA]
    leases, failures = listener._leasing._desk.leases, [1, 2]

    async def fails(*args: object, **fields: object) -> object:
        if failures:
            failures.pop()
            raise Unavailable(Code.STORE_UNAVAILABLE, "away")
        return await leases(*args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(listener._leasing._desk, "leases", fails)
    await phone.command(Play(context_uri=ALBUM_URI))
    assert len((await phone.wait_for(Media, lambda media: bool(media.leases))).leases) == 4
    assert not failures


# --- bugs ---------------------------------------------------------------------------------------------


async def test_a_bug_in_a_turn_ends_the_session_alone_and_it_comes_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, other = await house.device(), await house.device(user="user-bob")
    await phone.command(Play(context_uri=ALBUM_URI))
    session = house.host._listeners[ADA].session

    def boom(*_: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(session, "_decide", boom)
    reply = await house.host.command(
        ADA, CommandFrame(command_id=CommandId("command-1"), command=Pause()), None
    )
    assert reply.error is not None
    assert reply.error.code is Code.INTERNAL
    assert (await phone.wait_closed())[0] == TABLE[Code.INTERNAL].close
    phone.drop()
    await phone.connect()
    assert (await phone.snapshot()).player.is_playing
    assert other.wire.closed is None


async def test_a_bug_in_work_beside_the_turns_ends_the_session_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await house.device()

    async def boom(*_: object, **__: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(house.host._listeners[ADA]._leasing._desk, "leases", boom)
    await phone.command(Play(context_uri=ALBUM_URI))
    assert (await phone.wait_closed())[0] == TABLE[Code.INTERNAL].close
    assert ADA not in house.host._listeners


async def test_a_session_that_was_dropped_does_nothing_more(house: House) -> None:
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    dropped = house.host._listeners[ADA]
    dropped.lost(SegueError(Code.NOT_OWNER, "fenced"))
    phone.drop()
    assert dropped._timer is None or dropped._timer.cancelled()
    await until(lambda: not dropped._tasks)
    seq = (await house.host.look(ADA)).seq
    for post in (dropped.session_changed, lambda: dropped.leave(phone.peer)):
        post()
    assert dropped._timer is None or dropped._timer.cancelled()
    assert (await house.host.look(ADA)).seq == seq


# --- connections --------------------------------------------------------------------------------------


def hello(device_id: str, nonce: str, *, user: str = "user-ada") -> Hello:
    info = DeviceInfo(device_id=DeviceId(device_id), name=device_id)
    return Hello(ticket=user, device=info, connection_nonce=nonce)


async def test_a_second_connection_with_the_same_nonce_does_not_disturb_the_first(house: House) -> None:
    phone = await house.device()
    twin = TestDevice(house.host, "phone-001")
    with pytest.raises(ConnectionError):
        await twin.connect()
    twin.drop()
    assert phone.wire.closed is None
    [device] = (await house.host.look(ADA)).devices
    assert device.connection.value == "online"
    assert (await phone.command(Play(context_uri=ALBUM_URI))).ok
    phone.drop()
    [device] = (await house.host.look(ADA)).devices
    assert device.connection.value == "grace"


async def test_a_connection_that_went_while_it_was_put_on_record_leaves_no_ghost(house: House) -> None:
    await house.host.look(ADA)
    house.log.gate.clear()
    phone = TestDevice(house.host, "phone-001")
    greeting = asyncio.ensure_future(phone.connect())
    listener = house.host._listeners[ADA]
    await until(lambda: not listener.devices.idle)
    phone.drop()
    house.log.gate.set()
    await until(lambda: listener.devices.idle)
    greeting.cancel()
    assert not listener._audience.peers
    [device] = (await house.host.look(ADA)).devices
    assert device.connection.value == "grace"
    assert listener.alone_since_s is not None


async def test_what_a_connection_says_after_it_was_sent_away_is_not_heard(house: House) -> None:
    old = await house.device()
    new = TestDevice(house.host, "phone-001")
    new._connections = 10
    await new.connect()
    assert (await old.wait_closed())[0] == TABLE[Code.REPLACED].close
    await old.say(CommandFrame(command_id=CommandId("command-1"), command=Play(context_uri=ALBUM_URI)))
    assert (await house.host.look(ADA)).player.track is None


async def test_a_forgotten_device_is_let_go_and_takes_no_more_pushes(house: House) -> None:
    phone, laptop = await house.device(), await house.device("laptop-001")
    assert (await phone.command(ForgetDevice(device_id=laptop.device_id))).ok
    assert await laptop.wait_closed() == (1000, "forgotten")
    laptop.drop()
    sent = len(laptop.wire.sent)
    await phone.command(Play(context_uri=ALBUM_URI))
    assert len(laptop.wire.sent) == sent
    assert [device.device_id for device in (await house.host.look(ADA)).devices] == ["phone-001"]


async def test_pure_remotes_come_and_go_without_a_trace(house: House) -> None:
    phone = await house.device()
    seq = house.host._listeners[ADA].devices._journal.seq
    for number in range(40):
        remote = TestDevice(house.host, f"remote-{number:03}")
        await remote.connect(can_be_player=False)
        assert len((await house.host.look(ADA)).devices) == 2
        if number % 2:
            remote.peer.said_goodbye = True
        remote.drop()
    assert [device.device_id for device in (await house.host.look(ADA)).devices] == ["phone-001"]
    assert house.host._listeners[ADA].devices._journal.seq == seq, "a remote costs the log nothing"
    remote = TestDevice(house.host, "remote-last")
    await remote.connect(can_be_player=False)
    successor = await a_host(house.stores, owner_epoch=2)
    assert [device.device_id for device in (await successor.look(ADA)).devices] == ["phone-001"]
    await successor.stop()
    assert phone.wire.closed is None


async def test_a_host_that_is_full_sends_the_next_one_away_with_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "PEERS_MAX", 2)
    first, second = await house.device(), await house.device("laptop-001")
    wire = Wire()
    house.host.connected(wire, Encoding.MSGPACK)
    assert wire.closed is not None
    assert wire.closed[0] == TABLE[Code.TOO_MANY_CONNECTIONS].close
    assert parse_close_reason(wire.closed[1])[1]
    second.drop()
    await house.device("kitchen-1")
    assert first.wire.closed is None


async def test_a_user_has_a_bounded_number_of_devices(house: House) -> None:
    for number in range(32):
        await house.device(f"device-{number:03}")
    extra = TestDevice(house.host, "device-032")
    with pytest.raises(ConnectionError):
        await extra.connect()
    close, reason = await extra.wait_closed()
    assert close == TABLE[Code.TOO_MANY_CONNECTIONS].close
    assert parse_close_reason(reason)[1]


async def test_a_flood_of_new_users_waits_in_a_bounded_line(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "OPENING_WAITING_MAX", 100)
    house.log.gate.clear()
    looks = [asyncio.ensure_future(house.host.look(UserId(f"user-{number}"))) for number in range(150)]
    await until(lambda: sum(look.done() for look in looks) == 50)
    for look in looks:
        if look.done():
            fault = look.exception()
            assert isinstance(fault, Unavailable)
            assert fault.code is Code.BUSY
            assert fault.retry_after_ms
    await until(house.host._opening_slots.locked)
    assert len(house.host._opening) == 100
    house.log.gate.set()
    await asyncio.wait(looks)
    assert house.host.statistics()["listeners"] == 100


async def test_many_who_ask_for_one_user_at_once_share_one_activation(house: House) -> None:
    await asyncio.gather(*(house.host.look(ADA) for _ in range(50)))
    log = await house.log.load("session/user-ada")
    assert len(log[1]) + (log[0].seq if log[0] else 0) == 1, "one fence"


OTHERS: list[Command] = [
    SetVolume(volume_percent=3, device_id=DeviceId("phone-001")),
    ForgetDevice(device_id=DeviceId("phone-001")),
    Transfer(device_id=DeviceId("phone-001")),
    Play(context_uri=ALBUM_URI, device_id=DeviceId("phone-001")),
]


@pytest.mark.parametrize("command", OTHERS, ids=lambda command: type(command).__name__)
async def test_anothers_device_is_out_of_reach(house: House, command: Command) -> None:
    phone = await house.device()
    before = await house.host.look(ADA)
    mallory = await house.device("mallory-01", user="user-mallory")
    reply = await mallory.command(command)
    assert reply.error is not None
    assert reply.error.code is Code.DEVICE_UNAVAILABLE
    assert await house.host.look(ADA) == before
    assert phone.wire.closed is None


async def test_the_same_device_id_under_two_users_is_two_devices(house: House) -> None:
    mine = await house.device("phone-001")
    theirs = await house.device("phone-001", user="user-mallory")
    await theirs.command(Play(context_uri=ALBUM_URI))
    assert mine.wire.closed is None
    assert not any(isinstance(frame, Push | Media) for frame in mine.read())
    assert (await house.host.look(ADA)).player.track is None


async def test_a_ticket_that_is_none_opens_nothing(house: House) -> None:
    stranger = TestDevice(house.host, "phone-001", user="nobody")
    with pytest.raises(ConnectionError):
        await stranger.connect()
    assert (await stranger.wait_closed())[0] == TABLE[Code.UNAUTHORIZED].close
    assert house.host.statistics()["listeners"] == 0


# --- slow consumers -----------------------------------------------------------------------------------


async def test_a_connection_that_lags_gets_the_newest_state_as_soon_as_it_has_drained(house: House) -> None:
    phone, laptop = await house.device(), await house.device("laptop-001")
    await phone.command(Play(context_uri=ALBUM_URI))
    laptop.forget()
    laptop.wire.waiting_bytes = HIGH_BYTES + 1
    for number in range(20):
        await phone.command(SeekTo(position_ms=Millis(1000 * number)))
    await phone.command(Pause())
    assert laptop.read() == [], "nothing is queued up behind what does not drain"
    tasks = len(asyncio.all_tasks())
    laptop.wire.waiting_bytes = LOW_BYTES
    # Nobody sweeps, and nothing else happens: the host looks by itself.
    snapshot = await laptop.wait_for(Snapshot)
    assert snapshot.reason == "slow_consumer"
    assert snapshot.player.is_paused
    assert LAGGING_EVERY_S <= 0.25
    assert len(asyncio.all_tasks()) <= tasks
    assert not house.host._lagging
    await phone.command(SeekTo(position_ms=Millis(500)))
    await laptop.wait_for(Push)


async def test_a_connection_that_never_drains_is_ended_and_the_others_go_on(house: House) -> None:
    phone, laptop = await house.device(), await house.device("laptop-001")
    laptop.wire.waiting_bytes = 2 * 1024 * 1024
    await phone.command(Play(context_uri=ALBUM_URI))
    assert (await laptop.wait_closed())[0] == TABLE[Code.SLOW_CONSUMER].close
    laptop.drop()
    assert not house.host._lagging
    assert (await phone.command(Pause())).ok


# --- rest and return ----------------------------------------------------------------------------------


async def test_who_asks_while_a_session_is_put_away_gets_the_next_one(house: House) -> None:
    house.host._put_away_after_s = 0
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    await phone.command(SeekTo(position_ms=Millis(9_000)))
    old = house.host._listeners[ADA]
    phone.drop()
    house.log.gate.clear()
    await house.host.sweep()
    assert ADA in house.host._closing
    asked = [asyncio.ensure_future(house.host.look(ADA)) for _ in range(3)]
    await asyncio.sleep(0)
    house.log.gate.set()
    first, *others = await asyncio.gather(*asked)
    assert all(other == first for other in others)
    assert house.host._listeners[ADA] is not old
    assert first.player.position_as_of_timestamp == 9_000, "the playhead was folded into the log"


async def test_a_folded_session_needs_no_volatile_store_to_come_back(house: House) -> None:
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    await phone.command(SeekTo(position_ms=Millis(9_000)))
    await house.host.stop()
    elsewhere = replace(house.stores, volatile=(await filled_stores()).volatile)
    successor = await a_host(elsewhere, owner_epoch=2)
    player = (await successor.look(ADA)).player
    assert player.position_as_of_timestamp == 9_000
    snapshot, tail = await house.log.load("session/user-ada")
    assert snapshot is not None
    assert [record.payload for record in tail] == [b""], "the snapshot has all but the new fence"
    await successor.stop()


async def test_a_session_with_a_device_is_not_put_away(house: House) -> None:
    house.host._put_away_after_s = 0
    phone, laptop = await house.device(), await house.device("laptop-001")
    laptop.drop()
    await house.host.sweep()
    assert ADA in house.host._listeners
    assert (await phone.command(Play(context_uri=ALBUM_URI))).ok


async def test_a_thousand_listeners_that_came_and_went_leave_nothing(house: House) -> None:
    house.host._put_away_after_s = 0
    count = 1_000
    devices = [TestDevice(house.host, "phone-001", user=f"user-{number}") for number in range(count)]
    await asyncio.gather(*(device.connect() for device in devices))
    left: list[weakref.ref[Listener]] = [weakref.ref(each) for each in house.host._listeners.values()]
    assert house.host.statistics()["listeners"] == len(left) == count
    while devices:
        devices.pop().drop()
    await house.host.sweep()
    await until(lambda: not house.host._closing)
    assert house.host.statistics() == {"peers": 0, "listeners": 0, "shards": 4096}
    gc.collect()
    assert not [ref for ref in left if ref() is not None]
    assert len(asyncio.all_tasks()) == 1


async def test_a_full_mailbox_tells_the_device_and_loses_nothing_that_was_accepted(house: House) -> None:
    phone = await house.device()
    await phone.command(Play(context_uri=ALBUM_URI))
    phone.forget()
    house.log.gate.clear()
    total = turn.MAILBOX_MAX + 10
    for number in range(total):
        await phone.say(CommandFrame(command_id=CommandId(f"command-{number:03}"), command=Pause()))
        if number == 0:
            await phone.say(CommandFrame(command_id=CommandId("command-add"), command=SkipNext()))
    house.log.gate.set()
    await until(lambda: house.host._listeners[ADA].session.idle)
    phone.read()
    replies = [frame for frame in phone.frames if isinstance(frame, Reply)]
    assert len(replies) == total + 1, "each command is answered, once"
    refused = [reply for reply in replies if not reply.ok]
    assert {reply.error.code for reply in refused if reply.error} == {Code.BUSY, Code.DISALLOWED}
    assert not any(isinstance(frame, ErrorFrame) for frame in phone.frames)
    assert isinstance(await TestDevice(house.host, "laptop-001").connect(), Welcome)

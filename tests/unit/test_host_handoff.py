"""Handoffs through a whole host: what each failure comes to, and that the source goes on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from msgspec import UNSET

from actors.host import EntityHost
from connect.frames import (
    Abort,
    Goodbye,
    GoodbyeReason,
    Handoff,
    Limits,
    Phase,
    Prepare,
    Push,
    Ready,
    Reply,
    Switch,
    Switched,
)
from connect.handoff import SHIFT_MS_MIN
from kernel.errors import Code
from kernel.ids import DeviceId, UserId
from media.leases import device_epoch_key
from sessions.commands import Pause, Play, SkipNext, Transfer
from sessions.view import PlayerState
from storage.stores import Stores
from tests.support.faulty_log import Fault, FaultyLog
from tests.support.hosting import ALBUM_URI, SkippingClock, TestDevice, a_host, filled_stores, track_uri
from tests.support.waiting import until

ADA = UserId("user-ada")


class Room:
    """A phone that plays, a laptop, and a store that does as it is told."""

    def __init__(self, host: EntityHost, stores: Stores, log: FaultyLog, clock: SkippingClock) -> None:
        self.host = host
        self.stores = stores
        self.log = log
        self.clock = clock
        self.phone = TestDevice(host, "phone-001")
        self.laptop = TestDevice(host, "laptop-001")

    def transfer(self, by: TestDevice | None = None, **fields: object) -> "asyncio.Future[Reply]":
        command = Transfer(device_id=self.laptop.device_id, **fields)  # type: ignore[arg-type]
        return asyncio.ensure_future((by or self.phone).command(command))

    async def prepared(self) -> Prepare:
        return await self.laptop.wait_for(Prepare)

    async def ready(self, prepare: Prepare) -> None:
        await self.laptop.say(
            Ready(handoff_id=prepare.handoff_id, buffered_ms=4_000, attempt=prepare.attempt)
        )

    async def player(self) -> PlayerState:
        return (await self.host.look(ADA)).player

    async def over(self, device: TestDevice) -> Handoff:
        """As the device hears of the end."""
        push = await device.wait_for(
            Push, lambda p: isinstance(p.handoff, Handoff) and p.handoff.phase in (Phase.DONE, Phase.ABORTED)
        )
        assert isinstance(push.handoff, Handoff)
        return push.handoff

    async def source_goes_on(self) -> None:
        player = await self.player()
        assert (player.active_device_id, player.device_epoch) == (self.phone.device_id, 1)
        assert player.is_playing
        assert not any(isinstance(frame, Switch) for frame in self.phone.read() + self.phone.frames)


@pytest.fixture
async def room(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    monkeypatch.setattr("actors.journal.TRY_AGAIN_S", 0)
    stores = await filled_stores()
    log = FaultyLog(stores.log)
    clock = SkippingClock()
    host = await a_host(
        replace(stores, log=log), limits=Limits(frames_per_s=10_000, frames_burst=10_000), clock=clock
    )
    room = Room(host, stores, log, clock)
    await room.phone.connect()
    await room.laptop.connect()
    await room.phone.command(Play(context_uri=ALBUM_URI))
    yield room
    log.gate.set()
    await host.stop()


async def test_a_commit_that_takes_long_moves_the_instant_for_both(room: Room) -> None:
    asked = room.transfer()
    prepare = await room.prepared()
    room.log.gate.clear()
    await room.ready(prepare)
    await until(lambda: not room.host._listeners[ADA].session.idle)
    assert not asked.done(), "nothing is agreed before it is durable"
    assert not any(isinstance(frame, Switch) for frame in room.phone.read() + room.laptop.read())
    room.clock.ahead_ms += 3_000
    room.log.gate.set()
    now_ms = room.clock.now_ms()
    assert (await asked).ok
    source, target = await room.phone.wait_for(Switch), await room.laptop.wait_for(Switch)
    assert source.start_at_ms == target.start_at_ms
    assert source.start_at_ms >= now_ms + SHIFT_MS_MIN


async def test_the_position_at_the_switch_is_that_of_the_instant(room: Room) -> None:
    asked = room.transfer()
    await room.ready(await room.prepared())
    assert (await asked).ok
    switch = await room.laptop.wait_for(Switch)
    player = await room.player()
    due = player.position_as_of_timestamp + (switch.start_at_ms - player.timestamp) * player.playback_speed
    assert switch.position_ms == pytest.approx(due, abs=1)


async def test_a_target_that_says_nothing_runs_into_the_deadline(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connect.handoff.DEADLINE_MS", 20)
    asked = room.transfer()
    prepare = await room.prepared()
    reply = await asked
    assert reply.error is not None
    assert (reply.error.code, reply.error.details["reason"]) == (Code.HANDOFF_FAILED, "deadline")
    assert (await room.laptop.wait_for(Abort)).handoff_id == prepare.handoff_id
    await room.source_goes_on()
    room.laptop.forget()
    await room.ready(prepare)
    await room.source_goes_on()
    again = room.transfer()
    assert (await room.prepared()).handoff_id != prepare.handoff_id
    again.cancel()


async def test_a_store_that_refuses_the_commit_leaves_the_source_playing(room: Room) -> None:
    asked = room.transfer()
    prepare = await room.prepared()
    room.log.faults = [Fault.FULL]
    await room.ready(prepare)
    reply = await asked
    assert reply.error is not None
    assert (reply.error.code, reply.error.details["reason"]) == (Code.HANDOFF_FAILED, "store")
    assert (await room.laptop.wait_for(Abort)).reason == "store"
    await room.source_goes_on()


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_a_commit_that_nobody_knows_of_is_what_the_log_says(room: Room, fault: Fault) -> None:
    asked = room.transfer()
    prepare = await room.prepared()
    room.log.faults = [fault, Fault.BEFORE]
    await room.ready(prepare)
    reply = await asked
    assert reply.error is not None
    assert reply.error.code is Code.HANDOFF_FAILED
    await room.phone.wait_closed()
    await room.laptop.wait_closed()
    player = await room.player()
    committed = fault is Fault.AFTER
    assert player.active_device_id == (room.laptop if committed else room.phone).device_id
    assert player.device_epoch == (2 if committed else 1)


async def test_a_source_that_is_lost_meanwhile_does_not_stop_the_handoff(room: Room) -> None:
    asked = room.transfer(by=room.laptop)
    prepare = await room.prepared()
    room.phone.drop()
    await room.ready(prepare)
    assert (await asked).ok
    switch = await room.laptop.wait_for(Switch)
    await room.laptop.say(
        Switched(handoff_id=switch.handoff_id, at_ms=float(switch.start_at_ms), position_ms=100.0)
    )
    done = await room.over(room.laptop)
    assert (done.phase, done.gap_ms) == (Phase.DONE, None)
    assert (await room.player()).active_device_id == room.laptop.device_id


async def test_when_both_are_lost_nothing_was_handed_over(room: Room) -> None:
    remote = TestDevice(room.host, "remote-001")
    await remote.connect(can_be_player=False)
    asked = room.transfer(by=remote)
    await room.prepared()
    room.phone.drop()
    room.laptop.drop()
    reply = await asked
    assert reply.error is not None
    assert reply.error.details["reason"] == "both_lost"
    player = await room.player()
    assert (player.active_device_id, player.device_epoch) == (room.phone.device_id, 1)


async def test_a_target_that_is_lost_after_the_commit_is_silent_and_said_to_be(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connect.handoff.SILENT_AFTER_MS", 20)
    asked = room.transfer()
    await room.ready(await room.prepared())
    assert (await asked).ok
    room.laptop.drop()
    done = await room.over(room.phone)
    assert (done.phase, done.reason) == (Phase.DONE, "target_silent")
    assert (await room.player()).active_device_id == room.laptop.device_id


async def test_a_target_whose_connection_is_replaced_while_it_prepares_is_lost(room: Room) -> None:
    asked = room.transfer()
    await room.prepared()
    newer = TestDevice(room.host, "laptop-001")
    newer._connections = 10
    await newer.connect()
    reply = await asked
    assert reply.error is not None
    assert reply.error.details["reason"] == "target_lost"
    room.laptop.drop()
    await room.source_goes_on()
    assert newer.wire.closed is None


async def test_two_transfers_to_one_target_are_one_handoff(room: Room) -> None:
    remote = TestDevice(room.host, "remote-001")
    await remote.connect(can_be_player=False)
    first, second = room.transfer(), room.transfer(by=remote)
    prepare = await room.prepared()
    assert (await remote.command(Pause())).ok, "the session is not held up by a handoff"
    latest = await room.laptop.wait_for(Prepare, lambda p: p.attempt > prepare.attempt)
    await room.ready(latest)
    replies = await asyncio.gather(first, second)
    assert all(reply.ok for reply in replies)
    assert {reply.result["handoff_id"] for reply in replies} == {prepare.handoff_id}
    assert (await room.player()).device_epoch == 2


async def test_a_skip_meanwhile_is_prepared_anew_and_an_old_ready_counts_for_nothing(room: Room) -> None:
    asked = room.transfer()
    first = await room.prepared()
    assert (await room.laptop.command(SkipNext())).ok
    second = await room.laptop.wait_for(Prepare, lambda p: p.attempt == 2)
    assert second.lease.uri == track_uri(1)
    await room.ready(first)
    assert not asked.done()
    await room.ready(second)
    assert (await asked).ok


async def test_without_a_source_the_target_starts_by_itself(room: Room) -> None:
    await room.phone.say(Goodbye(reason=GoodbyeReason.SHUTDOWN))
    room.phone.drop()
    await until(lambda: room.host._listeners[ADA].session.session.active_device_id is None)
    asked = room.transfer(by=room.laptop)
    await room.ready(await room.prepared())
    reply = await asked
    assert reply.ok, reply.error
    switch = await room.laptop.wait_for(Switch)
    assert (switch.role, switch.playing) == ("target", False)
    assert (await room.player()).active_device_id == room.laptop.device_id


async def test_with_nothing_to_play_the_role_alone_is_handed_over(room: Room) -> None:
    bob = TestDevice(room.host, "bobs-phone", user="user-bob")
    await bob.connect()
    reply = await bob.command(Transfer(device_id=bob.device_id))
    assert reply.ok, reply.error
    player = (await room.host.look(UserId("user-bob"))).player
    assert player.active_device_id == bob.device_id
    assert player.track is None


async def test_a_target_that_cannot_prepare_is_switched_to_at_once(room: Room) -> None:
    speaker = TestDevice(room.host, "speaker-01")
    await speaker.connect(supports_prepare=False)
    reply = await room.phone.command(Transfer(device_id=speaker.device_id))
    assert reply.ok, reply.error
    switch = await speaker.wait_for(Switch)
    assert switch.playing
    assert not any(isinstance(frame, Prepare) for frame in speaker.frames)
    assert (await room.phone.wait_for(Switch)).start_at_ms == switch.start_at_ms


async def test_the_edge_hears_of_the_new_epoch_after_the_switch(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.listener.REVOKE_GRACE_MS", 0)
    key = device_epoch_key((await room.player()).session_id)
    volatile = room.stores.volatile
    while (found := await volatile.get(key)) is None or found[0] < 1:  # noqa: ASYNC110 - a store says nothing
        await asyncio.sleep(0)
    asked = room.transfer()
    await room.ready(await room.prepared())
    assert (await asked).ok
    switch = await room.laptop.wait_for(Switch)
    while (found := await volatile.get(key)) is None or found[0] < 2:
        if found is not None and room.clock.now_ms() < switch.start_at_ms:
            assert found[0] == 1, "the source plays until the switch"
        await asyncio.sleep(0)
    assert room.clock.now_ms() >= switch.start_at_ms


async def test_the_next_owner_tells_the_edge_what_the_last_one_could_not(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.listener.REVOKE_GRACE_MS", 0)
    player = await room.player()
    volatile = (await filled_stores()).volatile
    successor = await a_host(replace(room.stores, volatile=volatile), owner_epoch=2)
    await successor.look(ADA)
    while (found := await volatile.get(device_epoch_key(player.session_id))) is None:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert found[0] == player.device_epoch
    await successor.stop()


async def test_a_handoff_cut_off_by_the_end_of_its_session_is_answered(room: Room) -> None:
    asked = room.transfer()
    await room.prepared()
    listener = room.host._listeners[ADA]
    listener.drop()
    reply = await asked
    assert reply.error is not None
    assert reply.error.code is Code.GOING_AWAY


async def test_frames_of_a_handoff_never_run_ahead_of_the_sessions_place(room: Room) -> None:
    asked = room.transfer()
    await room.ready(await room.prepared())
    assert (await asked).ok
    switch = await room.phone.wait_for(Switch)
    for device in (room.phone, room.laptop):
        await device.say(
            Switched(handoff_id=switch.handoff_id, at_ms=float(switch.start_at_ms), position_ms=100.0)
        )
    await room.over(room.laptop)
    await room.laptop.wait_for(
        Push,
        lambda p: (
            p.durable
            and p.player is not UNSET
            and p.player.last_handoff is not UNSET
            and p.player.last_handoff is not None
            and p.player.last_handoff.gap_ms is not None
        ),
    )
    for device in (room.phone, room.laptop):
        device.read()
        place = None
        for push in (frame for frame in device.frames if isinstance(frame, Push)):
            if place is not None:
                assert push.seq == place + 1 if push.durable else push.seq == place
            place = push.seq
    assert DeviceId("laptop-001") == (await room.player()).active_device_id

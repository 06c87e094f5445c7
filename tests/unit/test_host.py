"""A host on memory stores: the whole conversation, without a socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import UNSET

from actors.host import EntityHost
from connect.codec import Encoding
from connect.frames import (
    Goodbye,
    GoodbyeReason,
    Limits,
    Media,
    Ping,
    Pong,
    Prepare,
    Push,
    Ready,
    Refuse,
    Report,
    ReportState,
    Resume,
    Snapshot,
    Switch,
    Switched,
)
from kernel.errors import TABLE, Code, Unavailable
from kernel.ids import DeviceId, UserId
from kernel.units import Millis
from sessions.commands import AddToQueue, Pause, Play, RestorePaused, SeekTo, SetVolume, SkipNext, Transfer
from storage.ports import LogRecord
from storage.stores import Stores
from tests.support.hosting import ALBUM_URI, TestDevice, a_filled_host, a_host, track_uri

Fixture = tuple[EntityHost, Stores]


@pytest.fixture
async def hosted() -> AsyncIterator[Fixture]:
    host, stores = await a_filled_host(limits=Limits(frames_per_s=10_000, frames_burst=10_000))
    yield host, stores
    await host.stop()


@pytest.fixture
async def phone(hosted: Fixture) -> TestDevice:
    device = TestDevice(hosted[0], "phone-001")
    await device.connect()
    return device


@pytest.fixture
async def laptop(hosted: Fixture) -> TestDevice:
    device = TestDevice(hosted[0], "laptop-001", encoding=Encoding.JSON)
    await device.connect()
    return device


async def test_a_play_makes_the_sender_active_and_reaches_everybody(
    phone: TestDevice, laptop: TestDevice
) -> None:
    reply = await phone.command(Play(context_uri=ALBUM_URI))
    assert reply.ok, reply.error
    push = await laptop.wait_for(Push, lambda p: p.durable)
    assert push.seq == reply.seq
    assert push.player is not UNSET
    assert push.player.is_playing is True
    assert push.player.active_device_id == phone.device_id
    assert push.devices is not UNSET
    assert [d.is_active for d in push.devices] == [True, False]


async def test_the_active_device_gets_leases_of_the_current_item_and_the_next_three(
    phone: TestDevice,
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    media = await phone.wait_for(Media)
    assert [lease.uri for lease in media.leases] == [track_uri(n) for n in range(4)]
    assert media.leases[0].rendition == "aac-256"
    assert media.leases[0].url.startswith("http://127.0.0.1:8001/s/")
    assert media.leases[0].url.endswith("/")


async def test_leases_are_sent_again_when_the_queue_changes_what_comes_next(phone: TestDevice) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    await phone.wait_for(Media)
    phone.forget()
    await phone.command(AddToQueue(uris=(track_uri(5),)))
    media = await phone.wait_for(Media)
    assert [lease.uri for lease in media.leases] == [track_uri(n) for n in (0, 5, 1, 2)]


async def test_a_seek_is_told_to_both_devices_with_the_position_alone(
    phone: TestDevice, laptop: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    laptop.forget()
    reply = await phone.command(SeekTo(position_ms=Millis(4000)))
    push = await laptop.wait_for(Push)
    assert reply.ok
    assert not push.durable
    assert push.seq == reply.seq
    assert push.player is not UNSET
    assert push.player.position_as_of_timestamp == 4000
    assert push.player.next_tracks is UNSET


async def test_a_repeated_command_gets_its_stored_reply_and_is_not_done_twice(phone: TestDevice) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    first = await phone.command(SkipNext(), command_id="skip-0001")
    phone.forget()
    again = await phone.command(SkipNext(), command_id="skip-0001")
    assert again == first
    assert (await phone.host.look(UserId("user-ada"))).player.track is not None
    looked = (await phone.host.look(UserId("user-ada"))).player
    assert looked.track is not None
    assert looked.track.uri == track_uri(1)


async def test_a_look_that_does_not_wait_sees_every_answered_command_and_only_who_is_active(
    phone: TestDevice,
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    await phone.command(SkipNext())
    seen = phone.host.look_now(UserId("user-ada"))
    assert seen is not None
    assert seen.player == (await phone.host.look(UserId("user-ada"))).player
    assert seen.player.track is not None
    assert seen.player.track.uri == track_uri(1)
    assert phone.host.look_now(UserId("user-nobody")) is None


async def test_what_was_acknowledged_is_there_after_the_host_is_gone(
    hosted: Fixture, phone: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    await phone.command(AddToQueue(uris=(track_uri(4), track_uri(3))))
    reply = await phone.command(SkipNext(), command_id="skip-0002")
    # No stop, no fold: as after kill -9. The next owner has the next epoch.
    successor = await a_host(hosted[1], owner_epoch=2)
    player = (await successor.look(UserId("user-ada"))).player
    assert player.track is not None
    assert player.track.uri == track_uri(4)
    assert [item.uri for item in player.next_tracks[:2]] == [track_uri(3), track_uri(1)]
    heir = TestDevice(successor, "phone-001")
    await heir.connect()
    assert await heir.command(SkipNext(), command_id="skip-0002") == reply
    await successor.stop()


async def test_a_host_whose_place_was_taken_says_so_and_lets_go(hosted: Fixture, phone: TestDevice) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    host, stores = hosted
    seq = (await host.look(UserId("user-ada"))).seq
    await stores.log.append([LogRecord(key="session/user-ada", seq=seq + 1, owner_epoch=9, payload=b"")])
    reply = await phone.command(SkipNext())
    assert reply.error is not None
    assert reply.error.code is Code.NOT_OWNER
    assert (await phone.wait_closed())[0] == TABLE[Code.NOT_OWNER].close


async def test_a_key_of_another_hosts_shard_is_refused(hosted: Fixture) -> None:
    nowhere = await a_host(hosted[1], shards=range(0))
    with pytest.raises(Unavailable) as caught:
        await nowhere.look(UserId("user-ada"))
    assert caught.value.code is Code.NOT_OWNER


async def test_a_resume_gets_exactly_the_durable_pushes_that_were_missed(
    phone: TestDevice, laptop: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    seen = await laptop.wait_for(Push, lambda p: p.durable)
    laptop.drop()
    for _ in range(3):
        await phone.command(SkipNext())
    await phone.command(SeekTo(position_ms=Millis(3000)))
    welcome = await laptop.connect(resume=Resume(owner_epoch=seen.owner_epoch, seq=seen.seq))
    pushes = [frame for frame in laptop.frames if isinstance(frame, Push)]
    assert welcome.resumed
    assert [push.seq for push in pushes if push.durable] == [seen.seq + 1, seen.seq + 2, seen.seq + 3]
    newest = next(push for push in pushes if not push.durable)
    assert newest.player is not UNSET
    assert newest.player.position_as_of_timestamp == 3000
    assert not any(isinstance(frame, Snapshot) for frame in laptop.frames)


async def test_a_resume_from_an_unknown_history_gets_a_snapshot_that_says_so(phone: TestDevice) -> None:
    welcome = await phone.connect(resume=Resume(owner_epoch=77, seq=3))
    assert not welcome.resumed
    assert (await phone.snapshot()).reason == "resume_too_old"


async def test_of_two_sockets_with_one_device_id_the_newer_stays(hosted: Fixture, phone: TestDevice) -> None:
    newer = TestDevice(hosted[0], "phone-001")
    newer._connections = 50
    await newer.connect()
    assert (await phone.wait_closed())[0] == TABLE[Code.REPLACED].close
    phone.drop()
    devices = (await hosted[0].look(UserId("user-ada"))).devices
    assert [(d.device_id, d.connection.value) for d in devices] == [("phone-001", "online")]


async def test_a_ping_is_answered_with_the_servers_times(phone: TestDevice) -> None:
    await phone.say(Ping(t0_ms=123.5, rtt_ms=8.0, clock_offset_ms=-2.0, clock_error_ms=4.0))
    pong = await phone.wait_for(Pong)
    assert pong.t0_ms == 123.5
    assert pong.t1_ms <= pong.t2_ms
    (device,) = (await phone.host.look(UserId("user-ada"))).devices
    assert (device.rtt_ms, device.clock_offset_ms, device.clock_error_ms) == (8.0, -2.0, 4.0)


async def test_a_report_of_another_device_than_the_active_one_is_refused(
    phone: TestDevice, laptop: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    player = (await phone.host.look(UserId("user-ada"))).player
    assert player.play_id is not None
    await laptop.say(
        Report(
            device_epoch=player.device_epoch,
            play_id=player.play_id,
            playhead_version=player.playhead_version,
            state=ReportState.PLAYING,
            position_ms=Millis(9000),
            measured_at_ms=player.timestamp,
        )
    )
    after = (await phone.host.look(UserId("user-ada"))).player
    assert after.position_as_of_timestamp == player.position_as_of_timestamp


async def test_a_volume_is_set_on_the_device_and_not_echoed_to_who_set_it_there(
    phone: TestDevice, laptop: TestDevice
) -> None:
    reply = await phone.command(SetVolume(volume_percent=30, device_id=DeviceId("laptop-001")))
    assert reply.ok
    assert reply.result["volume_percent"] == 30
    assert laptop.wire.closed is None
    devices = {d.device_id: d for d in (await phone.host.look(UserId("user-ada"))).devices}
    assert devices[DeviceId("laptop-001")].volume_percent == 30
    assert devices[DeviceId("phone-001")].volume_percent == 50


async def test_a_goodbye_of_the_active_device_pauses_and_releases_it(
    phone: TestDevice, laptop: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    await phone.say(Goodbye(reason=GoodbyeReason.USER_REQUEST))
    phone.drop()
    push = await laptop.wait_for(Push, lambda p: p.player is not UNSET and p.player.active_device_id is None)
    assert push.player is not UNSET
    assert push.player.is_playing is False


# --- handoff ------------------------------------------------------------------------------------------


async def test_a_handoff_prepares_the_target_then_switches_both_at_one_instant(
    phone: TestDevice, laptop: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    asked = asyncio.ensure_future(phone.command(Transfer(device_id=laptop.device_id)))
    prepare = await laptop.wait_for(Prepare)
    assert prepare.device_epoch == 2
    assert prepare.lease.uri == track_uri(0)
    assert prepare.will_play
    await laptop.say(Ready(handoff_id=prepare.handoff_id, buffered_ms=4000, start_delay_ms=20))
    reply = await asked
    assert reply.ok, reply.error
    target = await laptop.wait_for(Switch)
    source = await phone.wait_for(Switch)
    assert (source.role, target.role) == ("source", "target")
    assert source.start_at_ms == target.start_at_ms == reply.result["start_at_ms"]
    order = [type(f).__name__ for f in phone.frames if isinstance(f, Switch) or _tells_active(f, laptop)]
    assert order[0] == "Switch", "the source hears of the instant before it hears that it is deposed"
    at = float(target.start_at_ms)
    await phone.say(Switched(handoff_id=source.handoff_id, at_ms=at + 1.0, position_ms=2000.0))
    await laptop.say(Switched(handoff_id=source.handoff_id, at_ms=at + 9.0, position_ms=2008.0))
    push = await phone.wait_for(
        Push,
        lambda p: (
            p.player is not UNSET
            and p.player.last_handoff is not UNSET
            and p.player.last_handoff is not None
            and p.player.last_handoff.gap_ms is not None
        ),
    )
    assert push.player is not UNSET
    assert push.player.last_handoff is not UNSET
    assert push.player.last_handoff is not None
    assert push.player.last_handoff.gap_ms == pytest.approx(8.0)
    assert push.player.last_handoff.jump_ms == pytest.approx(0.0)
    media = await laptop.wait_for(Media)
    assert media.device_epoch == 2


async def test_a_target_that_refuses_leaves_the_source_playing(phone: TestDevice, laptop: TestDevice) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    asked = asyncio.ensure_future(phone.command(Transfer(device_id=laptop.device_id)))
    prepare = await laptop.wait_for(Prepare)
    await laptop.say(Refuse(handoff_id=prepare.handoff_id, reason="needs_gesture"))
    reply = await asked
    assert reply.error is not None
    assert reply.error.code is Code.HANDOFF_FAILED
    player = (await phone.host.look(UserId("user-ada"))).player
    assert player.active_device_id == phone.device_id
    assert player.is_playing
    assert player.device_epoch == 1


async def test_a_target_that_is_lost_while_it_prepares_leaves_the_source_playing(
    phone: TestDevice, laptop: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    asked = asyncio.ensure_future(phone.command(Transfer(device_id=laptop.device_id)))
    await laptop.wait_for(Prepare)
    laptop.drop()
    reply = await asked
    assert reply.error is not None
    assert reply.error.details["reason"] == "target_lost"
    assert (await phone.host.look(UserId("user-ada"))).player.active_device_id == phone.device_id


async def test_a_second_transfer_elsewhere_is_refused_while_one_is_under_way(
    hosted: Fixture, phone: TestDevice, laptop: TestDevice
) -> None:
    kitchen = TestDevice(hosted[0], "kitchen-001")
    await kitchen.connect()
    await phone.command(Play(context_uri=ALBUM_URI))
    first = asyncio.ensure_future(phone.command(Transfer(device_id=laptop.device_id)))
    prepare = await laptop.wait_for(Prepare)
    second = await kitchen.command(Transfer(device_id=kitchen.device_id))
    assert second.error is not None
    assert second.error.code is Code.HANDOFF_IN_PROGRESS
    await laptop.say(Ready(handoff_id=prepare.handoff_id, buffered_ms=4000))
    assert (await first).ok


async def test_a_transfer_to_the_active_device_changes_nothing(phone: TestDevice) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    reply = await phone.command(Transfer(device_id=phone.device_id))
    assert reply.ok
    assert reply.result["already_active"] is True


async def test_a_transfer_while_paused_stays_paused_unless_asked(
    phone: TestDevice, laptop: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    await phone.command(Pause())
    asked = asyncio.ensure_future(
        phone.command(Transfer(device_id=laptop.device_id, restore_paused=RestorePaused.RESTORE))
    )
    prepare = await laptop.wait_for(Prepare)
    assert not prepare.will_play
    await laptop.say(Ready(handoff_id=prepare.handoff_id, buffered_ms=4000))
    assert (await asked).ok
    player = (await phone.host.look(UserId("user-ada"))).player
    assert player.active_device_id == laptop.device_id
    assert player.is_paused


async def test_a_transfer_to_a_device_that_is_not_there_says_so(phone: TestDevice) -> None:
    reply = await phone.command(Transfer(device_id=DeviceId("nowhere-01")))
    assert reply.error is not None
    assert reply.error.code is Code.DEVICE_UNAVAILABLE


async def test_a_plan_says_what_would_happen_and_changes_nothing(
    phone: TestDevice, laptop: TestDevice
) -> None:
    await phone.command(Play(context_uri=ALBUM_URI))
    reply = await phone.command(Transfer(device_id=laptop.device_id, plan=True))
    assert reply.ok
    assert reply.result["possible"] is True
    assert reply.result["codec"] == "aac"
    assert reply.result["bitrate_kbps"] == 256
    assert not any(isinstance(frame, Prepare) for frame in laptop.read())


def _tells_active(frame: object, device: TestDevice) -> bool:
    return (
        isinstance(frame, Push)
        and frame.player is not UNSET
        and frame.player.active_device_id == device.device_id
    )

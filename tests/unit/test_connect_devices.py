"""A user's devices: presence, names, volumes, and what the session is told when the active one goes."""

import msgspec
import pytest

from catalog.model import Codec
from connect.device_rules import (
    DEVICES_MAX,
    ClockPublished,
    Commanded,
    Decided,
    Evict,
    Heard,
    Input,
    Joined,
    Left,
    Lost,
    Returned,
    TellVolume,
    Tick,
    VolumeReported,
    decide,
    next_wake_ms,
)
from connect.device_set import DeviceSet, Event, VolumeChanged, apply, devices, is_durable, is_shown, revived
from connect.frames import Capabilities, Connection, Device, DeviceInfo
from kernel.errors import Code, Disallowed, Rejected
from kernel.ids import DeviceId
from kernel.units import Millis
from sessions.commands import ForgetDevice, RenameDevice, SetVolume

A, B, C = DeviceId("dev-aaaa"), DeviceId("dev-bbbb"), DeviceId("dev-cccc")
START = 1_000_000


def info(device_id: DeviceId, name: str = "Box", volume_percent: int = 50, **can: object) -> DeviceInfo:
    capabilities = msgspec.convert(can, Capabilities)
    return DeviceInfo(
        device_id=device_id, name=name, capabilities=capabilities, volume_percent=volume_percent
    )


class Home:
    """A device set with a clock and a memory of what was decided."""

    def __init__(self, *joined: DeviceId, active: DeviceId | None = None) -> None:
        self.state = DeviceSet()
        self.active = active
        self.now_ms = START
        self.events: list[Event] = []
        for device_id in joined:
            self.say(Joined(info=info(device_id), nonce=f"nonce-{device_id}"))

    def say(self, said: Input) -> Decided:
        decided = decide(self.state, said, active_device_id=self.active, now_ms=Millis(self.now_ms))
        for event in decided.events:
            self.state = apply(self.state, event)
        self.events += decided.events
        return decided

    def after(self, seconds: float, said: Input | None = None) -> Decided:
        self.now_ms += int(seconds * 1000)
        return self.say(said or Tick())

    def command(
        self, command: SetVolume | RenameDevice | ForgetDevice, sender: DeviceId | None = None
    ) -> Decided:
        return self.say(Commanded(command=command, sender_id=sender))

    def refused(self, command: SetVolume | RenameDevice | ForgetDevice) -> Rejected:
        with pytest.raises(Rejected) as caught:
            self.command(command)
        return caught.value

    def view(self, device_id: DeviceId) -> Device:
        return next(
            one for one in devices(self.state, active_device_id=self.active) if one.device_id == device_id
        )

    def connection(self, device_id: DeviceId) -> Connection:
        return self.view(device_id).connection


# --- presence ----------------------------------------------------------------------------------------


def test_silence_leads_over_grace_to_offline() -> None:
    home = Home(A)
    home.after(24.9)
    assert home.connection(A) is Connection.ONLINE
    home.after(0.1)
    assert home.connection(A) is Connection.GRACE
    decided = home.after(35)
    assert home.connection(A) is Connection.OFFLINE
    # A socket that says nothing for a minute only costs.
    assert decided.effects == (Evict(device_id=A, nonce="nonce-dev-aaaa", code=Code.TIMEOUT),)


def test_a_frame_in_grace_brings_it_back_and_others_see_that() -> None:
    home = Home(A)
    home.after(30)
    decided = home.after(1, Heard(device_id=A))
    assert home.connection(A) is Connection.ONLINE
    assert any(is_shown(event) for event in decided.events)
    home.after(24)
    assert home.connection(A) is Connection.ONLINE


def test_signs_of_life_within_a_second_change_nothing_and_later_ones_are_not_shown() -> None:
    home = Home(A)
    assert home.after(0.5, Heard(device_id=A)).events == ()
    later = home.after(0.5, Heard(device_id=A))
    assert later.events
    assert not any(is_shown(event) for event in later.events)


def test_a_broken_socket_is_grace_and_a_goodbye_is_offline() -> None:
    home = Home(A, B)
    home.say(Left(device_id=A, nonce="nonce-dev-aaaa", clean=False))
    home.say(Left(device_id=B, nonce="nonce-dev-bbbb", clean=True))
    assert (home.connection(A), home.connection(B)) == (Connection.GRACE, Connection.OFFLINE)
    assert home.view(A).disallow_transfer_reasons == ("offline",)
    home.after(60)
    assert home.connection(A) is Connection.OFFLINE


def test_of_two_sockets_the_newer_stays_and_the_older_ones_end_means_nothing() -> None:
    home = Home(A)
    decided = home.say(Joined(info=info(A), nonce="nonce-new"))
    assert decided.effects == (Evict(device_id=A, nonce="nonce-dev-aaaa", code=Code.REPLACED),)
    assert home.say(Left(device_id=A, nonce="nonce-dev-aaaa", clean=False)).events == ()
    assert home.connection(A) is Connection.ONLINE
    assert len(devices(home.state, active_device_id=None)) == 1


def test_a_nonce_in_use_is_refused() -> None:
    home = Home(A)
    with pytest.raises(Rejected) as caught:
        home.say(Joined(info=info(A), nonce="nonce-dev-aaaa"))
    assert caught.value.code is Code.BAD_REQUEST


def test_the_wake_is_never_before_something_changes_and_never_missing() -> None:
    home = Home(A, B, active=A)
    seen: list[tuple[int, Connection]] = []
    while (wake_ms := next_wake_ms(home.state, active_device_id=home.active)) is not None:
        assert wake_ms > home.now_ms or not seen
        home.now_ms = wake_ms
        decided = home.say(Tick())
        assert decided.events or decided.effects
        seen.append((wake_ms - START, home.connection(A)))
        if any(isinstance(effect, Lost) and effect.release for effect in decided.effects):
            home.active = None
    assert seen == [
        (25_000, Connection.GRACE),
        (60_000, Connection.OFFLINE),
        (300_000, Connection.OFFLINE),
    ]


# --- the active device -------------------------------------------------------------------------------


def lost(decided: Decided) -> list[bool]:
    return [effect.release for effect in decided.effects if isinstance(effect, Lost)]


def test_a_broken_socket_of_the_active_device_pauses_after_a_minute_and_releases_after_five() -> None:
    home = Home(A, active=A)
    assert lost(home.say(Left(device_id=A, nonce="nonce-dev-aaaa", clean=False))) == []
    assert lost(home.after(59.9)) == []
    decided = home.after(0.1)
    assert decided.effects == (Lost(device_id=A, last_seen_ms=Millis(START), release=False),)
    assert lost(home.after(200)) == []  # told once
    assert lost(home.after(40)) == [True]


def test_a_goodbye_of_the_active_device_releases_at_once() -> None:
    home = Home(A, active=A)
    assert lost(home.say(Left(device_id=A, nonce="nonce-dev-aaaa", clean=True))) == [True]


def test_a_lost_active_device_that_comes_back_in_time_goes_on() -> None:
    home = Home(A, active=A)
    home.say(Left(device_id=A, nonce="nonce-dev-aaaa", clean=False))
    home.after(61)
    decided = home.after(238, Joined(info=info(A), nonce="nonce-new"))
    assert Returned(device_id=A) in decided.effects
    assert lost(home.after(20)) == []


def test_one_that_comes_back_within_the_minute_was_never_away() -> None:
    home = Home(A, active=A)
    home.say(Left(device_id=A, nonce="nonce-dev-aaaa", clean=False))
    assert home.after(40, Joined(info=info(A), nonce="nonce-new")).effects == ()


def test_one_that_comes_back_after_another_took_over_does_not_go_on() -> None:
    home = Home(A, B, active=A)
    home.say(Left(device_id=A, nonce="nonce-dev-aaaa", clean=False))
    home.after(61)
    home.active = B
    assert home.after(1, Joined(info=info(A), nonce="nonce-new")).effects == ()


def test_an_active_device_that_nobody_knows_is_released() -> None:
    home = Home(A, active=C)
    assert lost(home.after(0)) == [True]


def test_only_the_active_device_is_reported_lost() -> None:
    home = Home(A, B, active=A)
    home.say(Left(device_id=B, nonce="nonce-dev-bbbb", clean=True))
    assert lost(home.after(10, Heard(device_id=A))) == []


def test_a_revived_set_expects_those_who_were_there_and_the_active_device_plays_on() -> None:
    home = Home(A, B, C, active=A)
    home.say(Left(device_id=C, nonce="nonce-dev-cccc", clean=True))
    home.now_ms += 3_600_000
    home.state = revived(home.state, active_device_id=A, now_ms=Millis(home.now_ms))
    assert [home.connection(one) for one in (A, B, C)] == [
        Connection.GRACE,
        Connection.GRACE,
        Connection.OFFLINE,
    ]
    assert lost(home.after(0)) == []
    assert lost(home.after(60)) == [False]


# --- names and the list ------------------------------------------------------------------------------


def test_a_given_name_outlives_what_the_device_calls_itself() -> None:
    home = Home(A)
    assert home.command(RenameDevice(device_id=A, name="Kitchen")).result["name"] == "Kitchen"
    home.say(Joined(info=info(A, "iPhone (3)"), nonce="nonce-new"))
    assert home.view(A).name == "Kitchen"
    assert home.command(RenameDevice(device_id=A, name="Kitchen")).events == ()


def test_a_known_device_that_says_the_same_again_writes_nothing_durable() -> None:
    home = Home(A)
    decided = home.say(Joined(info=info(A, volume_percent=7), nonce="nonce-new"))
    assert not any(is_durable(event) for event in decided.events)
    assert any(is_durable(event) for event in home.say(Joined(info=info(A, "New"), nonce="nonce-3")).events)


def test_the_list_survives_by_its_durable_events_alone() -> None:
    home = Home(A, B)
    home.command(RenameDevice(device_id=A, name="Kitchen"))
    home.command(ForgetDevice(device_id=B))
    rebuilt = DeviceSet()
    for event in home.events:
        if is_durable(event):
            rebuilt = apply(rebuilt, event)
    (only,) = devices(rebuilt, active_device_id=None)
    assert (only.device_id, only.name, only.connection) == (A, "Kitchen", Connection.OFFLINE)


def test_the_state_is_its_own_snapshot() -> None:
    home = Home(A, B)
    home.command(RenameDevice(device_id=A, name="Kitchen"))
    packed = msgspec.msgpack.encode(home.state)
    assert msgspec.msgpack.decode(packed, type=DeviceSet) == home.state


def test_forgetting_a_connected_active_device_ends_it_and_releases_the_session() -> None:
    home = Home(A, B, active=A)
    decided = home.command(ForgetDevice(device_id=A), sender=B)
    assert Evict(device_id=A, nonce="nonce-dev-aaaa", code=None) in decided.effects
    assert lost(decided) == [True]
    assert [one.device_id for one in devices(home.state, active_device_id=None)] == [B]
    assert home.refused(ForgetDevice(device_id=A)).code is Code.DEVICE_UNAVAILABLE


def test_the_oldest_offline_device_makes_room_for_a_new_one() -> None:
    names = [DeviceId(f"dev-{n:05}") for n in range(DEVICES_MAX)]
    home = Home()
    for name in names:
        home.after(1, Joined(info=info(name), nonce=f"nonce-{name}"))
    with pytest.raises(Rejected) as caught:
        home.say(Joined(info=info(A), nonce="nonce-a"))
    assert caught.value.code is Code.TOO_MANY_CONNECTIONS
    for gone in (names[9], names[5], names[3]):
        home.say(Left(device_id=gone, nonce=f"nonce-{gone}", clean=True))
    home.active = names[3]
    home.say(Joined(info=info(A), nonce="nonce-a"))
    left = {one.device_id for one in devices(home.state, active_device_id=None)}
    assert left == ({*names, A} - {names[5]})


def test_a_device_says_why_nothing_can_be_handed_to_it() -> None:
    home = Home()
    home.say(Joined(info=info(A, can_be_player=False), nonce="nonce-a"))
    home.say(Joined(info=info(B, codecs=["vorbis"]), nonce="nonce-b"))
    home.say(Joined(info=info(C), nonce="nonce-c"))
    home.say(Left(device_id=C, nonce="nonce-c", clean=True))
    shown = devices(home.state, active_device_id=None, codecs_available=frozenset({Codec.AAC}))
    assert [one.disallow_transfer_reasons for one in shown] == [
        ("not_a_player",),
        ("no_common_codec",),
        ("offline",),
    ]


# --- volume and clocks -------------------------------------------------------------------------------


def test_a_volume_set_from_elsewhere_is_told_to_the_device_and_not_echoed_to_the_sender() -> None:
    home = Home(A, B)
    decided = home.command(SetVolume(volume_percent=30, device_id=A), sender=B)
    assert decided.effects == (TellVolume(device_id=A, volume_percent=30, muted=False),)
    assert decided.events == (VolumeChanged(device_id=A, volume_percent=30, muted=False, by=B),)
    assert decided.result["volume_percent"] == 30


def test_a_volume_changed_at_the_device_is_not_sent_back_to_it() -> None:
    home = Home(A)
    decided = home.say(VolumeReported(device_id=A, volume_percent=70, muted=True))
    assert decided.effects == ()
    assert decided.events == (VolumeChanged(device_id=A, volume_percent=70, muted=True, by=A),)
    assert home.say(VolumeReported(device_id=A, volume_percent=70, muted=True)).events == ()
    assert home.command(SetVolume(volume_percent=10, device_id=A), sender=A).effects == ()


@pytest.mark.parametrize(("delta", "heard"), [(-100, 0), (-50, 0), (-10, 40), (10, 60), (90, 100)])
def test_steps_stay_between_silence_and_full(delta: int, heard: int) -> None:
    home = Home(A, active=A)
    assert home.command(SetVolume(delta_percent=delta)).result["volume_percent"] == heard
    assert home.view(A).volume_percent == heard


def test_asking_for_a_level_takes_the_mute_off() -> None:
    home = Home(A, active=A)
    home.say(VolumeReported(device_id=A, volume_percent=50, muted=True))
    assert home.command(SetVolume(volume_percent=50)).effects == (
        TellVolume(device_id=A, volume_percent=50, muted=False),
    )


def test_a_reconnect_keeps_the_volume_that_the_device_has() -> None:
    home = Home(A)
    home.command(SetVolume(volume_percent=90, device_id=A))
    home.say(Left(device_id=A, nonce="nonce-dev-aaaa", clean=False))
    decided = home.say(Joined(info=info(A, volume_percent=20), nonce="nonce-new"))
    assert home.view(A).volume_percent == 20
    assert not any(isinstance(effect, TellVolume) for effect in decided.effects)


def test_a_volume_that_cannot_be_set_is_refused_with_its_reason() -> None:
    home = Home()
    home.say(Joined(info=info(A, volume_steps=0), nonce="nonce-a"))
    home.say(Joined(info=info(B, is_controllable=False), nonce="nonce-b"))
    home.say(Joined(info=info(C), nonce="nonce-c"))
    home.say(Left(device_id=C, nonce="nonce-c", clean=False))
    fixed = home.refused(SetVolume(volume_percent=1, device_id=A))
    assert isinstance(fixed, Disallowed)
    assert fixed.details["reasons"] == ["fixed_volume"]
    assert home.refused(SetVolume(volume_percent=1, device_id=B)).details["reasons"] == ["not_controllable"]
    assert home.command(SetVolume(volume_percent=1, device_id=B), sender=B).result["volume_percent"] == 1
    assert home.refused(SetVolume(volume_percent=1, device_id=C)).code is Code.DEVICE_UNAVAILABLE
    assert home.refused(SetVolume(volume_percent=1)).code is Code.NO_ACTIVE_DEVICE
    assert home.refused(SetVolume(device_id=A)).code is Code.BAD_REQUEST
    both = SetVolume(volume_percent=1, delta_percent=1, device_id=A)
    assert home.refused(both).code is Code.BAD_REQUEST


def test_a_published_clock_is_shown_until_the_device_connects_anew() -> None:
    home = Home(A)
    home.say(ClockPublished(device_id=A, rtt_ms=1.5, clock_offset_ms=-3.0, clock_error_ms=0.75))
    assert (home.view(A).rtt_ms, home.view(A).clock_offset_ms, home.view(A).clock_error_ms) == (
        1.5,
        -3.0,
        0.75,
    )
    home.say(Joined(info=info(A), nonce="nonce-new"))
    assert home.view(A).rtt_ms is None


def test_inputs_about_devices_that_are_gone_change_nothing() -> None:
    home = Home(A)
    for said in (
        Heard(device_id=B),
        Left(device_id=B, nonce="nonce-b", clean=True),
        ClockPublished(device_id=B, rtt_ms=1.0, clock_offset_ms=1.0, clock_error_ms=1.0),
        VolumeReported(device_id=B, volume_percent=1, muted=False),
    ):
        assert home.say(said) == Decided()
    for event in home.events:
        if event.__struct_config__.tag != "device.described":
            assert apply(DeviceSet(), event) == DeviceSet()

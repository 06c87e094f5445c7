"""What happens to a user's devices: decide, for the state and events of `connect.device_set`.

               25 s without a frame,          60 s without
      hello    or the socket broke            a frame
    ────────▶ ONLINE ────────────▶ GRACE ────────────────▶ OFFLINE
                 ▲                   │ │                      ▲
                 └──── any frame ────┘ └──── a goodbye ───────┘ (from ONLINE too, at once)

The active device is the session's to name; it comes in as an argument. When it has gone offline by itself the
session is told `Lost(release=False)` after 60 s (not when its socket breaks: it may still play its buffer),
`Lost(release=True)` after 300 s, or `Returned` when it says hello in between. A goodbye releases at once.
A pure remote has no grace and is not remembered: when its connection ends it is gone.

What is not here: sockets, sessions, handoffs.
"""

from typing import assert_never

import msgspec

from connect.device_set import (
    Clocked,
    Connected,
    Described,
    DeviceSet,
    Event,
    Forgotten,
    Gone,
    Known,
    LossNoted,
    Moved,
    Renamed,
    VolumeChanged,
)
from connect.frames import Connection, DeviceInfo
from kernel.errors import Code, Disallowed, Rejected
from kernel.ids import DeviceId
from kernel.units import Millis
from sessions.commands import ForgetDevice, RenameDevice, SetVolume

GRACE_AFTER_MS = 25_000
OFFLINE_AFTER_MS = 60_000
RELEASE_AFTER_MS = 300_000
DEVICES_MAX = 32
HEARD_EVERY_MS = 1_000
"""Signs of life closer together than this change nothing."""


# --- inputs -----------------------------------------------------------------------------------------


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A hello was accepted."""

    info: DeviceInfo
    nonce: str


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A connection ended. Of a connection that was replaced meanwhile it means nothing."""

    device_id: DeviceId
    nonce: str
    clean: bool
    """After a goodbye."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A frame came."""

    device_id: DeviceId


class ClockPublished(msgspec.Struct, frozen=True, kw_only=True):
    """What a ping said of the device's clock."""

    device_id: DeviceId
    rtt_ms: float | None
    clock_offset_ms: float | None
    clock_error_ms: float | None


class VolumeReported(msgspec.Struct, frozen=True, kw_only=True):
    """The volume changed at the device."""

    device_id: DeviceId
    volume_percent: int
    muted: bool


class Commanded(msgspec.Struct, frozen=True, kw_only=True):
    """A command that the set decides."""

    command: SetVolume | RenameDevice | ForgetDevice
    sender_id: DeviceId | None
    """None: not from a device (REST)."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """`next_wake_ms` has come."""


Input = Joined | Left | Heard | ClockPublished | VolumeReported | Commanded | Tick


# --- effects ----------------------------------------------------------------------------------------


class TellVolume(msgspec.Struct, frozen=True, kw_only=True):
    """Send `set_volume` to this device."""

    device_id: DeviceId
    volume_percent: int
    muted: bool


class Evict(msgspec.Struct, frozen=True, kw_only=True):
    """Close this connection, if it is still there."""

    device_id: DeviceId
    nonce: str
    code: Code | None
    """None: a normal close, so that it does not come back by itself (it was taken off the list)."""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """For the session: its active device is gone (`sessions.inputs.DeviceLost`)."""

    device_id: DeviceId
    last_seen_ms: Millis
    release: bool


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """For the session: its active device is back (`sessions.inputs.DeviceReturned`)."""

    device_id: DeviceId


Effect = TellVolume | Evict | Lost | Returned


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What an input leads to."""

    events: tuple[Event, ...] = ()
    effects: tuple[Effect, ...] = ()
    result: dict[str, object] = {}
    """Of a command, for its reply."""


NOTHING = Decided()


# --- decide -----------------------------------------------------------------------------------------


def decide(state: DeviceSet, said: Input, *, active_device_id: DeviceId | None, now_ms: Millis) -> Decided:
    """What follows from `said`. Raises: Rejected, for a join and for commands only."""
    match said:
        case Heard():
            return _heard(state, said.device_id, now_ms)
        case Joined():
            return _joined(state, said, active_device_id, now_ms)
        case Left():
            return _left(state, said, active_device_id)
        case ClockPublished():
            return _clock(state, said)
        case VolumeReported():
            return _volume_reported(state, said)
        case Commanded():
            return _commanded(state, said, active_device_id)
        case Tick():
            return _tick(state, active_device_id, now_ms)
    assert_never(said)


def _heard(state: DeviceSet, device_id: DeviceId, now_ms: Millis) -> Decided:
    device = state.devices.get(device_id)
    if device is None or device.nonce is None:
        return NOTHING
    if device.connection is Connection.ONLINE and now_ms - device.last_seen_ms < HEARD_EVERY_MS:
        return NOTHING
    back = Moved(device_id=device_id, connection=Connection.ONLINE, nonce=device.nonce, at_ms=now_ms)
    if device.connection is Connection.ONLINE:
        return Decided(events=(back,))
    # Two events, so that the one that others see is told apart from a mere sign of life.
    shown = Moved(device_id=device_id, connection=Connection.ONLINE, nonce=device.nonce)
    return Decided(events=(shown, back))


def _joined(state: DeviceSet, said: Joined, active_device_id: DeviceId | None, now_ms: Millis) -> Decided:
    info, device_id = said.info, said.info.device_id
    events: list[Event] = []
    effects: list[Effect] = []
    before = state.devices.get(device_id)
    if before is None:
        if len(state.devices) >= DEVICES_MAX:
            events.append(Forgotten(device_id=_oldest_offline(state, active_device_id)))
    elif before.nonce == said.nonce:
        raise Rejected(
            Code.BAD_REQUEST, f"connection_nonce {said.nonce} is in use; a new connection has a new one"
        )
    elif before.nonce is not None:
        effects.append(Evict(device_id=device_id, nonce=before.nonce, code=Code.REPLACED))
    if before is None or _selfless(before.info) != _selfless(info):
        events.append(Described(info=info, at_ms=now_ms))
    events.append(
        Connected(
            device_id=device_id,
            nonce=said.nonce,
            volume_percent=info.volume_percent,
            muted=info.muted,
            at_ms=now_ms,
        )
    )
    if before is not None and before.lost and device_id == active_device_id:
        effects.append(Returned(device_id=device_id))
    return Decided(events=tuple(events), effects=tuple(effects))


def _selfless(info: DeviceInfo) -> DeviceInfo:
    """The description without what changes from one connection to the next."""
    return msgspec.structs.replace(info, volume_percent=0, muted=False)


def _oldest_offline(state: DeviceSet, active_device_id: DeviceId | None) -> DeviceId:
    offline = [
        (device.last_seen_ms, device_id)
        for device_id, device in state.devices.items()
        if device.connection is Connection.OFFLINE and device_id != active_device_id
    ]
    if not offline:
        raise Rejected(
            Code.TOO_MANY_CONNECTIONS, f"a new device was named; {DEVICES_MAX} are connected already"
        )
    return min(offline)[1]


def _left(state: DeviceSet, said: Left, active_device_id: DeviceId | None) -> Decided:
    device = state.devices.get(said.device_id)
    if device is None or device.nonce != said.nonce:
        return NOTHING
    if not device.info.capabilities.can_be_player:
        return Decided(events=(Gone(device_id=said.device_id),))
    connection = Connection.OFFLINE if said.clean else Connection.GRACE
    moved = Moved(device_id=said.device_id, connection=connection, nonce=None)
    if not (said.clean and said.device_id == active_device_id):
        return Decided(events=(moved,))
    lost = Lost(device_id=said.device_id, last_seen_ms=device.last_seen_ms, release=True)
    return Decided(events=(moved,), effects=(lost,))


def _clock(state: DeviceSet, said: ClockPublished) -> Decided:
    device = state.devices.get(said.device_id)
    told = (said.rtt_ms, said.clock_offset_ms, said.clock_error_ms)
    if device is None or (device.rtt_ms, device.clock_offset_ms, device.clock_error_ms) == told:
        return NOTHING
    event = Clocked(
        device_id=said.device_id,
        rtt_ms=said.rtt_ms,
        clock_offset_ms=said.clock_offset_ms,
        clock_error_ms=said.clock_error_ms,
    )
    return Decided(events=(event,))


def _volume_reported(state: DeviceSet, said: VolumeReported) -> Decided:
    device = state.devices.get(said.device_id)
    if device is None or (device.volume_percent, device.muted) == (said.volume_percent, said.muted):
        return NOTHING
    event = VolumeChanged(
        device_id=said.device_id,
        volume_percent=said.volume_percent,
        muted=said.muted,
        by=said.device_id,
    )
    return Decided(events=(event,))


def _commanded(state: DeviceSet, said: Commanded, active_device_id: DeviceId | None) -> Decided:
    match said.command:
        case SetVolume() as command:
            return _set_volume(state, command, said.sender_id, active_device_id)
        case RenameDevice(device_id=device_id, name=name):
            device = _known(state, device_id)
            result: dict[str, object] = {"device_id": device_id, "name": name}
            if device.given_name == name:
                return Decided(result=result)
            return Decided(events=(Renamed(device_id=device_id, name=name),), result=result)
        case ForgetDevice(device_id=device_id):
            device = _known(state, device_id)
            effects: list[Effect] = []
            if device.nonce is not None:
                effects.append(Evict(device_id=device_id, nonce=device.nonce, code=None))
            if device_id == active_device_id:
                effects.append(Lost(device_id=device_id, last_seen_ms=device.last_seen_ms, release=True))
            return Decided(events=(Forgotten(device_id=device_id),), effects=tuple(effects))
    assert_never(said.command)


def _set_volume(
    state: DeviceSet, command: SetVolume, sender_id: DeviceId | None, active_device_id: DeviceId | None
) -> Decided:
    if (command.volume_percent is None) is (command.delta_percent is None):
        raise Rejected(Code.BAD_REQUEST, "set_volume takes exactly one of volume_percent and delta_percent")
    device_id = command.device_id or active_device_id
    if device_id is None:
        raise Rejected(Code.NO_ACTIVE_DEVICE, "set_volume named no device and none is active")
    device = _known(state, device_id)
    capabilities = device.info.capabilities
    if capabilities.volume_steps == 0:
        raise Disallowed("setting_volume", ("fixed_volume",))
    if not capabilities.is_controllable and sender_id != device_id:
        raise Disallowed("setting_volume", ("not_controllable",))
    if device.nonce is None:
        raise Rejected(Code.DEVICE_UNAVAILABLE, f"set_volume named {device_id}, which is not connected")
    wanted = (
        device.volume_percent + (command.delta_percent or 0)
        if command.volume_percent is None
        else command.volume_percent
    )
    volume_percent = min(100, max(0, wanted))
    result: dict[str, object] = {"device_id": device_id, "volume_percent": volume_percent}
    # Asking for a level takes the mute off: no other command does.
    if (device.volume_percent, device.muted) == (volume_percent, False):
        return Decided(result=result)
    event = VolumeChanged(device_id=device_id, volume_percent=volume_percent, muted=False, by=sender_id)
    tell = TellVolume(device_id=device_id, volume_percent=volume_percent, muted=False)
    return Decided(events=(event,), effects=() if sender_id == device_id else (tell,), result=result)


def _known(state: DeviceSet, device_id: DeviceId) -> Known:
    device = state.devices.get(device_id)
    if device is None:
        raise Rejected(Code.DEVICE_UNAVAILABLE, f"device {device_id} was named; there is no such device")
    return device


def _tick(state: DeviceSet, active_device_id: DeviceId | None, now_ms: Millis) -> Decided:
    events: list[Event] = []
    effects: list[Effect] = []
    for device_id, device in state.devices.items():
        silent_ms = now_ms - device.last_seen_ms
        if device.connection is not Connection.OFFLINE and silent_ms >= OFFLINE_AFTER_MS:
            if device.info.capabilities.can_be_player:
                events.append(Moved(device_id=device_id, connection=Connection.OFFLINE, nonce=None))
            else:
                events.append(Gone(device_id=device_id))
            if device.nonce is not None:
                effects.append(Evict(device_id=device_id, nonce=device.nonce, code=Code.TIMEOUT))
        elif device.connection is Connection.ONLINE and silent_ms >= GRACE_AFTER_MS:
            events.append(Moved(device_id=device_id, connection=Connection.GRACE, nonce=device.nonce))
    if active_device_id is None:
        return Decided(events=tuple(events), effects=tuple(effects))
    active = state.devices.get(active_device_id)
    if active is None:
        # The session names a device that was forgotten: nobody can come back as it.
        effects.append(Lost(device_id=active_device_id, last_seen_ms=now_ms, release=True))
    else:
        silent_ms = now_ms - active.last_seen_ms
        if silent_ms >= RELEASE_AFTER_MS:
            effects.append(Lost(device_id=active_device_id, last_seen_ms=active.last_seen_ms, release=True))
        elif silent_ms >= OFFLINE_AFTER_MS and not active.lost:
            effects.append(Lost(device_id=active_device_id, last_seen_ms=active.last_seen_ms, release=False))
            events.append(LossNoted(device_id=active_device_id))
    return Decided(events=tuple(events), effects=tuple(effects))


def next_wake_ms(state: DeviceSet, *, active_device_id: DeviceId | None) -> Millis | None:
    """When a `Tick` is next due; None when time alone changes nothing."""
    due: list[int] = []
    for device_id, device in state.devices.items():
        if device.connection is Connection.ONLINE:
            due.append(device.last_seen_ms + GRACE_AFTER_MS)
        elif device.connection is Connection.GRACE:
            due.append(device.last_seen_ms + OFFLINE_AFTER_MS)
        elif device_id == active_device_id:
            due.append(device.last_seen_ms + (RELEASE_AFTER_MS if device.lost else OFFLINE_AFTER_MS))
    if active_device_id is not None and active_device_id not in state.devices:
        due.append(0)
    return Millis(min(due)) if due else None

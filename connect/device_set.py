"""A user's devices as a value: who is known, who is connected, how loud they are; and how events change it.

What leads to which event is in `connect.device_rules`. A volatile event may be lost with its process (a
revived set only misses a volume or a last sign of life); a durable one is in the log before anybody sees it.
"""

from typing import assert_never

import msgspec

from catalog.model import Codec
from connect.frames import Connection, Device, DeviceInfo
from kernel.ids import DeviceId
from kernel.units import Millis


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One device of the set."""

    info: DeviceInfo
    """As it describes itself; its volume at the time of that hello is in it, the present one is below."""
    given_name: str | None = None
    """What a person called it; wins over its own name. None: nobody did."""
    volume_percent: int
    muted: bool = False
    nonce: str | None = None
    """Of the connection it has; None when it has none."""
    connection: Connection = Connection.OFFLINE
    last_seen_ms: Millis
    lost: bool = False
    """The session was told that this device, then active, is lost; it may come back and go on."""
    rtt_ms: float | None = None
    clock_offset_ms: float | None = None
    clock_error_ms: float | None = None

    @property
    def name(self) -> str:
        return self.given_name or self.info.name


class DeviceSet(msgspec.Struct, frozen=True, kw_only=True):
    """The state, also as it is stored."""

    devices: dict[DeviceId, Known] = {}


# --- events -----------------------------------------------------------------------------------------


class Described(msgspec.Struct, frozen=True, kw_only=True, tag="device.described"):
    """A device is new, or describes itself anew. Durable for players: a restart does not empty the picker."""

    info: DeviceInfo
    at_ms: Millis


class Renamed(msgspec.Struct, frozen=True, kw_only=True, tag="device.renamed"):
    device_id: DeviceId
    name: str


class Forgotten(msgspec.Struct, frozen=True, kw_only=True, tag="device.forgotten"):
    device_id: DeviceId


class Connected(msgspec.Struct, frozen=True, kw_only=True, tag="device.connected"):
    """With the volume it has at that moment: the device's word counts, so nothing jumps on reconnect."""

    device_id: DeviceId
    nonce: str
    volume_percent: int
    muted: bool
    at_ms: Millis


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag="device.moved"):
    """Its connection changed."""

    device_id: DeviceId
    connection: Connection
    nonce: str | None
    at_ms: Millis | None = None
    """When it was last heard; None: as before."""


class LossNoted(msgspec.Struct, frozen=True, kw_only=True, tag="device.loss_noted"):
    """The session was told that its active device is lost."""

    device_id: DeviceId


class Clocked(msgspec.Struct, frozen=True, kw_only=True, tag="device.clocked"):
    device_id: DeviceId
    rtt_ms: float | None
    clock_offset_ms: float | None
    clock_error_ms: float | None


class VolumeChanged(msgspec.Struct, frozen=True, kw_only=True, tag="device.volume"):
    """The push that shows it leaves out `by`: who moved a slider is not told where it stands."""

    device_id: DeviceId
    volume_percent: int
    muted: bool
    by: DeviceId | None


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag="device.gone"):
    """A pure remote has left. It was never in the log, so this need not be either."""

    device_id: DeviceId


Event = Described | Renamed | Forgotten | Connected | Moved | LossNoted | Clocked | VolumeChanged | Gone


def is_durable(event: Event) -> bool:
    """Whether the event is in the log before it is shown. A pure remote is nothing to come back to: it is
    known while it is connected, and a command line that makes a new one each time leaves nothing behind."""
    match event:
        case Described(info=info):
            return info.capabilities.can_be_player
        case _:
            return isinstance(event, Renamed | Forgotten)


def is_shown(event: Event) -> bool:
    """Whether other devices see a difference."""
    match event:
        case LossNoted():
            return False
        case Moved(at_ms=at_ms, connection=connection):
            return at_ms is None or connection is not Connection.ONLINE
        case _:
            return True


# --- apply ------------------------------------------------------------------------------------------


def apply(state: DeviceSet, event: Event) -> DeviceSet:
    """The state after `event`. Never raises: an event about a device that is gone changes nothing."""
    match event:
        case Described(info=info, at_ms=at_ms):
            before = state.devices.get(info.device_id)
            after = (
                Known(
                    info=info,
                    volume_percent=info.volume_percent,
                    muted=info.muted,
                    last_seen_ms=at_ms,
                )
                if before is None
                else msgspec.structs.replace(before, info=info)
            )
            return DeviceSet(devices={**state.devices, info.device_id: after})
        case Forgotten(device_id=device_id) | Gone(device_id=device_id):
            return DeviceSet(devices={key: known for key, known in state.devices.items() if key != device_id})
        case _:
            device = state.devices.get(event.device_id)
            if device is None:
                return state
            return DeviceSet(devices={**state.devices, event.device_id: _applied(device, event)})


def _applied(
    device: Known, event: Renamed | Connected | Moved | LossNoted | Clocked | VolumeChanged
) -> Known:
    replace = msgspec.structs.replace
    match event:
        case Renamed(name=name):
            return replace(device, given_name=name)
        case Connected():
            return replace(
                device,
                nonce=event.nonce,
                connection=Connection.ONLINE,
                last_seen_ms=event.at_ms,
                volume_percent=event.volume_percent,
                muted=event.muted,
                lost=False,
                # Another connection, perhaps another clock: what was measured on the old one is void.
                rtt_ms=None,
                clock_offset_ms=None,
                clock_error_ms=None,
            )
        case Moved():
            last_seen_ms = device.last_seen_ms if event.at_ms is None else event.at_ms
            return replace(device, connection=event.connection, nonce=event.nonce, last_seen_ms=last_seen_ms)
        case LossNoted():
            return replace(device, lost=True)
        case Clocked():
            return replace(
                device,
                rtt_ms=event.rtt_ms,
                clock_offset_ms=event.clock_offset_ms,
                clock_error_ms=event.clock_error_ms,
            )
        case VolumeChanged():
            return replace(device, volume_percent=event.volume_percent, muted=event.muted)
    assert_never(event)


def revived(state: DeviceSet, *, active_device_id: DeviceId | None, now_ms: Millis) -> DeviceSet:
    """The set as its next owner finds it: no connection survived, and devices are on their way back.

    Whoever was connected gets a grace from now on, as does the active device: it plays on meanwhile. Pure
    remotes are gone."""
    devices = {}
    for device_id, device in state.devices.items():
        if not device.info.capabilities.can_be_player:
            continue
        expected = device.connection is not Connection.OFFLINE or (
            device_id == active_device_id and not device.lost
        )
        devices[device_id] = (
            msgspec.structs.replace(device, connection=Connection.GRACE, nonce=None, last_seen_ms=now_ms)
            if expected
            else msgspec.structs.replace(device, nonce=None)
        )
    return DeviceSet(devices=devices)


# --- the view ---------------------------------------------------------------------------------------


def transfer_reasons(device: Known, codecs_available: frozenset[Codec] | None) -> tuple[str, ...]:
    """Why nothing can be handed to the device now. `codecs_available`: of what plays; None is anything."""
    capabilities = device.info.capabilities
    reasons = []
    if device.nonce is None:
        reasons.append("offline")
    if not capabilities.can_be_player:
        reasons.append("not_a_player")
    elif codecs_available is not None and codecs_available.isdisjoint(capabilities.codecs):
        reasons.append("no_common_codec")
    return tuple(reasons)


def devices(
    state: DeviceSet,
    *,
    active_device_id: DeviceId | None,
    codecs_available: frozenset[Codec] | None = None,
) -> tuple[Device, ...]:
    """The list as frames carry it: in the order in which the devices were first seen."""
    return tuple(
        Device(
            device_id=device_id,
            name=device.name,
            type=device.info.type,
            capabilities=device.info.capabilities,
            volume_percent=device.volume_percent,
            muted=device.muted,
            is_active=device_id == active_device_id,
            connection=device.connection,
            last_seen_at_ms=device.last_seen_ms,
            rtt_ms=device.rtt_ms,
            clock_offset_ms=device.clock_offset_ms,
            clock_error_ms=device.clock_error_ms,
            disallow_transfer_reasons=transfer_reasons(device, codecs_available),
        )
        for device_id, device in state.devices.items()
    )

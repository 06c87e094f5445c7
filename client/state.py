"""What a client knows of its session: snapshots and pushes merged into one `Mirror`.

Knows nothing of sockets. A push of an older owner is dropped; a hole in the numbers is reported, so that the
link can ask for a snapshot instead of showing a state that never was.
"""

from enum import StrEnum

import msgspec
from msgspec import UNSET

from connect.frames import Device, Handoff, Push, Resume, Snapshot
from kernel.ids import DeviceId
from kernel.units import Millis
from sessions.view import PlayerDelta, PlayerState

_PLAYER_FIELDS = tuple(PlayerDelta.__struct_fields__)


class Applied(StrEnum):
    """What became of one frame."""

    TAKEN = "taken"
    STALE = "stale"
    """Of an older owner, or seen before; nothing changed."""
    HOLE = "hole"
    """A durable push is missing between what we have and this one; nothing changed."""


def merge(player: PlayerState, delta: PlayerDelta) -> PlayerState:
    """`player` with the fields that `delta` carries."""
    changes = {
        name: value for name in _PLAYER_FIELDS if (value := getattr(delta, name)) is not UNSET
    }  # keyed by name: the two structs have the same fields by definition
    return msgspec.structs.replace(player, **changes) if changes else player


def position_ms(player: PlayerState, *, now_ms: float) -> float:
    """Where the playhead is at server time `now_ms`; still while not playing, never outside the track."""
    elapsed_ms = max(0.0, now_ms - player.timestamp)
    position = player.position_as_of_timestamp + elapsed_ms * player.playback_speed
    return min(max(0.0, position), float(player.duration))


class Mirror:
    """The newest state that this client has been told."""

    def __init__(self) -> None:
        self.owner_epoch = 0
        self.seq = 0
        self.player: PlayerState | None = None
        """None until the first snapshot."""
        self.devices: tuple[Device, ...] = ()
        self.handoff: Handoff | None = None
        self._has_hole = False

    @property
    def resume(self) -> Resume | None:
        """What to offer in a hello; None when there is nothing to resume from, or a push was missing."""
        if self.player is None or self._has_hole:
            return None
        return Resume(owner_epoch=self.owner_epoch, seq=self.seq)

    def take(self, frame: Snapshot | Push) -> Applied:
        """Merge one frame."""
        match frame:
            case Snapshot():
                if frame.owner_epoch < self.owner_epoch:
                    return Applied.STALE
                self._has_hole = False
                self.owner_epoch, self.seq = frame.owner_epoch, frame.seq
                self.player, self.devices, self.handoff = frame.player, frame.devices, frame.handoff
            case Push():
                if self.player is None:
                    return Applied.HOLE
                if frame.owner_epoch < self.owner_epoch or frame.seq < self.seq:
                    return Applied.STALE
                if frame.durable and frame.seq == self.seq:
                    return Applied.STALE
                # A volatile push repeats the place it stands on; both kinds name one we must have reached.
                if frame.seq > self.seq + (1 if frame.durable else 0):
                    self._has_hole = True
                    return Applied.HOLE
                self.owner_epoch, self.seq = frame.owner_epoch, frame.seq
                if frame.player is not UNSET:
                    self.player = merge(self.player, frame.player)
                if frame.devices is not UNSET:
                    self.devices = frame.devices
                if frame.handoff is not UNSET:
                    self.handoff = frame.handoff
        return Applied.TAKEN

    def position_ms(self, *, now_ms: float) -> Millis:
        """Whole milliseconds of the playhead at server time `now_ms`; 0 before the first snapshot."""
        return Millis(0 if self.player is None else round(position_ms(self.player, now_ms=now_ms)))

    def device(self, name_or_id: str) -> Device | None:
        """By id, else by name without regard to case; None when there is none, or the name is not unique."""
        for device in self.devices:
            if device.device_id == DeviceId(name_or_id):
                return device
        named = [one for one in self.devices if one.name.casefold() == name_or_id.casefold()]
        return named[0] if len(named) == 1 else None

"""Where the music is: position, the server instant at which it was there, and whether it moves.

The only part of a session that is written behind: a volatile event changes this value and no other.
"""

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from kernel.ids import DeviceId
from kernel.units import Millis

HEARTBEAT_MS = 10_000
"""How often a playing device reports at least; also how long a track's end may stay unreported."""


class Status(StrEnum):
    """Exactly one at a time."""

    PLAYING = "playing"
    PAUSED = "paused"
    STOPPED = "stopped"
    """Nothing is current."""


class Playhead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    status: Status = Status.STOPPED
    buffering: bool = False
    """Only while playing: the device waits for bytes and the position stands."""
    position_ms: Millis = Millis(0)
    as_of_ms: Millis = Millis(0)
    """Server time at which the position was that; ahead of now just before a handoff's switch."""
    rate: float = 1.0
    """Track time per time while it moves: the chosen speed for speech, 1 for music."""
    set_speed: float = 1.0
    """Chosen by the listener, kept for the next speech item."""
    version: int = 0
    """Grows with each command that moves, stops or starts it; not with what the device did by itself."""
    pending_return: DeviceId | None = None
    """The device that played when it was lost and goes on when it comes back; None otherwise."""

    @property
    def is_playing(self) -> bool:
        return self.status is Status.PLAYING

    @property
    def speed(self) -> float:
        """Of the position now: 0 while not playing or buffering."""
        return self.rate if self.status is Status.PLAYING and not self.buffering else 0.0


def position_ms(playhead: Playhead, *, duration_ms: Millis, now_ms: Millis) -> Millis:
    """Position at `now_ms`, within the track. A time before `as_of_ms` counts as no time elapsed."""
    elapsed_ms = max(0, now_ms - playhead.as_of_ms)
    return clamped(playhead.position_ms + int(elapsed_ms * playhead.speed), duration_ms)


def clamped(position: int, duration_ms: Millis) -> Millis:
    return Millis(min(max(0, position), duration_ms))


def end_overdue_at_ms(playhead: Playhead, *, duration_ms: Millis) -> Millis | None:
    """When a track end that nobody reported counts as reached; None while the playhead stands."""
    if not playhead.speed:
        return None
    left_ms = max(0, duration_ms - playhead.position_ms) / playhead.speed
    # One more than the whole part: at that instant the end is behind us whatever the rounding.
    return Millis(playhead.as_of_ms + int(left_ms) + 1 + HEARTBEAT_MS)


def halted(playhead: Playhead, *, position: Millis, at_ms: Millis) -> Playhead:
    """Paused at `position`; the version stays."""
    return replace(
        playhead,
        status=Status.PAUSED,
        buffering=False,
        position_ms=position,
        as_of_ms=at_ms,
        pending_return=None,
    )


def running(playhead: Playhead, *, position: Millis, at_ms: Millis) -> Playhead:
    """Playing from `position`; the version stays."""
    return replace(
        playhead,
        status=Status.PLAYING,
        buffering=False,
        position_ms=position,
        as_of_ms=at_ms,
        pending_return=None,
    )

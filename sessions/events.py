"""What happened to a session. These are stored for ever: a tag and a field never change meaning.

Events carry all that `apply` needs: whole items, ids, times. A volatile one (position, pause, resume, seek,
buffering, speed) changes the playhead and nothing else, which is why it may be written behind as one value.
"""

import msgspec

from kernel.ids import DeviceId, PlayId, Uid, UserId
from kernel.units import Millis
from sessions.playhead import Playhead
from sessions.state import ContextRef, Cursor, Item, Options, Placement
from sessions.view import HandoffResult, SleepTimer

# --- volatile ----------------------------------------------------------------------------------------


class Seeked(msgspec.Struct, frozen=True, kw_only=True, tag="session.seeked"):
    position_ms: Millis
    at_ms: Millis


class Paused(msgspec.Struct, frozen=True, kw_only=True, tag="session.paused", omit_defaults=True):
    position_ms: Millis
    at_ms: Millis
    by_device: bool = False
    """At the device itself: it need not be told, so the playhead's version stays."""


class Resumed(msgspec.Struct, frozen=True, kw_only=True, tag="session.resumed", omit_defaults=True):
    position_ms: Millis
    at_ms: Millis
    by_device: bool = False


class PositionNoted(msgspec.Struct, frozen=True, kw_only=True, tag="session.position_noted"):
    """The active device's word on where it is."""

    position_ms: Millis
    at_ms: Millis
    buffering: bool


class SpeedSet(msgspec.Struct, frozen=True, kw_only=True, tag="session.speed_set"):
    speed: float
    position_ms: Millis
    at_ms: Millis


class PlayheadNoted(msgspec.Struct, frozen=True, kw_only=True, tag="session.playhead_noted"):
    """All volatile events since the last durable one, as their result."""

    playhead: Playhead


# --- what plays --------------------------------------------------------------------------------------


class ContextLoaded(
    msgspec.Struct, frozen=True, kw_only=True, tag="session.context_loaded", omit_defaults=True
):
    """A new context takes the place of what played, which is parked. A `Started` follows."""

    context: ContextRef
    shuffle: bool
    at_ms: Millis


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="session.started", omit_defaults=True):
    """An item became the current one."""

    item: Item
    play_id: PlayId
    cause: str
    """play, resume, skip, jump, back, end, error, advance, autoplay."""
    cursor: Cursor | None = None
    """Where the context stands now; None leaves it."""
    popped: int = 0
    """Only with back: entries of the history that this takes away."""
    position_ms: Millis = Millis(0)
    at_ms: Millis
    playing: bool
    error: str | None = None
    """Why the item before could not be played."""


class Stopped(msgspec.Struct, frozen=True, kw_only=True, tag="session.stopped", omit_defaults=True):
    """Nothing is left to play."""

    reason: str
    at_ms: Millis
    error: str | None = None


class QueueRestored(
    msgspec.Struct, frozen=True, kw_only=True, tag="session.queue_restored", omit_defaults=True
):
    """What played and what was parked last changed places."""

    context: ContextRef | None = None
    """The parked one, its cursor found again in today's revision."""
    play_id: PlayId | None = None
    """None when the parked queue had nothing current: it is stopped then."""
    at_ms: Millis
    playing: bool


class ContextChanged(
    msgspec.Struct, frozen=True, kw_only=True, tag="session.context_changed", omit_defaults=True
):
    revision: str
    cursor: Cursor | None = None


# --- lanes and options -------------------------------------------------------------------------------


class QueueEdited(msgspec.Struct, frozen=True, kw_only=True, tag="session.queue_edited", omit_defaults=True):
    """Items taken out of the user's or the autoplay lane, then items put in; a move does both."""

    op: str
    """add, remove, move, clear, undo."""
    take: tuple[Uid, ...] = ()
    put: tuple[Placement, ...] = ()
    actor_id: UserId | None = None


class OptionsSet(msgspec.Struct, frozen=True, kw_only=True, tag="session.options_set", omit_defaults=True):
    options: Options
    actor_id: UserId | None = None
    undoes: bool = False
    """Takes back an earlier one."""


class AutoplayFilled(msgspec.Struct, frozen=True, kw_only=True, tag="session.autoplay_filled"):
    items: tuple[Item, ...]


class SleepTimerSet(
    msgspec.Struct, frozen=True, kw_only=True, tag="session.sleep_timer_set", omit_defaults=True
):
    timer: SleepTimer | None = None
    """None takes it away."""


# --- devices -----------------------------------------------------------------------------------------


class Activated(msgspec.Struct, frozen=True, kw_only=True, tag="session.activated"):
    """A device became the active one without a handoff."""

    device_id: DeviceId
    device_epoch: int


class HandedOff(msgspec.Struct, frozen=True, kw_only=True, tag="session.handed_off"):
    """The commit point of a handoff."""

    result: HandoffResult
    device_epoch: int
    playing: bool
    position_ms: Millis
    at_ms: Millis
    """When the playhead is there. Music that simply goes on keeps its old pair of these."""


class HandoffMeasured(msgspec.Struct, frozen=True, kw_only=True, tag="session.handoff_measured"):
    gap_ms: float
    jump_ms: float


class DeviceLost(msgspec.Struct, frozen=True, kw_only=True, tag="session.device_lost", omit_defaults=True):
    device_id: DeviceId
    position_ms: Millis
    at_ms: Millis
    goes_on: bool
    """It played, and does again by itself when it returns."""
    device_epoch: int | None = None
    """Set when it is no longer the active device."""


class DeviceReturned(msgspec.Struct, frozen=True, kw_only=True, tag="session.device_returned"):
    position_ms: Millis
    at_ms: Millis


VolatileEvent = Seeked | Paused | Resumed | PositionNoted | SpeedSet | PlayheadNoted
Event = (
    VolatileEvent
    | ContextLoaded
    | Started
    | Stopped
    | QueueRestored
    | ContextChanged
    | QueueEdited
    | OptionsSet
    | AutoplayFilled
    | SleepTimerSet
    | Activated
    | HandedOff
    | HandoffMeasured
    | DeviceLost
    | DeviceReturned
)


def is_durable(event: Event) -> bool:
    """Must be in the log before anybody is told. The others are written behind."""
    return not isinstance(event, VolatileEvent)

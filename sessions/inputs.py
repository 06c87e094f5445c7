"""What only the server says to a session, and what it lends it to decide with. Never decoded from a frame."""

from collections.abc import Mapping

import msgspec

from kernel.ids import DeviceId, PlayId, Uid, Uri, UserId
from kernel.units import Millis
from sessions.view import Reason


class ContextItem(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One entry of a context."""

    key: str
    """Names the entry within its context, stable across revisions: the position in an album, the item id in a
    playlist. Two entries may hold the same track."""
    uri: Uri
    duration_ms: Millis
    is_speech: bool = False
    playable: bool = True
    explicit: bool = False
    withheld: bool = False
    """The listener's own filter keeps it from being played."""

    @property
    def may_play(self) -> bool:
        return self.playable and not self.withheld


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved context: what `play` named, in its natural order. Shared by all sessions that play it."""

    uri: Uri | None
    """None for a list of tracks given by the client."""
    revision: str
    items: tuple[ContextItem, ...]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A track that autoplay may add."""

    uri: Uri
    duration_ms: Millis
    is_speech: bool = False
    explicit: bool = False
    reason: Reason


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What a session needs to know but does not own, fetched by the shell before the turn decides."""

    context: Context | None = None
    """The context the session plays from now; None when it has none."""
    target: Context | None = None
    """What a `play` or `add_to_queue` named, resolved; items carry playability for this listener."""
    parked: Context | None = None
    """The context of the queue that `restore_queue` would bring back."""
    actor_id: UserId | None = None
    """Who asks; None is the server itself."""
    device_id: DeviceId | None = None
    """Where a `play` or `resume` without an active device would sound: connected and able to play; None when
    there is no such device."""
    resume_ms: Mapping[Uri, Millis] = msgspec.field(default_factory=dict)
    """Where episodes were left that are to go on there when a listener turns to them."""


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What the active device says it does."""

    device_id: DeviceId
    device_epoch: int
    play_id: PlayId
    playhead_version: int
    state: str
    """`playing`, `paused`, `buffering` or `ended`. Paused means somebody paused at the device itself; ended
    that it has nothing further to play (or could not: see `error`)."""
    position_ms: Millis
    measured_at_ms: Millis
    """Server time, by the device's estimate."""
    error: str | None = None
    """Why the item could not be played; the session moves on past it and says so."""


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """The active device went from one prefetched item to the next without being told (gapless)."""

    device_id: DeviceId
    device_epoch: int
    from_uid: Uid
    to_uid: Uid
    play_id: PlayId
    """Of the new item, as prefetched."""
    position_ms: Millis
    measured_at_ms: Millis


class CommitHandoff(msgspec.Struct, frozen=True, kw_only=True):
    """Both ends are ready: make the target the active device. The commit point of a handoff."""

    handoff_id: str
    from_device_id: DeviceId | None
    to_device_id: DeviceId
    if_device_epoch: int
    start_at_ms: Millis
    """Server instant of the switch; in the future."""
    playing: bool
    """Whether the target plays from then on."""


class HandoffMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """Both ends have reported on the switch."""

    handoff_id: str
    gap_ms: float
    jump_ms: float


class DeviceLost(msgspec.Struct, frozen=True, kw_only=True):
    """The active device is gone (goodbye, or its grace is over): the playhead stops where the device was last
    known to be, at most one heartbeat past its last sign of life."""

    device_id: DeviceId
    last_seen_ms: Millis
    release: bool
    """True: it is no longer the active device. False: it may come back and go on (300 s grace)."""


class DeviceReturned(msgspec.Struct, frozen=True, kw_only=True):
    """The active device is back within its grace after an unclean drop: go on if it played when lost."""

    device_id: DeviceId


class ContextChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A new revision of the context that plays. The current item stays; what comes next is derived anew."""

    context: Context


class FillAutoplay(msgspec.Struct, frozen=True, kw_only=True):
    """Candidates for the autoplay lane, best first."""

    candidates: tuple[Candidate, ...]


class Wake(msgspec.Struct, frozen=True, kw_only=True):
    """A time the session asked for (`wake_at_ms`) has come: sleep timer, a track end nobody reported."""


Input = (
    Reported
    | Advanced
    | CommitHandoff
    | HandoffMeasured
    | DeviceLost
    | DeviceReturned
    | ContextChanged
    | FillAutoplay
    | Wake
)

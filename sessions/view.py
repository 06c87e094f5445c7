"""What others see of a session: the player state on the wire and behind REST.

`PlayerState` is the whole; `PlayerDelta` has the same fields, each left out when it did not change. Fields
come in groups that change together (`GROUPS`), so a push after a seek carries five numbers, not a queue.
Times are milliseconds; `timestamp` is server wall time. Spotify's names are kept where they exist.
"""

import msgspec
from msgspec import UNSET, UnsetType

from kernel.ids import DeviceId, PlayId, SessionId, Uid, Uri, UserId
from kernel.units import Millis
from sessions.commands import Repeat

NEXT_MAX = 80
PREV_MAX = 10


class QueueVersion(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """`major` grows when a play replaces the context, `minor` at each edit."""

    major: int = 0
    minor: int = 0


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why autoplay chose an item."""

    kind: str
    """`same_artist`, `shared_genre`."""
    text: str
    """For a person: "More by Ada Lovelace"."""
    seed_uris: tuple[Uri, ...] = ()


class QueueItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of a lane, as shown. (`ProvidedTrack` in Spotify's protocol.)"""

    uid: Uid
    uri: Uri
    provider: str
    """`context`, `queue` or `autoplay`."""
    duration_ms: Millis
    is_speech: bool = False
    iteration: int = 0
    """How often the context has been repeated before this item."""
    added_by: UserId | None = None
    added_at_ms: Millis | None = None
    reason: Reason | None = None


class SleepTimer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    at_ms: Millis | None = None
    """Server time at which it pauses; None when it waits for the end of the track."""
    end_of_track: bool = False


class HandoffResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the last handoff went."""

    handoff_id: str
    from_device_id: DeviceId | None
    to_device_id: DeviceId
    at_ms: Millis
    """Server instant at which both were told to switch."""
    gap_ms: float | None = None
    """Silence between the source's last and the target's first audible frame, from both devices' reports;
    negative is overlap. None until both have reported, or when there was no audible source."""
    jump_ms: float | None = None
    """How far the music jumped: position heard first at the target minus position due then."""


class PlayerState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a remote or a player needs to show or play."""

    session_id: SessionId
    device_epoch: int
    active_device_id: DeviceId | None

    # playhead
    is_playing: bool
    is_paused: bool
    is_buffering: bool
    """Exactly one of playing and paused, or neither: stopped. Buffering goes with playing."""
    position_as_of_timestamp: Millis
    timestamp: Millis
    playback_speed: float
    """Speed of the position now: 0 while not playing or buffering."""
    set_speed: float
    """Speed chosen for speech."""
    playhead_version: int
    """Grows with every command that moves or stops the playhead. The active device obeys when it grows and
    names it in its reports; a report for an older one is dropped."""
    started_playing_at: Millis | None

    # track
    track: QueueItem | None
    play_id: PlayId | None
    duration: Millis

    # queue
    context_uri: Uri | None
    context_revision: str | None
    prev_tracks: tuple[QueueItem, ...]
    """Oldest first, the last one is the one before the current; at most 10."""
    next_tracks: tuple[QueueItem, ...]
    """At most 80."""
    queue_version: QueueVersion
    can_undo: bool
    can_restore_queue: bool

    # options
    shuffle: bool
    repeat: Repeat
    sleep_timer: SleepTimer | None

    # disallows
    disallows: dict[str, tuple[str, ...]]
    """Action to reasons; an action that is not here is allowed. Actions carry the Web API's names where it
    has them: pausing, resuming, seeking, skipping_next, skipping_prev, toggling_shuffle,
    toggling_repeat_context, toggling_repeat_track, transferring_playback, interrupting_playback,
    setting_speed, undoing, restoring_queue."""

    # handoff
    last_handoff: HandoffResult | None


class PlayerDelta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of `PlayerState` that changed."""

    session_id: SessionId | UnsetType = UNSET
    device_epoch: int | UnsetType = UNSET
    active_device_id: DeviceId | None | UnsetType = UNSET
    is_playing: bool | UnsetType = UNSET
    is_paused: bool | UnsetType = UNSET
    is_buffering: bool | UnsetType = UNSET
    position_as_of_timestamp: Millis | UnsetType = UNSET
    timestamp: Millis | UnsetType = UNSET
    playback_speed: float | UnsetType = UNSET
    set_speed: float | UnsetType = UNSET
    playhead_version: int | UnsetType = UNSET
    started_playing_at: Millis | None | UnsetType = UNSET
    track: QueueItem | None | UnsetType = UNSET
    play_id: PlayId | None | UnsetType = UNSET
    duration: Millis | UnsetType = UNSET
    context_uri: Uri | None | UnsetType = UNSET
    context_revision: str | None | UnsetType = UNSET
    prev_tracks: tuple[QueueItem, ...] | UnsetType = UNSET
    next_tracks: tuple[QueueItem, ...] | UnsetType = UNSET
    queue_version: QueueVersion | UnsetType = UNSET
    can_undo: bool | UnsetType = UNSET
    can_restore_queue: bool | UnsetType = UNSET
    shuffle: bool | UnsetType = UNSET
    repeat: Repeat | UnsetType = UNSET
    sleep_timer: SleepTimer | None | UnsetType = UNSET
    disallows: dict[str, tuple[str, ...]] | UnsetType = UNSET
    last_handoff: HandoffResult | None | UnsetType = UNSET

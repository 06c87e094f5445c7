"""What a listener may ask of a session: the `command` of a command frame, told apart by `endpoint`.

The same values come from the socket, from REST and from the tests. What only the server says to a session
(a report, a committed handoff, a filled lane) is in `sessions/inputs.py` and never decoded from a frame.
Durations and positions are milliseconds; a percentage is 0 to 100.
"""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from kernel.ids import DeviceId, Uid, Uri
from kernel.units import Millis

URIS_MAX = 100
"""Items one command may name. More come in several commands."""

PositionMs = Annotated[Millis, Meta(ge=0, le=24 * 3600 * 1000)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Uris = Annotated[tuple[Uri, ...], Meta(max_length=URIS_MAX)]
Uids = Annotated[tuple[Uid, ...], Meta(min_length=1, max_length=URIS_MAX)]
Speed = Annotated[float, Meta(ge=0.5, le=3.5)]


class Repeat(StrEnum):
    OFF = "off"
    CONTEXT = "context"
    TRACK = "track"


class RestorePaused(StrEnum):
    """Whether the target of a transfer plays."""

    RESTORE = "restore"
    """As the source was."""
    PAUSE = "pause"
    RESUME = "resume"


class Play(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="play"):
    """Replace what plays. Exactly one of `context_uri` and `uris`; the user's queue stays."""

    context_uri: Uri | None = None
    uris: Uris = ()
    """Tracks that make up a context of their own."""
    offset_uri: Uri | None = None
    """Start at this track of the context; at most one of the two offsets."""
    offset_index: Annotated[int, Meta(ge=0)] | None = None
    position_ms: PositionMs | None = None
    """None: an episode goes on where it was left, anything else begins at its start."""
    shuffle: bool | None = None
    """None leaves the option as it is."""
    device_id: DeviceId | None = None
    """Where to play; None is the active device, or the sender when none is active and it can play."""


class Pause(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="pause"):
    """Stop the playhead where it is."""


class Resume(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="resume"):
    """Go on from where it is."""

    device_id: DeviceId | None = None
    """As in `play`."""


class SeekTo(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="seek_to"):
    """Move the playhead. Past the end is the same as the end."""

    position_ms: PositionMs


class SkipNext(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="skip_next"):
    from_uid: Uid | None = None
    """The item the listener saw. When another one plays by now nothing is skipped and the reply says so."""


class SkipPrev(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="skip_prev"):
    """Back to the item before, or to the start of this one when more than 3 s of it were heard."""

    from_uid: Uid | None = None


class PlayItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="play_item"):
    """Jump to an item of `next_tracks` or `prev_tracks`."""

    uid: Uid


class SetShuffle(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="set_shuffle"):
    shuffle: bool


class SetRepeat(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="set_repeat"):
    repeat: Repeat


class SetSpeed(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="set_speed"):
    """Playback speed, for speech."""

    speed: Speed


class AddToQueue(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="add_to_queue"):
    uris: Annotated[tuple[Uri, ...], Meta(min_length=1, max_length=URIS_MAX)]
    after_uid: Uid | None = None
    """Behind this item of the user's queue; None is its end."""
    play_next: bool = False
    """In front of everything queued. Not together with `after_uid`."""


class RemoveFromQueue(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="remove_from_queue"
):
    uids: Uids
    """Of the user's queue or the autoplay lane. Ones that are gone already are no error."""


class MoveInQueue(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="move_in_queue"):
    uids: Uids
    after_uid: Uid | None = None
    """Behind this item of the user's queue; None is its front."""


class ClearQueue(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="clear_queue"):
    """Empty the user's queue."""


class Undo(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="undo"):
    """Take back the last queue edit or option change; what plays is not touched."""


class RestoreQueue(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="restore_queue"):
    """Bring back what the last `play` replaced: context, place, position. Swaps, so it undoes itself."""


class SetSleepTimer(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="set_sleep_timer"):
    """Pause later. At most one of the two; neither takes the timer away."""

    duration_ms: Annotated[Millis, Meta(ge=1000, le=24 * 3600 * 1000)] | None = None
    end_of_track: bool = False


class Transfer(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="transfer"):
    """Hand what plays to another device, or say what would happen."""

    device_id: DeviceId
    restore_paused: RestorePaused = RestorePaused.RESTORE
    plan: bool = False
    """A dry run: the reply says whether it is possible, why not, and what it would be like."""


class SetVolume(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="set_volume"):
    """Exactly one of the two."""

    volume_percent: Percent | None = None
    delta_percent: Annotated[int, Meta(ge=-100, le=100)] | None = None
    device_id: DeviceId | None = None
    """None is the active device."""


class RenameDevice(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="rename_device"):
    device_id: DeviceId
    name: Annotated[str, Meta(min_length=1, max_length=64)]


class ForgetDevice(msgspec.Struct, frozen=True, kw_only=True, tag_field="endpoint", tag="forget_device"):
    """Take a device off the list. One that is connected is asked to leave first."""

    device_id: DeviceId


SessionCommand = (
    Play
    | Pause
    | Resume
    | SeekTo
    | SkipNext
    | SkipPrev
    | PlayItem
    | SetShuffle
    | SetRepeat
    | SetSpeed
    | AddToQueue
    | RemoveFromQueue
    | MoveInQueue
    | ClearQueue
    | Undo
    | RestoreQueue
    | SetSleepTimer
)
"""Decided by the session."""

DeviceCommand = Transfer | SetVolume | RenameDevice | ForgetDevice
"""Decided by the device set."""

Command = SessionCommand | DeviceCommand

"""A session as others see it: the whole, and what a change to it changed.

Fields come in groups; each event touches some. The law that holds it together, and that the tests check: the
state before, merged with the delta, is the state after.
"""

from collections.abc import Iterable, Mapping
from enum import Flag, auto
from typing import TypedDict

from msgspec.structs import replace

from kernel.ids import DeviceId, PlayId, Uri
from kernel.units import Millis
from sessions import events as happened
from sessions.commands import Repeat
from sessions.disallow import disallows
from sessions.events import Event
from sessions.inputs import Context
from sessions.order import next_items, prev_items
from sessions.playhead import Status
from sessions.state import Session
from sessions.view import (
    NEXT_MAX,
    PREV_MAX,
    HandoffResult,
    PlayerDelta,
    PlayerState,
    QueueItem,
    QueueVersion,
    SleepTimer,
)


class Group(Flag):
    POSITION = auto()
    PLAYHEAD = auto()
    TRACK = auto()
    QUEUE = auto()
    OPTIONS = auto()
    SLEEP = auto()
    DEVICE = auto()
    HANDOFF = auto()
    DISALLOWS = auto()


_PLAY = Group.PLAYHEAD | Group.TRACK | Group.QUEUE | Group.DISALLOWS

GROUPS: Mapping[type[Event], Group] = {
    happened.Seeked: Group.POSITION,
    happened.PositionNoted: Group.POSITION,
    happened.Paused: Group.PLAYHEAD | Group.DISALLOWS,
    happened.Resumed: Group.PLAYHEAD | Group.DISALLOWS,
    happened.SpeedSet: Group.PLAYHEAD,
    happened.PlayheadNoted: Group.PLAYHEAD | Group.DISALLOWS,
    happened.ContextLoaded: _PLAY | Group.OPTIONS,
    happened.Started: _PLAY,
    happened.Stopped: _PLAY,
    happened.QueueRestored: _PLAY | Group.OPTIONS,
    happened.ContextChanged: Group.QUEUE | Group.DISALLOWS,
    happened.QueueEdited: Group.QUEUE | Group.DISALLOWS,
    happened.OptionsSet: Group.OPTIONS | Group.QUEUE | Group.DISALLOWS,
    happened.AutoplayFilled: Group.QUEUE | Group.DISALLOWS,
    happened.SleepTimerSet: Group.SLEEP,
    happened.Activated: Group.DEVICE,
    happened.HandedOff: Group.DEVICE | Group.PLAYHEAD | Group.HANDOFF | Group.DISALLOWS,
    happened.HandoffMeasured: Group.HANDOFF,
    happened.DeviceLost: Group.DEVICE | Group.PLAYHEAD | Group.DISALLOWS,
    happened.DeviceReturned: Group.PLAYHEAD | Group.DISALLOWS,
}
"""Which groups an event touches."""


def player_state(session: Session, context: Context | None, *, now_ms: Millis) -> PlayerState:
    """Everything. `now_ms` changes nothing: the position is told as it was noted, with its own time."""
    del now_ms
    return PlayerState(
        session_id=session.session_id,
        **_playhead(session),
        **_track(session),
        **_queue(session, context),
        **_options(session),
        **_sleep(session),
        **_device(session),
        **_handoff(session),
        **_disallows(session, context),
    )


def player_delta(
    events: Iterable[Event], session: Session, context: Context | None, *, now_ms: Millis
) -> PlayerDelta:
    """The groups that `events` touched, as they are in `session`, the state after them."""
    del now_ms
    touched = Group(0)
    for event in events:
        touched |= GROUPS[type(event)]
    if touched is Group.POSITION:
        return _position_delta(session)
    delta = PlayerDelta()
    if touched & (Group.PLAYHEAD | Group.POSITION):
        delta = replace(delta, **_playhead(session))
    if touched & Group.TRACK:
        delta = replace(delta, **_track(session))
    if touched & Group.QUEUE:
        delta = replace(delta, **_queue(session, context))
    if touched & Group.OPTIONS:
        delta = replace(delta, **_options(session))
    if touched & Group.SLEEP:
        delta = replace(delta, **_sleep(session))
    if touched & Group.DEVICE:
        delta = replace(delta, **_device(session))
    if touched & Group.HANDOFF:
        delta = replace(delta, **_handoff(session))
    if touched & Group.DISALLOWS:
        delta = replace(delta, **_disallows(session, context))
    return delta


def context_delta(session: Session, context: Context | None) -> PlayerDelta:
    """What another view of the same context changes: `context` has other items withheld than before."""
    return replace(PlayerDelta(), **_queue(session, context), **_disallows(session, context))


def _position_delta(session: Session) -> PlayerDelta:
    """The commonest push of all: five fields."""
    head = session.playhead
    return PlayerDelta(
        is_buffering=head.buffering,
        position_as_of_timestamp=head.position_ms,
        timestamp=head.as_of_ms,
        playback_speed=head.speed,
        playhead_version=head.version,
    )


class _Playhead(TypedDict):
    is_playing: bool
    is_paused: bool
    is_buffering: bool
    position_as_of_timestamp: Millis
    timestamp: Millis
    playback_speed: float
    set_speed: float
    playhead_version: int


def _playhead(session: Session) -> _Playhead:
    head = session.playhead
    return {
        "is_playing": head.is_playing,
        "is_paused": head.status is Status.PAUSED,
        "is_buffering": head.buffering,
        "position_as_of_timestamp": head.position_ms,
        "timestamp": head.as_of_ms,
        "playback_speed": head.speed,
        "set_speed": head.set_speed,
        "playhead_version": head.version,
    }


class _Track(TypedDict):
    started_playing_at: Millis | None
    track: QueueItem | None
    play_id: PlayId | None
    duration: Millis


def _track(session: Session) -> _Track:
    return {
        "started_playing_at": session.started_at_ms,
        "track": session.current,
        "play_id": session.play_id,
        "duration": session.duration_ms,
    }


class _Queue(TypedDict):
    context_uri: Uri | None
    context_revision: str | None
    prev_tracks: tuple[QueueItem, ...]
    next_tracks: tuple[QueueItem, ...]
    queue_version: QueueVersion
    can_undo: bool
    can_restore_queue: bool


def _queue(session: Session, context: Context | None) -> _Queue:
    ref = session.context
    return {
        "context_uri": ref.uri if ref is not None else None,
        "context_revision": ref.revision if ref is not None else None,
        "prev_tracks": prev_items(session, context, PREV_MAX),
        "next_tracks": next_items(session, context, NEXT_MAX),
        "queue_version": session.queue_version,
        "can_undo": bool(session.undo),
        "can_restore_queue": bool(session.parked),
    }


class _Options(TypedDict):
    shuffle: bool
    repeat: Repeat


def _options(session: Session) -> _Options:
    return {"shuffle": session.shuffle, "repeat": session.repeat}


class _Sleep(TypedDict):
    sleep_timer: SleepTimer | None


def _sleep(session: Session) -> _Sleep:
    return {"sleep_timer": session.sleep_timer}


class _Device(TypedDict):
    active_device_id: DeviceId | None
    device_epoch: int


def _device(session: Session) -> _Device:
    return {"active_device_id": session.active_device_id, "device_epoch": session.device_epoch}


class _Handoff(TypedDict):
    last_handoff: HandoffResult | None


def _handoff(session: Session) -> _Handoff:
    return {"last_handoff": session.last_handoff}


class _Disallows(TypedDict):
    disallows: dict[str, tuple[str, ...]]


def _disallows(session: Session, context: Context | None) -> _Disallows:
    return {"disallows": disallows(session, context)}

"""Pause, resume, seek, skip, speed: decisions about what is already there to play.

A skip keeps the music as it was: what was paused stays paused. It goes past repeat track, to the next item,
which is then the one that repeats.
"""

from kernel.errors import Code, Rejected
from kernel.ids import DeviceId
from kernel.units import Millis
from sessions.commands import PlayItem, Resume, SetSpeed, SkipNext, SkipPrev
from sessions.disallow import check
from sessions.events import (
    Activated,
    Event,
    Paused,
    Resumed,
    Seeked,
    SleepTimerSet,
    SpeedSet,
    Started,
    Stopped,
)
from sessions.identity import play_id_of
from sessions.inputs import Context, World
from sessions.order import (
    Place,
    befores,
    first_place,
    following_place,
    has_unplayable_ahead,
    last_cursor,
    next_place,
    next_places,
)
from sessions.playhead import clamped, position_ms
from sessions.state import AUTOPLAY, Session
from sessions.view import NEXT_MAX, PREV_MAX

TRACK_START = Millis(0)
PREV_RESTARTS_AFTER_MS = 3_000
ERRORS_MAX = 5
"""Items in a row that could not be played; then it stops instead of running through the whole list."""


def pause(session: Session, world: World, now_ms: Millis) -> list[Event]:
    check("pausing", session, world.context)
    return [Paused(position_ms=position(session, now_ms), at_ms=now_ms)]


def resume(session: Session, command: Resume, world: World, now_ms: Millis) -> list[Event]:
    check("resuming", session, world.context)
    moved = activation(session, world, named=command.device_id)
    if session.current is not None:
        return [*moved, Resumed(position_ms=position(session, now_ms), at_ms=now_ms)]
    place = next_place(session, world.context) or first_place(session, world.context)
    assert place is not None, "resuming is disallowed when nothing can be played"
    return [*moved, started(session, place, "resume", now_ms, playing=True, position=_left_at(place, world))]


def seek(session: Session, to_ms: Millis, world: World, now_ms: Millis) -> list[Event]:
    check("seeking", session, world.context)
    return [Seeked(position_ms=clamped(to_ms, session.duration_ms), at_ms=now_ms)]


def set_speed(session: Session, command: SetSpeed, world: World, now_ms: Millis) -> list[Event]:
    check("setting_speed", session, world.context)
    if command.speed == session.playhead.rate:
        return []
    return [SpeedSet(speed=command.speed, position_ms=position(session, now_ms), at_ms=now_ms)]


def skip_next(session: Session, command: SkipNext, world: World, now_ms: Millis) -> list[Event]:
    if _is_late(session, command):
        return []
    check("skipping_next", session, world.context)
    place = next_place(session, world.context)
    assert place is not None, "skipping is disallowed when nothing comes next"
    goes_on = _goes_on(session)
    return [started(session, place, "skip", now_ms, playing=goes_on, position=_left_at(place, world))]


def skip_prev(session: Session, command: SkipPrev, world: World, now_ms: Millis) -> list[Event]:
    if _is_late(session, command):
        return []
    check("skipping_prev", session, world.context)
    if session.current is not None and position(session, now_ms) > PREV_RESTARTS_AFTER_MS:
        return [Seeked(position_ms=TRACK_START, at_ms=now_ms)]
    before = next(befores(session, world.context))
    place = Place(before.item, before.cursor)
    begun = started(
        session,
        place,
        "back",
        now_ms,
        playing=_goes_on(session),
        position=_left_at(place, world),
        popped=before.popped,
    )
    return [begun]


def play_item(session: Session, command: PlayItem, world: World, now_ms: Millis) -> list[Event]:
    """Jump to an item of the two windows that are shown. The one that plays already stays as it is."""
    uid, context = command.uid, world.context
    if session.current is not None and session.current.uid == uid:
        return []
    for _, place in zip(range(NEXT_MAX), next_places(session, context), strict=False):
        if place.item.uid == uid:
            if place.item.provider == AUTOPLAY:
                # Past the rest of the context: it would come back after this item otherwise.
                place = Place(place.item, last_cursor(session, context))
            moved = activation(session, world, named=None)
            begun = started(session, place, "jump", now_ms, playing=True, position=_left_at(place, world))
            return [*moved, begun]
    for _, before in zip(range(PREV_MAX), befores(session, context), strict=False):
        if before.item.uid == uid:
            place = Place(before.item, before.cursor)
            moved = activation(session, world, named=None)
            begun = started(
                session,
                place,
                "back",
                now_ms,
                playing=True,
                position=_left_at(place, world),
                popped=before.popped,
            )
            return [*moved, begun]
    raise Rejected(
        Code.NOT_FOUND,
        f"play of item {uid} rejected: it is neither among the next {NEXT_MAX} nor the last {PREV_MAX}",
    )


def ended(session: Session, context: Context | None, now_ms: Millis) -> list[Event]:
    """The current item is over: on to what follows, or a pause at its end if a sleep timer waits for it."""
    if session.sleep_timer is not None and session.sleep_timer.end_of_track:
        return [Paused(position_ms=session.duration_ms, at_ms=now_ms), SleepTimerSet(timer=None)]
    place = following_place(session, context)
    if place is None:
        return [Stopped(reason=_why_nothing(session, context), at_ms=now_ms)]
    return [started(session, place, "end", now_ms, playing=True)]


def failed(session: Session, context: Context | None, error: str, now_ms: Millis) -> list[Event]:
    """The current item cannot be played: past it, whatever repeats, but not for ever."""
    if session.errors + 1 >= ERRORS_MAX:
        return [Stopped(reason="too_many_errors", at_ms=now_ms, error=error)]
    place = next_place(session, context)
    if place is None:
        return [Stopped(reason=_why_nothing(session, context), at_ms=now_ms, error=error)]
    return [started(session, place, "error", now_ms, playing=_goes_on(session), error=error)]


def started(
    session: Session,
    place: Place,
    cause: str,
    now_ms: Millis,
    *,
    playing: bool,
    position: Millis = TRACK_START,
    popped: int = 0,
    error: str | None = None,
) -> Started:
    return Started(
        item=place.item,
        play_id=play_id_of(session, place.item.uid),
        cause=cause,
        cursor=place.cursor,
        popped=popped,
        position_ms=clamped(position, place.item.duration_ms),
        at_ms=now_ms,
        playing=playing,
        error=error,
    )


def activation(session: Session, world: World, *, named: DeviceId | None) -> list[Event]:
    """Make the device active where this is to sound; nothing to do when it is already.

    An active device is left only for one that the command names, or when it is away itself.
    Raises Rejected NO_ACTIVE_DEVICE, DEVICE_UNAVAILABLE.
    """
    active = session.active_device_id
    if named is not None and world.device_id is None and named != active:
        raise Rejected(
            Code.DEVICE_UNAVAILABLE, f"playing on device {named} rejected: it is not connected or no player"
        )
    is_away = session.playhead.pending_return is not None
    target = world.device_id if named is not None or active is None or is_away else None
    if target is None or target == active:
        if active is None:
            raise Rejected(Code.NO_ACTIVE_DEVICE, "playing rejected: no device is active and none was named")
        return []
    return [Activated(device_id=target, device_epoch=session.device_epoch + 1)]


def _left_at(place: Place, world: World) -> Millis:
    return world.resume_ms.get(place.item.uri, TRACK_START)


def position(session: Session, now_ms: Millis) -> Millis:
    return position_ms(session.playhead, duration_ms=session.duration_ms, now_ms=now_ms)


def _is_late(session: Session, command: SkipNext | SkipPrev) -> bool:
    """The item that the listener wanted to leave has been left already."""
    if command.from_uid is None:
        return False
    return session.current is None or session.current.uid != command.from_uid


def _goes_on(session: Session) -> bool:
    """Whether the item after a skip plays: as before it; from a stop, wherever there is a device for it."""
    if session.current is None:
        return session.active_device_id is not None
    return session.playhead.is_playing


def _why_nothing(session: Session, context: Context | None) -> str:
    return "nothing_playable" if has_unplayable_ahead(session, context) else "end_of_queue"

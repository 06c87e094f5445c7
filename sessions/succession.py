"""How the current item gives way to another, and what that does to history, lanes and parked queues."""

from msgspec.structs import replace

from kernel.units import Millis
from sessions.events import ContextLoaded, QueueRestored, Started, Stopped
from sessions.playhead import Playhead, Status, position_ms
from sessions.state import (
    AUTOPLAY,
    AUTOPLAY_MAX,
    HISTORY_MAX,
    PARKED_MAX,
    QUEUE,
    QUEUE_MAX,
    Item,
    Parked,
    Played,
    Session,
)
from sessions.view import QueueVersion


def started(session: Session, event: Started) -> Session:
    if event.cause == "back":
        session = _gone_back(session, event)
    elif session.current is not None and session.current.uid != event.item.uid:
        # A repetition of the same item is not something to go back to.
        session = _left_behind(session, event.error)
    item, head = event.item, session.playhead
    if event.cursor is not None and session.context is not None:
        session = replace(session, context=replace(session.context, cursor=event.cursor))
    queue, autoplay = session.queue, session.autoplay
    if item.provider == QUEUE:
        queue = tuple(queued for queued in queue if queued.uid != item.uid)
    elif item.provider == AUTOPLAY:
        autoplay = _behind(autoplay, item)
    return replace(
        session,
        current=item,
        play_id=event.play_id,
        started_at_ms=event.at_ms,
        stop_reason=None,
        errors=session.errors + 1 if event.cause == "error" else 0,
        queue=queue,
        autoplay=autoplay,
        play_count=session.play_count + 1,
        playhead=replace(
            head,
            status=Status.PLAYING if event.playing else Status.PAUSED,
            buffering=False,
            position_ms=event.position_ms,
            as_of_ms=event.at_ms,
            rate=head.set_speed if item.is_speech else 1.0,
            # A device that went on by itself must not be told to start what it is playing.
            version=head.version if event.cause == "advance" else head.version + 1,
            pending_return=None,
        ),
    )


def _behind(lane: tuple[Item, ...], item: Item) -> tuple[Item, ...]:
    """What follows `item`; the whole lane when it is not there."""
    for index, queued in enumerate(lane):
        if queued.uid == item.uid:
            return lane[index + 1 :]
    return lane


def _left_behind(session: Session, error: str | None) -> Session:
    if session.current is None:
        return session
    ref = session.context
    played = Played(
        item=session.current,
        load_id=ref.load_id if ref is not None else None,
        cursor=ref.cursor if ref is not None else None,
        error=error,
    )
    return replace(session, history=(*session.history, played)[-HISTORY_MAX:])


def _gone_back(session: Session, event: Started) -> Session:
    """What was passed on the way back returns to the front of its lane, as far as there is room; of the
    context the cursor takes care."""
    kept = len(session.history) - event.popped
    passed = [played.item for played in session.history[kept:] if played.item.uid != event.item.uid]
    if session.current is not None:
        passed.append(session.current)
    queue = _returned([item for item in passed if item.provider == QUEUE], session.queue, QUEUE_MAX)
    autoplay = _returned(
        [item for item in passed if item.provider == AUTOPLAY], session.autoplay, AUTOPLAY_MAX
    )
    return replace(session, history=session.history[:kept], queue=queue, autoplay=autoplay)


def _returned(items: list[Item], lane: tuple[Item, ...], count_max: int) -> tuple[Item, ...]:
    """`items` in front of `lane`; without room for all, those left longest ago are lost, none that waits."""
    room = count_max - len(lane)
    return (*items[-room:], *lane) if room > 0 else lane


def stopped(session: Session, event: Stopped) -> Session:
    return _empty(
        replace(_left_behind(session, event.error), stop_reason=event.reason, errors=0), at_ms=event.at_ms
    )


def _empty(session: Session, *, at_ms: Millis) -> Session:
    """Nothing is current."""
    head = session.playhead
    return replace(
        session,
        current=None,
        play_id=None,
        started_at_ms=None,
        playhead=Playhead(
            status=Status.STOPPED, as_of_ms=at_ms, set_speed=head.set_speed, version=head.version + 1
        ),
    )


def context_loaded(session: Session, event: ContextLoaded) -> Session:
    parked = session.parked
    if session.context is not None or session.current is not None:
        parked = (*parked, _parked(session, event.at_ms))[-PARKED_MAX:]
    return replace(
        session,
        current=None,
        context=event.context,
        shuffle=event.shuffle,
        autoplay=(),
        parked=parked,
        queue_version=QueueVersion(major=session.queue_version.major + 1),
        minted=session.minted + 1,
    )


def _parked(session: Session, at_ms: Millis) -> Parked:
    return Parked(
        context=session.context,
        current=session.current,
        position_ms=position_ms(session.playhead, duration_ms=session.duration_ms, now_ms=at_ms),
        shuffle=session.shuffle,
        autoplay=session.autoplay,
    )


def queue_restored(session: Session, event: QueueRestored) -> Session:
    back, head = session.parked[-1], session.playhead
    swapped = replace(
        session,
        parked=(*session.parked[:-1], _parked(session, event.at_ms)),
        context=event.context,
        shuffle=back.shuffle,
        autoplay=back.autoplay,
        queue_version=QueueVersion(major=session.queue_version.major + 1),
        stop_reason=None,
        errors=0,
    )
    if back.current is None or event.play_id is None:
        return _empty(swapped, at_ms=event.at_ms)
    return replace(
        swapped,
        current=back.current,
        play_id=event.play_id,
        started_at_ms=event.at_ms,
        play_count=session.play_count + 1,
        playhead=replace(
            head,
            status=Status.PLAYING if event.playing else Status.PAUSED,
            buffering=False,
            position_ms=back.position_ms,
            as_of_ms=event.at_ms,
            rate=head.set_speed if back.current.is_speech else 1.0,
            version=head.version + 1,
            pending_return=None,
        ),
    )

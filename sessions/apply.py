"""What an event does to a session. Never raises, asks nobody: the same events always give the same one."""

from typing import assert_never

from msgspec.structs import replace

from kernel.units import Millis
from sessions.edits import edited, inverse
from sessions.events import (
    Activated,
    AutoplayFilled,
    ContextChanged,
    ContextLoaded,
    DeviceLost,
    DeviceReturned,
    Event,
    HandedOff,
    HandoffMeasured,
    OptionsSet,
    Paused,
    PlayheadNoted,
    PositionNoted,
    QueueEdited,
    QueueRestored,
    Resumed,
    Seeked,
    SleepTimerSet,
    SpeedSet,
    Started,
    Stopped,
)
from sessions.playhead import Playhead, Status, halted, position_ms, running
from sessions.state import (
    AUTOPLAY,
    AUTOPLAY_MAX,
    EDITS_MAX,
    HISTORY_MAX,
    PARKED_MAX,
    QUEUE,
    QUEUE_MAX,
    UNDO_ITEMS_MAX,
    UNDO_MAX,
    Edit,
    Inverse,
    Item,
    Options,
    Parked,
    Played,
    Session,
)
from sessions.view import QueueVersion


def apply(session: Session, event: Event) -> Session:
    head = session.playhead
    match event:
        case Seeked():
            moved = replace(
                head,
                position_ms=event.position_ms,
                as_of_ms=event.at_ms,
                buffering=False,
                version=head.version + 1,
            )
            return replace(session, playhead=moved)
        case PositionNoted():
            noted = replace(
                head, position_ms=event.position_ms, as_of_ms=event.at_ms, buffering=event.buffering
            )
            return replace(session, playhead=noted)
        case Paused():
            return _with_playhead(
                session,
                halted(head, position=event.position_ms, at_ms=event.at_ms),
                obeyed=not event.by_device,
            )
        case Resumed():
            return _with_playhead(
                session,
                running(head, position=event.position_ms, at_ms=event.at_ms),
                obeyed=not event.by_device,
            )
        case PlayheadNoted():
            return replace(session, playhead=event.playhead)
        case SpeedSet():
            spoken = replace(
                head,
                set_speed=event.speed,
                rate=event.speed,
                position_ms=event.position_ms,
                as_of_ms=event.at_ms,
            )
            return _with_playhead(session, spoken, obeyed=True)
        case Started():
            return _started(session, event)
        case Stopped():
            return _stopped(session, event)
        case ContextLoaded():
            return _context_loaded(session, event)
        case QueueRestored():
            return _queue_restored(session, event)
        case ContextChanged():
            return _context_changed(session, event)
        case QueueEdited():
            return _queue_edited(session, event)
        case OptionsSet():
            return _options_set(session, event)
        case AutoplayFilled():
            lane = (*session.autoplay, *event.items)[:AUTOPLAY_MAX]
            return replace(session, autoplay=lane, minted=session.minted + len(event.items))
        case SleepTimerSet():
            return replace(session, sleep_timer=event.timer)
        case Activated():
            return replace(
                session,
                active_device_id=event.device_id,
                device_epoch=event.device_epoch,
                playhead=replace(head, pending_return=None),
            )
        case HandedOff():
            return _handed_off(session, event)
        case HandoffMeasured():
            if session.last_handoff is None:
                return session
            measured = replace(session.last_handoff, gap_ms=event.gap_ms, jump_ms=event.jump_ms)
            return replace(session, last_handoff=measured)
        case DeviceLost():
            return _device_lost(session, event)
        case DeviceReturned():
            return replace(session, playhead=running(head, position=event.position_ms, at_ms=event.at_ms))
        case _:
            assert_never(event)


def _with_playhead(session: Session, playhead: Playhead, *, obeyed: bool) -> Session:
    return replace(session, playhead=replace(playhead, version=playhead.version + 1) if obeyed else playhead)


# --- what plays --------------------------------------------------------------------------------------


def _started(session: Session, event: Started) -> Session:
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


def _stopped(session: Session, event: Stopped) -> Session:
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


def _context_loaded(session: Session, event: ContextLoaded) -> Session:
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


def _queue_restored(session: Session, event: QueueRestored) -> Session:
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


def _context_changed(session: Session, event: ContextChanged) -> Session:
    if session.context is None:
        return session
    return replace(session, context=replace(session.context, revision=event.revision, cursor=event.cursor))


# --- lanes and options -------------------------------------------------------------------------------


def _queue_edited(session: Session, event: QueueEdited) -> Session:
    queue, autoplay = edited(session, event.take, event.put)
    if event.op == "undo":
        undo = session.undo[:-1]
    else:
        opposite = replace(inverse(session, event.take, event.put), actor_id=event.actor_id)
        undo = _remembered(session.undo, opposite)
    version = session.queue_version
    version = QueueVersion(major=version.major, minor=version.minor + 1)
    uids = tuple(dict.fromkeys((*event.take, *(placement.item.uid for placement in event.put))))
    edit = Edit(version=version, op=event.op, uids=uids if len(uids) <= _EDIT_UIDS_MAX else ())
    return replace(
        session,
        queue=queue,
        autoplay=autoplay,
        undo=undo,
        queue_version=version,
        edits=(*session.edits, edit)[-EDITS_MAX:],
        minted=session.minted + (len(event.put) if event.op == "add" else 0),
    )


_EDIT_UIDS_MAX = 100
"""A larger edit is told without its uids: whoever missed it reads the queue again."""


def _remembered(undo: tuple[Inverse, ...], entry: Inverse) -> tuple[Inverse, ...]:
    kept = (*undo, entry)[-UNDO_MAX:]
    while sum(len(inverse.put) for inverse in kept) > UNDO_ITEMS_MAX:
        kept = kept[1:]
    return kept


def _options_set(session: Session, event: OptionsSet) -> Session:
    if event.undoes:
        undo = session.undo[:-1]
    else:
        undo = _remembered(session.undo, Inverse(actor_id=event.actor_id, options=options_of(session)))
    ref = session.context
    if ref is not None and ref.load_id == event.options.load_id:
        ref = replace(ref, shuffle=event.options.order)
    return replace(
        session, shuffle=event.options.shuffle, repeat=event.options.repeat, context=ref, undo=undo
    )


def options_of(session: Session) -> Options:
    """The options as they are."""
    ref = session.context
    return Options(
        shuffle=session.shuffle,
        repeat=session.repeat,
        order=ref.shuffle if ref is not None else None,
        load_id=ref.load_id if ref is not None else None,
    )


# --- devices -----------------------------------------------------------------------------------------


def _handed_off(session: Session, event: HandedOff) -> Session:
    head = session.playhead
    if session.current is not None:
        move = running if event.playing else halted
        head = move(head, position=event.position_ms, at_ms=event.at_ms)
    return replace(
        session,
        active_device_id=event.result.to_device_id,
        device_epoch=event.device_epoch,
        playhead=replace(head, pending_return=None),
        last_handoff=event.result,
    )


def _device_lost(session: Session, event: DeviceLost) -> Session:
    head = session.playhead
    if head.is_playing:
        head = halted(head, position=event.position_ms, at_ms=event.at_ms)
    head = replace(head, pending_return=event.device_id if event.goes_on else None)
    if event.device_epoch is None:
        return replace(session, playhead=head)
    return replace(session, playhead=head, active_device_id=None, device_epoch=event.device_epoch)

"""What an event does to a session. Never raises, asks nobody: the same events always give the same one."""

from typing import assert_never

from msgspec.structs import replace

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
from sessions.playhead import Playhead, halted, running
from sessions.state import (
    AUTOPLAY_MAX,
    EDITS_MAX,
    UNDO_ITEMS_MAX,
    UNDO_MAX,
    Edit,
    Inverse,
    Options,
    Session,
)
from sessions.succession import context_loaded, queue_restored, started, stopped
from sessions.view import QueueVersion

EDIT_UIDS_MAX = 100
"""A larger edit is noted without its uids: whoever missed it reads the queue again."""


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
            return started(session, event)
        case Stopped():
            return stopped(session, event)
        case ContextLoaded():
            return context_loaded(session, event)
        case QueueRestored():
            return queue_restored(session, event)
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


# --- lanes and options -----------------------------------------------------------------------------


def _context_changed(session: Session, event: ContextChanged) -> Session:
    if session.context is None:
        return session
    return replace(session, context=replace(session.context, revision=event.revision, cursor=event.cursor))


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
    edit = Edit(version=version, op=event.op, uids=uids if len(uids) <= EDIT_UIDS_MAX else ())
    return replace(
        session,
        queue=queue,
        autoplay=autoplay,
        undo=undo,
        queue_version=version,
        edits=(*session.edits, edit)[-EDITS_MAX:],
        minted=session.minted + (len(event.put) if event.op == "add" else 0),
    )


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

"""The user's queue and the options: add, remove, move, clear, shuffle, repeat, undo, sleep timer."""

from msgspec.structs import replace

from kernel.errors import Code, Rejected
from kernel.ids import Uid
from kernel.units import Millis
from sessions.apply import options_of
from sessions.commands import (
    AddToQueue,
    MoveInQueue,
    RemoveFromQueue,
    Repeat,
    SetRepeat,
    SetShuffle,
    SetSleepTimer,
)
from sessions.disallow import check
from sessions.edits import chain, edited, still_possible
from sessions.events import Event, OptionsSet, QueueEdited, SleepTimerSet
from sessions.identity import minted_uid
from sessions.inputs import World
from sessions.starting import shuffle_seed
from sessions.state import QUEUE, QUEUE_MAX, Inverse, Item, Options, Session, Shuffle
from sessions.view import SleepTimer


def add_to_queue(session: Session, command: AddToQueue, world: World, now_ms: Millis) -> list[Event]:
    if command.play_next and command.after_uid is not None:
        raise Rejected(Code.BAD_REQUEST, "add rejected: it takes at most one of after_uid and play_next")
    found = world.target.items if world.target is not None else ()
    if len(found) != len(command.uris):
        raise Rejected(Code.NOT_FOUND, f"add of {len(command.uris)} uris rejected: {len(found)} were found")
    if blocked := [item.uri for item in found if not item.may_play]:
        withheld = any(item.withheld for item in found)
        raise Rejected(
            Code.NOT_PLAYABLE,
            f"add of {len(found)} uris rejected: {len(blocked)} may not be played here"
            + ("; the explicit filter is on" if withheld else ""),
            {"uris": blocked, "reasons": ["explicit" if withheld else "unavailable"]},
        )
    _check_room(session, len(session.queue) + len(found), f"add of {len(found)} items")
    items = [
        Item(
            uid=minted_uid(session, now_ms, nth=nth),
            uri=entry.uri,
            provider=QUEUE,
            duration_ms=entry.duration_ms,
            is_speech=entry.is_speech,
            added_by=world.actor_id,
            added_at_ms=now_ms,
        )
        for nth, entry in enumerate(found)
    ]
    after_uid = session.queue[-1].uid if session.queue else None
    if command.play_next:
        after_uid = None
    elif command.after_uid is not None:
        after_uid = _place_behind(session, command.after_uid, "add")
    return [QueueEdited(op="add", put=chain(items, after_uid), actor_id=world.actor_id)]


def remove_from_queue(session: Session, command: RemoveFromQueue, world: World) -> list[Event]:
    wanted = frozenset(command.uids)
    here = tuple(item.uid for item in (*session.queue, *session.autoplay) if item.uid in wanted)
    return [QueueEdited(op="remove", take=here, actor_id=world.actor_id)] if here else []


def move_in_queue(session: Session, command: MoveInQueue, world: World) -> list[Event]:
    if command.after_uid is not None and command.after_uid in command.uids:
        raise Rejected(
            Code.BAD_REQUEST, f"move behind {command.after_uid} rejected: it is among the items to move"
        )
    by_uid = {item.uid: item for item in session.queue}
    items = [by_uid[uid] for uid in dict.fromkeys(command.uids) if uid in by_uid]
    after_uid = _place_behind(session, command.after_uid, "move") if command.after_uid is not None else None
    take, put = tuple(item.uid for item in items), chain(items, after_uid)
    if edited(session, take, put)[0] == session.queue:
        return []
    return [QueueEdited(op="move", take=take, put=put, actor_id=world.actor_id)]


def clear_queue(session: Session, world: World) -> list[Event]:
    take = tuple(item.uid for item in session.queue)
    return [QueueEdited(op="clear", take=take, actor_id=world.actor_id)] if take else []


def set_shuffle(session: Session, command: SetShuffle, world: World) -> list[Event]:
    """On: the current item comes first, all others behind it. Off: on from the current item's own place."""
    check("toggling_shuffle", session, world.context)
    if command.shuffle == session.shuffle:
        return []
    ref = session.context
    order = None
    if command.shuffle and ref is not None:
        seed = shuffle_seed(session, ref.load_id)
        order = Shuffle(seed=seed)
        if ref.cursor is not None:
            order = Shuffle(seed=seed, pin=ref.cursor.key, pin_iteration=ref.cursor.iteration)
    options = replace(options_of(session), shuffle=command.shuffle, order=order)
    return [OptionsSet(options=options, actor_id=world.actor_id)]


def set_repeat(session: Session, command: SetRepeat, world: World) -> list[Event]:
    is_track = Repeat.TRACK in (command.repeat, session.repeat)
    check("toggling_repeat_track" if is_track else "toggling_repeat_context", session, world.context)
    if command.repeat is session.repeat:
        return []
    return [OptionsSet(options=replace(options_of(session), repeat=command.repeat), actor_id=world.actor_id)]


def undo(session: Session, world: World) -> list[Event]:
    """Take back the last edit or option change. What has been played since stays played."""
    check("undoing", session, world.context)
    last = session.undo[-1]
    if world.actor_id is not None and last.actor_id not in (None, world.actor_id):
        raise Rejected(Code.FORBIDDEN, "undo rejected: the last edit was made by somebody else")
    if last.options is not None:
        return [
            OptionsSet(options=_as_they_were(session, last.options), actor_id=world.actor_id, undoes=True)
        ]
    return [_undone(session, last, world)]


def _undone(session: Session, last: Inverse, world: World) -> QueueEdited:
    put = still_possible(session, last)
    gone = frozenset(last.take)
    stays = sum(item.uid not in gone for item in session.queue)
    _check_room(session, stays + sum(p.item.provider == QUEUE for p in put), "undo")
    return QueueEdited(op="undo", take=last.take, put=put, actor_id=world.actor_id)


def _as_they_were(session: Session, old: Options) -> Options:
    """`old`, fitted to the context of today: another loading has no use for the old permutation."""
    now = options_of(session)
    if old.load_id == now.load_id:
        return old
    ref, order = session.context, None
    if old.shuffle and ref is not None:
        order = now.order or Shuffle(seed=shuffle_seed(session, ref.load_id))
    return replace(old, order=order, load_id=now.load_id)


def set_sleep_timer(session: Session, command: SetSleepTimer, now_ms: Millis) -> list[Event]:
    if command.duration_ms is not None and command.end_of_track:
        raise Rejected(
            Code.BAD_REQUEST, "sleep timer rejected: it takes at most one of duration_ms and end_of_track"
        )
    timer = None
    if command.end_of_track:
        timer = SleepTimer(end_of_track=True)
    elif command.duration_ms is not None:
        timer = SleepTimer(at_ms=Millis(now_ms + command.duration_ms))
    return [SleepTimerSet(timer=timer)] if timer != session.sleep_timer else []


def _place_behind(session: Session, after_uid: Uid, what: str) -> Uid | None:
    """`after_uid` if it is queued; the front if it has just begun to play."""
    if any(item.uid == after_uid for item in session.queue):
        return after_uid
    if session.current is not None and session.current.uid == after_uid:
        return None
    raise Rejected(
        Code.NOT_FOUND,
        f"{what} behind {after_uid} rejected: it is not in the queue of {len(session.queue)} items",
        {"after_uid": after_uid},
    )


def _check_room(session: Session, count: int, what: str) -> None:
    if count > QUEUE_MAX:
        raise Rejected(
            Code.QUEUE_FULL,
            f"{what} rejected: the queue holds {len(session.queue)} of at most {QUEUE_MAX}",
            {"queue_length": len(session.queue), "queue_max": QUEUE_MAX},
        )

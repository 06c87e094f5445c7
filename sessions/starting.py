"""`play` and `restore_queue`: another context takes the place of what plays."""

from msgspec.structs import replace
from xxhash import xxh64_intdigest

from kernel.errors import Code, Rejected
from kernel.ids import Uri
from kernel.units import Millis
from sessions.commands import URIS_MAX, Play
from sessions.disallow import check
from sessions.events import ContextLoaded, Event, QueueRestored
from sessions.identity import new_load_id, play_id_of
from sessions.inputs import Context, ContextItem, World
from sessions.order import Place, place_in
from sessions.shuffle import index_of, permutation
from sessions.state import ContextRef, Cursor, Session, Shuffle
from sessions.transport import activation, started


def play(session: Session, command: Play, world: World, now_ms: Millis) -> list[Event]:
    """The user's queue stays and comes after the first item. Raises Rejected; nothing has changed then."""
    target = _target(command, world)
    asked = _asked_index(command, target)
    shuffled = session.shuffle if command.shuffle is None else command.shuffle
    load_id = new_load_id(session, now_ms)
    shuffle = None
    if shuffled:
        pin = target.items[asked].key if asked is not None else None
        shuffle = Shuffle(seed=shuffle_seed(session, load_id), pin=pin)
    ref = ContextRef(
        uri=target.uri,
        revision=target.revision,
        load_id=load_id,
        shuffle=shuffle,
        items=target.items if target.uri is None else (),
    )
    place = _first(ref, target.items, asked)
    if place is None:
        withheld = any(item.withheld for item in target.items)
        raise Rejected(
            Code.NOT_PLAYABLE,
            f"play of {_named(command)} rejected: none of its {len(target.items)} items may be played here"
            + ("; the explicit filter is on" if withheld else ""),
            {"reasons": ["explicit" if withheld else "unavailable"]},
        )
    is_asked = asked is None or (place.cursor is not None and place.cursor.index == asked)
    moved = activation(session, world, named=command.device_id)
    loaded = ContextLoaded(context=ref, shuffle=shuffled, at_ms=now_ms)
    start = command.position_ms if is_asked else None
    if start is None:
        start = world.resume_ms.get(place.item.uri, Millis(0))
    return [*moved, loaded, started(session, place, "play", now_ms, playing=True, position=start)]


def restore_queue(session: Session, world: World, now_ms: Millis) -> list[Event]:
    """Swap with what the last `play` replaced. It plays when something plays now, and is paused otherwise."""
    check("restoring_queue", session, world.context)
    back = session.parked[-1]
    ref = back.context
    if ref is not None and world.parked is not None and world.parked.revision != ref.revision:
        ref = replace(
            ref,
            revision=world.parked.revision,
            cursor=cursor_in(world.parked.items, ref.cursor),
        )
    return [
        QueueRestored(
            context=ref,
            play_id=play_id_of(session, back.current.uid) if back.current is not None else None,
            at_ms=now_ms,
            playing=session.playhead.is_playing,
        )
    ]


def shuffle_seed(session: Session, salt: str) -> int:
    """A new permutation for each time that shuffle begins."""
    # 63 bits: what every encoding of numbers can hold.
    return xxh64_intdigest(f"{salt}\x1f{session.play_count}".encode(), session.seed & (2**64 - 1)) >> 1


def cursor_in(
    items: tuple[ContextItem, ...], cursor: Cursor | None, before: tuple[ContextItem, ...] = ()
) -> Cursor | None:
    """`cursor` in another revision.

    When its item is gone there, what comes next begins behind the nearest item in front of it that is left;
    `before` is the revision in which the item still was, empty when that is not known.
    """
    if cursor is None:
        return None
    index = index_of(items, cursor)
    if index is not None:
        return replace(cursor, index=index)
    old_index = index_of(before, cursor)
    places = {item.key: place for place, item in enumerate(items)}
    for item in reversed(before[:old_index] if old_index is not None else ()):
        if item.key in places:
            return replace(cursor, index=places[item.key] + 1)
    return replace(cursor, index=0 if old_index is not None else min(cursor.index, len(items)))


def _target(command: Play, world: World) -> Context:
    if (command.context_uri is None) == (not command.uris):
        raise Rejected(
            Code.BAD_REQUEST, "play rejected: it takes exactly one of context_uri and a list of uris"
        )
    if command.offset_uri is not None and command.offset_index is not None:
        raise Rejected(Code.BAD_REQUEST, "play rejected: it takes at most one of offset_uri and offset_index")
    if world.target is None:
        raise Rejected(Code.NOT_FOUND, f"play of {_named(command)} rejected: there is no such thing")
    if world.target.uri is None and len(world.target.items) > URIS_MAX:
        raise Rejected(
            Code.BAD_REQUEST,
            f"play of {len(world.target.items)} uris rejected: at most {URIS_MAX} make a context",
        )
    return world.target


def _asked_index(command: Play, target: Context) -> int | None:
    """Natural index of the item to start at; None when none was asked for."""
    if command.offset_index is not None:
        if command.offset_index >= len(target.items):
            raise Rejected(
                Code.BAD_REQUEST,
                f"play from offset {command.offset_index} rejected: {_named(command)} has "
                f"{len(target.items)} items",
            )
        return command.offset_index
    if command.offset_uri is not None:
        return _index_of_uri(command, target, command.offset_uri)
    return None


def _index_of_uri(command: Play, target: Context, offset_uri: Uri) -> int:
    for index, item in enumerate(target.items):
        if item.uri == offset_uri:
            return index
    raise Rejected(Code.NOT_FOUND, f"play from {offset_uri} rejected: it is not in {_named(command)}")


def _first(ref: ContextRef, items: tuple[ContextItem, ...], asked: int | None) -> Place | None:
    """The asked item, or the next one after it that may be played."""
    order = permutation(items, ref.shuffle, 0).order
    # Shuffled, the asked item is pinned and so comes first by itself.
    begin = asked if asked is not None and ref.shuffle is None else 0
    for index in order[begin:]:
        if items[index].may_play:
            return place_in(ref, items, index, 0)
    return None


def _named(command: Play) -> str:
    return command.context_uri if command.context_uri is not None else f"{len(command.uris)} uris"

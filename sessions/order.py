"""What comes next and what came before, across the lanes. Everything here is derived; nothing is kept.

Next: the user's queue, then the rest of the context (again and again with repeat), then, unless the context
repeats, the autoplay lane. Before: what was played since the context was loaded, then the context's own items
in front of where it began. Items that may not be played are stepped over and never shown.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from sessions.commands import Repeat
from sessions.identity import context_uid
from sessions.inputs import Context, ContextItem
from sessions.shuffle import permutation, place_after, place_of_or_after
from sessions.state import CONTEXT, ContextRef, Cursor, Item, Played, Session


class Place(NamedTuple):
    """An item and where it stands."""

    item: Item
    cursor: Cursor | None
    """Where the context stands once it is current; None leaves that as it is."""


class Before(NamedTuple):
    """An item to go back to."""

    item: Item
    cursor: Cursor | None
    popped: int
    """Entries of the history that going there takes away."""


def next_items(session: Session, context: Context | None, count: int) -> tuple[Item, ...]:
    """What a listener sees coming. With repeat track it is what a skip would go to."""
    return tuple(place.item for place in islice(next_places(session, context), count))


def next_places(session: Session, context: Context | None) -> Iterator[Place]:
    """All that may come, in order; endless when the context repeats."""
    for item in session.queue:
        yield Place(item, None)
    yield from context_places(session, context)
    for item in session.autoplay:
        yield Place(item, None)


def next_place(session: Session, context: Context | None) -> Place | None:
    """Where a skip goes; None when nothing is left."""
    return next(next_places(session, context), None)


def following_place(session: Session, context: Context | None) -> Place | None:
    """Where the end of the current item leads: with repeat track to itself, otherwise where a skip goes."""
    if session.repeat is Repeat.TRACK and session.current is not None:
        return Place(session.current, None)
    return next_place(session, context)


def has_next(session: Session, context: Context | None) -> bool:
    if session.queue or session.autoplay:
        return True
    return next(_walk(session, context), None) is not None


def context_places(session: Session, context: Context | None) -> Iterator[Place]:
    """The rest of the context, and its repetitions."""
    ref = session.context
    if ref is None:
        return
    items = items_of(ref, context)
    for index, iteration in _walk(session, context):
        yield place_in(ref, items, index, iteration)


def _walk(session: Session, context: Context | None) -> Iterator[tuple[int, int]]:
    """(natural index, iteration) of each playable item after the cursor."""
    ref = session.context
    if ref is None:
        return
    items = items_of(ref, context)
    iteration, start = (
        (0, 0) if ref.cursor is None else (ref.cursor.iteration, _after(ref, items, ref.cursor))
    )
    while True:
        order = permutation(items, ref.shuffle, iteration).order
        found = False
        for place in range(start, len(order)):
            if items[order[place]].may_play:
                found = True
                yield order[place], iteration
        if session.repeat is not Repeat.CONTEXT or (start == 0 and not found):
            return
        iteration, start = iteration + 1, 0


def _after(ref: ContextRef, items: tuple[ContextItem, ...], cursor: Cursor) -> int:
    return place_after(items, ref.shuffle, cursor)


def first_place(session: Session, context: Context | None) -> Place | None:
    """The context from its start, as a new iteration; None when none of it can be played."""
    ref = session.context
    if ref is None:
        return None
    items = items_of(ref, context)
    iteration = 0 if ref.cursor is None else ref.cursor.iteration + 1
    for index in permutation(items, ref.shuffle, iteration).order:
        if items[index].may_play:
            return place_in(ref, items, index, iteration)
    return None


def last_cursor(session: Session, context: Context | None) -> Cursor | None:
    """The end of the context's present iteration; None when there is no context or it is empty."""
    ref = session.context
    items = items_of(ref, context) if ref is not None else ()
    if ref is None or not items:
        return None
    iteration = ref.cursor.iteration if ref.cursor is not None else 0
    index = permutation(items, ref.shuffle, iteration).order[-1]
    return Cursor(key=items[index].key, index=index, iteration=iteration)


def has_unplayable_ahead(session: Session, context: Context | None) -> bool:
    """Something is left of the context, though none of it may be played."""
    ref = session.context
    if ref is None or ref.cursor is None:
        return False
    items = items_of(ref, context)
    rest = len(items) if session.repeat is Repeat.CONTEXT else len(items) - _after(ref, items, ref.cursor)
    return rest > 0 and next(_walk(session, context), None) is None


def prev_items(session: Session, context: Context | None, count: int) -> tuple[Item, ...]:
    """What a listener sees behind; oldest first."""
    return tuple(before.item for before in islice(befores(session, context), count))[::-1]


def has_prev(session: Session, context: Context | None) -> bool:
    return next(befores(session, context), None) is not None


def befores(session: Session, context: Context | None) -> Iterator[Before]:
    """All there is to go back to, nearest first."""
    ref = session.context
    load_id = ref.load_id if ref is not None else None
    popped = 0
    # Where the context began for this listener: its own items before that come last.
    item, cursor = session.current, ref.cursor if ref is not None else None
    for played in reversed(session.history):
        if played.load_id != load_id:
            break
        popped += 1
        item, cursor = played.item, played.cursor
        yield Before(item, cursor, popped)
    if ref is None or cursor is None:
        return
    items = items_of(ref, context)
    place = place_of_or_after(items, ref.shuffle, cursor)
    if item is None or item.provider != CONTEXT:
        # The cursor's own item lies behind, since something of another lane was played on top of it.
        place = _after(ref, items, cursor)
    order = permutation(items, ref.shuffle, cursor.iteration).order
    for index in reversed(order[:place]):
        if items[index].may_play:
            there = place_in(ref, items, index, cursor.iteration)
            yield Before(there.item, there.cursor, popped)


def back_entries(session: Session) -> tuple[Played, ...]:
    """The part of the history that belongs to the present loading."""
    load_id = session.context.load_id if session.context is not None else None
    count = 0
    for played in reversed(session.history):
        if played.load_id != load_id:
            break
        count += 1
    return session.history[len(session.history) - count :]


def items_of(ref: ContextRef, context: Context | None) -> tuple[ContextItem, ...]:
    """The context's items: as resolved, or the session's own. None of either is an empty context."""
    return context.items if context is not None else ref.items


def place_in(ref: ContextRef, items: tuple[ContextItem, ...], index: int, iteration: int) -> Place:
    entry = items[index]
    return Place(
        Item(
            uid=context_uid(ref.load_id, entry.key, iteration),
            uri=entry.uri,
            provider=CONTEXT,
            duration_ms=entry.duration_ms,
            is_speech=entry.is_speech,
            iteration=iteration,
        ),
        Cursor(key=entry.key, index=index, iteration=iteration),
    )

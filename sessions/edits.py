"""Edits of the lanes: take items out, put items in, and the opposite of that.

Every edit (add, remove, move, clear, undo) has this one form: one way to do it, one way to undo it.
"""

from collections.abc import Iterable

from kernel.ids import Uid
from sessions.state import AUTOPLAY, AUTOPLAY_MAX, QUEUE, QUEUE_MAX, Inverse, Item, Placement, Session

Lane = tuple[Item, ...]


def edited(session: Session, take: Iterable[Uid], put: Iterable[Placement]) -> tuple[Lane, Lane]:
    """The user's and the autoplay lane after the edit."""
    gone = frozenset(take)
    placements = tuple(put)
    return (
        _edited(session.queue, gone, [p for p in placements if p.item.provider == QUEUE], QUEUE_MAX),
        _edited(session.autoplay, gone, [p for p in placements if p.item.provider == AUTOPLAY], AUTOPLAY_MAX),
    )


def _edited(lane: Lane, gone: frozenset[Uid], placements: list[Placement], count_max: int) -> Lane:
    if not gone and not placements:
        return lane
    rest = [item for item in lane if item.uid not in gone]
    behind_last = 0
    for placement in placements:
        at = _index_behind(rest, placement.after_uid)
        if at is None:
            # What it followed has been played since: behind what was put before it, or the front.
            at = behind_last
        rest.insert(at, placement.item)
        behind_last = at + 1
    return tuple(rest[:count_max])


def _index_behind(lane: list[Item], after_uid: Uid | None) -> int | None:
    if after_uid is None:
        return 0
    # From the end: a long addition is a chain of which each link follows the last.
    for index in range(len(lane) - 1, -1, -1):
        if lane[index].uid == after_uid:
            return index + 1
    return None


def inverse(session: Session, take: Iterable[Uid], put: Iterable[Placement]) -> Inverse:
    """The edit that takes this one back; `session` is the one before the edit.

    What was taken is put back in its old order, each behind what it followed. When an item's turn comes, all
    that stood before it is there again, so the place is exact.
    """
    gone = frozenset(take)
    return Inverse(
        take=tuple(placement.item.uid for placement in put),
        put=(*_old_places(session.queue, gone), *_old_places(session.autoplay, gone)),
    )


def _old_places(lane: Lane, gone: frozenset[Uid]) -> list[Placement]:
    places = []
    before: Uid | None = None
    for item in lane:
        if item.uid in gone:
            places.append(Placement(item=item, after_uid=before))
        before = item.uid
    return places


def still_possible(session: Session, inverse: Inverse) -> tuple[Placement, ...]:
    """The placements of `inverse`, without moved items that have left the lanes since: they were played."""
    moved = frozenset(inverse.take)
    here = {item.uid for item in session.queue} | {item.uid for item in session.autoplay}
    return tuple(p for p in inverse.put if p.item.uid not in moved or p.item.uid in here)


def chain(items: Iterable[Item], after_uid: Uid | None) -> tuple[Placement, ...]:
    """Placements that put `items` one behind the other, the first behind `after_uid`."""
    placements = []
    for item in items:
        placements.append(Placement(item=item, after_uid=after_uid))
        after_uid = item.uid
    return tuple(placements)

"""The gate: everything that must hold of an update before it is merged into the playlist or shown to anybody.

The update is tried on a draft, a fork of the document that may die. Checks go from cheap to dear; the first
that fails raises Rejected with a code and a way on, and the draft is thrown away when it has been touched.

    header      an update (never a snapshot), of the lent peer alone, next in its line, at most 500 operations
    merge       nothing pending, and merged is exactly what the header claimed
    text        depth and size of the values, before anything reads them
    operations  known ones on known containers, times, authors, ownership, fresh ids, room in the list
    effect      the list is what the operations said: a forged index or element id shows here

An author who knew everything (`deps` are the draft's heads) is checked operation by operation against the
order that the draft had; the effect then shows at the places touched. One who edited beside others is checked
by whom each operation touches and by what the whole list became, which costs a read of the list.
"""

from collections.abc import Mapping
from itertools import pairwise

import msgspec

from kernel.errors import Code, Rejected
from kernel.ids import DeviceId, Uri, UserId
from kernel.units import Millis
from playlists.access import Role
from playlists.contents import Contents, NotAPlaylist
from playlists.items import ITEMS_MAX, MARKS_MAX, META_POLICIES, Item, ItemId, Removal, marked_item, value_of
from playlists.leases import CLOCK_SLACK_MS, Lease
from playlists.leases import WAY_ON as NEW_LEASE
from playlists.loro_doc import (
    UPDATE_BYTES_MAX,
    BadUpdate,
    Broken,
    Replica,
    read_header,
)
from playlists.ops import (
    AuthoredChange,
    DeleteItems,
    DropMark,
    ElementId,
    InsertItems,
    MoveItem,
    NotAnEdit,
    Op,
    OpId,
    PutMark,
    SetItem,
    read_changes,
)

OPS_MAX = 500
TEXT_CHARS_MAX = 1024 * 1024
"""Operations as JSON; an update can say a long key many times in few bytes."""
PROBES_MAX = 8
"""With more places touched, the whole list is compared instead."""
WHOLE_EVERY = 256
"""Now and then the whole list is compared anyway; less often when it is long."""
RETIRED_MAX = 20_000
ORIGINS_MAX = 20_000


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """Who pushes, as the server knows him."""

    user_id: UserId
    device_id: DeviceId
    role: Role


class Touch(msgspec.Struct, frozen=True, kw_only=True):
    """One line of "who did what when"."""

    what: str
    """add, remove, move, set, or the name of the map: meta, notes, votes, reacts."""
    item_id: ItemId | None = None
    uri: Uri | None = None
    key: str | None = None


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """What an update that passed did to the draft."""

    start: int
    end: int
    touches: tuple[Touch, ...]
    returned: tuple[ItemId, ...]
    """Items there although somebody removed them: one moved what another removed at the same time."""
    grew: bool
    """Tracks were added or replaced, or the policy changed: duplicates may have to be looked for."""


class Draft:
    """A fork of the document, and its contents as Python values. It may die at any time."""

    __slots__ = ("contents", "count", "origins", "replica", "retired")

    def __init__(self, replica: Replica, contents: Contents, retired: dict[ItemId, UserId]) -> None:
        self.replica = replica
        self.contents = contents
        self.retired = retired
        """Items that were removed, with who had added them; the latest RETIRED_MAX."""
        self.origins: dict[OpId, Item] = {}
        """What the operation inserted; a cache."""
        self.count = 0

    def retire(self, item: Item) -> None:
        if len(self.retired) >= RETIRED_MAX:
            self.retired.pop(next(iter(self.retired)))
        self.retired[item.item_id] = item.added_by


def refused(code: Code, text: str, *, at_op: int | None = None) -> Rejected:
    """A refusal of a push. Its operations leave a hole, so the way on is always a new peer."""
    details: dict[str, object] = dict(NEW_LEASE)
    if at_op is not None:
        details["at_op"] = at_op
    return Rejected(code, f"push rejected: {text}", details)


def check_size(updates: tuple[bytes, ...]) -> None:
    """Raises Rejected. The sum is what a frame can hold, so that no order of splitting helps."""
    size = sum(map(len, updates))
    if not updates or not all(updates):
        raise refused(Code.BAD_UPDATE, "it holds no update")
    if size > UPDATE_BYTES_MAX:
        raise refused(Code.FRAME_TOO_LARGE, f"{size} bytes, at most {UPDATE_BYTES_MAX} are taken at once")


def admit(draft: Draft, update: bytes, author: Author, lease: Lease, *, now_ms: Millis) -> Admitted | None:
    """Merge the update into the draft; None when all of it was there already.

    Raises Rejected, after which the draft is to be thrown away (unless the draft's counters are as before).
    """
    try:
        span = _span(draft.replica, update, lease)
        if span is None:
            return None
        heads = draft.replica.heads()
        merged = draft.replica.merge(update)
        if merged.pending or dict(merged.spans) != {lease.peer: span}:
            raise refused(Code.PEER_INVALID, "it builds on operations that the server does not have")
        text = draft.replica.json_of(lease.peer, *span)
        if len(text) > TEXT_CHARS_MAX:
            raise refused(Code.BAD_UPDATE, "its values are too large")
        changes = read_changes(text)
        _check_times(changes, lease.peer, now_ms)
        rules = _Rules(draft, author, lease, now_ms)
        upto_date = _was_at(draft.replica, heads, changes)
        return (rules.in_step if upto_date else rules.beside)(changes, span)
    except NotAnEdit as error:
        raise refused(Code.BAD_UPDATE, error.what, at_op=error.counter) from None
    except (BadUpdate, Broken, NotAPlaylist) as error:
        raise refused(Code.BAD_UPDATE, str(error)) from None


def _span(replica: Replica, update: bytes, lease: Lease) -> tuple[int, int] | None:
    header = read_header(update)
    if not header.is_update:
        raise refused(Code.BAD_UPDATE, "snapshots are not taken, only updates")
    if set(header.ends) != {lease.peer} or set(header.starts) - {lease.peer}:
        raise refused(Code.PEER_INVALID, "it holds operations of another peer than the one lent to you")
    start, end = header.starts.get(lease.peer, 0), header.ends[lease.peer]
    known = replica.counter(lease.peer)
    if start < end <= known:
        return None
    if start != known:
        # No hole yet: what is due may still come, in an update that begins there.
        text = f"push rejected: it begins at operation {start}, due is {known}"
        raise Rejected(Code.PEER_INVALID, text, {"way_on": "resend", "due": known})
    if not 0 < end - start <= OPS_MAX:
        raise refused(Code.BAD_UPDATE, f"{end - start} operations, at most {OPS_MAX} are taken at once")
    return (start, end)


def _check_times(changes: tuple[AuthoredChange, ...], peer: int, now_ms: Millis) -> None:
    latest_s = (now_ms + CLOCK_SLACK_MS) // 1000
    for change in changes:
        if change.peer != peer:
            raise refused(Code.PEER_INVALID, "a change is another peer's")
        if not 0 <= change.timestamp_s <= latest_s:
            # One far in the future would be carried on by everybody's later changes.
            raise refused(
                Code.BAD_UPDATE, f"timestamp {change.timestamp_s} s is in the future", at_op=change.counter
            )


def _was_at(replica: Replica, heads: bytes, changes: tuple[AuthoredChange, ...]) -> bool:
    """Whether the first change knew everything, and each later one only adds to the one before."""
    if not changes:
        return False
    for before, after in pairwise(changes):
        if after.deps != ((before.peer, after.counter - 1),):
            return False
    deps = changes[0].deps
    if len(deps) > 2:
        return False
    # An order of two heads is not part of a version.
    return heads in (replica.heads_of(deps), replica.heads_of(deps[::-1]))


class _Rules:
    """What one author may do now, applied operation by operation."""

    def __init__(self, draft: Draft, author: Author, lease: Lease, now_ms: Millis) -> None:
        self.draft = draft
        self.contents = draft.contents
        self.author = author
        self.earliest_ms = lease.leased_at_ms - CLOCK_SLACK_MS
        self.latest_ms = now_ms + CLOCK_SLACK_MS
        self.policy = draft.contents.meta().policy
        self.touches: list[Touch] = []
        self.grew = False

    # --- an author who knew everything -----------------------------------------------------------------

    def in_step(self, changes: tuple[AuthoredChange, ...], span: tuple[int, int]) -> Admitted:
        order, items = self.contents.order, self.contents.items
        near: list[int] = []
        """Places where a single structural operation shows."""
        structural = 0
        replaced: list[ItemId] = []
        for op in (op for change in changes for op in change.ops):
            match op:
                case InsertItems():
                    self._index(op.index, len(order) + 1, op)
                    for item in op.items:
                        self._may_insert(item, op.counter, len(order) + len(op.items))
                        items[item.item_id] = item
                    order[op.index : op.index] = [item.item_id for item in op.items]
                    near += range(op.index, op.index + len(op.items))
                    structural += 1
                case DeleteItems():
                    self._index(op.index, len(order), op)
                    self._index(op.index + op.count - 1, len(order), op)
                    for item_id in order[op.index : op.index + op.count]:
                        self._may_take(items[item_id], "remove", op.counter)
                        self.draft.retire(items.pop(item_id))
                    del order[op.index : op.index + op.count]
                    near += [op.index - 1, op.index]
                    structural += 1
                case MoveItem():
                    self._index(op.index, len(order), op)
                    self._index(op.to, len(order), op)
                    item_id = order.pop(op.index)
                    order.insert(op.to, item_id)
                    self._may_take(items[item_id], "move", op.counter)
                    near += [op.to - 1, op.to, op.to + 1, op.index - 1, op.index, op.index + 1]
                    structural += 1
                case SetItem():
                    self._may_set(items.get(op.item.item_id), op)
                    items[op.item.item_id] = op.item
                    replaced.append(op.item.item_id)
                case PutMark() | DropMark():
                    self._may_mark(op)
        self._follow_marks(changes)
        if structural or replaced:
            few = structural <= 1 and len(near) + len(replaced) <= PROBES_MAX
            places = {*near, *(order.index(item_id) for item_id in replaced)} if few else None
            self._check_effect(places)
        return self._admitted(span, ())

    def _check_effect(self, places: set[int] | None) -> None:
        """Compare the document with what the operations said: at these places, or everywhere."""
        draft, order, items = self.draft, self.contents.order, self.contents.items
        draft.count += 1
        length = draft.replica.length()
        if places is None or draft.count % max(WHOLE_EVERY, length // 4) == 0:
            honest = draft.replica.items() == [value_of(items[item_id]) for item_id in order]
        else:
            honest = length == len(order) and all(
                draft.replica.item_at(index) == value_of(items[order[index]])
                for index in places
                if 0 <= index < length
            )
        if not honest:
            raise refused(Code.BAD_UPDATE, "the list is not what the operations say")

    # --- an author who edited beside others ------------------------------------------------------------

    def beside(self, changes: tuple[AuthoredChange, ...], span: tuple[int, int]) -> Admitted:
        items = self.contents.items
        inserted: dict[ItemId, Item] = {}
        removed: dict[ItemId, Item] = {}
        moved: dict[ItemId, Item] = {}
        replaced: dict[ItemId, Item] = {}
        for op in (op for change in changes for op in change.ops):
            match op:
                case InsertItems():
                    for item in op.items:
                        if item.item_id in inserted:
                            raise refused(Code.BAD_UPDATE, "an item id is used twice", at_op=op.counter)
                        self._may_insert(item, op.counter, len(items) + len(inserted) - len(removed) + 1)
                        inserted[item.item_id] = item
                case DeleteItems():
                    for item in self._origins_of_places(op):
                        self._may_take(item, "remove", op.counter)
                        removed[item.item_id] = item
                case MoveItem():
                    item = self._element(op.element, op.counter)
                    self._may_take(item, "move", op.counter)
                    moved[item.item_id] = item
                case SetItem():
                    self._may_set(self._element(op.element, op.counter), op)
                    replaced[op.item.item_id] = op.item
                case PutMark() | DropMark():
                    self._may_mark(op, inserted)
        self._follow_marks(changes)
        if not (inserted or removed or moved or replaced):
            return self._admitted(span, ())
        before = self.contents.order
        order, values = Contents.read_items(self.draft.replica, items)
        now = set(order)
        gone = [item_id for item_id in before if item_id not in now]
        returned = [item_id for item_id in order if item_id not in items and item_id not in inserted]
        stayed = [item_id for item_id in removed if item_id in now and item_id not in returned]
        still = {item_id for item_id in before if item_id in now and item_id not in moved}
        honest = (
            # What left was removed, what came was inserted or moved, what nobody touched stands as it stood.
            all(item_id in removed for item_id in gone)
            and all(item_id in moved for item_id in returned)
            and all(item_id in now or item_id in removed for item_id in inserted)
            and [item_id for item_id in before if item_id in still]
            == [item_id for item_id in order if item_id in still]
            and all(
                value == items.get(item_id, value) or item_id in replaced for item_id, value in values.items()
            )
            and all(
                values.get(item_id, item) == item or item_id in replaced for item_id, item in inserted.items()
            )
        )
        if not honest:
            raise refused(Code.BAD_UPDATE, "the list is not what the operations say")
        if len(order) > ITEMS_MAX:
            raise refused(Code.PLAYLIST_FULL, f"the list would hold {len(order)} items, at most {ITEMS_MAX}")
        for item_id in gone:
            self.draft.retire(items[item_id])
        self.contents.order, self.contents.items = order, values
        return self._admitted(span, tuple(dict.fromkeys([*returned, *stayed])))

    def _element(self, element: ElementId, counter: int) -> Item:
        """The item that the element is."""
        peer, lamport = element
        at = self.draft.replica.counter_at(peer, lamport)
        if at is None:
            raise NotAnEdit("an element is named that is not known", counter)
        return self._origin((peer, at), counter)

    def _origin(self, op_id: OpId, counter: int) -> Item:
        """The item that the operation inserted."""
        origins = self.draft.origins
        if (item := origins.get(op_id)) is not None:
            return item
        match self._one(op_id, counter):
            case InsertItems(items=items) if len(items) == 1:
                if len(origins) >= ORIGINS_MAX:
                    origins.clear()
                return origins.setdefault(op_id, items[0])
            case _:
                raise NotAnEdit("an element is named that is no item", counter)

    def _origins_of_places(self, op: DeleteItems) -> list[Item]:
        """The items whose places were deleted: an insertion or a move made each place."""
        peer, first = op.places
        if op.count > OPS_MAX:
            raise NotAnEdit(f"more than {OPS_MAX} items are deleted at once", op.counter)
        found = []
        for at in range(first, first + op.count):
            if (known := self.draft.origins.get((peer, at))) is not None:
                found.append(known)
                continue
            maker = self._one((peer, at), op.counter)
            if isinstance(maker, MoveItem):
                found.append(self._element(maker.element, op.counter))
            else:
                found.append(self._origin((peer, at), op.counter))
        return found

    def _one(self, op_id: OpId, counter: int) -> Op:
        peer, at = op_id
        changes = read_changes(self.draft.replica.json_of(peer, at, at + 1))
        if len(changes) != 1 or len(changes[0].ops) != 1:
            raise NotAnEdit("an operation is named that is not known", counter)
        return changes[0].ops[0]

    # --- what each operation takes ---------------------------------------------------------------------

    def _index(self, index: int, end: int, op: Op) -> None:
        if not 0 <= index < end:
            raise refused(Code.BAD_UPDATE, f"place {index} is not in the list", at_op=op.counter)

    def _may_insert(self, item: Item, counter: int, length: int) -> None:
        if item.added_by != self.author.user_id:
            raise refused(Code.FORBIDDEN, "an item names somebody else as its author", at_op=counter)
        if not self.earliest_ms <= item.added_at_ms <= self.latest_ms:
            raise refused(Code.BAD_UPDATE, "an item's time is outside of your lease", at_op=counter)
        if item.item_id in self.contents.items or item.item_id in self.draft.retired:
            raise refused(Code.BAD_UPDATE, f"item id {item.item_id} is not new", at_op=counter)
        if length > ITEMS_MAX:
            raise refused(Code.PLAYLIST_FULL, f"the list holds at most {ITEMS_MAX} items", at_op=counter)
        self.touches.append(Touch(what="add", item_id=item.item_id, uri=item.uri))
        self.grew = True

    def _may_take(self, item: Item, what: str, counter: int) -> None:
        free = self.author.role >= Role.EDITOR or self.policy.remove is Removal.ANY
        if not free and item.added_by != self.author.user_id:
            raise refused(Code.FORBIDDEN, f"you may not {what} what another has added", at_op=counter)
        self.touches.append(Touch(what=what, item_id=item.item_id, uri=item.uri))

    def _may_set(self, before: Item | None, op: SetItem) -> None:
        item = op.item
        if before is None or (before.item_id, before.added_by, before.added_at_ms) != (
            item.item_id,
            item.added_by,
            item.added_at_ms,
        ):
            raise refused(Code.BAD_UPDATE, "an item may get another track, nothing else", at_op=op.counter)
        if self.author.role < Role.EDITOR and before.added_by != self.author.user_id:
            raise refused(Code.FORBIDDEN, "you may not change what another has added", at_op=op.counter)
        self.touches.append(Touch(what="set", item_id=item.item_id, uri=item.uri))
        self.grew = True

    def _may_mark(self, op: PutMark | DropMark, inserted: Mapping[ItemId, Item] | None = None) -> None:
        user, role = self.author.user_id, self.author.role
        item_id = None
        if op.map == "meta":
            needed = Role.OWNER if op.key in META_POLICIES else Role.EDITOR
            if role < needed:
                text = f"it takes a role of {needed.name.lower()} to set {op.key}"
                raise refused(Code.FORBIDDEN, text, at_op=op.counter)
            self.grew = self.grew or needed is Role.OWNER
        else:
            item_id = marked_item(op.key)
            owner = self._owner(item_id, inserted or {})
            if owner is None:
                raise refused(Code.BAD_UPDATE, f"{op.map} speaks of no item of this list", at_op=op.counter)
            if op.map == "notes":
                allowed = role >= Role.EDITOR or owner == user
            else:
                allowed = op.key.split("|")[1] == user
            if not allowed:
                raise refused(Code.FORBIDDEN, f"{op.map} of somebody else may not be set", at_op=op.counter)
            if len(self.contents.maps[op.map]) >= MARKS_MAX and op.key not in self.contents.maps[op.map]:
                raise refused(Code.PLAYLIST_FULL, f"at most {MARKS_MAX} {op.map} fit", at_op=op.counter)
        self.touches.append(Touch(what=op.map, item_id=item_id, key=op.key))

    def _owner(self, item_id: ItemId, inserted: Mapping[ItemId, Item]) -> UserId | None:
        item = self.contents.items.get(item_id) or inserted.get(item_id)
        return item.added_by if item is not None else self.draft.retired.get(item_id)

    def _follow_marks(self, changes: tuple[AuthoredChange, ...]) -> None:
        """The document decides whose value stands; it is asked for each entry touched."""
        for change in changes:
            for op in change.ops:
                if isinstance(op, PutMark | DropMark):
                    value = self.draft.replica.map_get(op.map, op.key)
                    if value is None:
                        self.contents.maps[op.map].pop(op.key, None)
                    else:
                        self.contents.maps[op.map][op.key] = value

    def _admitted(self, span: tuple[int, int], returned: tuple[ItemId, ...]) -> Admitted:
        return Admitted(
            start=span[0], end=span[1], touches=tuple(self.touches), returned=returned, grew=self.grew
        )

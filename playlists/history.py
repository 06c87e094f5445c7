"""Who did what when, and the way back: undo of one's own edit, restore of a version, edits carried over.

All three are the same: the difference of two views, said as intents, less what no longer makes sense in the
list as it is now. What others did since stays.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from kernel.errors import Code, Rejected
from kernel.ids import UserId
from kernel.units import Millis
from playlists.contents import (
    Added,
    Change,
    Contents,
    MarkSet,
    Moved,
    PlaylistView,
    Removed,
    Replaced,
    changes,
    meta_values,
)
from playlists.gate import Touch
from playlists.intents import (
    AddItems,
    Intent,
    MoveItems,
    OwnIntent,
    PutBack,
    React,
    RemoveItems,
    SetMeta,
    SetNote,
    SetTrack,
    Track,
    Vote,
)
from playlists.items import ItemId
from playlists.live import LivePlaylist, Record
from playlists.loro_doc import BadUpdate, Heads

ENTRIES_MAX = 1_000
BATCH = 100
"""Intents in one record of a restore: small changes keep the document quick."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the list."""

    seq: int
    by: UserId
    at_ms: Millis
    touches: tuple[Touch, ...]
    heads: bytes
    """The version after it."""


class History:
    """The last ENTRIES_MAX steps of this epoch, oldest first. Older ones are forgotten, not the edits."""

    __slots__ = ("entries",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries: deque[Entry] = deque(entries, maxlen=ENTRIES_MAX)

    def note(self, record: Record) -> None:
        self.entries.append(
            Entry(
                seq=record.seq,
                by=record.by,
                at_ms=record.at_ms,
                touches=record.touches,
                heads=record.heads,
            )
        )

    def page(self, *, before_seq: int | None = None, limit: int = 50) -> tuple[Entry, ...]:
        """Newest first."""
        found = [entry for entry in reversed(self.entries) if before_seq is None or entry.seq < before_seq]
        return tuple(found[: max(1, min(limit, 200))])

    def at(self, seq: int) -> tuple[Entry, Entry]:
        """The entry before, and the entry of `seq`. Raises Rejected NOT_FOUND when it is forgotten."""
        for older, entry in zip(self.entries, list(self.entries)[1:], strict=False):
            if entry.seq == seq:
                return older, entry
        raise Rejected(Code.NOT_FOUND, f"history rejected: step {seq} is not kept, or is the first that is")

    def of(self, seq: int) -> Entry:
        for entry in self.entries:
            if entry.seq == seq:
                return entry
        raise Rejected(Code.NOT_FOUND, f"history rejected: version {seq} is not kept")


def view_at(live: LivePlaylist, heads: bytes) -> PlaylistView:
    """The list as it was. Costs a fork: for people, not for each edit. Raises Rejected NOT_FOUND."""
    try:
        return Contents.read(live.main.fork_at(Heads(heads))).view()
    except BadUpdate:
        raise Rejected(Code.NOT_FOUND, "history rejected: that version is gone") from None


def undo(live: LivePlaylist, history: History, seq: int, *, by: UserId) -> list[OwnIntent]:
    """What takes the step back. Raises Rejected: only one's own, and only while it is remembered."""
    older, entry = history.at(seq)
    if entry.by != by:
        raise Rejected(Code.FORBIDDEN, f"undo rejected: step {seq} is another's")
    before, after = view_at(live, older.heads), view_at(live, entry.heads)
    return carried(changes(after, before), after, live.view(), by=by, put_back=True)


def restore(live: LivePlaylist, history: History, seq: int, *, by: UserId) -> list[list[OwnIntent]]:
    """What makes the list as it was after step `seq`, in batches to stage one by one. Votes stay."""
    now = live.view()
    steps = [
        step
        for step in changes(now, view_at(live, history.of(seq).heads))
        if not isinstance(step, MarkSet) or step.map in {"meta", "notes"}
    ]
    intents = carried(steps, now, now, by=by, put_back=True)
    return [intents[start : start + BATCH] for start in range(0, len(intents), BATCH)]


def rebased(base: PlaylistView, local: PlaylistView, now: PlaylistView, *, by: UserId) -> list[Intent]:
    """Edits made on `base` that led to `local`, as intents for the list as it is `now`.

    For another epoch, and for a client that forgot its operations after a refusal. Never a raw merge: the
    histories have nothing in common.
    """
    steps = changes(base, local)
    return [
        intent
        for intent in carried(steps, base, now, by=by, put_back=False)
        if not isinstance(intent, PutBack)
    ]


def carried(
    steps: Sequence[Change], before: PlaylistView, now: PlaylistView, *, by: UserId, put_back: bool
) -> list[OwnIntent]:
    """Each step as an intent, unless somebody has since removed or changed what it is about.

    `before` is the view the steps start from. `put_back`: items return as they were, not as new ones of `by`.
    """
    old = {item.item_id: item for item in before.items}
    here = {item.item_id: item for item in now.items}
    coming: set[ItemId] = set()
    found: list[OwnIntent] = []
    gone = tuple(step.item_id for step in steps if isinstance(step, Removed) and step.item_id in here)
    if gone:
        found.append(RemoveItems(item_ids=gone))
    for step in steps:
        match step:
            case Removed():
                pass
            case Added(item=item, after=after):
                if item.item_id in here:
                    continue
                if put_back:
                    found.append(PutBack(item=item, after=after))
                else:
                    track = Track(item_id=item.item_id, uri=item.uri)
                    found.append(AddItems(tracks=(track,), after=after, at_top=after is None))
                coming.add(item.item_id)
            case Moved(item_id=item_id, after=after):
                if item_id in here and (after is None or after in here or after in coming):
                    found.append(MoveItems(item_ids=(item_id,), after=after))
            case Replaced(item=item):
                current = here.get(item.item_id)
                if current is not None and current == old.get(item.item_id):
                    found.append(SetTrack(item_id=item.item_id, uri=item.uri))
            case MarkSet():
                intent = _mark(step, before, now, by=by)
                if intent is not None:
                    found.append(intent)
    return found


def _mark(step: MarkSet, before: PlaylistView, now: PlaylistView, *, by: UserId) -> Intent | None:
    """None when another wrote the entry since, or it is not for `by` to write."""
    old, current = _entries(before, step.map), _entries(now, step.map)
    if old.get(step.key) != current.get(step.key):
        return None
    parts = step.key.split("|")
    here = {item.item_id for item in now.items}
    if step.map == "meta":
        return SetMeta(key=step.key, value=step.value if isinstance(step.value, str) else None)
    if parts[0] not in here:
        return None
    match step.map, parts:
        case "notes", [item_id]:
            return SetNote(item_id=item_id, text=step.value if isinstance(step.value, str) else "")
        case "votes", [item_id, user_id] if user_id == by:
            return Vote(item_id=item_id, value=step.value if isinstance(step.value, int) else 0)
        case "reacts", [item_id, user_id, emoji] if user_id == by:
            return React(item_id=item_id, emoji=emoji, on=step.value is not None)
        case _:
            return None


def _entries(view: PlaylistView, name: str) -> dict[str, str | int]:
    match name:
        case "meta":
            return meta_values(view.meta)
        case "notes":
            return dict(view.notes)
        case "votes":
            return dict(view.votes)
        case _:
            return dict(view.reacts)

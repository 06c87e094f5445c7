"""The list as it stands: items in order, details and marks, read from a replica and kept in step with it.

Also what is made of it: typed views, pages, the digest, and what changed between two of them.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec

from kernel.ids import UserId
from playlists.items import (
    Item,
    ItemId,
    Meta,
    item_of,
    marked_item,
    meta_of,
    reaction_key,
    value_of,
    vote_key,
)
from playlists.loro_doc import MAPS, Replica, Value

PAGE_MAX = 100
DIFF_MAX = 500
"""A longer difference is not told step by step: whoever missed it reads the list again."""


class NotAPlaylist(Exception):
    """The document holds something that is not an item, or one item twice."""


class PlaylistView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole list, typed. Built once per version and shared by all who read."""

    meta: Meta
    items: tuple[Item, ...]
    notes: Mapping[str, str]
    """By item id."""
    votes: Mapping[str, int]
    """`item|user` to -1 or 1."""
    reacts: Mapping[str, int]
    """`item|user|emoji` to 1."""

    def score(self, item_id: ItemId) -> int:
        return sum(value for key, value in self.votes.items() if marked_item(key) == item_id)


class ItemPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some items. `after` continues behind the last one by its id, so that edits before it skip nothing."""

    items: tuple[Item, ...]
    offset: int
    total: int
    after: ItemId | None
    """None at the end of the list."""


class Added(msgspec.Struct, frozen=True, kw_only=True, tag="add"):
    item: Item
    after: ItemId | None
    """None: at the top."""


class Removed(msgspec.Struct, frozen=True, kw_only=True, tag="remove"):
    item_id: ItemId


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag="move"):
    item_id: ItemId
    after: ItemId | None


class Replaced(msgspec.Struct, frozen=True, kw_only=True, tag="set"):
    item: Item


class MarkSet(msgspec.Struct, frozen=True, kw_only=True, tag="mark"):
    """An entry of meta, notes, votes or reacts."""

    map: str
    key: str
    value: str | int | None
    """None: it is gone."""


Change = Added | Removed | Moved | Replaced | MarkSet
"""Applied in order, they turn one view into the other: removals, then from top to bottom, then the marks."""


class Contents:
    """A replica's state as Python values. Mutable: it follows the replica operation by operation."""

    __slots__ = ("items", "maps", "order")

    def __init__(
        self, order: list[ItemId], items: dict[ItemId, Item], maps: dict[str, dict[str, Value]]
    ) -> None:
        self.order = order
        self.items = items
        self.maps = maps

    @classmethod
    def read(cls, replica: Replica) -> "Contents":
        """Raises NotAPlaylist."""
        order, items = cls.read_items(replica)
        return cls(order, items, {name: replica.map_of(name) for name in MAPS})

    @staticmethod
    def read_items(
        replica: Replica, known: Mapping[ItemId, Item] | None = None
    ) -> tuple[list[ItemId], dict[ItemId, Item]]:
        """An id twice stays twice in the order: a repair takes the second away. Raises NotAPlaylist.

        `known` saves the making of items that are as they were.
        """
        order: list[ItemId] = []
        items: dict[ItemId, Item] = {}
        for value in replica.items():
            item = known.get(ItemId(str(value.get("i")))) if known and isinstance(value, dict) else None
            if item is None or value_of(item) != value:
                item = item_of(value)
            if item is None:
                raise NotAPlaylist(f"place {len(order)} holds no item")
            order.append(item.item_id)
            items.setdefault(item.item_id, item)
        return order, items

    def view(self) -> PlaylistView:
        maps = self.maps
        return PlaylistView(
            meta=meta_of(dict(maps["meta"])),
            items=tuple(self.items[item_id] for item_id in self.order),
            notes={key: value for key, value in maps["notes"].items() if isinstance(value, str)},
            votes={key: value for key, value in maps["votes"].items() if isinstance(value, int)},
            reacts={key: value for key, value in maps["reacts"].items() if isinstance(value, int)},
        )

    def meta(self) -> Meta:
        return meta_of(dict(self.maps["meta"]))


def page(
    view: PlaylistView, *, after: ItemId | None = None, offset: int | None = None, limit: int = PAGE_MAX
) -> ItemPage:
    """Items behind `after`, or from `offset`; an item that is gone meanwhile counts as the top."""
    start = offset or 0
    if after is not None:
        start = next((at + 1 for at, item in enumerate(view.items) if item.item_id == after), start)
    items = view.items[start : start + max(1, min(limit, PAGE_MAX))]
    ends = start + len(items) >= len(view.items)
    return ItemPage(
        items=items,
        offset=start,
        total=len(view.items),
        after=None if ends or not items else items[-1].item_id,
    )


def digest(contents: Contents) -> str:
    """What two replicas at one version must agree on: 32 hex digits.

    blake2b-128 over JSON without spaces: [items, meta, notes, votes, reacts]; an item is [i, t, by, at], a
    map a list of [key, value] sorted as JavaScript sorts text (UTF-16 units). Values stand as the document
    has them.
    """
    items = [
        [item.item_id, item.uri, item.added_by, item.added_at_ms]
        for item in (contents.items[item_id] for item_id in contents.order)
    ]
    maps = [_pairs(contents.maps[name]) for name in MAPS]
    text = json.dumps([items, *maps], ensure_ascii=False, separators=(",", ":"))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _pairs(values: Mapping[str, Value]) -> list[list[Value]]:
    keys = sorted(values, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
    return [[key, values[key]] for key in keys]


def changes(before: PlaylistView, after: PlaylistView) -> list[Change]:
    """What turns `before` into `after`, with as few moves as there can be."""
    old = {item.item_id: item for item in before.items}
    new = {item.item_id: item for item in after.items}
    found: list[Change] = [Removed(item_id=item_id) for item_id in old if item_id not in new]
    kept = [item.item_id for item in before.items if item.item_id in new]
    place = {item_id: at for at, item_id in enumerate(kept)}
    stay = _longest_run([place[item.item_id] for item in after.items if item.item_id in place])
    previous: ItemId | None = None
    for item in after.items:
        item_id = item.item_id
        if item_id not in old:
            found.append(Added(item=item, after=previous))
        elif place[item_id] not in stay:
            found.append(Moved(item_id=item_id, after=previous))
        if item_id in old and old[item_id] != item:
            found.append(Replaced(item=item))
        previous = item_id
    return [*found, *_mark_changes(before, after)]


def _mark_changes(before: PlaylistView, after: PlaylistView) -> list[MarkSet]:
    found = []
    for name, old, new in (
        ("meta", meta_values(before.meta), meta_values(after.meta)),
        ("notes", before.notes, after.notes),
        ("votes", before.votes, after.votes),
        ("reacts", before.reacts, after.reacts),
    ):
        if old == new:
            continue
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                found.append(MarkSet(map=name, key=key, value=new.get(key)))
    return found


def meta_values(meta: Meta) -> dict[str, str | int]:
    """The entries of the document's map that differ from what is there without any."""
    values = {
        "name": meta.name,
        "desc": meta.description,
        "cover": meta.cover,
        "dups": meta.policy.dups.value,
        "remove": meta.policy.remove.value,
        "wins": meta.policy.wins.value,
    }
    unset = Meta().policy
    defaults = {"dups": unset.dups.value, "remove": unset.remove.value, "wins": unset.wins.value}
    return {key: value for key, value in values.items() if value and value != defaults.get(key)}


def applied(items: Iterable[Item], steps: Iterable[Change]) -> tuple[Item, ...]:
    """The items after the changes: what a client without a document of its own does with a difference."""
    now = list(items)

    def place_of(item_id: ItemId | None) -> int:
        return next((at for at, item in enumerate(now) if item.item_id == item_id), -1)

    for step in steps:
        match step:
            case Added():
                now.insert(place_of(step.after) + 1, step.item)
            case Removed():
                now.pop(place_of(step.item_id))
            case Moved():
                item = now.pop(place_of(step.item_id))
                now.insert(place_of(step.after) + 1, item)
            case Replaced():
                now[place_of(step.item.item_id)] = step.item
            case MarkSet():
                pass
    return tuple(now)


def _longest_run(places: list[int]) -> set[int]:
    """A longest increasing subsequence: the items that need not move. Patience sorting, n log n."""
    ends: list[int] = []  # position in `places` of the smallest end of a run of each length
    previous = [-1] * len(places)
    for at, value in enumerate(places):
        low, high = 0, len(ends)
        while low < high:
            middle = (low + high) // 2
            if places[ends[middle]] < value:
                low = middle + 1
            else:
                high = middle
        previous[at] = ends[low - 1] if low else -1
        ends[low : low + 1] = [at]
    run: set[int] = set()
    at = ends[-1] if ends else -1
    while at >= 0:
        run.add(places[at])
        at = previous[at]
    return run


def votes_of(view: PlaylistView, user_id: UserId, item_id: ItemId) -> int:
    """-1, 0 or 1."""
    return view.votes.get(vote_key(item_id, user_id), 0)


def reacted(view: PlaylistView, user_id: UserId, item_id: ItemId, emoji: str) -> bool:
    return reaction_key(item_id, user_id, emoji) in view.reacts

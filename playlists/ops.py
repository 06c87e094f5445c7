"""The operations of an update as typed values, read from Loro's JSON form of them.

The text is judged before it is parsed: a value nested thousands deep takes a process down when it is read
carelessly. Loro's exporter itself bears the depth that fits into an update of 32 KiB. Whatever is no edit of
a playlist (another container, a container in a value, an unknown operation) raises `NotAnEdit`.
"""

import re
from collections.abc import Iterator

import msgspec

from playlists.items import (
    COVER_CHARS_MAX,
    EMOJI_CHARS_MAX,
    META_POLICIES,
    META_TEXTS,
    NOTE_CHARS_MAX,
    SEPARATOR,
    Item,
    is_item_id,
    is_text,
    item_of,
)
from playlists.loro_doc import MAPS

DEPTH_MAX = 12
"""Loro's own frame takes 7 levels around an item; anything deeper is refused."""
KEY_CHARS_MAX = 200
MESSAGE_CHARS_MAX = 64
COUNTER_MAX = (1 << 31) - 1

_ITEMS = "cid:root-items:MovableList"
_MAPS = {f"cid:root-{name}:Map": name for name in MAPS}
_ID = re.compile(r"([0-9]{1,10})@([0-9]{1,20})\Z")
# A text counts as one piece, so that brackets inside it do not; possessive: no backtracking (Python 3.11).
_BRACKETS = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ELEMENT = re.compile(r"L([0-9]{1,10})@([0-9]{1,20})\Z")

OpId = tuple[int, int]
"""(peer, counter)"""
ElementId = tuple[int, int]
"""(peer, Lamport time) of the operation that inserted the item."""


class NotAnEdit(Exception):
    """The update holds something that is no edit of a playlist. `str` says what, `counter` where."""

    def __init__(self, what: str, counter: int | None = None) -> None:
        super().__init__(what, counter)
        self.what = what
        self.counter = counter
        """Counter of the operation; None when it is about the whole."""


class InsertItems(msgspec.Struct, frozen=True, kw_only=True):
    counter: int
    """Of the first item; the others follow."""
    index: int
    items: tuple[Item, ...]


class DeleteItems(msgspec.Struct, frozen=True, kw_only=True):
    counter: int
    index: int
    """Smallest index deleted, in the author's list at that moment."""
    count: int
    places: tuple[int, int]
    """(peer, counter) of the operation that made the first place deleted; the others are next to it."""


class MoveItem(msgspec.Struct, frozen=True, kw_only=True):
    counter: int
    index: int
    to: int
    element: ElementId


class SetItem(msgspec.Struct, frozen=True, kw_only=True):
    counter: int
    element: ElementId
    item: Item


class PutMark(msgspec.Struct, frozen=True, kw_only=True):
    counter: int
    map: str
    key: str
    value: str | int


class DropMark(msgspec.Struct, frozen=True, kw_only=True):
    counter: int
    map: str
    key: str


Op = InsertItems | DeleteItems | MoveItem | SetItem | PutMark | DropMark


class AuthoredChange(msgspec.Struct, frozen=True, kw_only=True):
    """Operations written in one go."""

    peer: int
    counter: int
    timestamp_s: int
    deps: tuple[OpId, ...]
    """The newest operations that its author knew."""
    ops: tuple[Op, ...]


class _Content(msgspec.Struct, frozen=True):
    type: str
    pos: int | None = None
    value: object = None
    len: int | None = None
    start_id: str | None = None
    from_: int | None = msgspec.field(default=None, name="from")
    to: int | None = None
    elem_id: str | None = None
    key: str | None = None


class _Op(msgspec.Struct, frozen=True):
    container: str
    content: _Content
    counter: int


class _Change(msgspec.Struct, frozen=True):
    id: str
    timestamp: int
    deps: tuple[str, ...]
    ops: tuple[_Op, ...]
    msg: str | None = None


_DECODER = msgspec.json.Decoder(tuple[_Change, ...])


def read_changes(text: str) -> tuple[AuthoredChange, ...]:
    """Raises NotAnEdit."""
    if not is_shallow(text):
        raise NotAnEdit(f"a value is nested more than {DEPTH_MAX} deep")
    try:
        changes = _DECODER.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NotAnEdit(f"operations cannot be read: {str(error)[:120]}") from None
    return tuple(_change(change) for change in changes)


def is_shallow(text: str) -> bool:
    """Whether no bracket outside of a text stands deeper than DEPTH_MAX."""
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return True
    depth = 0
    for match in _BRACKETS.finditer(text):
        sign = match.group(0)[0]
        if sign in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                return False
        elif sign in "]}":
            depth -= 1
    return True


def _change(change: _Change) -> AuthoredChange:
    if change.msg is not None and len(change.msg) > MESSAGE_CHARS_MAX:
        raise NotAnEdit(f"the message of a change is longer than {MESSAGE_CHARS_MAX} characters")
    peer, counter = _op_id(_ID, change.id)
    return AuthoredChange(
        peer=peer,
        counter=counter,
        timestamp_s=change.timestamp,
        deps=tuple(_op_id(_ID, dep) for dep in change.deps),
        ops=tuple(_ops(change)),
    )


def _ops(change: _Change) -> Iterator[Op]:
    for op in change.ops:
        if op.container == _ITEMS:
            yield _list_op(op)
        elif name := _MAPS.get(op.container):
            yield _map_op(op, name)
        else:
            raise NotAnEdit(f"container {op.container[:80]} is none of a playlist's", op.counter)


def _list_op(op: _Op) -> Op:
    match op.content:
        case _Content(type="insert", pos=int() as pos, value=list() as values):
            items = tuple(_item(value, op.counter) for value in values)
            return InsertItems(counter=op.counter, index=pos, items=items)
        case _Content(type="delete", pos=int() as pos, len=int() as size, start_id=str() as start):
            # A negative length counts from the last one backwards; `start_id` is the first place either way.
            first = pos if size > 0 else pos + size + 1
            return DeleteItems(
                counter=op.counter, index=first, count=abs(size), places=_op_id(_ID, start, op.counter)
            )
        case _Content(type="move", from_=int() as index, to=int() as to, elem_id=str() as element):
            return MoveItem(
                counter=op.counter, index=index, to=to, element=_op_id(_ELEMENT, element, op.counter)
            )
        case _Content(type="set", elem_id=str() as element, value=value):
            return SetItem(
                counter=op.counter,
                element=_op_id(_ELEMENT, element, op.counter),
                item=_item(value, op.counter),
            )
        case content:
            raise NotAnEdit(f"operation {content.type[:20]} on the items is not known", op.counter)


def _map_op(op: _Op, name: str) -> Op:
    match op.content:
        case _Content(type="insert", key=str() as key, value=value):
            return PutMark(
                counter=op.counter, map=name, key=_key(name, key, op), value=_mark(name, key, value, op)
            )
        case _Content(type="delete", key=str() as key):
            return DropMark(counter=op.counter, map=name, key=_key(name, key, op))
        case content:
            raise NotAnEdit(f"operation {content.type[:20]} on {name} is not known", op.counter)


def _item(value: object, counter: int) -> Item:
    item = item_of(value)
    if item is None:
        raise NotAnEdit("a value in the list is no item", counter)
    return item


def _key(name: str, key: str, op: _Op) -> str:
    parts = key.split(SEPARATOR)
    match name, parts:
        case "meta", [word] if word in META_TEXTS or word in META_POLICIES:
            return key
        case "notes", [item_id] if is_item_id(item_id):
            return key
        case "votes", [item_id, user_id] if is_item_id(item_id) and user_id and len(key) <= KEY_CHARS_MAX:
            return key
        case "reacts", [item_id, user_id, emoji] if (
            is_item_id(item_id)
            and user_id
            and 0 < len(emoji) <= EMOJI_CHARS_MAX
            and len(key) <= KEY_CHARS_MAX
        ):
            return key
        case _:
            raise NotAnEdit(f"{name} has no key {key[:60]!r}", op.counter)


def _mark(name: str, key: str, value: object, op: _Op) -> str | int:
    match name, value:
        case "meta", str() if key in META_TEXTS and is_text(value, META_TEXTS.get(key, COVER_CHARS_MAX)):
            return value
        case "meta", str() if key in META_POLICIES and value in {word.value for word in META_POLICIES[key]}:
            return value
        case "notes", str() if is_text(value, NOTE_CHARS_MAX):
            return value
        case "votes", int() if value in {-1, 1} and not isinstance(value, bool):
            return value
        case "reacts", int() if value == 1 and not isinstance(value, bool):
            return value
        case _:
            raise NotAnEdit(f"this is no value for {name}", op.counter)


def _op_id(pattern: re.Pattern[str], text: str, counter: int | None = None) -> OpId:
    match = pattern.match(text)
    if match is None or int(match.group(1)) > COUNTER_MAX or int(match.group(2)) >= 1 << 64:
        raise NotAnEdit(f"{text[:40]!r} names no operation", counter)
    return (int(match.group(2)), int(match.group(1)))

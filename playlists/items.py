"""What a playlist is made of: items, details, policies, and the limits that hold for each value.

An item is one plain value with an id of its own; neither its track nor its place identifies it. What changes
often hangs on the item's id in side maps: notes, votes, reactions.
"""

import re
from enum import StrEnum
from typing import NewType, TypeGuard, TypeVar

import msgspec

from kernel.ids import URI_SCHEME, Uri, UserId
from kernel.units import Millis

ItemId = NewType("ItemId", str)
"""16 hex digits, made by whoever adds the item, never used twice."""

ITEMS_MAX = 10_000
ADD_MAX = 200
"""Tracks in one intent to add."""
NAME_CHARS_MAX = 200
DESC_CHARS_MAX = 500
COVER_CHARS_MAX = 300
NOTE_CHARS_MAX = 500
EMOJI_CHARS_MAX = 16
MARKS_MAX = 20_000
"""Entries of each of notes, votes and reactions."""
SEPARATOR = "|"
CONTAINER_SIGN = "\U0001f99c:"
"""How Loro's JSON writes a container inside a value: never a text of ours."""

_ITEM_ID = re.compile(r"[0-9a-f]{16}\Z")
# What `kernel.ids.parse_uri` takes, of the kinds that play; one match, since ten thousand are read at once.
_PLAYABLE = re.compile(rf"{URI_SCHEME}:(?:track|episode):[0-9A-Za-z]{{22}}\Z")
_Choice = TypeVar("_Choice", bound=StrEnum)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the list."""

    item_id: ItemId
    uri: Uri
    added_by: UserId
    added_at_ms: Millis


class Dups(StrEnum):
    ALLOW = "allow"
    REFUSE = "refuse"
    """Of two items with one track the one added first stays."""


class Removal(StrEnum):
    """Whose items a contributor may remove and move."""

    OWN = "own"
    ANY = "any"


class Wins(StrEnum):
    """What becomes of an item removed by one while another moves it."""

    REMOVE = "remove"
    MOVE = "move"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    dups: Dups = Dups.ALLOW
    remove: Removal = Removal.OWN
    wins: Wins = Wins.REMOVE


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """Details of the list; the last writer wins each field."""

    name: str = ""
    description: str = ""
    cover: str = ""
    """Key of a blob, or empty."""
    policy: Policy = Policy()


USER_CHARS_MAX = 128

META_TEXTS = {"name": NAME_CHARS_MAX, "desc": DESC_CHARS_MAX, "cover": COVER_CHARS_MAX}
"""Keys any editor may set, with their longest text."""
META_POLICIES: dict[str, type[StrEnum]] = {"dups": Dups, "remove": Removal, "wins": Wins}
"""Keys the owner alone may set."""


_WORDS: dict[type[StrEnum], frozenset[str]] = {
    kind: frozenset(member.value for member in kind) for kind in META_POLICIES.values()
}


def is_policy_word(key: str, value: object) -> bool:
    """Whether the policy `key` can have this value."""
    return isinstance(value, str) and value in _WORDS[META_POLICIES[key]]


def is_item_id(text: object) -> TypeGuard[ItemId]:
    return isinstance(text, str) and _ITEM_ID.match(text) is not None


def is_playable_uri(text: object) -> TypeGuard[Uri]:
    return isinstance(text, str) and _PLAYABLE.match(text) is not None


def is_text(value: object, chars_max: int) -> bool:
    return isinstance(value, str) and len(value) <= chars_max and not value.startswith(CONTAINER_SIGN)


def item_of(value: object) -> Item | None:
    """The item that a value of the document is; None for anything that is no item."""
    if not isinstance(value, dict) or len(value) != 4:
        return None
    item_id, uri, user_id, at_ms = value.get("i"), value.get("t"), value.get("by"), value.get("at")
    if not (is_item_id(item_id) and is_playable_uri(uri) and type(at_ms) is int):
        return None
    if not isinstance(user_id, str) or len(user_id) > USER_CHARS_MAX:
        return None
    return Item(item_id=item_id, uri=uri, added_by=UserId(user_id), added_at_ms=Millis(at_ms))


def value_of(item: Item) -> dict[str, str | int]:
    return {"i": item.item_id, "t": item.uri, "by": item.added_by, "at": item.added_at_ms}


def meta_of(values: dict[str, object]) -> Meta:
    """Typed details; what is missing or makes no sense has its default."""

    def text(key: str) -> str:
        value = values.get(key)
        return value if isinstance(value, str) else ""

    def choice(kind: type[_Choice], key: str, default: _Choice) -> _Choice:
        value = values.get(key)
        known = _WORDS[kind]
        return kind(value) if isinstance(value, str) and value in known else default

    policy = Policy(
        dups=choice(Dups, "dups", Dups.ALLOW),
        remove=choice(Removal, "remove", Removal.OWN),
        wins=choice(Wins, "wins", Wins.REMOVE),
    )
    return Meta(name=text("name"), description=text("desc"), cover=text("cover"), policy=policy)


def vote_key(item_id: ItemId, user_id: UserId) -> str:
    return f"{item_id}{SEPARATOR}{user_id}"


def reaction_key(item_id: ItemId, user_id: UserId, emoji: str) -> str:
    return f"{item_id}{SEPARATOR}{user_id}{SEPARATOR}{emoji}"


def marked_item(key: str) -> ItemId:
    """The item that a key of notes, votes or reactions speaks of."""
    return ItemId(key.split(SEPARATOR, 1)[0])

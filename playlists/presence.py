"""Who is here and what they touch. Stamped by the server, gone after 30 s, never part of the document.

Clocks of clients are not asked: one that is wrong would hide its user. What is touched is named by item id,
which survives moves. Full: beyond `MEMBERS_MAX` the newest are only counted.
"""

from collections.abc import Mapping

import msgspec

from kernel.ids import UserId
from kernel.units import Millis
from playlists.items import ItemId, is_item_id

TTL_MS = Millis(30_000)
INTERVAL_MS = Millis(100)
"""One member is shown at most ten times a second; what comes faster waits for the next time."""
SHOWN_MAX = 50
MEMBERS_MAX = 2_000
DOING = frozenset({"", "looking", "dragging", "adding", "typing"})


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """One open editor."""

    editor_id: str
    user_id: UserId
    item_id: ItemId | None = None
    doing: str = ""
    at_ms: Millis
    """Server time of the last sign."""
    since_ms: Millis


class PresenceView(msgspec.Struct, frozen=True, kw_only=True):
    """What is pushed: everybody, or only the number when they are many."""

    count: int
    here: tuple[Here, ...]
    """Who has been here longest first; empty above SHOWN_MAX."""


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    members: Mapping[str, Here] = {}
    shown_at_ms: Millis = Millis(0)
    """When the room was last told; `due` waits INTERVAL_MS from it."""
    is_changed: bool = False


def touched(
    presence: Presence, *, editor_id: str, user_id: UserId, item_id: str | None, doing: str, now_ms: Millis
) -> Presence:
    """With the sign that the editor just gave; anything that makes no sense counts as a mere sign of life."""
    before = presence.members.get(editor_id)
    if before is None and len(presence.members) >= MEMBERS_MAX:
        return presence
    here = Here(
        editor_id=editor_id,
        user_id=user_id,
        item_id=ItemId(item_id) if item_id is not None and is_item_id(item_id) else None,
        doing=doing if doing in DOING else "",
        at_ms=now_ms,
        since_ms=before.since_ms if before else now_ms,
    )
    moved = before is None or (before.item_id, before.doing) != (here.item_id, here.doing)
    return Presence(
        members={**presence.members, editor_id: here},
        shown_at_ms=presence.shown_at_ms,
        is_changed=presence.is_changed or moved,
    )


def left(presence: Presence, editor_id: str) -> Presence:
    if editor_id not in presence.members:
        return presence
    members = {key: here for key, here in presence.members.items() if key != editor_id}
    return Presence(members=members, shown_at_ms=presence.shown_at_ms, is_changed=True)


def due(presence: Presence, *, now_ms: Millis) -> tuple[Presence, PresenceView | None]:
    """What to tell the room now, None when there is nothing or it is too early. Drops who fell silent."""
    members = {key: here for key, here in presence.members.items() if here.at_ms + TTL_MS > now_ms}
    changed = presence.is_changed or len(members) != len(presence.members)
    if not changed or now_ms < presence.shown_at_ms + INTERVAL_MS:
        return Presence(members=members, shown_at_ms=presence.shown_at_ms, is_changed=changed), None
    return Presence(members=members, shown_at_ms=now_ms), shown(members)


def shown(members: Mapping[str, Here]) -> PresenceView:
    if len(members) > SHOWN_MAX:
        return PresenceView(count=len(members), here=())
    return PresenceView(
        count=len(members),
        here=tuple(sorted(members.values(), key=lambda here: (here.since_ms, here.editor_id))),
    )

"""Edits said by item id, for clients without a document of their own, REST, undo and restore.

An intent means the same whatever the others do meanwhile: it names items, never places. The server's peer
turns it into operations; the user's rights are judged here, as the gate judges operations.
"""

from collections.abc import Sequence
from typing import Annotated, assert_never

import msgspec
from msgspec.structs import replace

from kernel.errors import Code, Rejected
from kernel.ids import Uri
from kernel.units import Millis
from playlists.access import Role
from playlists.gate import Admitted, Author, Draft, Touch
from playlists.items import (
    ADD_MAX,
    EMOJI_CHARS_MAX,
    ITEMS_MAX,
    MARKS_MAX,
    META_POLICIES,
    META_TEXTS,
    NOTE_CHARS_MAX,
    SEPARATOR,
    Item,
    ItemId,
    Removal,
    is_item_id,
    is_playable_uri,
    is_policy_word,
    is_text,
    reaction_key,
    value_of,
    vote_key,
)
from playlists.loro_doc import Peer, Value, Writer
from playlists.repairs import own_message

INTENTS_MAX = 500
IdText = Annotated[str, msgspec.Meta(max_length=32)]


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One track to add. The id is made by whoever adds it, so that a repeat adds nothing."""

    item_id: IdText
    uri: Annotated[str, msgspec.Meta(max_length=128)]


class AddItems(msgspec.Struct, frozen=True, kw_only=True, tag="add"):
    tracks: Annotated[tuple[Track, ...], msgspec.Meta(max_length=ADD_MAX)]
    after: IdText | None = None
    """None: at the end, unless `at_top`."""
    at_top: bool = False


class MoveItems(msgspec.Struct, frozen=True, kw_only=True, tag="move"):
    item_ids: Annotated[tuple[IdText, ...], msgspec.Meta(max_length=INTENTS_MAX)]
    after: IdText | None = None
    """The items come behind it in the order given; None: to the top."""


class RemoveItems(msgspec.Struct, frozen=True, kw_only=True, tag="remove"):
    item_ids: Annotated[tuple[IdText, ...], msgspec.Meta(max_length=ITEMS_MAX)]


class SetTrack(msgspec.Struct, frozen=True, kw_only=True, tag="set"):
    item_id: IdText
    uri: Annotated[str, msgspec.Meta(max_length=128)]


class SetMeta(msgspec.Struct, frozen=True, kw_only=True, tag="meta"):
    key: Annotated[str, msgspec.Meta(max_length=16)]
    value: Annotated[str, msgspec.Meta(max_length=500)] | None
    """None takes the entry away."""


class SetNote(msgspec.Struct, frozen=True, kw_only=True, tag="note"):
    item_id: IdText
    text: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)]
    """Empty takes it away."""


class Vote(msgspec.Struct, frozen=True, kw_only=True, tag="vote"):
    item_id: IdText
    value: Annotated[int, msgspec.Meta(ge=-1, le=1)]


class React(msgspec.Struct, frozen=True, kw_only=True, tag="react"):
    item_id: IdText
    emoji: Annotated[str, msgspec.Meta(min_length=1, max_length=EMOJI_CHARS_MAX)]
    on: bool = True


class PutBack(msgspec.Struct, frozen=True, kw_only=True, tag="put_back"):
    """Of undo and restore alone, never taken from a client: an item as it was, at its place."""

    item: Item
    after: IdText | None = None


Intent = AddItems | MoveItems | RemoveItems | SetTrack | SetMeta | SetNote | Vote | React
"""What a client may say."""
OwnIntent = Intent | PutBack


def perform(
    draft: Draft, intents: Sequence[OwnIntent], author: Author, peer: Peer, *, now_ms: Millis
) -> tuple[bytes, Admitted]:
    """The update that the intents came to, made in the draft, b"" when all was so already.

    Raises Rejected; the draft is to be thrown away then.
    """
    if len(intents) > INTENTS_MAX:
        raise Rejected(Code.BAD_REQUEST, f"{len(intents)} intents, at most {INTENTS_MAX} are taken at once")
    start = draft.replica.counter(peer)
    hand: _Hand | None = None

    def edit(writer: Writer) -> None:
        nonlocal hand
        hand = _Hand(draft, writer, author, now_ms)
        for intent in intents:
            hand.perform(intent)

    failed: list[Rejected] = []

    def guarded(writer: Writer) -> None:
        try:
            edit(writer)
        except Rejected as error:
            failed.append(error)

    update = draft.replica.write(peer, guarded, message=own_message(draft, peer), now_ms=now_ms)
    if failed:
        raise failed[0]
    touches, grew = (tuple(hand.touches), hand.grew) if hand is not None else ((), False)
    end = draft.replica.counter(peer)
    return update, Admitted(start=start, end=end, touches=touches, returned=(), grew=grew)


class _Hand:
    """Carries intents out, keeping the draft's contents in step."""

    def __init__(self, draft: Draft, writer: Writer, author: Author, now_ms: Millis) -> None:
        self.draft = draft
        self.contents = draft.contents
        self.writer = writer
        self.author = author
        self.now_ms = now_ms
        self.policy = draft.contents.meta().policy
        self.touches: list[Touch] = []
        self.grew = False

    def perform(self, intent: OwnIntent) -> None:
        match intent:
            case AddItems():
                self._add(intent)
            case PutBack():
                self._put_back(intent)
            case MoveItems():
                self._move(intent)
            case RemoveItems():
                self._remove(intent)
            case SetTrack():
                self._set(intent)
            case SetMeta():
                self._set_meta(intent)
            case SetNote():
                item = self._item(intent.item_id, "note")
                if self.author.role < Role.EDITOR and item.added_by != self.author.user_id:
                    raise Rejected(Code.FORBIDDEN, "note rejected: the item is another's")
                self._mark("notes", item.item_id, intent.text or None, item.item_id)
            case Vote():
                item = self._item(intent.item_id, "vote")
                self._mark(
                    "votes", vote_key(item.item_id, self.author.user_id), intent.value or None, item.item_id
                )
            case React():
                if SEPARATOR in intent.emoji:
                    raise Rejected(Code.BAD_REQUEST, "react rejected: that is no emoji")
                item = self._item(intent.item_id, "react")
                key = reaction_key(item.item_id, self.author.user_id, intent.emoji)
                self._mark("reacts", key, 1 if intent.on else None, item.item_id)
            case _:
                assert_never(intent)

    def _place_after(self, after: str | None) -> int:
        """Behind the item; where there is none (any more), the top for None and else the end."""
        if after is None:
            return 0
        try:
            return self.contents.order.index(ItemId(after)) + 1
        except ValueError:
            return len(self.contents.order)

    def _add(self, intent: AddItems) -> None:
        place = self._place_after(intent.after)
        if intent.after is None and not intent.at_top:
            place = len(self.contents.order)
        for track in intent.tracks:
            item_id = ItemId(track.item_id)
            known = self.contents.items.get(item_id)
            if known is not None and (known.uri, known.added_by) == (track.uri, self.author.user_id):
                continue  # a repeat
            if not is_item_id(item_id) or known is not None or item_id in self.draft.retired:
                raise Rejected(Code.BAD_REQUEST, f"add rejected: item id {item_id} is not a new one")
            if not is_playable_uri(track.uri):
                raise Rejected(Code.BAD_REQUEST, f"add rejected: {track.uri} is no track or episode")
            item = Item(
                item_id=item_id,
                uri=Uri(track.uri),
                added_by=self.author.user_id,
                added_at_ms=self.now_ms,
            )
            self._insert(place, item)
            place += 1

    def _put_back(self, intent: PutBack) -> None:
        if intent.item.item_id not in self.contents.items:
            self._insert(self._place_after(intent.after), intent.item)
            self.draft.retired.pop(intent.item.item_id, None)

    def _insert(self, place: int, item: Item) -> None:
        if len(self.contents.order) >= ITEMS_MAX:
            raise Rejected(Code.PLAYLIST_FULL, f"add rejected: the list holds {ITEMS_MAX} items, its most")
        self.writer.insert(place, value_of(item))
        self.contents.order.insert(place, item.item_id)
        self.contents.items[item.item_id] = item
        self.touches.append(Touch(what="add", item_id=item.item_id, uri=item.uri))
        self.grew = True

    def _move(self, intent: MoveItems) -> None:
        order = self.contents.order
        moving = [self._taken(item_id, "move") for item_id in dict.fromkeys(intent.item_ids)]
        previous = intent.after
        for item in moving:
            if previous == item.item_id:
                continue
            index = order.index(item.item_id)
            place = self._place_after(previous)
            to = place - 1 if index < place else place
            self.writer.move(index, to)
            order.insert(to, order.pop(index))
            self.touches.append(Touch(what="move", item_id=item.item_id, uri=item.uri))
            previous = item.item_id

    def _remove(self, intent: RemoveItems) -> None:
        order = self.contents.order
        for item_id in dict.fromkeys(intent.item_ids):
            if ItemId(item_id) not in self.contents.items:
                continue  # gone already: what was wanted is so
            item = self._taken(item_id, "remove")
            index = order.index(item.item_id)
            self.writer.delete(index)
            order.pop(index)
            self.draft.retire(self.contents.items.pop(item.item_id))
            self.touches.append(Touch(what="remove", item_id=item.item_id, uri=item.uri))

    def _taken(self, item_id: str, what: str) -> Item:
        item = self._item(item_id, what)
        free = self.author.role >= Role.EDITOR or self.policy.remove is Removal.ANY
        if not free and item.added_by != self.author.user_id:
            raise Rejected(Code.FORBIDDEN, f"{what} rejected: {item_id} was added by another")
        return item

    def _item(self, item_id: str, what: str) -> Item:
        item = self.contents.items.get(ItemId(item_id))
        if item is None:
            raise Rejected(Code.NOT_FOUND, f"{what} rejected: the list holds no item {item_id}")
        return item

    def _set(self, intent: SetTrack) -> None:
        before = self._item(intent.item_id, "set")
        if self.author.role < Role.EDITOR and before.added_by != self.author.user_id:
            raise Rejected(Code.FORBIDDEN, "set rejected: the item is another's")
        if not is_playable_uri(intent.uri):
            raise Rejected(Code.BAD_REQUEST, f"set rejected: {intent.uri} is no track or episode")
        if before.uri == intent.uri:
            return
        item = replace(before, uri=Uri(intent.uri))
        self.writer.replace(self.contents.order.index(item.item_id), value_of(item))
        self.contents.items[item.item_id] = item
        self.touches.append(Touch(what="set", item_id=item.item_id, uri=item.uri))
        self.grew = True

    def _set_meta(self, intent: SetMeta) -> None:
        key, value = intent.key, intent.value
        if key in META_TEXTS:
            needed, fits = Role.EDITOR, value is None or is_text(value, META_TEXTS[key])
        elif key in META_POLICIES:
            needed = Role.OWNER
            fits = value is None or is_policy_word(key, value)
        else:
            raise Rejected(Code.BAD_REQUEST, f"meta rejected: there is no {key}")
        if self.author.role < needed:
            raise Rejected(Code.FORBIDDEN, f"meta rejected: {key} takes a role of {needed.name.lower()}")
        if not fits:
            raise Rejected(Code.BAD_REQUEST, f"meta rejected: this is no value for {key}")
        self._mark("meta", key, value, None)
        self.policy = self.contents.meta().policy
        self.grew = self.grew or needed is Role.OWNER

    def _mark(self, name: str, key: str, value: str | int | None, item_id: ItemId | None) -> None:
        entries: dict[str, Value] = self.contents.maps[name]
        if entries.get(key) == value:
            return
        if value is None:
            self.writer.drop(name, key)
            entries.pop(key, None)
        else:
            if isinstance(value, str) and not is_text(value, NOTE_CHARS_MAX):
                raise Rejected(Code.BAD_REQUEST, f"{name} rejected: this is no text for it")
            if name != "meta" and key not in entries and len(entries) >= MARKS_MAX:
                raise Rejected(Code.PLAYLIST_FULL, f"{name} rejected: a playlist has at most {MARKS_MAX}")
            self.writer.put(name, key, value)
            entries[key] = value
        self.touches.append(Touch(what=name, item_id=item_id, key=key))

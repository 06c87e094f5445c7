"""The gate's abuse table: whatever is pushed against the rules leaves the document's bytes as they were."""

from collections.abc import Callable
from random import Random

import loro
import pytest
from msgspec.structs import replace

from kernel.errors import Code, Rejected
from kernel.ids import UserId
from kernel.units import Millis
from playlists.access import Role
from playlists.intents import SetMeta
from playlists.items import ITEMS_MAX, NAME_CHARS_MAX
from playlists.live import LivePlaylist
from playlists.loro_doc import UPDATE_BYTES_MAX
from playlists.ops import is_shallow
from tests.support.playlist_peers import (
    NOW_MS,
    Editor,
    author,
    item,
    lease_of,
    push,
    seeded,
    track,
    with_checksum,
)

Prepared = tuple[LivePlaylist, Editor]
Abuse = Callable[[LivePlaylist, Editor], bytes]


def prepared(role: Role = Role.CONTRIBUTOR, *, user: str = "eve") -> Prepared:
    """A list of ada's, and an editor who has all of it."""
    rng = Random(11)
    live = seeded(20, rng)
    editor = Editor(user, rng, role=role)
    editor.sync(live)
    editor.sent = editor.doc.oplog_vv
    return live, editor


def refusal(live: LivePlaylist, editor: Editor, update: bytes, *, now_ms: Millis = NOW_MS) -> Rejected:
    """Push it; the document must not change, and the same editor goes on under a new lease."""
    before, view = live.main.snapshot(), live.view()
    with pytest.raises(Rejected) as caught:
        push(live, editor, update, now_ms=now_ms)
    assert live.main.snapshot() == before
    assert live.view() == view
    fresh = lease_of(editor.user, editor.rng)
    editor.restart(live, fresh)
    editor.author = replace(editor.author, role=max(editor.author.role, Role.CONTRIBUTOR))
    record = push(live, editor, editor.add())
    assert record is not None
    assert live.view().items[-1].added_by == editor.user
    return caught.value


def inserts(value: object, *, name: str = "items") -> Abuse:
    def abuse(live: LivePlaylist, editor: Editor) -> bytes:
        return editor.edit(lambda doc: doc.get_movable_list(name).insert(0, value))  # type: ignore[arg-type]

    return abuse


def item_with(**other: object) -> Abuse:
    def abuse(live: LivePlaylist, editor: Editor) -> bytes:
        value = {**item(editor.rng, editor.user), **other}
        return editor.edit(lambda doc: doc.get_movable_list("items").insert(0, value))  # type: ignore[arg-type]

    return abuse


def on(change: Callable[[loro.LoroDoc], object]) -> Abuse:
    return lambda live, editor: editor.edit(lambda doc: (change(doc), None)[1])


def a_map() -> loro.LoroMap:
    return loro.LoroMap()  # type: ignore[no-untyped-call]  # Loro gives it no type


def first_id(live: LivePlaylist) -> str:
    return live.view().items[0].item_id


def many_ops(live: LivePlaylist, editor: Editor) -> bytes:
    def change(doc: loro.LoroDoc) -> None:
        for at in range(501):
            doc.get_map("meta").insert("name", f"n{at}")

    return editor.edit(change)


def gap(live: LivePlaylist, editor: Editor) -> bytes:
    editor.add()
    return editor.add()


def overlap(live: LivePlaylist, editor: Editor) -> bytes:
    first = editor.add()
    push(live, editor, first)
    editor.add()
    span = loro.IdSpan(editor.lease.peer, loro.CounterSpan(0, 2))
    return editor.doc.export(loro.ExportMode.UpdatesInRange([span]))


def foreign_peer(live: LivePlaylist, editor: Editor) -> bytes:
    other = Editor(editor.user, editor.rng)
    other.sync(live)
    other.sent = other.doc.oplog_vv
    return other.add()


def two_peers(live: LivePlaylist, editor: Editor) -> bytes:
    editor.merge(foreign_peer(live, editor))
    before = loro.VersionVector.decode(live.main.vv())
    editor.add()
    return editor.doc.export(loro.ExportMode.Updates(before))


def unknown_base(live: LivePlaylist, editor: Editor) -> bytes:
    editor.merge(foreign_peer(live, editor))
    editor.sent = editor.doc.oplog_vv
    return editor.add()


def future(live: LivePlaylist, editor: Editor) -> bytes:
    editor.doc.set_next_commit_timestamp(NOW_MS // 1000 + 3600)
    return editor.add()


def long_message(live: LivePlaylist, editor: Editor) -> bytes:
    value = item(editor.rng, editor.user)
    return editor.edit(lambda doc: doc.get_movable_list("items").insert(0, dict(value)), message="m" * 65)


def broken_checksum(live: LivePlaylist, editor: Editor) -> bytes:
    update = bytearray(editor.add())
    update[-3] ^= 0xFF
    return bytes(update)


def deep(live: LivePlaylist, editor: Editor) -> bytes:
    value: object = "x"
    for _ in range(40):
        value = [value]
    return inserts(value)(live, editor)


def set_by(**other: object) -> Abuse:
    def abuse(live: LivePlaylist, editor: Editor) -> bytes:
        mine = live.view().items[0]
        value = {"i": mine.item_id, "t": mine.uri, "by": mine.added_by, "at": mine.added_at_ms, **other}
        return editor.edit(lambda doc: doc.get_movable_list("items").set(0, value))  # type: ignore[arg-type]

    return abuse


TABLE: list[tuple[str, Role, Abuse, Code]] = [
    ("a viewer pushes", Role.VIEWER, lambda live, editor: editor.add(), Code.FORBIDDEN),
    ("nobody's peer", Role.OWNER, foreign_peer, Code.PEER_INVALID),
    ("two peers in one update", Role.OWNER, two_peers, Code.PEER_INVALID),
    ("a gap in the counters", Role.OWNER, gap, Code.PEER_INVALID),
    ("an overlap of the counters", Role.OWNER, overlap, Code.PEER_INVALID),
    ("operations on what nobody has", Role.OWNER, unknown_base, Code.PEER_INVALID),
    (
        "a snapshot",
        Role.OWNER,
        lambda live, editor: editor.doc.export(loro.ExportMode.Snapshot()),
        Code.BAD_UPDATE,
    ),
    ("nothing", Role.OWNER, lambda live, editor: b"", Code.BAD_UPDATE),
    ("noise", Role.OWNER, lambda live, editor: bytes(range(64)), Code.BAD_UPDATE),
    ("a wrong checksum", Role.OWNER, broken_checksum, Code.BAD_UPDATE),
    ("too many bytes", Role.OWNER, lambda live, editor: b"x" * (UPDATE_BYTES_MAX + 1), Code.FRAME_TOO_LARGE),
    ("501 operations", Role.OWNER, many_ops, Code.BAD_UPDATE),
    ("a time in the future", Role.OWNER, future, Code.BAD_UPDATE),
    ("a long message", Role.OWNER, long_message, Code.BAD_UPDATE),
    ("a deep value", Role.OWNER, deep, Code.BAD_UPDATE),
    ("another list", Role.OWNER, inserts("x", name="others"), Code.BAD_UPDATE),
    ("a text", Role.OWNER, on(lambda doc: doc.get_text("t").insert(0, "x")), Code.BAD_UPDATE),
    ("a tree", Role.OWNER, on(lambda doc: doc.get_tree("t").create()), Code.BAD_UPDATE),
    ("another map", Role.OWNER, on(lambda doc: doc.get_map("x").insert("a", 1)), Code.BAD_UPDATE),
    (
        "a container among the items",
        Role.OWNER,
        on(lambda doc: doc.get_movable_list("items").insert_container(0, a_map())),
        Code.BAD_UPDATE,
    ),
    (
        "a container in the details",
        Role.OWNER,
        on(lambda doc: doc.get_map("meta").insert_container("name", a_map())),
        Code.BAD_UPDATE,
    ),
    ("a bare text for an item", Role.OWNER, inserts("spotify:track:x"), Code.BAD_UPDATE),
    ("one field too many", Role.OWNER, item_with(x=1), Code.BAD_UPDATE),
    ("a bad item id", Role.OWNER, item_with(i="0123"), Code.BAD_UPDATE),
    ("a bad track", Role.OWNER, item_with(t="http://x"), Code.BAD_UPDATE),
    ("another author", Role.OWNER, item_with(by="ada"), Code.FORBIDDEN),
    ("a time long ago", Role.OWNER, item_with(at=NOW_MS - 3_600_000), Code.BAD_UPDATE),
    ("a time to come", Role.OWNER, item_with(at=NOW_MS + 3_600_000), Code.BAD_UPDATE),
    ("a fraction for a time", Role.OWNER, item_with(at=1.5), Code.BAD_UPDATE),
    (
        "an id that is taken",
        Role.OWNER,
        lambda live, editor: item_with(i=first_id(live))(live, editor),
        Code.BAD_UPDATE,
    ),
    ("a contributor removes another's", Role.CONTRIBUTOR, lambda live, e: e.remove(3), Code.FORBIDDEN),
    ("a contributor moves another's", Role.CONTRIBUTOR, lambda live, e: e.move(3, 9), Code.FORBIDDEN),
    ("a contributor replaces another's", Role.CONTRIBUTOR, set_by(t=track(9)), Code.FORBIDDEN),
    ("an item changes its author", Role.OWNER, set_by(by="eve"), Code.BAD_UPDATE),
    ("an item changes its id", Role.OWNER, set_by(i="0" * 16), Code.BAD_UPDATE),
    ("an item changes its time", Role.OWNER, set_by(at=NOW_MS + 1), Code.BAD_UPDATE),
    (
        "a contributor names the list",
        Role.CONTRIBUTOR,
        lambda live, e: e.put("meta", "name", "x"),
        Code.FORBIDDEN,
    ),
    ("an editor sets a policy", Role.EDITOR, lambda live, e: e.put("meta", "dups", "refuse"), Code.FORBIDDEN),
    ("a policy nobody knows", Role.OWNER, lambda live, e: e.put("meta", "dups", "some"), Code.BAD_UPDATE),
    ("a detail nobody knows", Role.OWNER, lambda live, e: e.put("meta", "colour", "red"), Code.BAD_UPDATE),
    (
        "a long name",
        Role.OWNER,
        lambda live, e: e.put("meta", "name", "x" * (NAME_CHARS_MAX + 1)),
        Code.BAD_UPDATE,
    ),
    (
        "a vote for another",
        Role.OWNER,
        lambda live, e: e.put("votes", f"{first_id(live)}|ada", 1),
        Code.FORBIDDEN,
    ),
    (
        "two votes at once",
        Role.OWNER,
        lambda live, e: e.put("votes", f"{first_id(live)}|eve", 2),
        Code.BAD_UPDATE,
    ),
    ("a vote on no item", Role.OWNER, lambda live, e: e.put("votes", f"{'f' * 16}|eve", 1), Code.BAD_UPDATE),
    (
        "a contributor notes another's",
        Role.CONTRIBUTOR,
        lambda live, e: e.put("notes", first_id(live), "x"),
        Code.FORBIDDEN,
    ),
    (
        "a reaction without an emoji",
        Role.OWNER,
        lambda live, e: e.put("reacts", f"{first_id(live)}|eve|", 1),
        Code.BAD_UPDATE,
    ),
]


@pytest.mark.parametrize(("role", "abuse", "code"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_an_abuse_is_refused_and_leaves_no_trace(role: Role, abuse: Abuse, code: Code) -> None:
    live, editor = prepared(role)
    update = abuse(live, editor)
    error = refusal(live, editor, update)
    assert error.code is code
    assert "way_on" in error.details


@pytest.mark.parametrize("concurrent", [False, True], ids=["up to date", "beside others"])
@pytest.mark.parametrize("what", ["remove", "move", "set"])
def test_a_contributor_is_held_to_his_own_items_also_beside_others(what: str, concurrent: bool) -> None:
    live, editor = prepared()
    mine = push(live, editor, editor.add(0))
    assert mine is not None
    if concurrent:
        other = Editor("ada", Random(5))
        other.sync(live)
        other.sent = other.doc.oplog_vv
        push(live, other, other.add(0))
    own = {"remove": lambda: editor.remove(0), "move": lambda: editor.move(0, 4)}
    if what == "set":
        value = next(value for value in [dict(v) for v in _values(editor)] if value["by"] == "eve")
        update = editor.edit(lambda doc: doc.get_movable_list("items").set(0, {**value, "t": track(77)}))
    else:
        update = own[what]()
    assert push(live, editor, update) is not None
    theirs = {"remove": lambda: editor.remove(8), "move": lambda: editor.move(8, 2)}
    if what == "set":
        foreign = dict(_values(editor)[8])
        update = editor.edit(lambda doc: doc.get_movable_list("items").set(8, {**foreign, "t": track(78)}))
    else:
        update = theirs[what]()
    assert refusal(live, editor, update).code is Code.FORBIDDEN


def _values(editor: Editor) -> list[dict[str, str]]:
    value: object = editor.items.get_deep_value()
    assert isinstance(value, list)
    return value


def test_the_ten_thousand_and_first_item_is_refused() -> None:
    live = seeded(ITEMS_MAX, Random(1))
    editor = Editor("bob", Random(2))
    editor.sync(live)
    editor.sent = editor.doc.oplog_vv
    with pytest.raises(Rejected) as caught:
        push(live, editor, editor.add())
    assert caught.value.code is Code.PLAYLIST_FULL
    assert live.main.length() == ITEMS_MAX


def test_the_same_peer_with_other_operations_changes_nothing() -> None:
    live, editor = prepared(Role.EDITOR)
    twin = Editor(editor.user, Random(99))
    twin.sync(live)
    twin.lease = editor.lease
    twin.doc.peer_id = editor.lease.peer
    twin.sent = twin.doc.oplog_vv
    push(live, editor, editor.add())
    before = live.main.snapshot()
    assert push(live, twin, twin.remove(0)) is None  # acknowledged as known; the twin is told by the digest
    assert live.main.snapshot() == before


def test_an_update_pushed_twice_is_acknowledged_and_merged_once() -> None:
    live, editor = prepared()
    update = editor.add()
    assert push(live, editor, update) is not None
    seq = live.seq
    assert push(live, editor, update) is None
    assert live.seq == seq


def forged(update: bytes, old: bytes, new: bytes) -> bytes:
    """The bytes with a part exchanged and the checksum made good."""
    assert len(old) == len(new)
    assert old in update[20:]
    return with_checksum(update[:20] + update[20:].replace(old, new))


def test_an_author_forged_in_the_bytes_is_refused() -> None:
    live, editor = prepared(Role.EDITOR)
    update = forged(editor.add(), b"eve", b"ada")
    assert refusal(live, editor, update).code is Code.FORBIDDEN


def test_brackets_within_a_text_are_not_depth() -> None:
    assert is_shallow('["' + "[" * 500 + '"]')
    assert is_shallow('["' + '\\"[{' * 100 + '"]')
    assert not is_shallow("[" * 500)


def test_what_a_refused_push_brought_is_not_in_the_next_record() -> None:
    live, editor = prepared(Role.EDITOR)
    good, other = editor, Editor("bob", Random(4))
    other.sync(live)
    other.sent = other.doc.oplog_vv
    first = live.stage((good.add(),), good.author, good.lease, now_ms=NOW_MS)
    with pytest.raises(Rejected):
        live.stage((other.put("meta", "dups", "refuse"),), author("bob"), other.lease, now_ms=NOW_MS)
    second = live.stage((good.add(),), good.author, good.lease, now_ms=NOW_MS)
    assert first is not None
    assert second is not None
    live.commit(first)
    live.commit(second)
    assert len(live.view().items) == 22
    assert live.view().meta.policy.dups.value == "allow"


def test_nothing_staged_is_shown_and_an_abandoned_edit_can_be_pushed_again() -> None:
    live, editor = prepared(Role.EDITOR)
    view, update = live.view(), editor.add()
    assert live.stage((update,), editor.author, editor.lease, now_ms=NOW_MS) is not None
    assert live.view() == view
    live.abandon()
    record = push(live, editor, update)
    assert record is not None
    assert len(live.view().items) == len(view.items) + 1


def test_a_lists_policy_is_the_owners_to_set_by_intent_too() -> None:
    live, editor = prepared(Role.EDITOR)
    intent = SetMeta(key="wins", value="move")
    with pytest.raises(Rejected, match="FORBIDDEN"):
        live.stage_intents([intent], editor.author, now_ms=NOW_MS)
    owner = replace(editor.author, user_id=UserId("ada"), role=Role.OWNER)
    record = live.stage_intents([intent], owner, now_ms=NOW_MS)
    assert record is not None
    live.commit(record)
    assert live.view().meta.policy.wins.value == "move"

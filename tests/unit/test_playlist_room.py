"""Editing together through a room: welcome, acknowledgement, updates, refusals and the way on after each."""

from random import Random

import loro
import pytest

from kernel.errors import Code, Rejected
from kernel.ids import DeviceId, UserId
from kernel.units import Bytes, Millis
from playlists.access import Access, Ban, Role, SetRole, apply, decide
from playlists.contents import applied, page
from playlists.history import History, undo
from playlists.intents import AddItems, MoveItems, OwnIntent, RemoveItems, SetNote, Track, Vote
from playlists.items import ItemId
from playlists.live import LivePlaylist, Record
from playlists.retention import may_evict, opened, snapshot_due, snapshot_of, trim_due, trimmed
from playlists.room import (
    PUSHES_BURST,
    STRIKES_MAX,
    STRUCK_MS,
    Ack,
    Diff,
    Nack,
    OpenPlaylist,
    RoleFrame,
    Room,
    Update,
    Welcome,
)
from tests.support.playlist_peers import NOW_MS, Editor, push, seeded, track

ADA, BOB = UserId("ada"), UserId("bob")


class Tab(Editor):
    """An editor behind a room."""

    def __init__(self, room: Room, user: str, *, has_document: bool = True) -> None:
        super().__init__(user, Random(len(room.editors) + 50))
        self.room = room
        self.editor_id = f"{user}-tab"
        self.has_document = has_document
        self.welcome = self.reopen()

    def reopen(self, hello: OpenPlaylist | None = None, *, now_ms: Millis = NOW_MS) -> Welcome:
        hello = hello or OpenPlaylist(has_document=self.has_document)
        welcome = self.room.open(self.editor_id, UserId(self.user), DeviceId("phone"), hello, now_ms=now_ms)
        self.merge(b"".join(welcome.parts))
        if welcome.peer is not None:
            self.doc.peer_id = int(welcome.peer)
            self.lease = self.room.leases[int(welcome.peer)]
        self.sent = self.doc.oplog_vv
        return welcome

    def push(self, update: bytes, *, n: int = 1, now_ms: Millis = NOW_MS) -> Record | Ack | Nack:
        epoch = self.welcome.doc_epoch
        return self.room.push(self.editor_id, n, (update,), doc_epoch=epoch, now_ms=now_ms)


def a_room(count: int = 5) -> Room:
    rng = Random(21)
    access = Access(owner=ADA, members={BOB: Role.EDITOR})
    return Room(seeded(count, rng), access, leases={}, history=History(), rng=rng)


def written(outcome: Record | Ack | Nack) -> Record:
    assert isinstance(outcome, Record), outcome
    return outcome


def test_a_welcome_brings_all_that_is_needed_to_edit() -> None:
    room = a_room()
    tab = Tab(room, "bob")
    assert (tab.welcome.role, tab.welcome.sync, tab.welcome.seq) == ("editor", "snapshot", room.live.seq)
    assert tab.welcome.peer is not None
    assert tab.ids() == [item.item_id for item in room.live.view().items]


def test_an_acknowledgement_goes_to_the_author_and_the_update_to_the_others() -> None:
    room = a_room()
    ada, bob, eve = Tab(room, "ada"), Tab(room, "bob"), Tab(room, "eve", has_document=False)
    before = room.live.view()
    record = written(bob.push(bob.add(), n=7))
    assert room.live.view() == before
    frames = room.durable(record)
    assert (bob.editor_id, Ack(n=7, seq=record.seq)) in frames
    assert [to for to, frame in frames if isinstance(frame, Update)] == [ada.editor_id]
    diffs = [frame for to, frame in frames if isinstance(frame, Diff) and to == eve.editor_id]
    assert diffs[0].changes is not None
    assert applied(before.items, diffs[0].changes) == room.live.view().items


def test_what_returns_by_a_move_beside_a_removal_is_removed_again_for_everybody() -> None:
    room = a_room()
    ada, bob = Tab(room, "ada"), Tab(room, "bob")
    victim = ada.ids()[1]
    removal, move = ada.remove(1), bob.move(1, 4)
    room.durable(written(ada.push(removal)))
    record = written(bob.push(move))
    assert record.repair
    frames = room.durable(record)
    assert {to for to, frame in frames if isinstance(frame, Update)} == {ada.editor_id, bob.editor_id}
    ada.take(record)
    bob.sync(room.live)
    assert victim not in {item.item_id for item in room.live.view().items}
    assert ada.ids() == bob.ids() == [item.item_id for item in room.live.view().items]


def test_a_removal_beside_a_move_that_came_first_wins_as_well() -> None:
    room = a_room()
    ada, bob = Tab(room, "ada"), Tab(room, "bob")
    victim = ada.ids()[1]
    removal, move = ada.remove(1), bob.move(1, 4)
    room.durable(written(bob.push(move)))
    room.durable(written(ada.push(removal)))
    assert victim not in {item.item_id for item in room.live.view().items}


def test_a_refused_author_goes_on_under_a_new_peer_and_nobody_else_sees_anything() -> None:
    room = a_room()
    bob = Tab(room, "bob")
    nack = bob.push(bob.put("meta", "dups", "refuse"), n=3)
    assert isinstance(nack, Nack)
    assert (nack.n, nack.code, nack.way_on) == (3, Code.FORBIDDEN, "new_lease")
    late = bob.push(bob.add())
    assert isinstance(late, Nack)
    assert late.code is Code.PEER_INVALID
    again = Tab(room, "bob")
    assert again.welcome.peer != bob.welcome.peer
    room.durable(written(again.push(again.add())))


def test_a_lost_push_is_made_up_for_by_exporting_again() -> None:
    room = a_room()
    bob = Tab(room, "bob")
    first, second = bob.add(), bob.add()
    nack = bob.push(second)
    assert isinstance(nack, Nack)
    assert (nack.way_on, nack.due) == ("resend", 0)
    room.durable(written(bob.push(first)))
    room.durable(written(bob.push(second)))
    assert len(room.live.view().items) == 7


def test_a_rate_limit_leaves_the_bytes_good() -> None:
    room = a_room()
    bob = Tab(room, "bob")
    for _ in range(int(PUSHES_BURST)):
        room.durable(written(bob.push(bob.add())))
    update = bob.add()
    nack = bob.push(update)
    assert isinstance(nack, Nack)
    assert (nack.code, nack.way_on) == (Code.RATE_LIMITED, "retry")
    assert nack.retry_after_ms is not None
    room.durable(written(bob.push(update, now_ms=Millis(NOW_MS + nack.retry_after_ms))))


def test_three_refusals_make_an_author_wait() -> None:
    room = a_room()
    for _ in range(STRIKES_MAX):
        tab = Tab(room, "bob")
        assert isinstance(tab.push(b"noise"), Nack)
    tab = Tab(room, "bob")
    update = tab.add()
    nack = tab.push(update)
    assert isinstance(nack, Nack)
    assert nack.code is Code.FLOODED
    room.durable(written(tab.push(update, now_ms=Millis(NOW_MS + STRUCK_MS))))


def test_a_journal_that_failed_shows_nothing_and_the_same_bytes_are_taken_later() -> None:
    room = a_room()
    ada, bob = Tab(room, "ada"), Tab(room, "bob")
    before, one, two = room.live.main.snapshot(), ada.add(), bob.add()
    written(ada.push(one, n=1))
    written(bob.push(two, n=2))
    frames = room.failed(retry_after_ms=Millis(250))
    assert [(to, frame.way_on) for to, frame in frames if isinstance(frame, Nack)] == [
        (ada.editor_id, "retry"),
        (bob.editor_id, "retry"),
    ]
    assert room.live.main.snapshot() == before
    room.durable(written(bob.push(two)))
    room.durable(written(ada.push(one)))
    assert len(room.live.view().items) == 7


def test_an_editor_taken_out_while_editing_is_told_and_refused() -> None:
    room = a_room()
    bob = Tab(room, "bob")
    access = room.access
    for event in decide(access, SetRole(user_id=BOB, role=Role.VIEWER), by=ADA, now_ms=NOW_MS):
        access = apply(access, event)
    assert room.access_changed(access) == [(bob.editor_id, RoleFrame(role="viewer"))]
    nack = bob.push(bob.add())
    assert isinstance(nack, Nack)
    assert (nack.code, nack.way_on) == (Code.FORBIDDEN, "none")
    for event in decide(access, Ban(user_id=BOB), by=ADA, now_ms=NOW_MS):
        access = apply(access, event)
    assert room.access_changed(access) == [(bob.editor_id, RoleFrame(role="none"))]
    assert bob.editor_id not in room.editors
    with pytest.raises(Rejected, match="NOT_FOUND"):
        bob.reopen()


def test_who_comes_back_gets_what_he_missed_and_keeps_his_peer() -> None:
    room = a_room()
    ada, bob = Tab(room, "ada"), Tab(room, "bob")
    offline = bob.add()
    room.leave(bob.editor_id)
    room.durable(written(ada.push(ada.add())))
    vv = room.live.main.vv()
    hello = OpenPlaylist(doc_epoch=1, vv=bob.doc.oplog_vv.encode(), peer=bob.welcome.peer)
    welcome = bob.reopen(hello)
    assert (welcome.sync, welcome.peer, welcome.vv) == ("delta", bob.welcome.peer, vv)
    room.durable(written(bob.push(offline)))
    assert bob.ids() == [item.item_id for item in room.live.view().items]


def test_a_second_tab_gets_a_peer_of_its_own() -> None:
    room = a_room()
    bob = Tab(room, "bob")
    hello = OpenPlaylist(doc_epoch=1, vv=bob.doc.oplog_vv.encode(), peer=bob.welcome.peer)
    other = room.open("bob-tab-2", BOB, DeviceId("phone"), hello, now_ms=NOW_MS)
    assert other.peer != bob.welcome.peer


def test_an_older_epoch_is_answered_with_a_reset_and_its_pushes_are_refused() -> None:
    room = a_room()
    bob = Tab(room, "bob")
    before = room.live.view()
    room.live = trimmed(room.live, rng=Random(5), now_ms=NOW_MS)
    assert room.live.view() == before
    assert room.live.head.snapshot_id().startswith("2.")
    nack = bob.push(bob.add())
    assert isinstance(nack, Nack)
    assert nack.code is Code.STALE_DOC
    hello = OpenPlaylist(doc_epoch=1, vv=bob.doc.oplog_vv.encode(), peer=bob.welcome.peer)
    assert room.open(bob.editor_id, BOB, DeviceId("phone"), hello, now_ms=NOW_MS).sync == "reset"


def test_intents_edit_by_item_id_and_a_repeat_changes_nothing() -> None:
    room = a_room()
    eve = Tab(room, "bob", has_document=False)
    assert eve.welcome.peer is None
    ids = [item.item_id for item in room.live.view().items]
    add = AddItems(tracks=(Track(item_id="a" * 16, uri=track(900)),), after=ids[0])
    intents: list[OwnIntent] = [
        add,
        MoveItems(item_ids=(ids[4], ids[3]), after=None),
        RemoveItems(item_ids=(ids[1], "0" * 16)),
        Vote(item_id=ids[2], value=1),
        SetNote(item_id=ids[2], text="listen"),
    ]
    record = written(room.intend(eve.editor_id, 1, intents, now_ms=NOW_MS))
    room.durable(record)
    view = room.live.view()
    assert [item.item_id for item in view.items] == [ids[4], ids[3], ids[0], "a" * 16, ids[2]]
    assert view.items[3].added_by == BOB
    assert view.score(ids[2]) == 1
    assert view.notes[ids[2]] == "listen"
    assert room.intend(eve.editor_id, 2, [add], now_ms=NOW_MS) == Ack(n=2, seq=record.seq)
    refused = room.intend(eve.editor_id, 3, [Vote(item_id="0" * 16, value=1)], now_ms=NOW_MS)
    assert isinstance(refused, Nack)
    assert (refused.code, refused.way_on) == (Code.NOT_FOUND, "none")
    assert room.live.view() == view


def test_undo_takes_back_ones_own_edit_and_keeps_what_others_did_since() -> None:
    room = a_room()
    ada, bob = Tab(room, "ada"), Tab(room, "bob")
    room.durable(written(ada.push(ada.add())))
    bob.sync(room.live)
    bob.sent = bob.doc.oplog_vv
    gone = bob.ids()[2]
    record = written(bob.push(bob.remove(2)))
    room.durable(record)
    ada.take(record)
    room.durable(written(ada.push(ada.add(0))))
    with pytest.raises(Rejected, match="FORBIDDEN"):
        undo(room.live, room.history, record.seq, by=ADA)
    intents = undo(room.live, room.history, record.seq, by=BOB)
    room.durable(written(room.intend(bob.editor_id, 9, intents, now_ms=NOW_MS)))
    items = room.live.view().items
    assert [item.item_id for item in items].index(ItemId(gone)) == 3
    assert items[3].added_by == ADA
    assert [entry.by for entry in room.history.page()] == ["bob", "ada", "bob", "ada"]


def test_pages_by_item_skip_nothing_while_others_edit() -> None:
    room = a_room(12)
    first = page(room.live.view(), limit=5)
    ada = Tab(room, "ada")
    room.durable(written(ada.push(ada.add(0))))
    second = page(room.live.view(), after=first.after, limit=5)
    third = page(room.live.view(), after=second.after, limit=5)
    seen = [item.item_id for part in (first, second, third) for item in part.items]
    assert seen == [item.item_id for item in room.live.view().items][1:]
    assert third.after is None


def test_a_list_is_loaded_from_its_snapshot_and_log_with_all_that_was_acknowledged() -> None:
    room = a_room()
    bob = Tab(room, "bob")
    snapshot = snapshot_of(room.live, room.history.entries)
    records = [written(bob.push(bob.add())) for _ in range(1)]
    room.durable(records[0])
    again = opened(snapshot, records, rng=Random(8))
    assert (again.digest(), again.head) == (room.live.digest(), room.live.head)


def test_when_to_snapshot_evict_and_trim() -> None:
    live = LivePlaylist.created(rng=Random(1))
    assert not snapshot_due(live, snapshot_size=Bytes(0), idle_ms=Millis(10**9))
    editor = Editor("ada", Random(2))
    push(live, editor, editor.add())
    assert not snapshot_due(live, snapshot_size=Bytes(0), idle_ms=Millis(0))
    assert snapshot_due(live, snapshot_size=Bytes(0), idle_ms=Millis(300_000))
    live.log_bytes = 64 * 1024
    assert snapshot_due(live, snapshot_size=Bytes(0), idle_ms=Millis(0))
    assert not snapshot_due(live, snapshot_size=Bytes(65 * 1024), idle_ms=Millis(0))
    assert may_evict(editors=0, staged=0, idle_ms=Millis(60_000))
    assert not may_evict(editors=1, staged=0, idle_ms=Millis(60_000))
    heavy = Bytes(1024 * 1024)
    assert trim_due(snapshot_size=heavy, item_count=100, editors=0, idle_ms=Millis(300_000))
    assert not trim_due(snapshot_size=heavy, item_count=100, editors=1, idle_ms=Millis(300_000))
    assert not trim_due(snapshot_size=heavy, item_count=9_000, editors=0, idle_ms=Millis(300_000))


# --- the version of Loro ----------------------------------------------------------------------------------

GOLDEN_VV = "010704"


def golden() -> loro.LoroDoc:
    doc = loro.LoroDoc()  # type: ignore[no-untyped-call]  # Loro gives it no type
    doc.peer_id = 7
    value: dict[str, loro.LoroValue] = {"i": "0" * 16, "t": track(1), "by": "ada", "at": 1_760_000_000_000}
    doc.get_movable_list("items").insert(0, value)
    doc.get_map("meta").insert("name", "golden")
    doc.set_next_commit_message("g")
    doc.set_next_commit_timestamp(1_760_000_000)
    doc.commit()
    return doc


def test_the_bytes_of_this_version_of_loro_are_these() -> None:
    doc = golden()
    assert doc.oplog_vv.encode().hex() == GOLDEN_VV
    updates = doc.export(loro.ExportMode.Updates(loro.VersionVector()))  # type: ignore[no-untyped-call]
    assert updates.hex() == GOLDEN_UPDATES
    reread = LivePlaylist.loaded(bytes.fromhex(GOLDEN_UPDATES), [], doc_epoch=1, seq=1, rng=Random(1))
    assert reread.view().meta.name == "golden"
    assert reread.digest() == GOLDEN_DIGEST


GOLDEN_UPDATES = (
    "6c6f726f00000000000000000000000076b70e170004b001000200020110010700000000000000010100000000000a01"
    "80e0bb8e0d000101670b02040104000a040100000c1a01740169026279026174046e616d65056974656d73046d657461"
    "00100104030300020303000802040b02040100540701080400052473706f746966793a747261636b3a3064416e31684f"
    "315a78767953704b6e474a774367550105103030303030303030303030303030303002050361646103038080b3c19c33"
    "0506676f6c64656e"
)
GOLDEN_DIGEST = "56316f1da568a425525b55316c4a9b6a"

"""Laws of editing together: whatever is delivered, lost, doubled or taken back, all agree at rest."""

from random import Random

import hypothesis.strategies as st
import loro
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kernel.errors import Rejected
from kernel.ids import Uri, UserId
from kernel.units import Millis
from playlists.access import Role
from playlists.contents import Contents, MarkSet, PlaylistView, applied, changes, digest
from playlists.history import History, rebased, restore, undo
from playlists.intents import OwnIntent
from playlists.items import Item, ItemId, Meta
from playlists.live import LivePlaylist, Record
from playlists.loro_doc import Replica
from playlists.retention import PlaylistSnapshot, opened, seeded, snapshot_of, trimmed
from tests.support.playlist_peers import NOW_MS, Editor, author, lease_of, track, values_of

USERS = ("ada", "bob", "cyd", "dan")


class EditingTogether(RuleBasedStateMachine):
    """Four editors and the server; frames wait in inboxes, and may be lost until the editor pulls."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = Random(0)
        self.live = LivePlaylist.created(rng=self.rng)
        self.history = History()
        self.journal: list[Record] = []
        self.snapshot: PlaylistSnapshot | None = None
        self.peers: list[Editor] = []
        self.inbox: dict[str, list[Record]] = {}
        self.outbox: dict[str, list[bytes]] = {}
        self.removed: set[str] = set()
        self.back: set[str] = set()

    @initialize(seed=st.integers(0, 1 << 32))
    def start(self, seed: int) -> None:
        self.rng = Random(seed)
        self.live = LivePlaylist.created(rng=self.rng)
        roles = (Role.OWNER, Role.EDITOR, Role.EDITOR, Role.CONTRIBUTOR)
        self.peers = [Editor(user, self.rng, role=role) for user, role in zip(USERS, roles, strict=True)]
        self.inbox = {user: [] for user in USERS}
        self.outbox = {user: [] for user in USERS}

    # --- edits, made on the editor's own document -----------------------------------------------------

    @rule(who=st.integers(0, 3), at=st.integers(0, 30), number=st.integers(0, 5))
    def add(self, who: int, at: int, number: int) -> None:
        peer = self.peers[who]
        self._queue(peer, peer.add(at % (len(peer.items) + 1), number=number))

    @rule(who=st.integers(0, 2), at=st.integers(0, 30), to=st.integers(0, 30))
    def move(self, who: int, at: int, to: int) -> None:
        peer = self.peers[who]
        if count := len(peer.items):
            self._queue(peer, peer.move(at % count, to % count) if at % count != to % count else b"")

    @rule(who=st.integers(0, 2), at=st.integers(0, 30))
    def remove(self, who: int, at: int) -> None:
        peer = self.peers[who]
        if count := len(peer.items):
            self._queue(peer, peer.remove(at % count))

    @rule(who=st.integers(0, 2), at=st.integers(0, 30), count=st.integers(1, 4))
    def remove_some(self, who: int, at: int, count: int) -> None:
        peer = self.peers[who]
        if len(peer.items) > count:
            start = at % (len(peer.items) - count)
            self._queue(peer, peer.edit(lambda doc: doc.get_movable_list("items").delete(start, count)))

    @rule(who=st.integers(0, 2), at=st.integers(0, 30), number=st.integers(6, 9))
    def replace(self, who: int, at: int, number: int) -> None:
        peer = self.peers[who]
        if count := len(peer.items):
            value: dict[str, loro.LoroValue] = {**values_of(peer.doc)[at % count], "t": track(number)}
            self._queue(peer, peer.edit(lambda doc: doc.get_movable_list("items").set(at % count, value)))

    @rule(who=st.integers(0, 3), at=st.integers(0, 30), value=st.sampled_from([-1, 1]))
    def vote(self, who: int, at: int, value: int) -> None:
        peer = self.peers[who]
        if ids := peer.ids():
            self._queue(peer, peer.put("votes", f"{ids[at % len(ids)]}|{peer.user}", value))

    @rule(who=st.integers(0, 2), name=st.sampled_from(["a", "b", "Übung"]))
    def name(self, who: int, name: str) -> None:
        self._queue(self.peers[who], self.peers[who].put("meta", "name", name))

    @rule(policy=st.sampled_from(["allow", "refuse"]))
    def duplicates(self, policy: str) -> None:
        self._queue(self.peers[0], self.peers[0].put("meta", "dups", policy))

    def _queue(self, peer: Editor, update: bytes) -> None:
        if update:
            self.outbox[peer.user].append(update)

    # --- the network ----------------------------------------------------------------------------------

    @rule(who=st.integers(0, 3), several=st.booleans(), twice=st.booleans())
    def send(self, who: int, several: bool, twice: bool) -> None:
        peer = self.peers[who]
        queue = self.outbox[peer.user]
        while queue:
            self._push(peer, queue[0])
            if twice and queue:
                self._push(peer, queue[0])
            if queue:
                queue.pop(0)
            if not several:
                break

    def _push(self, peer: Editor, update: bytes) -> None:
        try:
            record = self.live.stage((update,), peer.author, peer.lease, now_ms=NOW_MS)
        except Rejected:
            # As a client does: forget what is not acknowledged, go on under a new lease.
            self.outbox[peer.user].clear()
            self.inbox[peer.user].clear()
            peer.restart(self.live, lease_of(peer.user, self.rng))
            return
        if record is not None:
            self._durable(record)

    def _durable(self, record: Record) -> None:
        self.journal.append(record)
        self.live.commit(record)
        self.history.note(record)
        for user in self.inbox:
            self.inbox[user].append(record)

    @rule(who=st.integers(0, 3), count=st.integers(1, 5))
    def deliver(self, who: int, count: int) -> None:
        user = self.peers[who].user
        for record in self.inbox[user][:count]:
            self.peers[who].take(record)
        del self.inbox[user][:count]

    @rule(who=st.integers(0, 3))
    def deliver_in_disorder(self, who: int) -> None:
        user = self.peers[who].user
        self.rng.shuffle(self.inbox[user])
        for record in self.inbox[user]:
            self.peers[who].take(record)
            self.peers[who].take(record)
        self.inbox[user].clear()

    @rule(who=st.integers(0, 3))
    def lose(self, who: int) -> None:
        self.inbox[self.peers[who].user].clear()

    @rule(who=st.integers(0, 3))
    def pull(self, who: int) -> None:
        self.inbox[self.peers[who].user].clear()
        self.peers[who].sync(self.live)

    # --- the server -----------------------------------------------------------------------------------

    @precondition(lambda self: len(self.history.entries) > 2)
    @rule(pick=st.integers(0, 1000))
    def undo(self, pick: int) -> None:
        entries = list(self.history.entries)[1:]
        entry = entries[pick % len(entries)]
        intents = undo(self.live, self.history, entry.seq, by=entry.by)
        self._intend(intents, entry.by)

    @precondition(lambda self: len(self.history.entries) > 2)
    @rule(pick=st.integers(0, 1000))
    def restore(self, pick: int) -> None:
        entries = list(self.history.entries)
        entry = entries[pick % len(entries)]
        for batch in restore(self.live, self.history, entry.seq, by=UserId("ada")):
            self._intend(batch, UserId("ada"))

    def _intend(self, intents: list[OwnIntent], by: UserId) -> None:
        try:
            record = self.live.stage_intents(intents, author(by, Role.OWNER), now_ms=NOW_MS)
        except Rejected as error:
            raise AssertionError(f"an own intent was refused: {error}") from None
        if record is not None:
            self._durable(record)

    @rule()
    def crash_before_the_journal(self) -> None:
        for peer in self.peers:
            if self.outbox[peer.user]:
                try:
                    self.live.stage((self.outbox[peer.user][0],), peer.author, peer.lease, now_ms=NOW_MS)
                except Rejected:
                    return
        self.live.abandon()

    @rule()
    def crash_and_load(self) -> None:
        before = self.live.digest()
        self.live = opened(self.snapshot, self.journal, rng=Random(self.rng.random()))
        assert self.live.digest() == before

    @rule()
    def take_a_snapshot(self) -> None:
        self.snapshot = snapshot_of(self.live, self.history.entries)

    # --- the laws -------------------------------------------------------------------------------------

    @invariant()
    def ids_are_unique_and_the_list_is_within_its_cap(self) -> None:
        ids = [item.item_id for item in self.live.view().items]
        assert len(ids) == len(set(ids))

    @invariant()
    def the_values_kept_beside_the_document_are_the_documents(self) -> None:
        assert self.live.digest() == digest(Contents.read(self.live.main))

    @invariant()
    def no_track_is_twice_where_the_policy_refuses_it(self) -> None:
        view = self.live.view()
        if view.meta.policy.dups.value == "refuse":
            uris = [item.uri for item in view.items]
            assert len(uris) == len(set(uris))

    def teardown(self) -> None:
        if not self.peers:
            return
        for who in range(4):
            self.pull(who)
            self.send(who, True, False)
        for peer in self.peers:
            peer.sync(self.live)
        main = self.live.main.counters()
        for peer in self.peers:
            replica = Replica(peer.doc)
            assert digest(Contents.read(replica)) == self.live.digest()
            assert replica.counters() == main
        replayed = opened(None, self.journal, rng=Random(1))
        assert replayed.digest() == self.live.digest()
        reread = Replica.opened(self.live.main.snapshot())
        assert digest(Contents.read(reread)) == self.live.digest()
        cut = trimmed(self.live, rng=Random(2), now_ms=NOW_MS)
        assert [item.item_id for item in cut.view().items] == [
            item.item_id for item in self.live.view().items
        ]


EditingTogether.TestCase.settings = settings(
    settings.get_profile("segue"), max_examples=15, stateful_step_count=30
)
TestEditingTogether = EditingTogether.TestCase


# --- differences ------------------------------------------------------------------------------------------


def view_of(numbers: list[int], swapped: frozenset[int] = frozenset()) -> PlaylistView:
    items = tuple(
        Item(
            item_id=ItemId(f"{number:016x}"),
            uri=Uri(track(number + 100 if number in swapped else number)),
            added_by=UserId("ada"),
            added_at_ms=Millis(NOW_MS),
        )
        for number in numbers
    )
    return PlaylistView(meta=Meta(), items=items, notes={}, votes={}, reacts={})


LISTS = st.lists(st.integers(0, 30), unique=True, max_size=25)


@given(LISTS, LISTS, st.frozensets(st.integers(0, 30)))
def test_the_difference_of_two_lists_turns_one_into_the_other(
    before: list[int], after: list[int], swapped: frozenset[int]
) -> None:
    old, new = view_of(before), view_of(after, swapped)
    assert applied(old.items, changes(old, new)) == new.items


@given(LISTS.filter(lambda numbers: len(numbers) > 1), st.integers(0, 30), st.integers(0, 30))
def test_one_move_is_told_as_one_move(numbers: list[int], at: int, to: int) -> None:
    moved = list(numbers)
    moved.insert(to % len(numbers), moved.pop(at % len(numbers)))
    assert len(changes(view_of(numbers), view_of(moved))) == (moved != numbers)


@given(LISTS, LISTS, LISTS)
def test_edits_carried_to_another_epoch_touch_only_what_is_there(
    base: list[int], local: list[int], now: list[int]
) -> None:
    intents = rebased(view_of(base), view_of(local), view_of(now), by=UserId("ada"))
    rng = Random(3)
    live = seeded(view_of(now), doc_epoch=2, seq=5, rng=rng, now_ms=NOW_MS)
    record = live.stage_intents(intents, author("ada", Role.EDITOR), now_ms=NOW_MS)
    if record is not None:
        live.commit(record)
    ids = {int(item.item_id, 16) for item in live.view().items}
    assert ids == (set(now) - (set(base) - set(local))) | (set(local) - set(base))


@given(LISTS)
def test_nothing_is_carried_when_nothing_was_edited(numbers: list[int]) -> None:
    view = view_of(numbers)
    assert rebased(view, view, view_of([1, 2]), by=UserId("ada")) == []
    assert not any(isinstance(step, MarkSet) for step in changes(view, view))

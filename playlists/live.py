"""One playlist in memory: the document, the draft that takes every edit first, and what waits to be durable.

    stage (gate, on the draft) → the shell writes the record → commit (into the document) → acknowledge, show

The document changes in `commit` alone, by updates that passed. A refused edit leaves it as it was, byte for
byte. Several edits may be staged before one write; they are committed in order, or all given up with
`abandon`, after which the draft is made anew. Between calls nothing refers into the draft.
One thread at a time.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from random import Random

import msgspec

from kernel.errors import Code, Rejected
from kernel.ids import UserId
from kernel.units import Millis
from playlists.access import Role
from playlists.contents import Contents, PlaylistView, digest
from playlists.gate import Admitted, Author, Draft, Touch, admit, check_size
from playlists.intents import OwnIntent, perform
from playlists.items import ItemId
from playlists.leases import Lease, mint
from playlists.loro_doc import Broken, Heads, Peer, Replica, Vv
from playlists.repairs import repair

STAGED_MAX = 64
"""Edits that wait for one write of the journal; more get `busy`."""
TOUCHES_MAX = 500


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the playlist's journal: all that is needed to have the edit again."""

    seq: int
    doc_epoch: int
    by: UserId
    at_ms: Millis
    peer: Peer
    """0: the server's own peer wrote it, for an intent."""
    start: int
    end: int
    """The counters of `peer` it brings, end exclusive."""
    updates: tuple[bytes, ...]
    """As the author sent them."""
    repair: bytes = b""
    """The server's addition, part of the same step."""
    touches: tuple[Touch, ...] = ()
    heads: bytes = b""
    """The version after it."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of the playlist this is."""

    doc_epoch: int
    seq: int

    def snapshot_id(self) -> str:
        return f"{self.doc_epoch}.{self.seq}"


class LivePlaylist:
    """See the module. `Broken` from any method: drop it, and load the playlist again."""

    def __init__(
        self, main: Replica, *, doc_epoch: int, seq: int, rng: Random, log_bytes: int = 0, log_count: int = 0
    ) -> None:
        self.main = main
        self.doc_epoch = doc_epoch
        self.seq = seq
        """Of the last record that is in the document."""
        self.log_bytes = log_bytes
        """Size of the records since the last snapshot."""
        self.log_count = log_count
        self._rng = rng
        self._draft: Draft | None = None
        self._staged: deque[Record] = deque()
        self._retired: dict[ItemId, UserId] = {}
        self._own_peer: Peer | None = None
        self._view: PlaylistView | None = None
        self._view_seq = -1

    @classmethod
    def created(cls, *, rng: Random) -> "LivePlaylist":
        return cls(Replica.empty(), doc_epoch=1, seq=0, rng=rng)

    @classmethod
    def loaded(
        cls, snapshot: bytes, records: Sequence[Record], *, doc_epoch: int, seq: int, rng: Random
    ) -> "LivePlaylist":
        """From a snapshot taken at `seq` and the records after it. Raises BadUpdate: the store is damaged."""
        updates = [update for record in records for update in (*record.updates, record.repair) if update]
        return cls(
            Replica.opened(snapshot, updates),
            doc_epoch=doc_epoch,
            seq=records[-1].seq if records else seq,
            rng=rng,
            log_bytes=sum(map(len, updates)),
            log_count=len(records),
        )

    # --- reading --------------------------------------------------------------------------------------

    @property
    def head(self) -> Head:
        return Head(doc_epoch=self.doc_epoch, seq=self.seq)

    def view(self) -> PlaylistView:
        """What is durable. Never shows a staged edit."""
        if self._view is None or self._view_seq != self.seq:
            self._view = self._contents().view()
            self._view_seq = self.seq
        return self._view

    def digest(self) -> str:
        return digest(self._contents())

    def _contents(self) -> Contents:
        if self._draft is not None and not self._staged:
            return self._draft.contents
        return Contents.read(self.main)

    # --- edits ----------------------------------------------------------------------------------------

    def stage(
        self, updates: tuple[bytes, ...], author: Author, lease: Lease, *, now_ms: Millis
    ) -> Record | None:
        """The record to write, or None when the document had all of it already: then acknowledge again.

        The updates have passed `screen` in a process that may die. Raises Rejected with a code and `way_on`;
        nothing of the push remains anywhere.
        """
        if author.role < Role.CONTRIBUTOR:
            raise Rejected(Code.FORBIDDEN, "push rejected: your role may look, not edit", {"way_on": "none"})
        check_size(updates)
        self._check_room()
        draft = self._drafted()
        before = draft.replica.counter(lease.peer)
        try:
            admitted = [admit(draft, update, author, lease, now_ms=now_ms) for update in updates]
            new = [one for one in admitted if one is not None]
            if not new:
                return None
            touches = tuple(touch for one in new for touch in one.touches)
            fresh = tuple(update for update, one in zip(updates, admitted, strict=True) if one is not None)
            whole = Admitted(
                start=before,
                end=new[-1].end,
                touches=touches,
                returned=tuple(item_id for one in new for item_id in one.returned),
                grew=any(one.grew for one in new),
            )
            return self._stage(draft, whole, author, lease.peer, fresh, now_ms)
        except Rejected:
            if not _is_untouched(draft, lease.peer, before):
                self._draft = None
            raise
        except BaseException:
            self._draft = None
            raise

    def stage_intents(self, intents: Sequence[OwnIntent], author: Author, *, now_ms: Millis) -> Record | None:
        """As `stage`, for edits said by item id; the server's peer writes them."""
        if author.role < Role.CONTRIBUTOR:
            raise Rejected(Code.FORBIDDEN, "edit rejected: your role may look, not edit", {"way_on": "none"})
        self._check_room()
        draft = self._drafted()
        try:
            peer = self._peer(draft)
            update, admitted = perform(draft, intents, author, peer, now_ms=now_ms)
            if not update:
                return None
            return self._stage(draft, admitted, author, None, (update,), now_ms)
        except BaseException:
            self._draft = None
            raise

    def _stage(
        self,
        draft: Draft,
        admitted: Admitted,
        author: Author,
        peer: Peer | None,
        updates: tuple[bytes, ...],
        now_ms: Millis,
    ) -> Record:
        record = Record(
            seq=self.seq + len(self._staged) + 1,
            doc_epoch=self.doc_epoch,
            by=author.user_id,
            at_ms=now_ms,
            peer=Peer(0) if peer is None else peer,
            start=admitted.start,
            end=admitted.end,
            updates=updates,
            repair=repair(draft, admitted, self._peer(draft), now_ms=now_ms),
            touches=admitted.touches[:TOUCHES_MAX],
            heads=draft.replica.heads(),
        )
        self._staged.append(record)
        return record

    def commit(self, record: Record) -> Head:
        """The oldest staged record is durable: it goes into the document, and may be shown."""
        assert self._staged, "nothing is staged"
        assert self._staged[0].seq == record.seq, "records are committed in order"
        parts = (*record.updates, record.repair) if record.repair else record.updates
        self.main.merge_all(parts)
        self._staged.popleft()
        self.seq = record.seq
        self.log_bytes += sum(map(len, parts))
        self.log_count += 1
        return self.head

    def abandon(self) -> None:
        """The journal failed: whatever is staged is forgotten, and none of it was ever shown.

        The outcome of the write is unknown, so the server's operations in it must not be written differently:
        the next ones come from a new peer.
        """
        self._staged.clear()
        self._draft = None
        self._own_peer = None

    def rest(self) -> None:
        """Give back the memory of the draft while nobody edits."""
        if not self._staged:
            self._draft = None

    # --- the rest -------------------------------------------------------------------------------------

    def _check_room(self) -> None:
        if len(self._staged) >= STAGED_MAX:
            raise Rejected(
                Code.BUSY, f"push rejected: {STAGED_MAX} edits wait for the store", None, Millis(100)
            )

    def _drafted(self) -> Draft:
        if self._draft is None:
            replica = self.main.fork()
            for record in self._staged:
                replica.merge_all([update for update in (*record.updates, record.repair) if update])
            self._draft = Draft(replica, Contents.read(replica), self._retired)
        return self._draft

    def _peer(self, draft: Draft) -> Peer:
        if self._own_peer is None:
            known: Mapping[int, object] = draft.replica.counters()
            self._own_peer = mint(known, self._rng)
        return self._own_peer

    def version(self) -> tuple[Vv, Heads]:
        return self.main.vv(), self.main.heads()


def _is_untouched(draft: Draft, peer: Peer, before: int) -> bool:
    try:
        return draft.replica.counter(peer) == before and draft.replica.length() == len(draft.contents.order)
    except Broken:
        return False

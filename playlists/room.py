"""Editing together: who has the playlist open, what each may still be told, and what a push comes to.

    open → welcome (role, peer, epoch, seq, what is missing)      sync before push
    push → gate → the shell writes the record → durable → ack to the author, update to everybody else
           refused → nack with a code and a way on; nobody else sees anything

A rate limit is no refusal: it answers with a time before a byte is decoded, and the same bytes are good
later. Pure: the shell carries the frames, writes the records and calls back. One thread at a time.
"""

from collections.abc import Sequence
from random import Random
from typing import Literal

import msgspec
from msgspec.structs import replace

from kernel.errors import TABLE, Code, Rejected, SegueError
from kernel.ids import DeviceId, UserId
from kernel.units import Millis
from playlists.access import Access, Role, require
from playlists.contents import DIFF_MAX, Change, changes
from playlists.gate import OPS_MAX, Author
from playlists.history import History
from playlists.intents import OwnIntent
from playlists.items import ITEMS_MAX
from playlists.leases import Lease, Leases, checked, grant, revoke
from playlists.live import LivePlaylist, Record
from playlists.loro_doc import UPDATE_BYTES_MAX, BadUpdate, Vv, decoded_vv

EDITORS_MAX = 2_000
SYNC_PART_BYTES = 60 * 1024
PUSHES_PER_S = 20.0
PUSHES_BURST = 60.0
STRIKES_MAX = 3
STRIKE_MS = Millis(60_000)
STRUCK_MS = Millis(30_000)
"""How long an author waits after too many refusals."""
DIGEST_EVERY = 256
"""Records."""
BUCKETS_MAX = 4_000


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    doc_epoch: int
    seq: int
    role: str
    peer: str | None
    """Decimal digits; None for whoever may not edit or has no document of his own."""
    lease_until_ms: Millis | None
    vv: bytes
    sync: Literal["none", "delta", "snapshot", "reset"]
    """reset: the history changed; keep the edits as intents, take the snapshot, make them again."""
    parts: tuple[bytes, ...]
    """What to merge, put together again."""
    push_bytes_max: int = UPDATE_BYTES_MAX
    push_ops_max: int = OPS_MAX
    items_max: int = ITEMS_MAX


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Durable."""

    n: int
    seq: int


class Nack(msgspec.Struct, frozen=True, kw_only=True):
    n: int
    code: Code
    message: str
    way_on: str
    """new_lease: forget the unacknowledged operations and open again; resend: export again from operation
    `due`; retry: the same bytes later; none."""
    at_op: int | None = None
    due: int | None = None
    retry_after_ms: Millis | None = None


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """To editors with a document; to the author only when the server added something."""

    seq: int
    doc_epoch: int
    by: UserId
    updates: tuple[bytes, ...]
    repair: bytes = b""


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """To editors without one."""

    seq: int
    doc_epoch: int
    by: UserId
    changes: tuple[Change, ...] | None
    """None: too many; read the list again."""


class DigestFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A replica at `vv` whose digest differs has gone astray: it opens again without a version."""

    seq: int
    vv: bytes
    digest: str


class RoleFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The role changed; "none" ends it."""

    role: str


Frame = Ack | Nack | Update | Diff | DigestFrame | RoleFrame
Out = tuple[str, Frame]
"""(editor, frame)"""


class OpenPlaylist(msgspec.Struct, frozen=True, kw_only=True):
    """What a client opens with."""

    doc_epoch: int | None = None
    vv: bytes | None = None
    """Its version; both None for a client that has nothing."""
    peer: str | None = None
    """The lease it holds."""
    has_document: bool = True
    """False: it sends intents and is shown differences."""


class Editor(msgspec.Struct, frozen=True, kw_only=True):
    editor_id: str
    user_id: UserId
    device_id: DeviceId
    lease: Lease | None
    has_document: bool


class _Bucket(msgspec.Struct, kw_only=True):
    tokens: float = PUSHES_BURST
    at_ms: int = 0
    strikes: int = 0
    struck_at_ms: int = 0


class Room:
    """One playlist and its open editors."""

    def __init__(
        self, live: LivePlaylist, access: Access, *, leases: Leases, history: History, rng: Random
    ) -> None:
        self.live = live
        self.access = access
        self.leases: Leases = leases
        """The shell keeps them: written before a welcome that lends one is sent."""
        self.history = history
        self.editors: dict[str, Editor] = {}
        self._rng = rng
        self._buckets: dict[UserId, _Bucket] = {}
        self._waiting: dict[int, tuple[str, int]] = {}
        """By seq: the editor and his `n`, to acknowledge."""

    # --- coming and going -----------------------------------------------------------------------------

    def open(
        self, editor_id: str, user_id: UserId, device_id: DeviceId, hello: OpenPlaylist, *, now_ms: Millis
    ) -> Welcome:
        """Raises Rejected."""
        require(self.access, user_id, Role.VIEWER, "open")
        if editor_id not in self.editors and len(self.editors) >= EDITORS_MAX:
            raise Rejected(
                Code.BUSY, f"open rejected: {EDITORS_MAX} have this playlist open here", None, Millis(10_000)
            )
        role = self.access.role_of(user_id)
        lease = None
        if hello.has_document and role >= Role.CONTRIBUTOR:
            lease = self._lease(editor_id, user_id, device_id, hello, now_ms)
        self.editors[editor_id] = Editor(
            editor_id=editor_id,
            user_id=user_id,
            device_id=device_id,
            lease=lease,
            has_document=hello.has_document,
        )
        sync, data = self._missing(hello)
        return Welcome(
            doc_epoch=self.live.doc_epoch,
            seq=self.live.seq,
            role=role.name.lower(),
            peer=None if lease is None else str(lease.peer),
            lease_until_ms=None if lease is None else lease.expires_at_ms,
            vv=self.live.main.vv(),
            sync=sync,
            parts=parts_of(data),
        )

    def _lease(
        self, editor_id: str, user_id: UserId, device_id: DeviceId, hello: OpenPlaylist, now_ms: Millis
    ) -> Lease:
        """The lease it holds, if it is good, of this epoch, and not in use by another tab; else a new one."""
        used = {one.lease.peer for one in self.editors.values() if one.lease and one.editor_id != editor_id}
        if hello.peer is not None and hello.peer.isdecimal() and hello.doc_epoch == self.live.doc_epoch:
            peer = int(hello.peer[:20])
            try:
                lease = checked(self.leases, peer, user_id=user_id, device_id=device_id, now_ms=now_ms)
            except Rejected:
                lease = None
            if lease is not None and peer not in used:
                return lease
        lease, self.leases = grant(
            self.leases,
            user_id=user_id,
            device_id=device_id,
            known=self.live.main.counters(),
            rng=self._rng,
            now_ms=now_ms,
        )
        return lease

    def _missing(self, hello: OpenPlaylist) -> tuple[Literal["none", "delta", "snapshot", "reset"], bytes]:
        if not hello.has_document:
            return "none", b""
        if hello.vv is None or hello.doc_epoch is None:
            return "snapshot", self.live.main.snapshot()
        if hello.doc_epoch != self.live.doc_epoch:
            return "reset", self.live.main.snapshot()
        try:
            data = self.live.main.updates_since(Vv(hello.vv))
        except BadUpdate:
            return "reset", self.live.main.snapshot()
        return ("delta", data) if data else ("none", b"")

    def pull(self, vv: bytes) -> tuple[bytes, ...]:
        """What a replica at `vv` lacks, after a gap. Raises Rejected."""
        try:
            decoded_vv(Vv(vv))
            return parts_of(self.live.main.updates_since(Vv(vv)))
        except BadUpdate as error:
            raise Rejected(Code.BAD_REQUEST, f"pull rejected: {error}") from None

    def leave(self, editor_id: str) -> None:
        self.editors.pop(editor_id, None)

    def access_changed(self, access: Access) -> list[Out]:
        """Tells everybody whose role changed; who may no longer look is out."""
        before, self.access = self.access, access
        out: list[Out] = []
        for editor in list(self.editors.values()):
            role = access.role_of(editor.user_id)
            if role is before.role_of(editor.user_id):
                continue
            out.append((editor.editor_id, RoleFrame(role=role.name.lower())))
            if role is Role.NONE:
                self.leave(editor.editor_id)
        return out

    # --- edits ----------------------------------------------------------------------------------------

    def push(
        self, editor_id: str, n: int, updates: tuple[bytes, ...], *, doc_epoch: int, now_ms: Millis
    ) -> Record | Ack | Nack:
        """A record to write, or at once the answer."""
        editor = self.editors[editor_id]
        try:
            author = self._author(editor)
            self._check_rate(editor.user_id, now_ms)
            if doc_epoch != self.live.doc_epoch:
                raise Rejected(
                    Code.STALE_DOC,
                    f"push rejected: it is of epoch {doc_epoch}, the list is at {self.live.doc_epoch}",
                    {"way_on": "new_lease"},
                )
            if editor.lease is None:
                raise Rejected(Code.PEER_INVALID, "push rejected: no peer is lent", {"way_on": "new_lease"})
            lease = checked(
                self.leases,
                editor.lease.peer,
                user_id=editor.user_id,
                device_id=editor.device_id,
                now_ms=now_ms,
            )
            record = self.live.stage(updates, author, lease, now_ms=now_ms)
        except Rejected as error:
            return self._nack(editor, n, error, now_ms)
        if record is None:
            return Ack(n=n, seq=self.live.seq)
        self._waiting[record.seq] = (editor_id, n)
        return record

    def intend(
        self, editor_id: str, n: int, intents: Sequence[OwnIntent], *, now_ms: Millis
    ) -> Record | Ack | Nack:
        """As `push`, for edits said by item id; they hold in every epoch, and leave no hole when refused."""
        editor = self.editors[editor_id]
        try:
            author = self._author(editor)
            self._check_rate(editor.user_id, now_ms)
            record = self.live.stage_intents(intents, author, now_ms=now_ms)
        except Rejected as error:
            return _as_nack(n, error, default="none")
        if record is None:
            return Ack(n=n, seq=self.live.seq)
        self._waiting[record.seq] = (editor_id, n)
        return record

    def durable(self, record: Record) -> list[Out]:
        """The record is written: what to tell whom."""
        watchers = [one for one in self.editors.values() if not one.has_document]
        before = self.live.view() if watchers else None
        self.live.commit(record)
        self.history.note(record)
        out: list[Out] = []
        author_id, n = self._waiting.pop(record.seq, ("", 0))
        if author_id in self.editors:
            out.append((author_id, Ack(n=n, seq=record.seq)))
        update = Update(
            seq=record.seq,
            doc_epoch=record.doc_epoch,
            by=record.by,
            updates=record.updates,
            repair=record.repair,
        )
        for editor in self.editors.values():
            own = editor.editor_id == author_id and record.peer != 0
            if editor.has_document and (not own or record.repair):
                out.append((editor.editor_id, update))
        if before is not None:
            steps = changes(before, self.live.view())
            diff = Diff(
                seq=record.seq,
                doc_epoch=record.doc_epoch,
                by=record.by,
                changes=tuple(steps) if len(steps) <= DIFF_MAX else None,
            )
            out += [(editor.editor_id, diff) for editor in watchers]
        if record.seq % DIGEST_EVERY == 0:
            out += self.digests()
        return out

    def failed(self, *, retry_after_ms: Millis) -> list[Out]:
        """The journal did not take the staged records: their authors push the same bytes again later."""
        self.live.abandon()
        waiting, self._waiting = self._waiting, {}
        return [
            (
                editor_id,
                Nack(
                    n=n,
                    code=Code.STORE_UNAVAILABLE,
                    message=TABLE[Code.STORE_UNAVAILABLE].text,
                    way_on="retry",
                    retry_after_ms=retry_after_ms,
                ),
            )
            for editor_id, n in waiting.values()
            if editor_id in self.editors
        ]

    def digests(self) -> list[Out]:
        """Against silent divergence: after DIGEST_EVERY records, and by the shell when it has been quiet."""
        frame = DigestFrame(seq=self.live.seq, vv=self.live.main.vv(), digest=self.live.digest())
        return [(editor.editor_id, frame) for editor in self.editors.values() if editor.has_document]

    # --- refusals -------------------------------------------------------------------------------------

    def _author(self, editor: Editor) -> Author:
        role = self.access.role_of(editor.user_id)
        if role < Role.CONTRIBUTOR:
            raise Rejected(
                Code.FORBIDDEN,
                f"push rejected: your role is {role.name.lower()}, it takes contributor",
                {"way_on": "none"},
            )
        return Author(user_id=editor.user_id, device_id=editor.device_id, role=role)

    def _check_rate(self, user_id: UserId, now_ms: Millis) -> None:
        bucket = self._buckets.get(user_id)
        if bucket is None:
            if len(self._buckets) >= BUCKETS_MAX:
                self._buckets.pop(next(iter(self._buckets)))
            bucket = self._buckets[user_id] = _Bucket(at_ms=now_ms)
        waits = bucket.struck_at_ms + STRUCK_MS - now_ms
        if bucket.strikes >= STRIKES_MAX and waits > 0:
            raise Rejected(
                Code.FLOODED, "push rejected: too many of your pushes were refused", None, Millis(waits)
            )
        elapsed_s = max(0, now_ms - bucket.at_ms) / 1000
        bucket.tokens = min(PUSHES_BURST, bucket.tokens + elapsed_s * PUSHES_PER_S)
        bucket.at_ms = now_ms
        if bucket.tokens < 1:
            waits = int((1 - bucket.tokens) / PUSHES_PER_S * 1000) + 1
            raise Rejected(Code.RATE_LIMITED, "push rejected: too many a second", None, Millis(waits))
        bucket.tokens -= 1

    def _nack(self, editor: Editor, n: int, error: SegueError, now_ms: Millis) -> Nack:
        nack = _as_nack(n, error, default="retry" if error.retry_after_ms is not None else "new_lease")
        if nack.way_on == "new_lease":
            bucket = self._buckets.setdefault(editor.user_id, _Bucket(at_ms=now_ms))
            fresh = now_ms - bucket.struck_at_ms < STRIKE_MS
            bucket.strikes = bucket.strikes + 1 if fresh else 1
            bucket.struck_at_ms = now_ms
            if editor.lease is not None:
                self.leases = revoke(self.leases, editor.lease.peer)
                self.editors[editor.editor_id] = replace(editor, lease=None)
        return nack


def _as_nack(n: int, error: SegueError, *, default: str) -> Nack:
    way_on = error.details.get("way_on", default)
    at_op, due = error.details.get("at_op"), error.details.get("due")
    return Nack(
        n=n,
        code=error.code,
        message=error.message,
        way_on=str(way_on),
        at_op=at_op if isinstance(at_op, int) else None,
        due=due if isinstance(due, int) else None,
        retry_after_ms=error.retry_after_ms,
    )


def parts_of(data: bytes) -> tuple[bytes, ...]:
    """Pieces that fit into frames, to be put together again before they are merged."""
    return tuple(data[at : at + SYNC_PART_BYTES] for at in range(0, len(data), SYNC_PART_BYTES))

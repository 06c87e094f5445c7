"""A replica of one playlist's Loro document: the only module that touches Loro.

Every Loro error is a bare `BaseException`, and a panic (also one) can poison the document it happened in.
Both become ours here: `BadUpdate` when bytes from outside cannot be taken, `Broken` when the replica itself
must be thrown away. Sizes are bounded before Loro sees a byte. No callback is ever registered on a document:
one that raises panics, and one that waits can deadlock the process (Loro 1.17.1).
A replica belongs to one thread at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NewType

import loro
import msgspec

from kernel.units import Millis

Peer = NewType("Peer", int)
"""One author's line of operations, 1 to 2**63-1. Text on the wire: JavaScript's numbers are too short."""
Vv = NewType("Vv", bytes)
"""Loro's encoding of a version vector."""
Heads = NewType("Heads", bytes)
"""Loro's encoding of a version as its newest operations."""

PEER_MAX = (1 << 63) - 1
UPDATE_BYTES_MAX = 32 * 1024
"""An update from outside. The limit also bounds how deep a value in it can be nested, see `ops.py`."""
SNAPSHOT_BYTES_MAX = 64 * 1024 * 1024
VV_BYTES_MAX = 64 * 1024
ITEMS = "items"
MAPS = ("meta", "notes", "votes", "reacts")

Value = str | int | None
"""What an entry of a map, or a field of an item, can be."""
Span = tuple[int, int]
"""First counter, and the one after the last."""


class BadUpdate(Exception):
    """These bytes cannot be taken; the replica may have taken part of them and is no longer to be trusted."""


class Broken(Exception):
    """The replica failed within itself and must be thrown away."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What an update says of itself, before any of it is merged."""

    is_update: bool
    """False for every form of snapshot."""
    starts: Mapping[int, int]
    ends: Mapping[int, int]
    """Peer to counter: the operations are those from start (0 when absent) up to end, exclusive."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge did."""

    spans: Mapping[int, Span]
    """New operations by peer."""
    pending: bool
    """Some wait for operations that are not here."""


class _ours:  # reads as what it does; a class because a generator costs four times as much
    """Turns whatever Loro raises in the block into `kind`, or into Broken when it panicked."""

    __slots__ = ("_kind", "_what")

    def __init__(self, kind: type[BadUpdate | Broken], what: str) -> None:
        self._kind = kind
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Loro raises bare BaseException, nothing narrower; a panic is one as well.
        if error is None or isinstance(error, BadUpdate | Broken | _NOT_LOROS):
            return
        text = str(error)
        panicked = type(error).__name__ == "PanicException" or "oisoned" in text
        raise (Broken if panicked else self._kind)(f"{self._what}: {text[:200]}") from None


_NOT_LOROS = KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError


def _bounded(data: bytes, size_max: int, what: str) -> bytes:
    if len(data) > size_max:
        raise BadUpdate(f"{what} of {len(data)} bytes is larger than {size_max}")
    return data


def read_header(update: bytes) -> Header:
    """Raises BadUpdate. Nothing is merged; the checksum is checked, which proves no author."""
    with _ours(BadUpdate, "header"):
        meta = loro.LoroDoc.decode_import_blob_meta(_bounded(update, UPDATE_BYTES_MAX, "update"), True)
        return Header(
            is_update=meta.mode == loro.EncodedBlobMode.Updates,
            starts=_counters(meta.partial_start_vv),
            ends=_counters(meta.partial_end_vv),
        )


def decoded_vv(vv: Vv) -> dict[int, int]:
    """Peer to how many of its operations are known. Raises BadUpdate."""
    with _ours(BadUpdate, "version vector"):
        return _counters(_vv(vv))


def encoded_vv(counters: Mapping[int, int]) -> Vv:
    with _ours(BadUpdate, "version vector"):
        vv = loro.VersionVector()  # type: ignore[no-untyped-call]  # Loro gives it no type
        for peer, end in counters.items():
            if end > 0:
                vv.set_end(loro.ID(peer, end))
        return Vv(vv.encode())


def _vv(vv: Vv) -> loro.VersionVector:
    return loro.VersionVector.decode(_bounded(vv, VV_BYTES_MAX, "version vector"))


def _counters(vv: loro.VersionVector) -> dict[int, int]:
    return {peer: span[1] for peer, span in vv.to_spans().inner().items()}


class Replica:
    """One copy of the document. Methods raise Broken unless they say otherwise."""

    __slots__ = ("_doc", "_items", "_maps")

    def __init__(self, doc: loro.LoroDoc) -> None:
        self._doc = doc
        self._items = doc.get_movable_list(ITEMS)
        self._maps = {name: doc.get_map(name) for name in MAPS}

    @classmethod
    def empty(cls) -> "Replica":
        with _ours(Broken, "new document"):
            return cls(loro.LoroDoc())  # type: ignore[no-untyped-call]  # Loro gives it no type

    @classmethod
    def opened(cls, snapshot: bytes, updates: Sequence[bytes] = ()) -> "Replica":
        """From our own store: a snapshot (may be empty) and the updates after it. Raises BadUpdate."""
        replica = cls.empty()
        with _ours(BadUpdate, "snapshot"):
            if snapshot:
                replica._doc.import_(_bounded(snapshot, SNAPSHOT_BYTES_MAX, "snapshot"))
            if updates:
                status = replica._doc.import_batch(list(updates))
                if status.pending is not None and not status.pending.is_empty:
                    raise BadUpdate("updates of the log build on others that are missing")
        return replica

    def fork(self) -> "Replica":
        with _ours(Broken, "fork"):
            return Replica(self._doc.fork())

    def fork_at(self, heads: Heads) -> "Replica":
        """The document as it was. Raises BadUpdate for a version that it never had."""
        with _ours(BadUpdate, "version"):
            return Replica(self._doc.fork_at(loro.Frontiers.decode(heads)))

    # --- merging --------------------------------------------------------------------------------------

    def merge(self, update: bytes) -> Imported:
        """Raises BadUpdate."""
        with _ours(BadUpdate, "update"):
            status = self._doc.import_(_bounded(update, UPDATE_BYTES_MAX, "update"))
            pending = status.pending
            return Imported(
                spans=status.success.inner(), pending=pending is not None and not pending.is_empty
            )

    def merge_all(self, updates: Sequence[bytes]) -> None:
        """Updates that were merged elsewhere before: a failure here is a fault of this replica."""
        with _ours(Broken, "updates"):
            for update in updates:
                self._doc.import_(update)

    # --- reading --------------------------------------------------------------------------------------

    def vv(self) -> Vv:
        with _ours(Broken, "version"):
            return Vv(self._doc.oplog_vv.encode())

    def counters(self) -> dict[int, int]:
        with _ours(Broken, "version"):
            return _counters(self._doc.oplog_vv)

    def counter(self, peer: int) -> int:
        """How many operations of `peer` are here."""
        with _ours(Broken, "version"):
            last = self._doc.oplog_vv.get_last(peer)
            return 0 if last is None else last + 1

    def heads(self) -> Heads:
        with _ours(Broken, "version"):
            return Heads(self._doc.state_frontiers.encode())

    def is_at(self, ids: Sequence[tuple[int, int]]) -> bool:
        """Whether these operations (peer, counter) are exactly the newest here. Raises BadUpdate."""
        with _ours(BadUpdate, "dependencies"):
            wanted = loro.Frontiers.from_ids([loro.ID(peer, counter) for peer, counter in ids])
            return self._doc.cmp_with_frontiers(wanted) == loro.Ordering.Equal

    def heads_of(self, ids: Sequence[tuple[int, int]]) -> Heads:
        with _ours(BadUpdate, "version"):
            return Heads(loro.Frontiers.from_ids([loro.ID(peer, counter) for peer, counter in ids]).encode())

    def json_of(self, peer: int, start: int, end: int) -> str:
        """Operations `start` up to `end` of a peer as Loro's JSON: safe to ask for values of any depth."""
        with _ours(BadUpdate, "operations"):
            span = loro.IdSpan(peer, loro.CounterSpan(start, end))
            return self._doc.export_json_in_id_span(span)

    def counter_at(self, peer: int, lamport: int) -> int | None:
        """Counter of the operation of `peer` with that Lamport time; None when there is none.

        An element of the list is named by the Lamport time of the operation that made it.
        """
        with _ours(BadUpdate, "operation"):
            low, high = 0, self.counter(peer)
            while low < high:
                middle = (low + high) // 2
                change = self._doc.get_change(loro.ID(peer, middle))
                if change is None:
                    return None
                first = change.id.counter
                if lamport < change.lamport:
                    high = first
                elif lamport >= change.lamport + change.len:
                    low = first + change.len
                else:
                    return first + lamport - change.lamport
            return None

    def items(self) -> list[object]:
        with _ours(Broken, "items"):
            value: object = self._items.get_deep_value()
            return value if isinstance(value, list) else []

    def length(self) -> int:
        with _ours(Broken, "items"):
            return len(self._items)

    def item_at(self, index: int) -> object:
        with _ours(Broken, "item"):
            return getattr(self._items.get(index), "value", None)

    def map_of(self, name: str) -> dict[str, Value]:
        """Entries that are plain; the gate lets no others in."""
        with _ours(Broken, name):
            value: object = self._maps[name].get_deep_value()
            return dict(value) if isinstance(value, dict) else {}

    def map_get(self, name: str, key: str) -> Value:
        """None when there is no such entry."""
        with _ours(Broken, name):
            value = getattr(self._maps[name].get(key), "value", None)
            return value if isinstance(value, str | int) else None

    def map_size(self, name: str) -> int:
        with _ours(Broken, name):
            return len(self._maps[name])

    # --- bytes ----------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        with _ours(Broken, "snapshot"):
            return self._doc.export(loro.ExportMode.Snapshot())

    def updates_since(self, vv: Vv) -> bytes:
        """All that a replica at `vv` lacks, b"" for nothing. Raises BadUpdate for a bad `vv`."""
        with _ours(BadUpdate, "version vector"):
            since = _vv(vv)
            if since.includes_vv(self._doc.oplog_vv):
                return b""
            return self._doc.export(loro.ExportMode.Updates(since))

    def updates_in(self, spans: Mapping[int, Span]) -> bytes:
        """These spans of operations alone."""
        with _ours(BadUpdate, "spans"):
            wanted = [loro.IdSpan(peer, loro.CounterSpan(start, end)) for peer, (start, end) in spans.items()]
            return self._doc.export(loro.ExportMode.UpdatesInRange(wanted))

    # --- writing --------------------------------------------------------------------------------------

    def write(self, peer: Peer, edit: Callable[["Writer"], None], *, message: str, now_ms: Millis) -> bytes:
        """The update that `edit` came to, b"" when it changed nothing.

        `message` differs from that of the change before it, so that changes stay small: one large change
        makes each later export slow.
        """
        with _ours(Broken, "own edit"):
            before = self._doc.oplog_vv
            if self._doc.peer_id != peer:
                self._doc.peer_id = peer
            edit(Writer(self._items, self._maps))
            self._doc.set_next_commit_message(message)
            self._doc.set_next_commit_timestamp(now_ms // 1000)
            self._doc.commit()
            if before.includes_vv(self._doc.oplog_vv):
                return b""
            return self._doc.export(loro.ExportMode.Updates(before))


class Writer:
    """What may be written: handed to the function given to `Replica.write`, and of no use after it."""

    __slots__ = ("_items", "_maps")

    def __init__(self, items: loro.LoroMovableList, maps: Mapping[str, loro.LoroMap]) -> None:
        self._items = items
        self._maps = maps

    def insert(self, index: int, value: Mapping[str, Value]) -> None:
        self._items.insert(index, dict(value))

    def move(self, index: int, to: int) -> None:
        """`to` counts without the item itself."""
        if index != to:
            self._items.mov(index, to)

    def replace(self, index: int, value: Mapping[str, Value]) -> None:
        self._items.set(index, dict(value))

    def delete(self, index: int) -> None:
        self._items.delete(index, 1)

    def put(self, name: str, key: str, value: Value) -> None:
        self._maps[name].insert(key, value)

    def drop(self, name: str, key: str) -> None:
        if key in self._maps[name]:
            self._maps[name].delete(key)

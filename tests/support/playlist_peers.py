"""Editors of a playlist as devices are: a raw Loro document each, edits made on it, bytes exchanged.

They use Loro without our adapter on purpose: they stand for a browser that runs another build of it.
"""

from collections.abc import Callable
from random import Random
from struct import pack

import loro
import xxhash

from kernel.ids import DeviceId, UserId, catalogue_id, uri
from kernel.units import Millis
from playlists.access import Role
from playlists.gate import Author
from playlists.leases import Lease, grant
from playlists.live import LivePlaylist, Record

NOW_MS = Millis(1_760_000_000_000)


def track(number: int) -> str:
    return uri("track", catalogue_id("playlist-test", number))


def item(
    rng: Random, by: str = "ada", *, number: int | None = None, at_ms: int = NOW_MS
) -> dict[str, str | int]:
    return {
        "i": f"{rng.getrandbits(64):016x}",
        "t": track(rng.randrange(1_000_000) if number is None else number),
        "by": by,
        "at": at_ms,
    }


def author(user: str = "ada", role: Role = Role.EDITOR) -> Author:
    return Author(user_id=UserId(user), device_id=DeviceId(f"{user}-phone"), role=role)


def lease_of(user: str, rng: Random, *, now_ms: Millis = NOW_MS) -> Lease:
    lease, _ = grant(
        {}, user_id=UserId(user), device_id=DeviceId(f"{user}-phone"), known={}, rng=rng, now_ms=now_ms
    )
    return lease


class Editor:
    """One device: its document, its lease, and the version it last exported."""

    def __init__(self, user: str, rng: Random, *, role: Role = Role.EDITOR) -> None:
        self.user = user
        self.rng = rng
        self.author = author(user, role)
        self.lease = lease_of(user, rng)
        self.doc = _document()
        self.doc.peer_id = self.lease.peer
        self.sent = self.doc.oplog_vv
        self.edits = 0

    @property
    def items(self) -> loro.LoroMovableList:
        return self.doc.get_movable_list("items")

    def ids(self) -> list[str]:
        return [value["i"] for value in values_of(self.doc)]

    def edit(self, change: Callable[[loro.LoroDoc], None], *, message: str | None = None) -> bytes:
        """The update that `change` came to; b"" when nothing changed."""
        change(self.doc)
        self.edits += 1
        self.doc.set_next_commit_message(message or f"e{self.edits}")
        self.doc.commit()
        return self.export()

    def export(self) -> bytes:
        """What this peer wrote since the last export."""
        start = _count(self.sent, self.lease.peer)
        end = _count(self.doc.oplog_vv, self.lease.peer)
        self.sent = self.doc.oplog_vv
        if start == end:
            return b""
        span = loro.IdSpan(self.lease.peer, loro.CounterSpan(start, end))
        return self.doc.export(loro.ExportMode.UpdatesInRange([span]))

    def add(self, index: int | None = None, *, number: int | None = None) -> bytes:
        value = item(self.rng, self.user, number=number)
        place = len(self.items) if index is None else index
        return self.edit(lambda doc: doc.get_movable_list("items").insert(place, dict(value)))

    def move(self, index: int, to: int) -> bytes:
        return self.edit(lambda doc: doc.get_movable_list("items").mov(index, to))

    def remove(self, index: int) -> bytes:
        return self.edit(lambda doc: doc.get_movable_list("items").delete(index, 1))

    def put(self, name: str, key: str, value: str | int) -> bytes:
        return self.edit(lambda doc: doc.get_map(name).insert(key, value))

    def merge(self, update: bytes) -> None:
        if update:
            self.doc.import_(update)

    def take(self, record: Record) -> None:
        for update in (*record.updates, record.repair):
            self.merge(update)

    def sync(self, live: LivePlaylist) -> None:
        """Everything that the server has."""
        self.merge(live.main.snapshot())

    def restart(self, live: LivePlaylist, lease: Lease) -> None:
        """What a client does after a refusal: forget the unacknowledged, write under a new peer."""
        self.doc = _document()
        self.lease = lease
        self.doc.peer_id = lease.peer
        self.sync(live)
        self.sent = self.doc.oplog_vv


def _document() -> loro.LoroDoc:
    return loro.LoroDoc()  # type: ignore[no-untyped-call]  # Loro gives it no type


def _count(vv: loro.VersionVector, peer: int) -> int:
    last = vv.get_last(peer)
    return 0 if last is None else last + 1


def values_of(doc: loro.LoroDoc) -> list[dict[str, str]]:
    value: object = doc.get_movable_list("items").get_deep_value()
    assert isinstance(value, list)
    return value


def push(live: LivePlaylist, editor: Editor, update: bytes, *, now_ms: Millis = NOW_MS) -> Record | None:
    """Stage and commit, as a shell does with a store that never fails. Raises Rejected."""
    record = live.stage((update,), editor.author, editor.lease, now_ms=now_ms)
    if record is not None:
        live.commit(record)
    return record


def seeded(count: int, rng: Random, *, by: str = "ada") -> LivePlaylist:
    """A list of `count` items, written in changes of 100."""
    live = LivePlaylist.created(rng=rng)
    editor = Editor(by, rng)
    for start in range(0, count, 100):

        def more(doc: loro.LoroDoc, start: int = start) -> None:
            for index in range(start, min(start + 100, count)):
                doc.get_movable_list("items").insert(index, dict(item(rng, by, number=index)))

        record = push(live, editor, editor.edit(more))
        assert record is not None
    return live


def with_checksum(update: bytes) -> bytes:
    """The bytes with the checksum that fits them: xxh32 of what follows it, seeded with "LORO"."""
    check = xxhash.xxh32(update[20:], seed=int.from_bytes(b"LORO", "little")).intdigest()
    return update[:16] + pack("<I", check) + update[20:]

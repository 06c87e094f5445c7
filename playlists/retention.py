"""When the journal becomes a snapshot, when a list leaves memory, when its history is cut, and how.

snapshot   the log since the last one outweighs it, or has 1,000 records, or the list fell idle
evict      nobody has it open and nothing happened for a minute
trim       nobody has it open and the document weighs several times what its items do: the items move
           into a new document under the next `doc_epoch`; edits made on the old come back as intents
"""

from collections.abc import Sequence
from random import Random

import msgspec

from kernel.units import Bytes, Millis
from playlists.contents import PlaylistView, meta_values
from playlists.history import Entry
from playlists.items import value_of
from playlists.leases import mint
from playlists.live import LivePlaylist, Record
from playlists.loro_doc import Replica, Writer

LOG_BYTES_MIN = Bytes(64 * 1024)
LOG_RECORDS_MAX = 1_000
IDLE_SNAPSHOT_MS = Millis(300_000)
IDLE_EVICT_MS = Millis(60_000)
LOG_KEPT_MS = Millis(86_400_000)
"""Records that a snapshot covers stay this long, should the snapshot turn out damaged."""
TRIM_BYTES_MIN = Bytes(512 * 1024)
TRIM_FACTOR = 4
ITEM_BYTES = Bytes(130)
"""An item and its insertion in a document without history (measured: 58 to 110, with random ids)."""
SEED_BATCH = 100
"""Operations in one change: one huge change makes every later export slow."""


class PlaylistSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a playlist is after record `seq`, but for its access."""

    doc_epoch: int
    seq: int
    document: bytes
    entries: tuple[Entry, ...] = ()


def snapshot_due(live: LivePlaylist, *, snapshot_size: Bytes, idle_ms: Millis) -> bool:
    if live.log_count == 0:
        return False
    return (
        live.log_bytes >= max(LOG_BYTES_MIN, snapshot_size)
        or live.log_count >= LOG_RECORDS_MAX
        or idle_ms >= IDLE_SNAPSHOT_MS
    )


def may_evict(*, editors: int, staged: int, idle_ms: Millis) -> bool:
    return editors == 0 and staged == 0 and idle_ms >= IDLE_EVICT_MS


def trim_due(*, snapshot_size: Bytes, item_count: int, editors: int, idle_ms: Millis) -> bool:
    """Idle lists alone: whoever has it open would lose his operations for nothing."""
    heavy = snapshot_size >= max(TRIM_BYTES_MIN, TRIM_FACTOR * ITEM_BYTES * item_count)
    return heavy and editors == 0 and idle_ms >= IDLE_SNAPSHOT_MS


def snapshot_of(live: LivePlaylist, entries: Sequence[Entry]) -> PlaylistSnapshot:
    return PlaylistSnapshot(
        doc_epoch=live.doc_epoch,
        seq=live.seq,
        document=live.main.snapshot(),
        entries=tuple(entries),
    )


def opened(snapshot: PlaylistSnapshot | None, records: Sequence[Record], *, rng: Random) -> LivePlaylist:
    """Snapshot and log. Records of the snapshot's past, or of an older epoch, are left out.

    Raises BadUpdate when the store is damaged: use the snapshot before.
    """
    if snapshot is None:
        return LivePlaylist.loaded(b"", records, doc_epoch=1, seq=0, rng=rng)
    later = [
        record for record in records if record.seq > snapshot.seq and record.doc_epoch == snapshot.doc_epoch
    ]
    return LivePlaylist.loaded(
        snapshot.document, later, doc_epoch=snapshot.doc_epoch, seq=snapshot.seq, rng=rng
    )


def seeded(view: PlaylistView, *, doc_epoch: int, seq: int, rng: Random, now_ms: Millis) -> LivePlaylist:
    """A new document with these contents and no history; also how a list is imported.

    Votes and notes of items that are gone stay behind.
    """
    replica = Replica.empty()
    peer = mint({}, rng)

    for start in range(0, len(view.items), SEED_BATCH):

        def insert(writer: Writer, start: int = start) -> None:
            for index, item in enumerate(view.items[start : start + SEED_BATCH], start=start):
                writer.insert(index, value_of(item))

        replica.write(peer, insert, message=f"t{start}", now_ms=now_ms)
    here = {item.item_id for item in view.items}
    marks = [("meta", key, value) for key, value in meta_values(view.meta).items()]
    for name, entries in (("notes", view.notes), ("votes", view.votes), ("reacts", view.reacts)):
        marks += [(name, key, value) for key, value in entries.items() if key.split("|", 1)[0] in here]

    for start in range(0, len(marks), SEED_BATCH):

        def put(writer: Writer, start: int = start) -> None:
            for name, key, value in marks[start : start + SEED_BATCH]:
                writer.put(name, key, value)

        replica.write(peer, put, message=f"m{start}", now_ms=now_ms)
    return LivePlaylist(replica, doc_epoch=doc_epoch, seq=seq, rng=rng)


def trimmed(live: LivePlaylist, *, rng: Random, now_ms: Millis) -> LivePlaylist:
    """The same list under the next epoch. Write its snapshot before anything of the new epoch is shown."""
    return seeded(live.view(), doc_epoch=live.doc_epoch + 1, seq=live.seq, rng=rng, now_ms=now_ms)

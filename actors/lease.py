"""Whether a host is alive, as itself and as the others judge it. No I/O; time comes in as an argument.

A host says that it lives by counting up its heartbeat once a second. Nobody compares clocks: others watch the
number, and judge by their own monotonic clock how long it has stood still.

    0 s          3 s               4.5 s                           30 s
    renewed      fenced            others may take over            lost
                 says "not now",   (they insert the next epoch)    drops its entities,
                 signs nothing                                     lets its sockets go

The owner stops before anybody else may start. What keeps the logs whole if it does not (a clock that stops, a
process that was frozen between two lines) is not here: it is the unique insert (`actors/journal.py`).
"""

from collections.abc import Iterable
from enum import StrEnum

from kernel.ids import HostId
from kernel.units import TickS
from storage.ports import HostRecord

FENCED_AFTER_S = 3.0
"""Since the beginning of the last renewal that the store took."""
OTHERS_WAIT_S = 4.5
LOST_AFTER_S = 30.0
"""While a store elects a primary nobody renews and nobody takes over: dropping everything at once would make
an outage of what was a pause."""
BLIND_AFTER_S = 2.5
"""Whoever could not look for so long has seen nothing stand still meanwhile."""


class Standing(StrEnum):
    """What a host may do."""

    HELD = "held"
    FENCED = "fenced"
    """Nothing is acknowledged, shown or signed; sockets stay."""
    LOST = "lost"


class Lease:
    """A host's own. Written by the thread that renews, read by the event loop: one number."""

    __slots__ = ("_renewed_s",)

    def __init__(self, now: TickS) -> None:
        self._renewed_s = now

    def renewed(self, asked_s: TickS) -> None:
        """The store took a renewal that was begun at `asked_s`."""
        self._renewed_s = max(self._renewed_s, asked_s)

    def standing(self, now: TickS) -> Standing:
        age_s = now - self._renewed_s
        if age_s < FENCED_AFTER_S:
            return Standing.HELD
        return Standing.FENCED if age_s < LOST_AFTER_S else Standing.LOST


class Sightings:
    """The other hosts, as one observer saw them."""

    def __init__(self) -> None:
        self._records: dict[HostId, HostRecord] = {}
        self._moved_s: dict[HostId, TickS] = {}
        """When the heartbeat was first seen as it is."""
        self._gone: dict[HostId, int] = {}
        """Incarnations that are known to have ended."""
        self._looked_s: TickS | None = None

    def see(self, records: Iterable[HostRecord], now: TickS) -> None:
        """What the store says at the moment."""
        if self._looked_s is not None and now - self._looked_s > BLIND_AFTER_S:
            blind_s = now - self._looked_s
            self._moved_s = {host: TickS(at + blind_s) for host, at in self._moved_s.items()}
        self._looked_s = now
        for record in records:
            before = self._records.get(record.host_id)
            if before is None or _beat(before) != _beat(record):
                self._moved_s[record.host_id] = now
            self._records[record.host_id] = record

    def exited(self, host_id: HostId, incarnation: int) -> None:
        """Somebody who cannot be wrong says that this life has ended."""
        self._gone[host_id] = max(incarnation, self._gone.get(host_id, 0))

    def is_live(self, host_id: HostId, incarnation: int, now: TickS) -> bool:
        """Whether what this life of the host owns is its own still."""
        record = self._records.get(host_id)
        return record is not None and record.incarnation == incarnation and self._lives(record, now)

    def live(self, now: TickS) -> dict[HostId, HostRecord]:
        return {host: record for host, record in self._records.items() if self._lives(record, now)}

    def suspects(self, now: TickS) -> set[HostId]:
        """Those that live, and by now may do nothing themselves. No time to move anything on purpose."""
        return {host for host in self.live(now) if now - self._moved_s[host] >= FENCED_AFTER_S}

    def _lives(self, record: HostRecord, now: TickS) -> bool:
        return (
            record.state == "up"
            and self._gone.get(record.host_id, 0) < record.incarnation
            and now - self._moved_s[record.host_id] < OTHERS_WAIT_S
        )


def _beat(record: HostRecord) -> tuple[int, int]:
    return record.incarnation, record.heartbeat

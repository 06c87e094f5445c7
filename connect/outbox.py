"""What a slow consumer gets: pure accounting for one connection, given what its transport still holds.

Frames are of three kinds. What must arrive (replies, media, a switch) is always sent, until the connection
holds so much that it is beyond help. State (pushes, snapshots) is worth only its newest value: above a high
mark it is not queued at all; once the connection has drained below a low mark, one fresh snapshot takes the
place of everything that was held. A pong that waits measures nothing and is left out.

    buffered     must arrive     state, keeping up    state, lagging
    ≤  64 KiB    SEND            SEND                 RESYNC: keeping up again
    ≤ 256 KiB    SEND            SEND                 HOLD, CLOSE after 10 s of lagging
    ≤   1 MiB    SEND            HOLD: now lagging    HOLD, CLOSE after 10 s of lagging
    above        CLOSE           CLOSE                CLOSE

A reply can overtake the snapshot that shows what it did; its `seq` says which state it speaks of.
"""

from enum import Enum

from connect.frames import Pong, Push, ServerFrame, Snapshot
from kernel.units import Bytes, TickS

LOW_BYTES = Bytes(64 * 1024)
HIGH_BYTES = Bytes(256 * 1024)
HARD_BYTES = Bytes(1024 * 1024)
LAGGING_S_MAX = 10.0


class Delivery(Enum):
    """How much a frame matters to a connection that does not keep up."""

    MUST = "must"
    STATE = "state"
    SPARE = "spare"


class Verdict(Enum):
    """What to do with a frame."""

    SEND = "send"
    HOLD = "hold"
    """Leave it out."""
    RESYNC = "resync"
    """Send one snapshot (reason `slow_consumer`) in its place."""
    CLOSE = "close"
    """End the connection with SLOW_CONSUMER."""


def delivery(frame: ServerFrame) -> Delivery:
    """The kind of a frame."""
    if isinstance(frame, Push | Snapshot):
        return Delivery.STATE
    return Delivery.SPARE if isinstance(frame, Pong) else Delivery.MUST


class Outbox:
    """Keeps one connection's lag."""

    __slots__ = ("_lagging_since_tick_s",)

    def __init__(self) -> None:
        self._lagging_since_tick_s: TickS | None = None

    @property
    def is_lagging(self) -> bool:
        """State was held back and has not been made good yet: call `poll` when the transport drains."""
        return self._lagging_since_tick_s is not None

    def offer(self, kind: Delivery, *, buffered: int, tick_s: TickS) -> Verdict:
        """The verdict on a frame of this kind, with `buffered` bytes waiting in the transport."""
        if buffered > HARD_BYTES:
            return Verdict.CLOSE
        match kind:
            case Delivery.MUST:
                return Verdict.SEND
            case Delivery.SPARE:
                return Verdict.SEND if buffered <= HIGH_BYTES else Verdict.HOLD
            case Delivery.STATE:
                if self._lagging_since_tick_s is not None:
                    return self.poll(buffered=buffered, tick_s=tick_s)
                if buffered <= HIGH_BYTES:
                    return Verdict.SEND
                self._lagging_since_tick_s = tick_s
                return Verdict.HOLD

    def poll(self, *, buffered: int, tick_s: TickS) -> Verdict:
        """Without a frame: RESYNC once it has drained, CLOSE when it did not in time, else HOLD."""
        if buffered > HARD_BYTES:
            return Verdict.CLOSE
        if self._lagging_since_tick_s is None:
            return Verdict.HOLD
        if buffered <= LOW_BYTES:
            self._lagging_since_tick_s = None
            return Verdict.RESYNC
        return Verdict.CLOSE if tick_s - self._lagging_since_tick_s > LAGGING_S_MAX else Verdict.HOLD

"""The small protocol between a player and what sounds, and the events that come back.

An output holds a few loaded plays; at most one of them is audible. It fetches and buffers by itself, goes
from one play to the one that `then` named without a gap, and says what happened through its listener. Its
methods never wait. Positions are milliseconds of the item.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from catalog.model import Codec
from connect.frames import Lease
from kernel.errors import Code
from kernel.ids import PlayId

READY_MS = 500
"""So much must be buffered before a play counts as ready."""
AHEAD_MS = 30_000
"""So much is buffered at most."""


class BecameReady(msgspec.Struct, frozen=True, kw_only=True):
    """Enough is buffered to sound at once."""

    play_id: PlayId


class Sounded(msgspec.Struct, frozen=True, kw_only=True):
    """A play that was told to sound does so now, or goes on after it had run dry."""

    play_id: PlayId
    position_ms: float


class RanDry(msgspec.Struct, frozen=True, kw_only=True):
    """The audible play has nothing left to sound, and goes on when bytes arrive."""

    play_id: PlayId
    position_ms: float


class WentOn(msgspec.Struct, frozen=True, kw_only=True):
    """The audible play ended, and the next one follows without a gap."""

    from_play_id: PlayId
    to_play_id: PlayId
    position_ms: float


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The audible play ended and nothing follows."""

    play_id: PlayId


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A play cannot be fetched or decoded. After a refused lease it may be loaded again with a new one."""

    play_id: PlayId
    code: Code
    message: str

    @property
    def lease_refused(self) -> bool:
        return self.code in (Code.LEASE_EXPIRED, Code.LEASE_REVOKED, Code.LEASE_INVALID, Code.LEASE_FOREIGN)


OutputEvent = BecameReady | Sounded | RanDry | WentOn | Ended | Failed
Listener = Callable[[OutputEvent], None]


class Output(Protocol):
    """What a player plays on."""

    name: str
    """For a person: `sound card (aplay)`."""
    codecs: tuple[Codec, ...]
    """Playable, best first."""
    start_delay_ms: int
    """From `play` to sound at the output, when the play is ready."""

    def listen(self, listener: Listener) -> None:
        """Events go to `listener` from now on, on the event loop's thread."""
        ...

    def load(self, lease: Lease, *, position_ms: float) -> None:
        """Buffer from `position_ms` on. A play that is loaded keeps its bytes and takes the newer lease."""
        ...

    def drop_all_but(self, keep: frozenset[PlayId]) -> None:
        """Forget every other loaded play that is not audible."""
        ...

    def play(self, play_id: PlayId, *, position_ms: float, speed: float) -> None:
        """Make a loaded play the audible one, from `position_ms` on; `Sounded` says when it does."""
        ...

    def then(self, play_id: PlayId | None) -> None:
        """What follows the audible play; it must be loaded. None: nothing."""
        ...

    def silence(self) -> float:
        """Fall silent now; returns the position of the last frame heard, 0.0 when nothing was audible."""
        ...

    def position_ms(self) -> float:
        """Of what is audible; 0.0 when nothing is."""
        ...

    def buffered_ms(self, play_id: PlayId) -> int:
        """Bytes in hand past the position, as time; 0 for a play that is not loaded."""
        ...

    def throughput_kbps(self) -> int | None:
        """Measured while fetching; None before the first measurement."""
        ...

    def set_volume(self, *, percent: int, muted: bool) -> None: ...

    async def close(self) -> None:
        """Stop everything and give back what was opened."""
        ...

"""The last pushes of a session, kept so that a client that was away gets exactly what it missed.

Only durable pushes are kept: each has its own `seq`, and `seq` goes on across owners. Volatile values
(position, volume) have no history worth replaying; whoever resumes gets the newest ones after the replay.
Durable records that changed nothing anybody sees take a `seq` without a push (`advance`).
"""

from collections import deque

from connect.frames import Push
from kernel.units import Bytes

PUSHES_MAX = 256
BYTES_MAX = Bytes(64 * 1024)
"""More than this is neither worth keeping for each session nor worth sending: a snapshot is smaller."""


class Replay:
    """A ring of pushes; owned by the session's entity."""

    __slots__ = ("_floor_seq", "_pushes", "_size", "owner_epoch", "seq")

    def __init__(self, *, owner_epoch: int, seq: int) -> None:
        self.owner_epoch = owner_epoch
        self.seq = seq
        """Where the session stands; a client at this place missed nothing."""
        self._floor_seq = seq
        """The oldest place from which the ring reaches to `seq` without a hole."""
        self._pushes: deque[tuple[Push, int]] = deque()
        self._size = 0

    def append(self, push: Push, *, size: int) -> None:
        """Keep a durable push. `size` is what it takes encoded, in bytes."""
        assert push.durable, "a push of volatile values is not replayed"
        self.advance(push.seq)
        self._pushes.append((push, size))
        self._size += size
        while len(self._pushes) > PUSHES_MAX or self._size > BYTES_MAX:
            oldest, oldest_size = self._pushes.popleft()
            self._size -= oldest_size
            self._floor_seq = oldest.seq

    def advance(self, seq: int) -> None:
        """The session's log grew to `seq`, and clients saw nothing of it."""
        assert seq > self.seq, f"seq {seq} does not follow {self.seq}"
        self.seq = seq

    def since(self, *, owner_epoch: int, seq: int) -> list[Push] | None:
        """What a client that stands at `seq` missed, oldest first; None when only a snapshot can tell.

        An older `owner_epoch` is no hindrance: the log is one. A newer one, or a `seq` from the future, means
        that the client saw a history this host does not have.
        """
        if owner_epoch > self.owner_epoch or not self._floor_seq <= seq <= self.seq:
            return None
        return [push for push, _ in self._pushes if push.seq > seq]

"""What must be true at every step of a simulated history, and what when it has come to rest."""

from collections import Counter
from dataclasses import dataclass, field

from msgspec import UNSET

from connect.frames import Push, Snapshot
from kernel.ids import DeviceId, UserId
from storage.ports import LogRecord


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Checks:
    """Told of everything that happened; raises Broken at the first that may not."""

    active: dict[tuple[UserId, int], DeviceId] = field(default_factory=dict)
    """By user and device epoch: at most one device was ever active in it."""
    written: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By entity: place and owner epoch of the last record that the store took."""
    broken: Broken | None = None
    """The first, also where nobody waits for who found it."""

    def record(self, record: LogRecord) -> None:
        """The store took it."""
        seq, epoch = self.written.get(record.key, (0, 0))
        if record.seq <= seq and record.owner_epoch <= epoch:
            return  # the repeat of an insert whose answer was lost
        if record.seq != seq + 1:
            raise self.fail(f"one writer: {record.key} took place {record.seq} after {seq}")
        if record.owner_epoch < epoch:
            raise self.fail(f"one writer: {record.key} epoch {record.owner_epoch} wrote after {epoch}")
        self.written[record.key] = record.seq, record.owner_epoch

    def shown(self, user_id: UserId, frame: Snapshot | Push) -> None:
        """A device was shown it."""
        player = frame.player
        if player is UNSET or player.device_epoch is UNSET or player.active_device_id is UNSET:
            return
        device_id = player.active_device_id
        if device_id is None:  # it left for good; nobody took its place in that epoch
            return
        before = self.active.setdefault((user_id, player.device_epoch), device_id)
        if device_id != before:
            raise self.fail(
                f"one active device: {user_id}'s epoch {player.device_epoch} was {before}'s, is {device_id}'s"
            )

    def fail(self, what: str) -> Broken:
        """For `raise`; kept, too."""
        found = Broken(what)
        self.broken = self.broken or found
        return found


@dataclass
class Edits:
    """What one device asked for, and what it was told. Each device queues a track that only it queues."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    """Asked, and never answered: may have happened, once."""

    def settle(self, user_id: UserId, queued: Counter[str]) -> None:
        """Everything has come to rest. Raises Broken."""
        for track in self.acknowledged.keys() | self.unknown.keys():
            least = self.acknowledged[track]
            most = least + self.unknown[track]
            if queued[track] < least:
                raise Broken(f"durable: {user_id} lost {least - queued[track]} of {least} acknowledged edits")
            if queued[track] > most:
                raise Broken(f"once: {user_id} has {queued[track]} edits that were asked for {most} times")

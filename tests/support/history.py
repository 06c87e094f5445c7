"""Writers that race for the places of one entity's log, and what must be true of it in the end.

A small entity: its state is the list of the operations done, its snapshot that list. A writer does what a
host does: append at the next place, on TAKEN load and look whether the operation is there, snapshot now and
then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from storage.ports import Append, EntityLog, LogRecord, Snapshot
from tests.support.faulty_stores import persist

SNAPSHOT_EVERY = 7
RACES_MAX = 400
"""Races that one operation may lose: each is won by another, of whom there are few."""


async def state_of(log: EntityLog, key: str) -> list[str]:
    """The operations that are in the log, in its order."""
    snapshot, records = await log.load(key)
    done = msgspec.json.decode(snapshot.payload, type=list[str]) if snapshot else []
    assert [record.seq for record in records] == list(range(len(done) + 1, len(done) + 1 + len(records)))
    return done + [record.payload.decode() for record in records]


@dataclass
class Writer:
    log: EntityLog
    key: str
    name: str
    pause_s: float = 0.0
    acknowledged: list[str] = field(default_factory=list)

    async def write(self, count: int) -> None:
        for number in range(count):
            await self.write_one(number)

    async def write_one(self, number: int) -> None:
        operation = f"{self.name}-{number}"
        for _ in range(RACES_MAX):
            done = await persist(lambda: state_of(self.log, self.key), pause_s=self.pause_s)
            if operation in done:
                break
            record = LogRecord(key=self.key, seq=len(done) + 1, owner_epoch=1, payload=operation.encode())
            [outcome] = await persist(lambda: self.log.append([record]), pause_s=self.pause_s)  # noqa: B023
            if outcome is Append.WRITTEN:
                if record.seq % SNAPSHOT_EVERY == 0:
                    state = Snapshot(
                        key=self.key, seq=record.seq, payload=msgspec.json.encode([*done, operation])
                    )
                    await persist(lambda: self.log.put_snapshot(state), pause_s=self.pause_s)  # noqa: B023
                break
        else:
            raise AssertionError(f"{operation} lost every race")
        self.acknowledged.append(operation)


async def check(log: EntityLog, writers: Sequence[Writer]) -> None:
    """Nothing acknowledged is missing, nothing is there twice, each writer's own order is kept."""
    for key in {writer.key for writer in writers}:
        done = await state_of(log, key)
        assert len(done) == len(set(done)), (
            f"done twice in {key}: {sorted(o for o in done if done.count(o) > 1)}"
        )
        for writer in writers:
            if writer.key == key:
                own = [operation for operation in done if operation.startswith(f"{writer.name}-")]
                assert own[: len(writer.acknowledged)] == writer.acknowledged
                # One more may have been written and not been said.
                assert len(own) <= len(writer.acknowledged) + 1

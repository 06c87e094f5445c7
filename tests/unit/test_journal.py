"""An entity's place in its log: fences, zombies, unknown outcomes, snapshots, group commit."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.journal import SNAPSHOT_EVERY, WAITING_MAX, Journal, LogWriter
from kernel.errors import Code, Fenced, Unavailable
from storage.memory import MemoryEntityLog
from storage.ports import Append, EntityLog, LogRecord
from tests.support.faulty_log import Fault, FaultyLog

KEY = "session/user-ada"


def journal(log: EntityLog, epoch: int = 1) -> Journal:
    return Journal(LogWriter(log), KEY, epoch)


async def payloads(log: EntityLog) -> list[bytes]:
    return (await journal(log, 99).open()).payloads


async def test_opening_puts_a_fence_and_finds_what_was_written_in_order() -> None:
    log = MemoryEntityLog()
    first = journal(log)
    assert (await first.open()).payloads == []
    for payload in (b"a", b"b", b"c"):
        await first.append(payload)
    assert first.seq == 4
    second = journal(log, 2)
    loaded = await second.open()
    assert loaded.payloads == [b"a", b"b", b"c"]
    assert (loaded.seq, second.seq) == (4, 5)


async def test_a_zombies_next_insert_is_refused_and_what_it_wrote_before_stays() -> None:
    log = MemoryEntityLog()
    zombie, heir = journal(log, 1), journal(log, 2)
    await zombie.open()
    await zombie.append(b"acknowledged")
    await heir.open()
    with pytest.raises(Fenced) as refused:
        await zombie.append(b"too late")
    assert refused.value.code is Code.NOT_OWNER
    await heir.append(b"goes on")
    assert await payloads(log) == [b"acknowledged", b"goes on"]


@pytest.mark.parametrize("folded", [False, True], ids=["by its records", "by its snapshot"])
async def test_an_older_epoch_cannot_open_what_a_newer_one_has_written(folded: bool) -> None:
    log = MemoryEntityLog()
    newer = journal(log, 5)
    await newer.open()
    await newer.append(b"x")
    if folded:
        await newer.put_snapshot(b"x")
    with pytest.raises(Fenced, match="epoch 5"):
        await journal(log, 4).open()
    await newer.append(b"y")


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_an_unknown_outcome_is_settled_by_the_same_insert_again(fault: Fault) -> None:
    log = FaultyLog(MemoryEntityLog())
    writer = journal(log)
    await writer.open()
    log.faults = [fault]
    await writer.append(b"once")
    assert not log.faults
    assert not writer.in_doubt
    await writer.append(b"next")
    assert await payloads(log) == [b"once", b"next"]


@pytest.mark.parametrize("second", list(Fault))
async def test_twice_unknown_leaves_the_journal_in_doubt_and_at_its_end(second: Fault) -> None:
    log = FaultyLog(MemoryEntityLog())
    writer = journal(log)
    await writer.open()
    log.faults = [Fault.AFTER, second]
    with pytest.raises(Unavailable):
        await writer.append(b"perhaps")
    assert writer.in_doubt
    with pytest.raises(Unavailable) as refused:
        await writer.append(b"something else")
    assert refused.value.code is Code.STORE_UNAVAILABLE
    assert await payloads(log) == [b"perhaps"]


async def test_what_was_refused_for_certain_leaves_no_doubt() -> None:
    log = FaultyLog(MemoryEntityLog())
    writer = journal(log)
    await writer.open()
    log.faults = [Fault.FULL]
    with pytest.raises(Unavailable) as refused:
        await writer.append(b"refused")
    assert refused.value.code is Code.BUSY
    assert not writer.in_doubt
    await writer.append(b"taken")
    assert await payloads(log) == [b"taken"]


async def test_a_fence_whose_answer_was_lost_is_put_once() -> None:
    log = FaultyLog(MemoryEntityLog())
    log.faults = [Fault.AFTER]
    writer = journal(log)
    await writer.open()
    assert writer.seq == 1


async def test_a_snapshot_takes_the_place_of_the_records_before_it() -> None:
    log = MemoryEntityLog()
    writer = journal(log)
    await writer.open()
    await writer.append(b"a")
    await writer.put_snapshot(b"after a")
    await writer.append(b"b")
    loaded = await journal(log, 2).open()
    assert (loaded.snapshot, loaded.payloads, loaded.seq) == (b"after a", [b"b"], 3)


async def test_a_snapshot_is_due_every_so_many_records_and_not_in_between() -> None:
    log = MemoryEntityLog()
    writer = journal(log)
    await writer.open()
    due = []
    for number in range(1, 3 * SNAPSHOT_EVERY - 1):
        await writer.append(b"%d" % number)

        def payload(number: int = number) -> bytes:
            due.append(number)
            return b"after %d" % number

        await writer.put_snapshot_if_due(payload)
    assert due == [SNAPSHOT_EVERY - 1, 2 * SNAPSHOT_EVERY - 1]
    loaded = await journal(log, 2).open()
    assert loaded.snapshot == b"after %d" % due[-1]
    assert len(loaded.payloads) == SNAPSHOT_EVERY - 1


async def test_a_snapshot_that_fails_costs_nothing_and_is_tried_again() -> None:
    log = FaultyLog(MemoryEntityLog())
    writer = journal(log)
    await writer.open()
    for number in range(SNAPSHOT_EVERY):
        await writer.append(b"%d" % number)
    log.down = True
    await writer.put_snapshot_if_due(lambda: b"lost")
    log.down = False
    await writer.put_snapshot_if_due(lambda: b"kept")
    assert (await journal(log, 2).open()).snapshot == b"kept"


class CountingLog(MemoryEntityLog):
    """Holds the first batch until told, and notes the size of each."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.gate = asyncio.Event()

    async def append(self, records: Sequence[LogRecord]) -> list[Append]:
        self.batches.append(len(records))
        await self.gate.wait()
        return await super().append(records)


def record(number: int) -> LogRecord:
    return LogRecord(key=f"session/{number}", seq=1, owner_epoch=1, payload=b"x")


async def test_records_that_come_while_a_batch_is_written_go_together() -> None:
    log = CountingLog()
    writer = LogWriter(log)
    writes = [asyncio.ensure_future(writer.append(record(0)))]
    while not log.batches:  # noqa: ASYNC110 - until the first batch is at the store
        await asyncio.sleep(0)
    writes += [asyncio.ensure_future(writer.append(record(number))) for number in range(1, 51)]
    await asyncio.sleep(0)
    log.gate.set()
    assert await asyncio.gather(*writes) == [Append.WRITTEN] * 51
    assert log.batches == [1, 50]


async def test_a_writer_with_too_much_waiting_says_busy() -> None:
    log = CountingLog()
    writer = LogWriter(log)
    writes = [asyncio.ensure_future(writer.append(record(0)))]
    while not log.batches:  # noqa: ASYNC110
        await asyncio.sleep(0)
    writes += [asyncio.ensure_future(writer.append(record(number))) for number in range(1, WAITING_MAX + 1)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as busy:
        await writer.append(record(WAITING_MAX + 1))
    assert busy.value.code is Code.BUSY
    log.gate.set()
    assert set(await asyncio.gather(*writes)) == {Append.WRITTEN}


async def test_a_caller_that_gave_up_waiting_holds_up_nobody() -> None:
    log = CountingLog()
    writer = LogWriter(log)
    gone = asyncio.ensure_future(writer.append(record(0)))
    other = asyncio.ensure_future(writer.append(record(1)))
    while not log.batches:  # noqa: ASYNC110
        await asyncio.sleep(0)
    gone.cancel()
    log.gate.set()
    assert await other is Append.WRITTEN
    assert (await log.load("session/0"))[1] == [record(0)]

"""What every entity log promises."""

import asyncio

from storage.ports import Append, LogRecord, Snapshot
from storage.stores import Stores

WRITTEN, TAKEN = Append.WRITTEN, Append.TAKEN


def record(seq: int, payload: bytes = b"x", *, key: str = "session/ann", epoch: int = 1) -> LogRecord:
    return LogRecord(key=key, seq=seq, owner_epoch=epoch, payload=payload)


def snapshot(seq: int, *, key: str = "session/ann") -> Snapshot:
    return Snapshot(key=key, seq=seq, payload=b"state after %d" % seq)


async def test_an_unknown_entity_has_neither_snapshot_nor_records(stores: Stores) -> None:
    assert await stores.log.load("session/nobody") == (None, [])


async def test_records_come_back_in_order_of_seq_whatever_order_they_went_in(stores: Stores) -> None:
    written = [record(seq, b"%d" % seq) for seq in (3, 1, 11, 2, 10)]
    assert await stores.log.append(written) == [WRITTEN] * 5
    _, loaded = await stores.log.load("session/ann")
    assert loaded == [record(seq, b"%d" % seq) for seq in (1, 2, 3, 10, 11)]


async def test_payloads_come_back_byte_for_byte_the_empty_fence_included(stores: Stores) -> None:
    written = [record(1, b""), record(2, bytes(range(256))), record(3, b"\0" * 100_000)]
    await stores.log.append(written)
    assert (await stores.log.load("session/ann"))[1] == written


async def test_entities_are_kept_apart_even_when_one_name_begins_the_other(stores: Stores) -> None:
    await stores.log.append([record(1, b"a", key="session/a"), record(1, b"ab", key="session/ab")])
    assert (await stores.log.load("session/a"))[1] == [record(1, b"a", key="session/a")]


async def test_a_repeat_of_the_same_record_is_told_written(stores: Stores) -> None:
    assert await stores.log.append([record(1, b"once")]) == [WRITTEN]
    assert await stores.log.append([record(1, b"once")]) == [WRITTEN]
    assert (await stores.log.load("session/ann"))[1] == [record(1, b"once")]


async def test_another_payload_or_another_epoch_finds_the_place_taken(stores: Stores) -> None:
    await stores.log.append([record(1, b"first")])
    assert await stores.log.append([record(1, b"second")]) == [TAKEN]
    assert await stores.log.append([record(1, b"first", epoch=2)]) == [TAKEN]
    assert (await stores.log.load("session/ann"))[1] == [record(1, b"first")]


async def test_each_record_of_a_batch_stands_for_itself(stores: Stores) -> None:
    await stores.log.append([record(2, b"there")])
    batch = [record(1), record(2, b"late"), record(3), record(1, key="session/bob"), record(3, b"twice")]
    assert await stores.log.append(batch) == [WRITTEN, TAKEN, WRITTEN, WRITTEN, TAKEN]


async def test_a_batch_larger_than_any_statement_is_written_whole(stores: Stores) -> None:
    batch = [record(seq, b"%d" % seq) for seq in range(1, 1_001)]
    assert await stores.log.append(batch) == [WRITTEN] * 1_000
    assert (await stores.log.load("session/ann"))[1] == batch


async def test_no_records_is_no_outcomes(stores: Stores) -> None:
    assert await stores.log.append([]) == []


async def test_of_200_concurrent_appends_to_one_place_one_is_written(stores: Stores) -> None:
    racers = [record(1, b"racer %d" % number) for number in range(200)]
    outcomes = await asyncio.gather(*(stores.log.append([racer]) for racer in racers))
    winners = [racer for racer, [outcome] in zip(racers, outcomes, strict=True) if outcome is WRITTEN]
    assert len(winners) == 1
    assert (await stores.log.load("session/ann"))[1] == winners


async def test_in_50_rounds_of_20_racing_appends_each_round_has_one_winner(stores: Stores) -> None:
    won = []
    for seq in range(1, 51):
        racers = [record(seq, b"racer %d" % number, epoch=number) for number in range(20)]
        outcomes = await asyncio.gather(*(stores.log.append([racer]) for racer in racers))
        winners = [racer for racer, [outcome] in zip(racers, outcomes, strict=True) if outcome is WRITTEN]
        assert len(winners) == 1
        won += winners
    assert (await stores.log.load("session/ann"))[1] == won


async def test_a_snapshot_hides_the_records_that_it_holds(stores: Stores) -> None:
    await stores.log.append([record(seq) for seq in range(1, 6)])
    await stores.log.put_snapshot(snapshot(3))
    assert await stores.log.load("session/ann") == (snapshot(3), [record(4), record(5)])


async def test_the_newest_snapshot_counts_even_when_an_older_one_comes_later(stores: Stores) -> None:
    await stores.log.append([record(seq) for seq in range(1, 6)])
    await stores.log.put_snapshot(snapshot(4))
    await stores.log.put_snapshot(snapshot(2))
    assert await stores.log.load("session/ann") == (snapshot(4), [record(5)])


async def test_a_snapshot_put_twice_is_there_once_and_unchanged(stores: Stores) -> None:
    await stores.log.append([record(1), record(2)])
    await stores.log.put_snapshot(snapshot(1))
    await stores.log.put_snapshot(snapshot(1))
    assert await stores.log.load("session/ann") == (snapshot(1), [record(2)])


async def test_the_first_snapshot_trims_nothing(stores: Stores) -> None:
    await stores.log.append([record(1), record(2)])
    await stores.log.put_snapshot(snapshot(2))
    # Still there to be compared with: a repeat is told so, and another record is not.
    assert await stores.log.append([record(1), record(1, b"other")]) == [WRITTEN, TAKEN]


async def test_records_after_the_previous_snapshot_survive_a_trim(stores: Stores) -> None:
    await stores.log.append([record(seq) for seq in range(1, 10)])
    await stores.log.put_snapshot(snapshot(3))
    await stores.log.put_snapshot(snapshot(6))
    assert await stores.log.append([record(seq) for seq in (4, 5, 6, 7)]) == [WRITTEN] * 4
    assert await stores.log.load("session/ann") == (snapshot(6), [record(7), record(8), record(9)])


async def test_a_place_that_a_trim_has_emptied_cannot_be_taken_again(stores: Stores) -> None:
    await stores.log.append([record(seq) for seq in range(1, 10)])
    for seq in (3, 6, 9):
        await stores.log.put_snapshot(snapshot(seq))
    sleeper = [record(2, b"a stale writer's"), record(6, b"a stale writer's")]
    assert await stores.log.append(sleeper) == [TAKEN, TAKEN]
    assert await stores.log.append([record(10)]) == [WRITTEN]
    assert await stores.log.load("session/ann") == (snapshot(9), [record(10)])


async def test_a_place_that_a_snapshot_holds_is_not_free_even_if_no_record_ever_had_it(
    stores: Stores,
) -> None:
    await stores.log.append([record(1)])
    await stores.log.put_snapshot(snapshot(4))
    late = record(3, b"a stale writer's")
    # The second time, too: the first has left nothing behind to be met as its own.
    assert await stores.log.append([late]) == [TAKEN]
    assert await stores.log.append([late]) == [TAKEN]
    assert await stores.log.append([record(5)]) == [WRITTEN]
    assert await stores.log.load("session/ann") == (snapshot(4), [record(5)])


async def test_a_trim_leaves_other_entities_alone(stores: Stores) -> None:
    await stores.log.append([record(1, key="session/bob"), record(1), record(2)])
    await stores.log.put_snapshot(snapshot(1))
    await stores.log.put_snapshot(snapshot(2))
    assert await stores.log.load("session/bob") == (None, [record(1, key="session/bob")])

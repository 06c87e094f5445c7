"""What the embedded stores promise beyond the ports: several processes, kill -9, full queues, old files."""

import asyncio
import os
import pickle
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kernel.errors import Code, Rejected, Unavailable
from kernel.units import Millis
from storage.embedded.blobs import CALLS_MAX, INCOMING_MAX_AGE_MS
from storage.embedded.database import WRITES_WAITING_MAX
from storage.embedded.schema import MAIN
from storage.ports import Append, LogRecord, Snapshot
from storage.stores import Stores, open_stores
from tests.contract.embedded_worker import RACE_ROUNDS, WRITERS
from tests.support.clock import FakeClock

WORKER = Path(__file__).with_name("embedded_worker.py")
WAIT_S = 30
"""Longest wait for another process; it takes a fraction of a second."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@asynccontextmanager
async def opened(folder: Path, clock: FakeClock | None = None) -> AsyncIterator[Stores]:
    stores = open_stores(folder, clock or FakeClock())
    try:
        yield stores
    finally:
        await stores.close()


@asynccontextmanager
async def worker(folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process; killed with -9 at the end, if not before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        str(folder),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout
    return (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).decode().split()


async def rest(process: asyncio.subprocess.Process) -> list[list[str]]:
    """Whole lines up to the end; what a kill cut off was not said."""
    assert process.stdout
    said = await asyncio.wait_for(process.stdout.read(), WAIT_S)
    return [words.split() for words in said.decode().split("\n")[:-1]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what another process did gives no event to wait for
            await asyncio.sleep(0.01)


def record(seq: int, payload: bytes = b"x", *, key: str = "k") -> LogRecord:
    return LogRecord(key=key, seq=seq, owner_epoch=1, payload=payload)


async def test_what_was_written_is_there_after_opening_again(folder: Path) -> None:
    async with opened(folder) as stores:
        await stores.log.append([record(1), record(2)])
        await stores.log.put_snapshot(Snapshot(key="k", seq=1, payload=b"s"))
        await stores.documents.put("c", [("a", b"1")])
        await stores.blobs.put("audio/1", b"song", content_type="audio/mp4")
    async with opened(folder) as stores:
        assert await stores.log.load("k") == (Snapshot(key="k", seq=1, payload=b"s"), [record(2)])
        assert await stores.documents.get("c", ["a"]) == [b"1"]
        assert [chunk async for chunk in stores.blobs.read("audio/1")] == [b"song"]


async def test_two_opened_stores_of_one_folder_race_as_one(folder: Path) -> None:
    async with opened(folder) as one, opened(folder) as two:
        for seq in range(1, 51):
            racers = [record(seq, b"racer %d" % number) for number in range(20)]
            outcomes = await asyncio.gather(
                *((one, two)[number % 2].log.append([racer]) for number, racer in enumerate(racers))
            )
            assert sorted(outcome for [outcome] in outcomes) == [Append.TAKEN] * 19 + [Append.WRITTEN]
        won = await asyncio.gather(
            *((one, two)[number % 2].documents.insert("c", "a", b"%d" % number) for number in range(200))
        )
        assert sum(won) == 1
        assert await one.documents.get("c", ["a"]) == await two.documents.get("c", ["a"])
        assert await one.log.load("k") == await two.log.load("k")


async def test_three_processes_that_race_for_each_place_have_one_winner_each(folder: Path) -> None:
    async with (
        worker(folder, "race", "a") as a,
        worker(folder, "race", "b") as b,
        worker(folder, "race", "c") as c,
    ):
        racers = [a, b, c]
        for racer in racers:
            assert await line(racer) == ["ready"]
        for racer in racers:
            assert racer.stdin
            racer.stdin.write(b"go\n")
        said = await asyncio.gather(*(rest(racer) for racer in racers))
    async with opened(folder) as stores:
        _, records = await stores.log.load("race")
    assert len(records) == RACE_ROUNDS
    for found, outcomes in zip(records, zip(*said, strict=True), strict=True):
        winners = [name for name, (_, outcome) in zip("abc", outcomes, strict=True) if outcome == "written"]
        assert winners == [found.payload.decode()]


async def test_after_kill_9_no_acknowledged_record_is_missing(folder: Path) -> None:
    async with worker(folder, "write") as writer:
        said = [await line(writer) for _ in range(500)]
        writer.kill()
        said += await rest(writer)
    acknowledged = {key: max(int(seq) for k, seq in said if k == key) for key, _ in said}
    assert len(acknowledged) == WRITERS
    async with opened(folder) as stores:
        for key, seq_max in acknowledged.items():
            _, records = await stores.log.load(key)
            seqs = [found.seq for found in records]
            assert seqs == list(range(1, len(seqs) + 1))
            # One more may have been written and not said: its writer was killed in between.
            assert len(seqs) in (seq_max, seq_max + 1)


async def test_a_blob_whose_writer_was_killed_halfway_is_not_there(folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with worker(folder, "blob", str(pipe)) as writer:
        half = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
        await asyncio.to_thread(os.write, half, b"\1" * 600_000)
        await until(lambda: any(file.stat().st_size for file in (folder / "blobs/incoming").iterdir()))
        writer.kill()
        await writer.wait()
        os.close(half)
    clock = FakeClock()
    async with opened(folder, clock) as stores:
        assert await stores.blobs.info("audio/big") is None
        await stores.blobs.put("audio/big", b"\2" * 600_000, content_type="audio/mp4")
        assert b"".join([chunk async for chunk in stores.blobs.read("audio/big")]) == b"\2" * 600_000
    [left] = (folder / "blobs/incoming").iterdir()
    os.utime(left, (0, clock.now_ms() / 1000))
    clock.advance(INCOMING_MAX_AGE_MS)
    async with opened(folder, clock):
        assert left.exists()
    clock.advance(1)
    async with opened(folder, clock):
        assert not left.exists()


async def test_a_blob_that_lost_bytes_on_disk_says_so_instead_of_ending_early(folder: Path) -> None:
    async with opened(folder) as stores:
        await stores.blobs.put("audio/1", b"x" * 1_000, content_type="audio/mp4")
        [path] = (folder / "blobs").glob("??/audio,1")
        os.truncate(path, 999)
        with pytest.raises(Unavailable, match="it has 999 bytes, 1000 were stored"):
            await anext(stores.blobs.read("audio/1"))
        path.unlink()
        with pytest.raises(Unavailable) as caught:
            await anext(stores.blobs.read("audio/1"))
        assert caught.value.code is Code.STORE_UNAVAILABLE


async def test_more_blob_calls_than_allowed_are_answered_busy(folder: Path) -> None:
    async with opened(folder) as stores:
        puts = [stores.blobs.put(f"a/{n}", b"", content_type="x/y") for n in range(2 * CALLS_MAX)]
        outcomes = await asyncio.gather(*puts, return_exceptions=True)
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert 0 < len(refused) <= CALLS_MAX
        assert all(isinstance(error, Unavailable) and error.code is Code.BUSY for error in refused)
        await stores.blobs.put("a/later", b"", content_type="x/y")


async def test_a_full_write_queue_is_answered_busy_with_a_time_and_the_rest_is_written(folder: Path) -> None:
    count = WRITES_WAITING_MAX + 1_500
    async with opened(folder) as stores:
        blocker = sqlite3.connect(folder / "segue.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.create_task(stores.log.append([record(seq)])) for seq in range(1, count + 1)]
        await asyncio.sleep(0)  # Each task runs up to its place in the queue, or is refused.
        blocker.execute("ROLLBACK")
        blocker.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert len(refused) >= 1_500 - 512
        for error in refused:
            assert isinstance(error, Unavailable)
            assert error.code is Code.BUSY
            assert error.retry_after_ms
        written = [seq for seq, outcome in enumerate(outcomes, 1) if outcome == [Append.WRITTEN]]
        assert len(written) == count - len(refused)
        assert [found.seq for found in (await stores.log.load("k"))[1]] == written


async def test_a_store_locked_by_another_process_is_unavailable_and_then_works_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.embedded.schema.BUSY_TIMEOUT_MS", 20)
    async with opened(folder) as stores:
        blocker = sqlite3.connect(folder / "segue.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="database is locked") as caught:
            await stores.log.append([record(1)])
        assert caught.value.code is Code.STORE_UNAVAILABLE
        assert caught.value.retry_after_ms
        assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
        # A reader waits for no writer.
        assert await stores.log.load("k") == (None, [])
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await stores.log.append([record(1)]) == [Append.WRITTEN]


async def test_a_full_disk_is_unavailable_and_loses_nothing_that_was_acknowledged(folder: Path) -> None:
    async with worker(folder, "full") as writer:
        [failed, code] = await line(writer)
        assert code == Code.STORE_UNAVAILABLE
        assert await line(writer) == ["written"]
        await writer.wait()
    async with opened(folder) as stores:
        _, records = await stores.log.load("full")
    assert [found.seq for found in records] == list(range(1, int(failed) + 1))


async def test_a_value_that_cannot_be_stored_fails_alone(folder: Path) -> None:
    async with opened(folder) as stores:
        blocker = sqlite3.connect(folder / "segue.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        # So that these three wait in one batch.
        first = asyncio.create_task(stores.log.append([record(1)]))
        await asyncio.sleep(0)
        appends = [stores.log.append([record(seq)]) for seq in (2, 2**70, 3)]
        tasks = [asyncio.create_task(append) for append in appends]
        await asyncio.sleep(0)
        blocker.execute("ROLLBACK")
        blocker.close()
        outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert isinstance(outcomes[2], OverflowError)
        assert [outcomes[0], outcomes[1], outcomes[3]] == [[Append.WRITTEN]] * 3
        assert (await stores.log.load("k"))[1] == [record(1), record(2), record(3)]


async def test_a_caller_that_gave_up_does_not_disturb_the_others(folder: Path) -> None:
    async with opened(folder) as stores:
        tasks = [asyncio.create_task(stores.log.append([record(seq)])) for seq in (1, 2, 3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [outcomes[0], outcomes[2]] == [[Append.WRITTEN]] * 2
        assert isinstance(outcomes[1], asyncio.CancelledError)


async def test_closing_finishes_what_was_accepted_and_refuses_what_comes_later(folder: Path) -> None:
    stores = open_stores(folder, FakeClock())
    accepted = asyncio.create_task(stores.log.append([record(1)]))
    await asyncio.sleep(0)
    await stores.close()
    assert await accepted == [Append.WRITTEN]
    with pytest.raises(Unavailable, match="closed"):
        await stores.log.append([record(2)])
    await stores.close()


def test_one_opening_serves_several_event_loops_one_after_another(folder: Path) -> None:
    stores = open_stores(folder, FakeClock())
    for seq in (1, 2):
        assert asyncio.run(stores.log.append([record(seq)])) == [Append.WRITTEN]
    asyncio.run(stores.close())


async def test_data_of_a_newer_segue_is_refused_in_one_sentence_and_left_as_it_is(folder: Path) -> None:
    async with opened(folder):
        pass
    with sqlite3.connect(folder / "segue.db") as file:
        file.execute(f"PRAGMA user_version={MAIN.version + 1}")
    file.close()
    before = (folder / "segue.db").read_bytes()
    with pytest.raises(
        Rejected, match=f"schema is version {MAIN.version + 1}, this Segue knows up to"
    ) as caught:
        open_stores(folder, FakeClock())
    assert caught.value.code is Code.DISALLOWED
    assert (folder / "segue.db").read_bytes() == before


def test_a_file_that_is_no_database_is_unavailable(folder: Path) -> None:
    folder.mkdir()
    (folder / "segue.db").write_bytes(b"something else entirely " * 100)
    with pytest.raises(Unavailable, match="not a database"):
        open_stores(folder, FakeClock())


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable) as caught:
        open_stores(tmp_path / "file" / "data", FakeClock())
    assert caught.value.code is Code.STORE_UNAVAILABLE


async def test_the_cursor_of_volatile_values_grows_even_when_their_file_was_lost(folder: Path) -> None:
    clock = FakeClock()
    async with opened(folder, clock) as stores:
        await stores.volatile.put("k/a", b"", epoch=1, ttl_ms=Millis(1_000))
        cursor, _ = await stores.volatile.changed("k/", since=0)
    (folder / "volatile.db").unlink()
    clock.advance(5_000)
    async with opened(folder, clock) as stores:
        assert await stores.volatile.changed("k/", since=cursor) == (cursor, [])
        await stores.volatile.put("k/b", b"", epoch=1, ttl_ms=Millis(1_000))
        later, found = await stores.volatile.changed("k/", since=cursor)
        assert later > cursor
        assert found == [("k/b", 1, b"")]

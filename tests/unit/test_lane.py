"""The bounded queue between event loops and the threads that block."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kernel.errors import Code, Unavailable
from storage.embedded.lane import Failed, Job, Lane


class Gate:
    """A worker that answers each job with its argument, once the gate is open; it remembers its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[Any]] = []

    def work(self, batch: list[Job]) -> list[Any]:
        self.entered.set()
        self.open.wait()
        self.batches.append([job.argument for job in batch])
        return [Failed(ValueError(job.argument)) if job.argument == "bad" else job.argument for job in batch]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def lane(gate: Gate) -> Iterator[Lane]:
    lane = Lane("write", [gate.work], jobs_max=3, bytes_max=100, batch_max=2)
    yield lane
    gate.open.set()
    lane.close()


def nothing() -> None:
    """The worker above runs no job."""


async def submitted(lane: Lane, argument: str, size: int = 1) -> "asyncio.Task[Any]":
    task = asyncio.create_task(lane.submit(nothing, argument, size=size))
    await asyncio.sleep(0)
    return task


async def with_worker_inside(lane: Lane, gate: Gate) -> "asyncio.Task[Any]":
    first = await submitted(lane, "first")
    await asyncio.to_thread(gate.entered.wait)
    return first


async def test_jobs_that_wait_are_taken_together_up_to_the_bound(lane: Lane, gate: Gate) -> None:
    tasks = [await with_worker_inside(lane, gate)]
    tasks += [await submitted(lane, name) for name in ("a", "b", "c")]
    gate.open.set()
    assert await asyncio.gather(*tasks) == ["first", "a", "b", "c"]
    assert gate.batches == [["first"], ["a", "b"], ["c"]]


async def test_a_job_too_many_is_busy_with_a_time_and_the_waiting_ones_are_done(
    lane: Lane, gate: Gate
) -> None:
    tasks = [await with_worker_inside(lane, gate)]
    tasks += [await submitted(lane, name) for name in ("a", "b", "c")]
    with pytest.raises(
        Unavailable, match="3 jobs of 3 bytes wait, the most are 3 jobs of 100 bytes"
    ) as caught:
        await lane.submit(nothing, "d", size=1)
    assert caught.value.code is Code.BUSY
    assert caught.value.retry_after_ms
    gate.open.set()
    assert await asyncio.gather(*tasks) == ["first", "a", "b", "c"]
    assert await lane.submit(nothing, "d", size=1) == "d"


async def test_bytes_are_bounded_too_but_one_large_job_alone_is_taken(lane: Lane, gate: Gate) -> None:
    tasks = [await with_worker_inside(lane, gate), await submitted(lane, "large", 5_000)]
    with pytest.raises(Unavailable) as caught:
        await lane.submit(nothing, "small", size=1)
    assert caught.value.code is Code.BUSY
    gate.open.set()
    assert await asyncio.gather(*tasks) == ["first", "large"]


async def test_one_job_s_error_is_its_own(lane: Lane, gate: Gate) -> None:
    gate.open.set()
    good, bad = await asyncio.gather(
        lane.submit(nothing, "good", size=1), lane.submit(nothing, "bad", size=1), return_exceptions=True
    )
    assert good == "good"
    assert isinstance(bad, ValueError)


async def test_a_closed_lane_has_done_what_it_accepted_and_refuses_the_rest(lane: Lane, gate: Gate) -> None:
    first = await with_worker_inside(lane, gate)
    second = await submitted(lane, "second")
    gate.open.set()
    await asyncio.to_thread(lane.close)
    assert [await first, await second] == ["first", "second"]
    with pytest.raises(Unavailable, match="closed") as caught:
        await lane.submit(nothing, "late", size=1)
    assert caught.value.code is Code.STORE_UNAVAILABLE


def test_a_loop_that_ended_before_its_answer_harms_nobody(lane: Lane, gate: Gate) -> None:
    async def leave() -> None:
        await submitted(lane, "abandoned")

    asyncio.run(leave())
    gate.open.set()
    assert asyncio.run(lane.submit(nothing, "next", size=1)) == "next"

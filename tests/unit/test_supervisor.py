"""A process that ends is started again; one that cannot start is tried again, later and later."""

import asyncio

import pytest

from kernel.errors import Code, Unavailable
from serve.supervisor import Supervised
from tests.support.waiting import until


class Process:
    """`serve.supervisor.Running`, ended by the test."""

    name = "host/host-0"

    def __init__(self, *, starts: bool = True) -> None:
        self._starts = starts
        self.started = self.stopped = self.forgotten = False
        self.ended = asyncio.Event()

    async def start(self) -> None:
        if not self._starts:
            self.ended.set()
            raise Unavailable(Code.TIMEOUT, "no answer")
        self.started = True

    async def stop(self) -> None:
        self.stopped = True

    async def wait_for_end(self) -> None:
        await self.ended.wait()

    def forget(self) -> None:
        self.forgotten = True


async def test_each_life_that_ends_has_a_successor_until_the_server_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def no_sleep(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr("asyncio.sleep", no_sleep)
    lives = [Process(), Process(starts=False), Process(starts=False), Process()]
    spawned = iter(lives)
    supervised = Supervised(lambda: next(spawned))
    await supervised.start()
    assert lives[0].started
    lives[0].ended.set()
    await until(lambda: lives[3].started)
    assert [life.forgotten for life in lives] == [True, True, True, False]
    assert [pause for pause in pauses if pause] == [0.1, 0.2, 0.4]
    await supervised.stop()
    assert lives[3].stopped
    assert next(spawned, None) is None


async def test_a_first_life_that_does_not_start_is_the_callers_to_judge() -> None:
    supervised = Supervised(lambda: Process(starts=False))
    with pytest.raises(Unavailable):
        await supervised.start()
    await supervised.stop()

"""Callers that come together share a request, and each learns what became of its own."""

import asyncio
from collections.abc import Sequence

import pytest

from kernel.errors import Code, Unavailable
from storage.together import Together


class Store:
    """Answers each item with its double; holds every request until told to let go."""

    def __init__(self) -> None:
        self.requests: list[list[int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def send(self, items: Sequence[int]) -> list[int]:
        self.requests.append(list(items))
        await self.go.wait()
        if self.error:
            raise self.error
        return [12 // item * 0 + 2 * item for item in items]

    def together(self, *, waiting_max: int = 100) -> Together[int, int]:
        return Together("double", self.send, items_max=4, waiting_max=waiting_max, requests_max=1)


async def started(*calls: "asyncio.Future[list[int]] | asyncio.Task[list[int]]") -> None:
    for _ in calls:
        await asyncio.sleep(0)


async def test_who_comes_alone_does_not_wait_and_who_comes_meanwhile_goes_together() -> None:
    store = Store()
    together = store.together()
    calls = [asyncio.create_task(together.submit([1]))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.requests == [[1]]
    calls += [asyncio.create_task(together.submit(items)) for items in ([2, 3], [4], [5], [6, 7, 8, 9, 10])]
    await started(*calls)
    store.go.set()
    assert await asyncio.gather(*calls) == [[2], [4, 6], [8], [10], [12, 14, 16, 18, 20]]
    assert store.requests == [[1], [2, 3, 4, 5], [6, 7, 8, 9, 10]]


async def test_when_full_the_next_is_told_when_to_come_back() -> None:
    store = Store()
    together = store.together(waiting_max=3)
    calls = [asyncio.create_task(together.submit([1]))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calls.append(asyncio.create_task(together.submit([2, 3])))
    await started(*calls)
    with pytest.raises(Unavailable, match="double rejected: 2 of at most 3 wait") as caught:
        await together.submit([4, 5])
    assert caught.value.code is Code.BUSY
    assert caught.value.retry_after_ms
    store.go.set()
    assert await asyncio.gather(*calls) == [[2], [4, 6]]


async def test_a_failed_store_fails_all_that_went_together_an_impossible_item_only_its_own_caller() -> None:
    store = Store()
    together = store.together()
    store.error = Unavailable(Code.STORE_UNAVAILABLE, "gone")
    store.go.set()
    outcomes = await asyncio.gather(*(together.submit([n]) for n in (1, 2)), return_exceptions=True)
    assert outcomes == [store.error, store.error]
    store.error = None
    outcomes = await asyncio.gather(*(together.submit([n]) for n in (1, 0, 2)), return_exceptions=True)
    assert outcomes[0] == [2]
    assert isinstance(outcomes[1], ZeroDivisionError)
    assert outcomes[2] == [4]


async def test_a_caller_that_gave_up_does_not_disturb_the_others() -> None:
    store = Store()
    together = store.together()
    calls = [asyncio.create_task(together.submit([n])) for n in (1, 2, 3)]
    await started(*calls)
    calls[1].cancel()
    await asyncio.sleep(0)
    store.go.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcomes[0], outcomes[2]] == [[2], [6]]
    assert isinstance(outcomes[1], asyncio.CancelledError)

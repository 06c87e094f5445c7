"""Callers that come at the same time share one request: group commit for a store on the network.

A caller that comes alone does not wait for company; those that come while all requests are on their way go
together with the next one. On one event loop.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from kernel.errors import Code, Unavailable
from storage.faults import BUSY_RETRY_AFTER_MS

A = TypeVar("A")
R = TypeVar("R")


class Together(Generic[A, R]):
    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[A]], Awaitable[Sequence[R]]],
        *,
        items_max: int,
        waiting_max: int,
        requests_max: int,
    ) -> None:
        """`send` gives one outcome per item, in order."""
        self._name = name
        self._send = send
        self._items_max = items_max
        self._waiting_max = waiting_max
        self._requests_max = requests_max
        self._waiting: deque[tuple[Sequence[A], asyncio.Future[list[R]]]] = deque()
        self._waiting_items = 0
        self._senders: set[asyncio.Task[None]] = set()

    async def submit(self, items: Sequence[A]) -> list[R]:
        """Raises Unavailable BUSY when too many wait, and what `send` raised."""
        if self._waiting_items + len(items) > self._waiting_max:
            raise Unavailable(
                Code.BUSY,
                f"{self._name} rejected: {self._waiting_items} of at most {self._waiting_max} wait",
                None,
                BUSY_RETRY_AFTER_MS,
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[R]] = loop.create_future()
        self._waiting.append((items, future))
        self._waiting_items += len(items)
        if len(self._senders) < self._requests_max:
            sender = loop.create_task(self._send_all())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        return await future

    async def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft()]
            count = len(batch[0][0])
            while self._waiting and count + len(self._waiting[0][0]) <= self._items_max:
                batch.append(self._waiting.popleft())
                count += len(batch[-1][0])
            self._waiting_items -= count
            await self._send_batch(batch)

    async def _send_batch(self, batch: list[tuple[Sequence[A], asyncio.Future[list[R]]]]) -> None:
        try:
            outcomes = iter(await self._send([item for items, _ in batch for item in items]))
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, Unavailable):
                # One caller's items are at fault; alone, each stands for itself.
                for caller in batch:
                    await self._send_batch([caller])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for items, future in batch:
            own = [next(outcomes) for _ in items]
            if not future.done():  # a caller that gave up; its items were written all the same
                future.set_result(own)

"""Stores that fail on purpose, decided by a seed: refused, late, or written and then said to have failed."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar, cast

from kernel.errors import Code, Unavailable
from storage.stores import Stores

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How often each happens, as parts of one."""

    refused: float = 0.1
    """Fails, and nothing was done."""
    ambiguous: float = 0.1
    """Is done, and fails all the same."""
    late: float = 0.3
    late_s_max: float = 0.004


def faulty(stores: Stores, rng: Random, faults: Faults = Faults()) -> Stores:
    """The same stores behind a bad network."""
    return replace(
        stores,
        log=_behind(stores.log, rng, faults),
        ownership=_behind(stores.ownership, rng, faults),
        documents=_behind(stores.documents, rng, faults),
        blobs=_behind(stores.blobs, rng, faults),
        volatile=_behind(stores.volatile, rng, faults),
    )


def _behind(port: T, rng: Random, faults: Faults) -> T:
    return cast(T, _Network(port, rng, faults))  # it has every method of `port`, under the same name


class _Network:
    def __init__(self, port: object, rng: Random, faults: Faults) -> None:
        self._port = port
        self._rng = rng
        self._faults = faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)
        return self._read(method) if inspect.isasyncgenfunction(method) else self._call(method)

    def _call(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: object, **kwargs: object) -> Any:
            luck = self._rng.random()
            if self._rng.random() < self._faults.late:
                await asyncio.sleep(self._rng.random() * self._faults.late_s_max)
            if luck < self._faults.refused:
                raise Unavailable(Code.STORE_UNAVAILABLE, "refused on purpose")
            answer = await method(*args, **kwargs)
            if luck < self._faults.refused + self._faults.ambiguous:
                raise Unavailable(Code.STORE_UNAVAILABLE, "done, and failed on purpose")
            return answer

        return call

    def _read(self, method: Callable[..., AsyncIterator[bytes]]) -> Callable[..., AsyncIterator[bytes]]:
        async def read(*args: object, **kwargs: object) -> AsyncIterator[bytes]:
            async for chunk in method(*args, **kwargs):
                if self._rng.random() < self._faults.refused:
                    raise Unavailable(Code.STORE_UNAVAILABLE, "broken off on purpose")
                yield chunk

        return read


async def persist(call: Callable[[], Awaitable[T]], *, tries_max: int = 2_000, pause_s: float = 0.0) -> T:
    """Do it again until the store says what became of it, as every caller of a store does."""
    for _ in range(tries_max):
        try:
            return await call()
        except Unavailable:
            await asyncio.sleep(pause_s)
    raise AssertionError(f"the store failed {tries_max} times in a row")

"""Waiting for what other tasks of the same loop are about to do, without sleeping."""

import asyncio
from collections.abc import Callable


async def until(true: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Let other tasks run until `true()`. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - what is waited for is state of the code under test, not an event
            await asyncio.sleep(0)

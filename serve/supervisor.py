"""Keeps a process running: started again when it ends, sooner the first time than the tenth."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

AGAIN_FIRST_S = 0.1
AGAIN_LONGEST_S = 30.0
STABLE_S = 60.0
"""Who ran for so long ended for a new reason."""

log = structlog.get_logger()


class Running(Protocol):
    """See `actors.cluster.Spawned`."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def wait_for_end(self) -> None: ...

    def forget(self) -> None: ...


class Supervised:
    """One process, through all of its lives."""

    def __init__(self, spawn: Callable[[], Running]) -> None:
        self._spawn = spawn
        self._running = spawn()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what the first life raised; later ones are tried again and again."""
        await self._running.start()
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._running.stop()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = AGAIN_FIRST_S
        while True:
            began_s = loop.time()
            await self._running.wait_for_end()
            if loop.time() - began_s >= STABLE_S:
                pause_s = AGAIN_FIRST_S
            log.warning("process_ended", name=self._running.name, again_in_s=pause_s)
            self._running.forget()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, AGAIN_LONGEST_S)
            self._running = self._spawn()
            try:
                await self._running.start()
            except Exception as fault:
                # Its end, which is certain now, is what the next round waits for.
                log.warning("process_not_started", name=self._running.name, why=str(fault))
                await self._running.stop()

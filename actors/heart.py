"""Renews a host's lease, from a thread of its own, as long as the event loop that it vouches for turns.

In the loop itself a busy second would look like death, and beside it a wedged loop would look alive: so the
thread renews, and the loop says once in a while that it still turns.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog

from actors.lease import Lease
from kernel.errors import Unavailable
from kernel.units import Clock
from storage.ports import HostRecord
from storage.stores import Stores

BEAT_EVERY_S = 1.0
TURN_EVERY_S = 0.2
WEDGED_AFTER_S = 1.0
"""Who has not turned for so long is not vouched for."""
BEAT_WITHIN_S = 2.0

log = structlog.get_logger()


class Heart:
    """One host's. `start` and `stop` belong to the loop that is watched."""

    def __init__(
        self, me: HostRecord, lease: Lease, *, open_stores: Callable[[], Stores], clock: Clock
    ) -> None:
        """`open_stores` opens stores for the thread's own loop; they are closed there."""
        self._me = me
        self._lease = lease
        self._open_stores = open_stores
        self._clock = clock
        self._turned_s = clock.tick_s()
        self._turning: asyncio.Task[None] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._turning = asyncio.get_running_loop().create_task(self._turn_forever())
        self._thread.start()

    async def stop(self) -> None:
        """No renewal is under way afterwards."""
        self._stopped.set()
        if self._turning is not None:
            self._turning.cancel()
            await asyncio.to_thread(self._thread.join)

    async def _turn_forever(self) -> None:
        while True:
            self._turned_s = self._clock.tick_s()
            await asyncio.sleep(TURN_EVERY_S)

    # --- in the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._beat_forever())
        except Exception:
            # Without renewals the host fences itself, which is what is left to do.
            log.exception("heart_failed", host_id=self._me.host_id)

    async def _beat_forever(self) -> None:
        stores = self._open_stores()
        beat = self._me.heartbeat
        try:
            while not self._stopped.is_set():
                asked_s = self._clock.tick_s()
                if asked_s - self._turned_s < WEDGED_AFTER_S:
                    beat += 1
                    with suppress(TimeoutError):
                        async with asyncio.timeout(BEAT_WITHIN_S):
                            await self._renew(stores, msgspec.structs.replace(self._me, heartbeat=beat))
                else:
                    log.warning("loop_wedged", host_id=self._me.host_id, since_s=asked_s - self._turned_s)
                await asyncio.to_thread(self._stopped.wait, BEAT_EVERY_S)
        finally:
            await stores.close()

    async def _renew(self, stores: Stores, record: HostRecord) -> None:
        asked_s = self._clock.tick_s()
        try:
            await stores.ownership.put_host(record)
        except Unavailable as error:
            log.warning("heartbeat_not_written", host_id=record.host_id, why=str(error))
            return
        self._lease.renewed(asked_s)

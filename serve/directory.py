"""Finds the host of a user: the shard map, at most a second old, and one retry when it was stale.

The map is a hint. A host refuses what it does not own, so an old map costs a second question, never a wrong
write; hence a store that does not answer leaves the map in use.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from actors.references import HostRef
from actors.shards import ShardMap, read_map, shard_of
from kernel.errors import Code, Unavailable
from kernel.ids import UserId
from kernel.units import Clock, Millis, TickS
from storage.ports import HostRecord, Ownership, ShardOwner

MAP_AGE_S = 1.0
CONNECT_AGE_S = 0.2
"""For who is about to connect: a socket at the wrong door costs more than a reading that many share."""
NOBODY_RETRY_MS = Millis(1000)

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Directory:
    """The map of shards and the way to each host."""

    def __init__(self, ownership: Ownership, reach: Callable[[HostRecord], HostRef], clock: Clock) -> None:
        self._ownership = ownership
        self._reach = reach
        self._clock = clock
        self._map = _NOTHING_READ
        self._read_at: TickS | None = None
        """None until it was read, and once it proved to be stale."""
        self._reading = asyncio.Lock()

    async def owner(self, user_id: UserId, *, age_s: float = MAP_AGE_S) -> tuple[ShardOwner, HostRecord]:
        """By a map that is `age_s` old at most.

        Raises Unavailable NOT_OWNER while nobody who is up owns the user's shard.
        """
        found = (await self._fresh(age_s)).owner(shard_of(user_id))
        if found is None:
            raise Unavailable(
                Code.NOT_OWNER,
                f"host of {user_id} asked for: nobody owns shard {shard_of(user_id)} at the moment",
                None,
                NOBODY_RETRY_MS,
            )
        return found

    async def call(self, user_id: UserId, ask: Callable[[HostRef], Awaitable[T]]) -> T:
        """Ask the user's host; once more on a fresh map when it said that it is not the owner.

        A host that says so has done nothing, so the same question may be put again.
        """
        _, host = await self.owner(user_id)
        read_at = self._read_at
        try:
            return await ask(self._reach(host))
        except Unavailable as error:
            if error.code is not Code.NOT_OWNER:
                raise
        if self._read_at == read_at:  # else somebody has read a newer map meanwhile
            self._read_at = None
        _, host = await self.owner(user_id)
        return await ask(self._reach(host))

    async def _fresh(self, age_s: float) -> ShardMap:
        """The map, read anew when it is too old. Those who ask meanwhile share one reading."""
        if not self._is_due(age_s):
            return self._map
        async with self._reading:
            if self._is_due(age_s):
                try:
                    self._map = await read_map(self._ownership)
                except Unavailable as fault:
                    if self._map is _NOTHING_READ:
                        raise
                    log.warning("shard_map_not_read", why=str(fault))
                self._read_at = self._clock.tick_s()
            return self._map

    def _is_due(self, age_s: float) -> bool:
        return self._read_at is None or self._clock.tick_s() - self._read_at > age_s


_NOTHING_READ = ShardMap()

"""Token buckets by name: how often somebody may try something, in one process or over all of them."""

from collections import OrderedDict

import msgspec
import structlog

from kernel.errors import Unavailable
from kernel.units import Clock, Millis
from storage.ports import Volatile

WRITES_MAX = 4
"""Attempts at one change while other processes change the same bucket."""

log = structlog.get_logger(__name__)


class Buckets:
    """One bucket per name: `burst` tries at once, then one every `refill_s` seconds. In memory.

    Holds at most `names_max` buckets; when full, the one not asked for the longest goes, as if it were full.
    """

    def __init__(self, clock: Clock, *, burst: int, refill_s: float, names_max: int) -> None:
        self._clock = clock
        self._burst = burst
        self._refill_s = refill_s
        self._names_max = names_max
        # name -> (tries left, tick at which that was so)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> Millis | None:
        """Take one try: None when there was one, else the milliseconds until there will be."""
        left = self._now(name)
        if left < 1.0:
            return Millis(int((1.0 - left) * self._refill_s * 1000) + 1)
        self._keep(name, left - 1.0)
        return None

    def give_back(self, name: str) -> None:
        """Undo one `take`."""
        self._keep(name, min(self._now(name) + 1.0, self._burst))

    def _now(self, name: str) -> float:
        left, at_s = self._left.get(name, (float(self._burst), 0.0))
        return min(left + (self._clock.tick_s() - at_s) / self._refill_s, float(self._burst))

    def _keep(self, name: str, left: float) -> None:
        if left >= self._burst:
            self._left.pop(name, None)  # a full bucket says nothing
            return
        self._left[name] = (left, self._clock.tick_s())
        self._left.move_to_end(name)
        if len(self._left) > self._names_max:
            self._left.popitem(last=False)

    def __len__(self) -> int:
        return len(self._left)


class SharedBuckets:
    """The same over every process that shares a volatile store.

    This process's own buckets are exact and are asked first; those in the store then add what the others saw.
    It has no compare-and-set, so two processes at one instant may count as one there: a limit, not a ledger.
    Without a store, or while it does not answer, this process counts for itself.
    """

    def __init__(
        self,
        clock: Clock,
        volatile: Volatile | None,
        *,
        kind: str,
        burst: int,
        refill_s: float,
        names_max: int,
    ) -> None:
        """`kind`: begins the keys of these buckets."""
        self._own = Buckets(clock, burst=burst, refill_s=refill_s, names_max=names_max)
        self._clock = clock
        self._volatile = volatile
        self._kind = kind
        self._burst = float(burst)
        self._refill_ms = refill_s * 1000

    async def take(self, name: str) -> Millis | None:
        """Take one try: None when there was one, else the milliseconds until there will be."""
        wait_ms = self._own.take(name)
        if wait_ms is None:
            wait_ms = await self._change(name, -1.0)
            if wait_ms is not None:
                self._own.give_back(name)
        return wait_ms

    async def give_back(self, name: str) -> None:
        """Undo one `take`."""
        self._own.give_back(name)
        await self._change(name, 1.0)

    async def _change(self, name: str, by: float) -> Millis | None:
        """Milliseconds until it can be done; None once it is."""
        if self._volatile is None:
            return None
        key = f"tries/{self._kind}/{name}"
        try:
            for _ in range(WRITES_MAX):
                now_ms = self._clock.now_ms()
                found = await self._volatile.get(key)
                epoch, left = 0, self._burst
                if found is not None:
                    epoch, (before, at_ms) = found[0], _decode(found[1])
                    left = min(before + max(0, now_ms - at_ms) / self._refill_ms, self._burst)
                if left + by < 0:
                    return Millis(int((1.0 - left) * self._refill_ms) + 1)
                value = _encode((min(left + by, self._burst), now_ms))
                full_in_ms = Millis(int(self._burst * self._refill_ms))
                if await self._volatile.put(key, value, epoch=epoch + 1, ttl_ms=full_in_ms):
                    return None
        except Unavailable as error:
            log.warning("tries_not_shared", kind=self._kind, why=str(error))
        return None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[float, int]).decode

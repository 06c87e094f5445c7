"""What was read lately: a bounded cache whose entries also grow too old."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from kernel.units import Clock, Millis

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Up to `items_max` values; when full, the one that was not asked for the longest goes."""

    def __init__(self, clock: Clock, *, items_max: int, ttl_ms: Millis) -> None:
        self._clock = clock
        self._items_max = items_max
        self._ttl_s = ttl_ms / 1000
        # key -> (value, tick at which it was put)
        self._items: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """None when it is not here, or is older than the time to live."""
        found = self._items.get(key)
        if found is None:
            return None
        value, put_at = found
        if self._clock.tick_s() - put_at >= self._ttl_s:
            del self._items[key]
            return None
        self._items.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self._items[key] = (value, self._clock.tick_s())
        self._items.move_to_end(key)
        if len(self._items) > self._items_max:
            self._items.popitem(last=False)

    def drop(self, key: K) -> None:
        self._items.pop(key, None)

    def __len__(self) -> int:
        return len(self._items)

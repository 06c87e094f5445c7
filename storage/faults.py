"""Calls of a store on the network: never too many at once, the driver's errors made ours in one place."""

from collections.abc import Iterator
from contextlib import contextmanager

from kernel.errors import Code, Unavailable
from kernel.units import Millis

CALLS_MAX = 4_096
"""Calls of one store that run or wait for a connection."""
BUSY_RETRY_AFTER_MS = Millis(100)
STORE_RETRY_AFTER_MS = Millis(500)
"""What a caller is told when the store failed."""
REASON_CHARS_MAX = 300
"""Drivers describe a whole topology in an error; its beginning says what is wrong."""


class Calls:
    """Counts the calls of one store and translates the errors of its driver."""

    def __init__(self, store: str, *faults: type[Exception], calls_max: int = CALLS_MAX) -> None:
        """`faults` are what the driver raises when the world failed; anything else is a bug and passes."""
        self._store = store
        self._faults = faults
        self._calls_max = calls_max
        self._running = 0

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Raises Unavailable: BUSY when full, STORE_UNAVAILABLE when the store failed in between.

        After STORE_UNAVAILABLE the outcome of a write is unknown: it may have been written all the same.
        """
        if self._running >= self._calls_max:
            raise Unavailable(
                Code.BUSY,
                f"{self._store}: {what} rejected: {self._calls_max} calls run or wait, the most",
                None,
                BUSY_RETRY_AFTER_MS,
            )
        self._running += 1
        try:
            yield
        except self._faults as fault:
            reason = f"{type(fault).__name__}: {fault}"[:REASON_CHARS_MAX]
            raise Unavailable(
                Code.STORE_UNAVAILABLE, f"{self._store}: {what} failed: {reason}", None, STORE_RETRY_AFTER_MS
            ) from fault
        finally:
            self._running -= 1

"""The device's clock: steady, in fractions of a millisecond.

Wall time is read once; from then on the monotonic clock carries it, so a correction of the machine's time
moves no music. How far it stands from the server's clock is measured by pings (`connect.clock`).
"""

import time
from typing import Protocol

from kernel.units import TickS


class DeviceClock(Protocol):
    """Where a client's time comes from; passed in, so that tests own it."""

    def now_ms(self) -> float:
        """Wall time as this device believes it; never steps."""
        ...

    def tick_s(self) -> TickS:
        """Monotonic time."""
        ...


class SteadyClock:
    """The real one."""

    def __init__(self) -> None:
        self._wall_ns_at_zero = time.time_ns() - time.perf_counter_ns()

    def now_ms(self) -> float:
        return (self._wall_ns_at_zero + time.perf_counter_ns()) / 1e6

    def tick_s(self) -> TickS:
        return TickS(time.perf_counter())

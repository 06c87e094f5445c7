"""The real clock: wall time carried on by the monotonic clock, so that a step of it moves nobody's music."""

import time

from kernel.units import Millis, TickS


class SystemClock:
    """Wall time read once at start, then carried on by the monotonic clock of the same process."""

    def __init__(self) -> None:
        self._wall_ns_at_zero = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> Millis:
        return Millis((self._wall_ns_at_zero + time.monotonic_ns()) // 1_000_000)

    def tick_s(self) -> TickS:
        return TickS(time.monotonic())

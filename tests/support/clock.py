"""A clock that stands still until a test moves it."""

from kernel.units import Millis, TickS


class FakeClock:
    """Wall and monotonic time that move together, by hand."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms = now_ms
        self._elapsed_ms = 0

    def now_ms(self) -> Millis:
        return Millis(self._now_ms + self._elapsed_ms)

    def tick_s(self) -> TickS:
        # An origin of its own: code that mixes the two clocks is far off at once.
        return TickS(1000.0 + self._elapsed_ms / 1000)

    def advance(self, ms: int) -> None:
        """Let `ms` milliseconds pass on both clocks."""
        assert ms >= 0, "time does not go back"
        self._elapsed_ms += ms

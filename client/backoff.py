"""When to connect again: full jitter from half a second to half a minute, unless the server named a time.

Whether to connect again at all is what the close code's range says (`connect.close_codes`).
Pure: the time and the chance come in as arguments.
"""

from random import Random

from kernel.units import Millis, TickS

FIRST_S = 0.5
LONGEST_S = 30.0
STABLE_S = 60.0
"""A connection that lived this long was a good one: the next failure counts as the first."""


class Backoff:
    """How long to wait before the next attempt."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._failures = 0
        self._opened_at: TickS | None = None
        self._asked_s = 0.0

    def opened(self, now: TickS) -> None:
        """A welcome arrived."""
        self._opened_at = now

    def closed(self, now: TickS) -> None:
        """The connection ended, or could not be made."""
        if self._opened_at is not None and now - self._opened_at >= STABLE_S:
            self._failures = 0
        self._opened_at = None
        self._failures += 1

    def asked(self, *, reconnect_after_ms: Millis, jitter_ms: Millis) -> None:
        """The server named a time (`goaway`, or `retry_after_ms` of an answer); it replaces our own once."""
        self._asked_s = min((reconnect_after_ms + self._rng.uniform(0, jitter_ms)) / 1000, LONGEST_S)

    def delay_s(self) -> float:
        """Seconds to wait now."""
        if self._asked_s:
            asked, self._asked_s = self._asked_s, 0.0
            return asked
        # The exponent is capped before it is used: a device may be offline for a year.
        return self._rng.uniform(0, min(LONGEST_S, FIRST_S * 2.0 ** min(self._failures, 10)))

"""Units and clocks: what a bare number would leave unsaid.

Wall time (`Millis`, UTC) is for what is stored or shown; monotonic time (`TickS`) is for deadlines.
The two are different types and are never mixed.
"""

from typing import NewType, Protocol

Millis = NewType("Millis", int)
"""Milliseconds: a wall-clock instant (since 1970, UTC) or a duration; the field's name says which."""

TickS = NewType("TickS", float)
"""Seconds on a monotonic clock whose origin means nothing. Only differences are used."""

Bytes = NewType("Bytes", int)
"""A size."""


class Clock(Protocol):
    """Where time comes from; passed in, so that tests and the simulator own it."""

    def now_ms(self) -> Millis:
        """Wall time, UTC."""
        ...

    def tick_s(self) -> TickS:
        """Monotonic time."""
        ...

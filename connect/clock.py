"""A device's idea of server time: four timestamps per ping, the best of the last eight.

For one ping, with the device's clock at sending (t0) and receipt (t3) and the server's at receipt (t1) and
answer (t2): the offset lies within half the round trip of the mean of (t0 − t1) and (t3 − t2), however
unequal the two ways are (RFC 5905 §8). The sample with the least doubt wins; doubt grows with a sample's age,
as two clocks drift apart.
"""

from collections import deque
from typing import NamedTuple

SAMPLES_MAX = 8
DRIFT_PPM_MAX = 100.0
"""Quartz clocks stay within this of each other; 1 ms in 10 s."""
BURST_COUNT = 3
BURST_EVERY_S = 1.0
"""Right after connecting; then every `Limits.ping_every_s`."""


class Estimate(NamedTuple):
    """What is known of the device's clock."""

    offset_ms: float
    """Device clock minus server clock."""
    error_ms: float
    """The true offset is at most this far away."""
    rtt_ms: float


class _Sample(NamedTuple):
    offset_ms: float
    rtt_ms: float
    at_ms: float

    def error_ms(self, now_ms: float) -> float:
        return self.rtt_ms / 2 + abs(now_ms - self.at_ms) * DRIFT_PPM_MAX / 1e6


class ClockFilter:
    """The last samples. The device's clock should be one that is never set: monotonic, in milliseconds."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES_MAX)

    def add(self, *, t0_ms: float, t1_ms: float, t2_ms: float, t3_ms: float) -> Estimate:
        """Take in one ping's timestamps and return the new estimate."""
        # A server that claims to have worked longer than the whole trip took has a clock in motion.
        rtt_ms = max(0.0, (t3_ms - t0_ms) - (t2_ms - t1_ms))
        # In the middle of the trip, so that drift during a slow one counts both ways alike.
        sample = _Sample(((t0_ms - t1_ms) + (t3_ms - t2_ms)) / 2, rtt_ms, (t0_ms + t3_ms) / 2)
        best = self._best(t3_ms)
        if best is not None:
            reach = best.error_ms(t3_ms) + sample.error_ms(t3_ms)
            if abs(sample.offset_ms - best.offset_ms) > reach:
                # Both cannot be true: a clock was set, or the device slept. Only what is new counts.
                self._samples.clear()
        self._samples.append(sample)
        estimate = self.estimate(t3_ms)
        assert estimate is not None, "a sample was just added"
        return estimate

    def estimate(self, now_ms: float) -> Estimate | None:
        """The best knowledge at `now_ms` of the device's clock; None before the first pong."""
        best = self._best(now_ms)
        return None if best is None else Estimate(best.offset_ms, best.error_ms(now_ms), best.rtt_ms)

    def server_ms(self, device_ms: float) -> float:
        """A device instant in server time; the same number while nothing is known."""
        best = self._best(device_ms)
        return device_ms if best is None else device_ms - best.offset_ms

    def device_ms(self, server_ms: float) -> float:
        """A server instant on the device's clock; the same number while nothing is known."""
        if not self._samples:
            return server_ms
        # The newest sample says roughly when that is; the best one then says it exactly.
        best = self._best(server_ms + self._samples[-1].offset_ms)
        assert best is not None, "there is a sample"
        return server_ms + best.offset_ms

    def _best(self, now_ms: float) -> _Sample | None:
        return min(self._samples, key=lambda sample: sample.error_ms(now_ms), default=None)

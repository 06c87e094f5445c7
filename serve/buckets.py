"""Token buckets by name: how often somebody may try something. In memory, for one process.

Several processes each count for themselves, so a limit here is per process; enough to slow guessing down.
"""

from collections import OrderedDict

from kernel.units import Clock, Millis


class Buckets:
    """One bucket per name: `burst` tries at once, then one every `refill_s` seconds.

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

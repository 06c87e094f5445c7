"""A host's numbers for Prometheus, served as `/metrics` on the port of its sockets."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kernel.errors import TABLE

GAP_MS_BUCKETS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100, 300, 1000)
"""Below zero both ends were heard at once."""
MESSAGE_S_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0)
STANDARD_CODE_MAX = 1015
CLOSE_CODES = frozenset(meaning.close for meaning in TABLE.values() if meaning.close is not None)
"""Ours. A device may close with any of some thousands, and each would be a series."""
BROKEN = 1006
"""RFC 6455's for a connection that ended without a word."""


class HostMetrics:
    """One host's registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._gap = Histogram(
            "segue_handoff_gap_milliseconds",
            "Silence between the source's last and the target's first audible frame",
            buckets=GAP_MS_BUCKETS,
            registry=self._registry,
        )
        self._jump = Histogram(
            "segue_handoff_jump_milliseconds",
            "How far the music jumped at a handoff",
            buckets=GAP_MS_BUCKETS,
            registry=self._registry,
        )
        self._held = Gauge(
            "segue_host_held",
            "What this host holds: peers, listeners, shards",
            ["what"],
            registry=self._registry,
        )

    def measured(self, gap_ms: float, jump_ms: float) -> None:
        """Both ends of a handoff have reported."""
        self._gap.observe(gap_ms)
        self._jump.observe(jump_ms)

    def text(self, statistics: Mapping[str, int]) -> bytes:
        """All of it in Prometheus's text format."""
        for what, count in statistics.items():
            self._held.labels(what=what).set(count)
        return generate_latest(self._registry)


class SocketMetrics:
    """What the sockets of a host tell, whatever is behind them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._opened = Counter("segue_sockets_opened", "Sockets that were opened", registry=self._registry)
        self._closed = Counter(
            "segue_sockets_closed",
            "Sockets that ended, by the code of their close; `other` is a device's own, 1006 none",
            ["code"],
            registry=self._registry,
        )
        for code in CLOSE_CODES:
            self._closed.labels(code=str(code))  # from zero, so that the first one is an increase
        self._message = Histogram(
            "segue_message_seconds",
            "How long one message of a device kept the host's loop, seconds; its waiting is not in it",
            buckets=MESSAGE_S_BUCKETS,
            registry=self._registry,
        )

    def opened(self) -> None:
        self._opened.inc()

    def closed(self, code: int | None) -> None:
        """`code`: None when there was none."""
        code = BROKEN if code is None else code
        known = code <= STANDARD_CODE_MAX or code in CLOSE_CODES
        self._closed.labels(code=str(code) if known else "other").inc()

    def received(self, elapsed_s: float) -> None:
        self._message.observe(elapsed_s)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)

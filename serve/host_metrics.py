"""A host's numbers for Prometheus, served as `/metrics` on the port of its sockets."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

GAP_MS_BUCKETS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100, 300, 1000)
"""Below zero both ends were heard at once."""


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

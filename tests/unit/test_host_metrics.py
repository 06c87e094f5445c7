"""What a host tells Prometheus."""

from serve.host_metrics import HostMetrics


def test_a_handoff_is_counted_in_the_bucket_of_its_gap() -> None:
    metrics = HostMetrics()
    metrics.measured(2.0, -0.5)
    text = metrics.text({"peers": 3}).decode()
    assert 'segue_handoff_gap_milliseconds_bucket{le="1.0"} 0.0' in text
    assert 'segue_handoff_gap_milliseconds_bucket{le="3.0"} 1.0' in text
    assert 'segue_handoff_jump_milliseconds_bucket{le="0.0"} 1.0' in text
    assert 'segue_host_held{what="peers"} 3.0' in text

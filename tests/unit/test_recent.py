"""The bounded cache whose entries grow too old."""

from kernel.units import Millis
from storage.recent import Recent
from tests.support.clock import FakeClock


def test_a_full_cache_drops_what_was_not_asked_for_the_longest() -> None:
    recent: Recent[str, int] = Recent(FakeClock(), items_max=3, ttl_ms=Millis(1_000))
    for number, key in enumerate("abc"):
        recent.put(key, number)
    assert recent.get("a") == 0
    recent.put("d", 3)
    assert [recent.get(key) for key in "abcd"] == [0, None, 2, 3]
    assert len(recent) == 3


def test_an_entry_is_gone_when_its_time_is_over_however_often_it_was_read() -> None:
    clock = FakeClock()
    recent: Recent[str, int] = Recent(clock, items_max=3, ttl_ms=Millis(1_000))
    recent.put("a", 1)
    clock.advance(999)
    assert recent.get("a") == 1
    clock.advance(1)
    assert recent.get("a") is None
    assert len(recent) == 0


def test_a_put_replaces_and_a_drop_removes() -> None:
    recent: Recent[str, int] = Recent(FakeClock(), items_max=3, ttl_ms=Millis(1_000))
    recent.put("a", 1)
    recent.put("a", 2)
    assert recent.get("a") == 2
    recent.drop("a")
    recent.drop("never there")
    assert recent.get("a") is None

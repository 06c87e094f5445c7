"""What every volatile store promises."""

import asyncio

from kernel.units import Millis
from storage.stores import Stores
from tests.support.clock import FakeClock

TTL = Millis(1_000)


async def test_a_value_is_there_until_its_time_is_over(stores: Stores, clock: FakeClock) -> None:
    assert await stores.volatile.get("k") is None
    assert await stores.volatile.put("k", b"v", epoch=3, ttl_ms=TTL)
    clock.advance(999)
    assert await stores.volatile.get("k") == (3, b"v")
    clock.advance(1)
    assert await stores.volatile.get("k") is None


async def test_a_put_begins_the_time_anew(stores: Stores, clock: FakeClock) -> None:
    await stores.volatile.put("k", b"v", epoch=3, ttl_ms=TTL)
    clock.advance(900)
    assert await stores.volatile.put("k", b"w", epoch=3, ttl_ms=TTL)
    clock.advance(900)
    assert await stores.volatile.get("k") == (3, b"w")


async def test_a_lower_epoch_is_refused_and_an_equal_or_higher_one_wins(stores: Stores) -> None:
    assert await stores.volatile.put("k", b"3", epoch=3, ttl_ms=TTL)
    assert not await stores.volatile.put("k", b"2", epoch=2, ttl_ms=TTL)
    assert await stores.volatile.get("k") == (3, b"3")
    assert await stores.volatile.put("k", b"3 again", epoch=3, ttl_ms=TTL)
    assert await stores.volatile.put("k", b"4", epoch=4, ttl_ms=TTL)
    assert await stores.volatile.get("k") == (4, b"4")


async def test_an_expired_value_refuses_nobody(stores: Stores, clock: FakeClock) -> None:
    await stores.volatile.put("k", b"9", epoch=9, ttl_ms=TTL)
    clock.advance(TTL)
    assert await stores.volatile.put("k", b"1", epoch=1, ttl_ms=TTL)
    assert await stores.volatile.get("k") == (1, b"1")


async def test_of_racing_epochs_the_highest_stays(stores: Stores) -> None:
    kept = await asyncio.gather(
        *(stores.volatile.put("k", b"%d" % n, epoch=n, ttl_ms=TTL) for n in (5, 199, 7, 198, *range(150)))
    )
    assert kept[1] is True
    assert await stores.volatile.get("k") == (199, b"199")


async def test_changed_tells_each_change_once_and_only_under_the_prefix(stores: Stores) -> None:
    await stores.volatile.put("epoch/a", b"1", epoch=1, ttl_ms=TTL)
    await stores.volatile.put("position/a", b"-", epoch=1, ttl_ms=TTL)
    cursor, found = await stores.volatile.changed("epoch/", since=0)
    assert found == [("epoch/a", 1, b"1")]
    assert await stores.volatile.changed("epoch/", since=cursor) == (cursor, [])
    await stores.volatile.put("epoch/b", b"1", epoch=1, ttl_ms=TTL)
    await stores.volatile.put("epoch/a", b"2", epoch=2, ttl_ms=TTL)
    later, found = await stores.volatile.changed("epoch/", since=cursor)
    assert later > cursor
    assert found == [("epoch/b", 1, b"1"), ("epoch/a", 2, b"2")]


async def test_changed_shows_neither_refused_nor_expired_values(stores: Stores, clock: FakeClock) -> None:
    await stores.volatile.put("k/old", b"", epoch=1, ttl_ms=TTL)
    await stores.volatile.put("k/new", b"5", epoch=5, ttl_ms=Millis(9_000))
    cursor, _ = await stores.volatile.changed("k/", since=0)
    await stores.volatile.put("k/new", b"4", epoch=4, ttl_ms=Millis(9_000))
    assert (await stores.volatile.changed("k/", since=cursor))[1] == []
    clock.advance(TTL)
    assert (await stores.volatile.changed("k/", since=0))[1] == [("k/new", 5, b"5")]


async def test_the_cursor_never_goes_back(stores: Stores, clock: FakeClock) -> None:
    cursor = 0
    for number in range(20):
        await stores.volatile.put(f"k/{number % 3}", b"", epoch=number, ttl_ms=TTL)
        clock.advance(400)
        later, _ = await stores.volatile.changed("k/", since=cursor)
        assert later > cursor
        cursor = later
    clock.advance(60_000)
    assert (await stores.volatile.changed("k/", since=cursor))[0] >= cursor


async def test_a_prefix_is_taken_literally(stores: Stores) -> None:
    for key in ("a_b", "axb", "a%b", "A_b"):
        await stores.volatile.put(key, b"", epoch=1, ttl_ms=TTL)
    assert [key for key, *_ in (await stores.volatile.changed("a_", since=0))[1]] == ["a_b"]
    assert [key for key, *_ in (await stores.volatile.changed("a%", since=0))[1]] == ["a%b"]

"""What every document store promises."""

import asyncio

import pytest

from storage.stores import Stores


async def test_values_come_in_the_order_asked_with_none_for_what_is_not_there(stores: Stores) -> None:
    await stores.documents.put("c", [("a", b"1"), ("b", bytes(range(256))), ("ü", b"")])
    found = await stores.documents.get("c", ["ü", "x", "b", "a", "b"])
    assert found == [b"", None, bytes(range(256)), b"1", bytes(range(256))]
    assert await stores.documents.get("c", []) == []


async def test_collections_are_kept_apart(stores: Stores) -> None:
    await stores.documents.put("c", [("a", b"c")])
    await stores.documents.put("d", [("a", b"d")])
    await stores.documents.delete("c", ["a"])
    assert await stores.documents.get("d", ["a"]) == [b"d"]
    assert await stores.documents.get("c", ["a"]) == [None]


async def test_put_replaces_and_insert_does_not(stores: Stores) -> None:
    assert await stores.documents.insert("c", "a", b"first")
    assert not await stores.documents.insert("c", "a", b"second")
    assert not await stores.documents.insert("c", "a", b"first")
    assert await stores.documents.get("c", ["a"]) == [b"first"]
    await stores.documents.put("c", [("a", b"third"), ("a", b"fourth")])
    assert await stores.documents.get("c", ["a"]) == [b"fourth"]


async def test_a_deleted_id_may_be_inserted_again(stores: Stores) -> None:
    await stores.documents.insert("c", "a", b"first")
    await stores.documents.delete("c", ["a", "never there"])
    assert await stores.documents.insert("c", "a", b"second")
    assert await stores.documents.scan("c", limit=9) == [("a", b"second")]


async def test_of_200_concurrent_inserts_of_one_id_one_wins(stores: Stores) -> None:
    won = await asyncio.gather(*(stores.documents.insert("c", "a", b"%d" % n) for n in range(200)))
    assert sum(won) == 1
    assert await stores.documents.get("c", ["a"]) == [b"%d" % won.index(True)]


IDS = ["", "A", "a", "a/", "a/1", "a/10", "a/2", "a0", "b", "z", "é", "ÿ", "Ā", "\uffff", "\U0001f3b5"]


async def test_a_scan_is_in_order_of_the_ids_utf8_bytes(stores: Stores) -> None:
    await stores.documents.put("c", [(doc_id, doc_id.encode()) for doc_id in reversed(IDS[1:])])
    found = [doc_id for doc_id, _ in await stores.documents.scan("c", limit=100)]
    assert found == sorted(IDS[1:], key=str.encode)


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/1", "b", "nothing", "Ā", "\U0001f3b5"])
@pytest.mark.parametrize("after", ["", "A", "a", "a/1", "a/5", "zz", "\U0001f3b5"])
@pytest.mark.parametrize("limit", [0, 1, 3, 100])
async def test_a_scan_finds_what_filtering_everything_would(
    stores: Stores, prefix: str, after: str, limit: int
) -> None:
    await stores.documents.put("c", [(doc_id, doc_id.encode()) for doc_id in IDS[1:]])
    await stores.documents.put("b", [("a", b"another collection's")])
    await stores.documents.put("d", [("a", b"another collection's")])
    expected = [(i, i.encode()) for i in sorted(IDS[1:]) if i.startswith(prefix) and i > after][:limit]
    assert await stores.documents.scan("c", prefix=prefix, after=after, limit=limit) == expected


async def test_pages_joined_are_the_whole(stores: Stores) -> None:
    every = [(f"{number:04d}", b"%d" % number) for number in range(1_003)]
    await stores.documents.put("c", every)
    joined: list[tuple[str, bytes]] = []
    while page := await stores.documents.scan("c", after=joined[-1][0] if joined else "", limit=100):
        joined += page
    assert joined == every

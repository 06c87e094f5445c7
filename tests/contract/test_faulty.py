"""The contracts on a bad network: errors, commits that are said to have failed, latency; all from a seed."""

import asyncio
from random import Random

import pytest

from kernel.ids import HostId
from kernel.units import Millis
from storage.ports import ShardOwner
from storage.stores import Stores
from tests.support.faulty_stores import faulty, persist
from tests.support.history import Writer, check

SEEDS = [1, 2, 3]
TTL = Millis(60_000)

# The embedded stores' own tests have real faults: locks, full disks, kill -9.
pytestmark = [
    pytest.mark.parametrize("stores", ["memory", "server"], indirect=True),
    pytest.mark.parametrize("seed", SEEDS),
]


async def test_racing_writers_lose_and_double_nothing(stores: Stores, seed: int) -> None:
    rng = Random(seed)
    writers = [
        Writer(faulty(stores, Random(rng.random())).log, f"session/{key}", f"{key}{number}")
        for key in "ab"
        for number in range(3)
    ]
    await asyncio.gather(*(writer.write(12) for writer in writers))
    assert [len(writer.acknowledged) for writer in writers] == [12] * 6
    await check(stores.log, writers)


async def test_each_epoch_of_a_shard_is_held_by_one_life_of_one_host(stores: Stores, seed: int) -> None:
    rng = Random(seed)
    granted: dict[tuple[int, int], set[str]] = {}

    async def host(name: str) -> None:
        ownership = faulty(stores, Random(rng.random())).ownership
        for epoch in range(1, 6):
            claims = [
                ShardOwner(
                    shard=shard, owner_epoch=epoch, host_id=HostId(name), incarnation=1, why="takeover"
                )
                for shard in range(4)
            ]
            answers = await persist(lambda: ownership.claim(claims))  # noqa: B023 - called before the next round
            for claim, is_granted in zip(claims, answers, strict=True):
                if is_granted:
                    granted.setdefault((claim.shard, epoch), set()).add(name)

    await asyncio.gather(*(host(f"host-{number}") for number in range(4)))
    assert all(len(holders) == 1 for holders in granted.values())
    for owner in await stores.ownership.owners():
        # A grant that was on its way back may have been passed; the last epoch of all was passed by nobody.
        assert owner.owner_epoch == 5
        assert granted[owner.shard, 5] == {owner.host_id}


async def test_of_racing_inserts_one_value_stays_and_a_put_that_was_acknowledged_is_read(
    stores: Stores, seed: int
) -> None:
    rng = Random(seed)
    networks = [faulty(stores, Random(rng.random())).documents for _ in range(10)]
    said = await asyncio.gather(
        *(persist(lambda n=n, d=d: d.insert("c", "a", b"%d" % n)) for n, d in enumerate(networks))  # type: ignore[misc]  # mypy infers no defaults of a lambda
    )
    [kept] = await stores.documents.get("c", ["a"])
    # Whoever was told that it won did; a winner whose answer was lost meets its own value when it repeats.
    assert [b"%d" % n for n, won in enumerate(said) if won] in ([], [kept])
    for number, documents in enumerate(networks):
        await persist(lambda: documents.put("c", [("a", b"a%d" % number), ("b", b"b%d" % number)]))  # noqa: B023
        assert await stores.documents.get("c", ["a", "b"]) == [b"a%d" % number, b"b%d" % number]


async def test_the_highest_epoch_stays(stores: Stores, seed: int) -> None:
    rng = Random(seed)
    volatile = faulty(stores, rng).volatile
    epochs = rng.sample(range(1_000), 40)
    await asyncio.gather(
        *(persist(lambda e=e: volatile.put("k", b"%d" % e, epoch=e, ttl_ms=TTL)) for e in epochs)  # type: ignore[misc]  # as above
    )
    assert await stores.volatile.get("k") == (max(epochs), b"%d" % max(epochs))


async def test_a_blob_is_whole_whatever_happened_on_the_way(stores: Stores, seed: int) -> None:
    rng = Random(seed)
    blobs = faulty(stores, rng).blobs
    data = rng.randbytes(600_000)

    async def read() -> bytes:
        return b"".join([chunk async for chunk in blobs.read("audio/1")])

    await asyncio.gather(*(persist(lambda: blobs.put("audio/1", data, content_type="x/y")) for _ in range(5)))
    assert await persist(read) == data

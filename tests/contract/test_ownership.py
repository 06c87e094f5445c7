"""What every ownership store promises."""

import asyncio

from kernel.ids import HostId
from storage.ports import HostRecord, ShardOwner
from storage.stores import Stores


def owner(shard: int, epoch: int, host: str = "a", *, incarnation: int = 1) -> ShardOwner:
    return ShardOwner(
        shard=shard, owner_epoch=epoch, host_id=HostId(host), incarnation=incarnation, why="join"
    )


def host(name: str, heartbeat: int) -> HostRecord:
    return HostRecord(
        host_id=HostId(name), incarnation=1, heartbeat=heartbeat, address="ws://127.0.0.1:1", version="1"
    )


async def test_nobody_owns_anything_at_first(stores: Stores) -> None:
    assert await stores.ownership.owners() == []


async def test_the_highest_epoch_owns(stores: Stores) -> None:
    assert await stores.ownership.claim([owner(7, 1), owner(3, 1)]) == [True, True]
    assert await stores.ownership.claim([owner(7, 2, "b")]) == [True]
    assert await stores.ownership.owners() == [owner(3, 1), owner(7, 2, "b")]


async def test_an_epoch_is_taken_once(stores: Stores) -> None:
    assert await stores.ownership.claim([owner(7, 1, "a")]) == [True]
    assert await stores.ownership.claim([owner(7, 1, "b"), owner(8, 1, "b")]) == [False, True]
    assert await stores.ownership.owners() == [owner(7, 1, "a"), owner(8, 1, "b")]


async def test_a_repeated_claim_is_granted_but_not_to_the_host_s_next_life(stores: Stores) -> None:
    await stores.ownership.claim([owner(7, 1)])
    assert await stores.ownership.claim([owner(7, 1)]) == [True]
    assert await stores.ownership.claim([owner(7, 1, incarnation=2)]) == [False]


async def test_an_epoch_that_was_passed_cannot_be_claimed(stores: Stores) -> None:
    for epoch in (1, 2, 5):
        await stores.ownership.claim([owner(7, epoch, "a")])
    late = [owner(7, 1, "b"), owner(7, 3, "b"), owner(7, 4, "b")]
    assert await stores.ownership.claim(late) == [False, False, False]
    assert await stores.ownership.owners() == [owner(7, 5, "a")]


async def test_of_20_hosts_that_race_for_all_shards_each_shard_has_one_winner(stores: Stores) -> None:
    shards = range(64)
    hosts = [f"host-{number}" for number in range(20)]
    claims = await asyncio.gather(
        *(stores.ownership.claim([owner(shard, 1, name) for shard in shards]) for name in hosts)
    )
    for shard in shards:
        winners = [name for name, claim in zip(hosts, claims, strict=True) if claim[shard]]
        assert len(winners) == 1
        assert owner(shard, 1, winners[0]) in await stores.ownership.owners()


async def test_a_cluster_s_4096_shards_are_claimed_in_one_call(stores: Stores) -> None:
    every = [owner(shard, 1) for shard in range(4096)]
    assert await stores.ownership.claim(every) == [True] * 4096
    assert await stores.ownership.owners() == every


async def test_a_host_s_record_is_replaced_by_its_next(stores: Stores) -> None:
    assert await stores.ownership.hosts() == []
    await stores.ownership.put_host(host("b", 1))
    await stores.ownership.put_host(host("a", 1))
    await stores.ownership.put_host(host("b", 2))
    assert await stores.ownership.hosts() == [host("a", 1), host("b", 2)]

"""Who owns which key: rendezvous hashing for who should, inserts for who does."""

import pytest

from actors.shards import N_SHARDS, ShardMap, desired_owner, read_map, shard_of
from kernel.ids import HostId, UserId
from storage.memory import MemoryOwnership
from storage.ports import HostRecord, ShardOwner


def hosts(count: int) -> dict[HostId, float]:
    return {HostId(f"host-{number}"): 1.0 for number in range(count)}


def owners(weights: dict[HostId, float]) -> list[HostId]:
    return [desired_owner(shard, weights) for shard in range(N_SHARDS)]


def host(name: str, incarnation: int = 1, state: str = "up") -> HostRecord:
    return HostRecord(
        host_id=HostId(name),
        incarnation=incarnation,
        heartbeat=0,
        address=f"ws://127.0.0.1/{name}",
        version="1",
        state=state,
    )


def test_a_key_has_one_shard_in_every_process_and_for_ever() -> None:
    assert (shard_of(UserId("user-ada")), shard_of(UserId("user-bob"))) == (76, 653)
    assert {shard_of(UserId(f"user-{number}")) for number in range(60_000)} == set(range(N_SHARDS))


@pytest.mark.parametrize("count", [2, 8, 16])
def test_shards_are_spread_evenly(count: int) -> None:
    owned = owners(hosts(count))
    mean = N_SHARDS / count
    counts = [owned.count(name) for name in hosts(count)]
    assert max(counts) < 1.2 * mean
    assert min(counts) > 0.8 * mean


def test_a_host_that_joins_takes_its_share_and_nothing_moves_between_the_others() -> None:
    before, after = owners(hosts(8)), owners(hosts(9))
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {HostId("host-8")}
    assert 0.8 * N_SHARDS / 9 < len(moved) < 1.2 * N_SHARDS / 9


def test_a_host_that_leaves_loses_its_own_shards_and_no_others_move() -> None:
    before = owners(hosts(8))
    after = owners({name: weight for name, weight in hosts(8).items() if name != "host-3"})
    moved = {old for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {HostId("host-3")}


def test_weights_are_shares_and_a_weight_of_nothing_gets_nothing() -> None:
    weights = {HostId("big"): 3.0, HostId("small"): 1.0, HostId("draining"): 0.0}
    owned = owners(weights)
    assert owned.count(HostId("draining")) == 0
    assert 0.7 < owned.count(HostId("big")) / N_SHARDS < 0.8
    with pytest.raises(ValueError, match="empty"):
        desired_owner(0, {HostId("draining"): 0.0})


async def test_the_map_leads_to_hosts_that_are_up_and_in_the_life_that_owns() -> None:
    ownership = MemoryOwnership()
    await ownership.put_host(host("host-0", 1))
    mine, other = 7, 8
    owner = ShardOwner(shard=mine, owner_epoch=1, host_id=HostId("host-0"), incarnation=1, why="join")
    assert await ownership.claim([owner]) == [True]
    shards = await read_map(ownership)
    found = shards.owner(mine)
    assert found is not None
    assert found[1].address == "ws://127.0.0.1/host-0"
    assert shards.owner(other) is None
    for record in (host("host-0", 2), host("host-0", 1, "down")):
        await ownership.put_host(record)
        assert (await read_map(ownership)).owner(mine) is None, "it belonged to a life that is over"
    assert ShardMap().owner(mine) is None

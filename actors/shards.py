"""Which host owns a key: fixed shards, rendezvous hashing for who should, the store for who does.

The number of shards never changes. A shard's owner is the host of its highest epoch; an epoch is an insert,
so two hosts never win the same one. The map that others hold is a hint: being stale costs a redirect, never
a wrong write, because the log's unique keys and epochs decide.
"""

import math
from collections.abc import Iterable, Mapping

import xxhash

from kernel.ids import HostId, UserId
from storage.ports import HostRecord, Ownership, ShardOwner

N_SHARDS = 4096
_HASH_SPAN = float(1 << 64)


def shard_of(user_id: UserId) -> int:
    """A user's session and devices share one shard. Never Python's `hash`, which is salted per process."""
    return xxhash.xxh3_64_intdigest(user_id.encode()) & (N_SHARDS - 1)


def desired_owner(shard: int, weights: Mapping[HostId, float]) -> HostId:
    """The host with the highest weighted rendezvous score; hosts of weight 0 get nothing.

    Raises ValueError when no host has a positive weight.
    """
    return max(
        (host for host, weight in weights.items() if weight > 0),
        key=lambda h: (_score(shard, h, weights[h]), h),
    )


def _score(shard: int, host: HostId, weight: float) -> float:
    unit = (xxhash.xxh3_64_intdigest(f"{shard}:{host}".encode()) + 1) / (_HASH_SPAN + 1)
    return -weight / math.log(unit)


class ShardMap:
    """Who owns each shard, and how that host is reached."""

    def __init__(self, owners: Iterable[ShardOwner] = (), hosts: Iterable[HostRecord] = ()) -> None:
        self._owners = {owner.shard: owner for owner in owners}
        self._hosts = {host.host_id: host for host in hosts}

    def owner(self, shard: int) -> tuple[ShardOwner, HostRecord] | None:
        """None while nobody who is known to be up owns it."""
        owner = self._owners.get(shard)
        host = self._hosts.get(owner.host_id) if owner else None
        if owner is None or host is None or host.incarnation != owner.incarnation or host.state != "up":
            return None
        return owner, host


async def read_map(ownership: Ownership) -> ShardMap:
    return ShardMap(await ownership.owners(), await ownership.hosts())


async def claim_desired(
    ownership: Ownership, me: HostRecord, weights: Mapping[HostId, float], *, why: str
) -> dict[int, int]:
    """Take every shard that should be this host's and is not; returns all that it owns, shard to epoch."""
    epochs = {owner.shard: owner for owner in await ownership.owners()}
    wanted = [
        ShardOwner(
            shard=shard,
            owner_epoch=epochs[shard].owner_epoch + 1 if shard in epochs else 1,
            host_id=me.host_id,
            incarnation=me.incarnation,
            why=why,
        )
        for shard in range(N_SHARDS)
        if desired_owner(shard, weights) == me.host_id
    ]
    won = await ownership.claim(wanted)
    return {owner.shard: owner.owner_epoch for owner, ok in zip(wanted, won, strict=True) if ok}

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
        key=lambda h: (score(shard, h, weights[h]), h),
    )


def score(shard: int, host: HostId, weight: float) -> float:
    """The weighted rendezvous score of a host for a shard; `weight` is positive."""
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

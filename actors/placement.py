"""Who should own which shard, and what a host is to do about it. Pure: what was read goes in, moves come out.

The desired owner is the live host of the highest weighted rendezvous score, unless an operator pinned the
shard. A host takes what should be its own and whose owner is dead; what should be another's it hands over
itself. Nobody takes from the living, and there is no coordinator whose memory could be wrong.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from actors.shards import N_SHARDS, desired_owner, score
from kernel.ids import HostId
from storage.ports import HostRecord, ShardOwner


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What operators asked for."""

    drained: frozenset[HostId] = frozenset()
    """Hosts that are to own nothing, by and by."""
    pins: Mapping[int, HostId] = {}
    """Shard to the host that is to own it as long as it lives."""
    restarts: Mapping[HostId, int] = {}
    """The life of a host that is to end."""


class Plan:
    """The desired owner of every shard, for one set of hosts."""

    def __init__(self, hosts: Mapping[HostId, float], orders: Orders) -> None:
        """`hosts`: weight of each host that counts, live or expected. Without any, nobody is desired."""
        weights = {
            host: weight for host, weight in hosts.items() if weight > 0 and host not in orders.drained
        }
        # Everybody is drained: whoever is there goes on.
        self.weights = weights or dict(hosts)
        self._pins = {shard: host for shard, host in orders.pins.items() if host in hosts}
        self._desired = _desired(tuple(sorted(self.weights.items())))

    def owner(self, shard: int) -> HostId | None:
        return self._pins.get(shard) or (self._desired[shard] if self._desired else None)

    def is_pinned(self, shard: int) -> bool:
        return shard in self._pins

    def scores(self, shard: int) -> list[tuple[HostId, float]]:
        """Best first; for whoever asks why."""
        scored = [(host, score(shard, host, weight)) for host, weight in self.weights.items()]
        return sorted(scored, key=lambda each: -each[1])


@lru_cache(maxsize=8)
def _desired(weights: tuple[tuple[HostId, float], ...]) -> tuple[HostId, ...]:
    # 4,096 scores a host: worth keeping from one second to the next.
    by_host = dict(weights)
    return tuple(desired_owner(shard, by_host) for shard in range(N_SHARDS)) if by_host else ()


def takeovers(
    me: HostRecord, owners: Iterable[ShardOwner], plan: Plan, is_live: Callable[[HostId, int], bool]
) -> list[ShardOwner]:
    """The next epochs of shards that should be mine and whose owner is not alive, or that have none."""
    owned = {owner.shard: owner for owner in owners}
    taken = []
    for shard in range(N_SHARDS):
        if plan.owner(shard) != me.host_id:
            continue
        now = owned.get(shard)
        if now is not None and is_live(now.host_id, now.incarnation):
            continue
        epoch = now.owner_epoch + 1 if now is not None else 1
        taken.append(_epoch(shard, epoch, me, "takeover" if now is not None else "join"))
    return taken


def handovers(
    me: HostRecord, shards: Mapping[int, int], plan: Plan, live: Mapping[HostId, HostRecord]
) -> dict[HostId, list[ShardOwner]]:
    """The next epochs of my shards (shard to epoch) that should be another live host's, by that host."""
    moves: dict[HostId, list[ShardOwner]] = {}
    for shard, epoch in shards.items():
        target = plan.owner(shard)
        if target is not None and target != me.host_id and target in live:
            moves.setdefault(target, []).append(_epoch(shard, epoch + 1, live[target], "handoff"))
    return moves


def in_steps(moves: Sequence[ShardOwner], *, busy: Collection[int], at_once: int) -> list[list[ShardOwner]]:
    """Shards that nobody listens to go together, since nobody waits for them; the others a few at a time."""
    quiet = [move for move in moves if move.shard not in busy]
    heard = [move for move in moves if move.shard in busy]
    steps = [heard[first : first + at_once] for first in range(0, len(heard), at_once)]
    return [quiet, *steps] if quiet else steps


def _epoch(shard: int, epoch: int, host: HostRecord, why: str) -> ShardOwner:
    return ShardOwner(
        shard=shard, owner_epoch=epoch, host_id=host.host_id, incarnation=host.incarnation, why=why
    )

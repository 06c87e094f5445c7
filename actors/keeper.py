"""Keeps a host's shards: takes over from the dead, hands over what should be another's, lets go of what went.

Once a second, and at once when a peer's end is known, it reads who lives and who owns and does what
`actors/placement.py` says. What it read is old when it acts on it; the unique insert of an epoch decides.

A move on purpose, each step of which may be the last one that is done:

    release   the shard's entities are folded into their logs; from here on it is nobody's turn
    claim     the next epoch is inserted with the target's name: the point of no return
    opened    the target is told, so that it need not find out by looking
    send on   devices are asked to connect again, and find the target

A crash before the claim leaves the shard with a host that is dead, one after it with the target: either way
somebody who lives takes it, from the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from actors.lease import Sightings
from actors.peer import Peer
from actors.placement import Orders, Plan, handovers, in_steps, takeovers
from kernel.errors import Unavailable
from kernel.ids import HostId
from kernel.units import Clock, TickS
from storage.ports import HostRecord, Ownership, ShardOwner

LOOK_EVERY_S = 1.0
MOVES_AT_ONCE = 8
"""Shards with listeners that move together; each costs its devices one connection."""
EXPECTED_WITHIN_S = 15.0
"""Hosts that are to start with this one count as there for so long, so that the first to come does not take
everything and hand most of it over again."""

log = structlog.get_logger()


class Shards(Protocol):
    """A host, as far as its shards go; see `actors.host.EntityHost`."""

    @property
    def shards(self) -> Mapping[int, int]: ...

    def gain(self, shards: Mapping[int, int]) -> None: ...

    def lose(self, shards: Collection[int]) -> None: ...

    async def release(self, shards: Collection[int]) -> list[Peer]: ...

    def send_on(self, peers: Collection[Peer]) -> None: ...

    def busy_shards(self) -> set[int]: ...


class Keeper:
    """One per host. `look` is everything it does; `start` repeats it."""

    def __init__(
        self,
        me: HostRecord,
        host: Shards,
        *,
        ownership: Ownership,
        orders: Callable[[], Awaitable[Orders]],
        clock: Clock,
        may_act: Callable[[], bool],
        is_lost: Callable[[], bool],
        tell_opened: Callable[[HostId, Mapping[int, int]], Awaitable[None]],
        retire: Callable[[], None],
        wait_for_exit: Callable[[HostId, int], Awaitable[None]] | None = None,
        expected: Iterable[HostId] = (),
    ) -> None:
        """`orders` reads what operators asked for; `tell_opened` tells a host what it was given (shard to
        epoch), `retire` ends this life. `wait_for_exit` returns when that life of a host has certainly ended
        and raises Unavailable when nobody can know; None where there is no such witness, and leases alone
        decide. `expected` are the hosts that start together with this one.
        """
        self._me = me
        self._host = host
        self._ownership = ownership
        self._orders = orders
        self._clock = clock
        self._may_act = may_act
        self._is_lost = is_lost
        self._tell_opened = tell_opened
        self._retire = retire
        self._wait_for_exit = wait_for_exit
        self._expected = frozenset(expected)
        self._began_s = clock.tick_s()
        self._sightings = Sightings()
        self._looking = asyncio.Lock()
        self._poked = asyncio.Event()
        self._watched: dict[tuple[HostId, int], asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._look_forever())

    async def stop(self) -> None:
        """End, in the middle of a move if need be. Nothing is claimed afterwards."""
        tasks = [*self._watched.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def look(self) -> None:
        """Bring what this host holds in line with what the store says, and that with what should be.

        Raises Unavailable; then the next look goes on from wherever this one got to.
        """
        async with self._looking:
            if self._is_lost():
                self._host.lose(list(self._host.shards))
            hosts, owners, orders = await asyncio.gather(
                self._ownership.hosts(), self._ownership.owners(), self._orders()
            )
            now = self._clock.tick_s()
            self._sightings.see(hosts, now)
            self._watch_others(now)
            self._take_note(owners)
            if not self._may_act():
                return
            live = self._sightings.live(now)
            self._expected -= live.keys()
            plan = self._plan(live, orders, now)
            await self._take_over(owners, plan, now)
            if not self._sightings.suspects(now):
                await self._hand_over(plan, live)
            if orders.restarts.get(self._me.host_id) == self._me.incarnation and self._is_free(live):
                self._retire()

    def _is_free(self, live: Mapping[HostId, HostRecord]) -> bool:
        """Nobody is here, or there is nobody who could take them."""
        return not self._host.shards or live.keys() <= {self._me.host_id}

    def _plan(self, live: Mapping[HostId, HostRecord], orders: Orders, now: TickS) -> Plan:
        weights = {host_id: record.weight for host_id, record in live.items()}
        weights[self._me.host_id] = self._me.weight
        if now - self._began_s < EXPECTED_WITHIN_S:
            weights |= dict.fromkeys(self._expected - weights.keys(), 1.0)
        return Plan(weights, orders)

    # --- what the store says ------------------------------------------------------------------------

    def _take_note(self, owners: Iterable[ShardOwner]) -> None:
        """The store's word is the last one: hold what it gives to this host, drop what it gave away."""
        held = self._host.shards
        mine, gone = {}, []
        for owner in owners:
            if self._is_mine(owner):
                mine[owner.shard] = owner.owner_epoch
            elif held.get(owner.shard, owner.owner_epoch) < owner.owner_epoch:
                gone.append(owner.shard)
        if gone:
            log.warning("shards_lost", host_id=self._me.host_id, shards=len(gone))
            self._host.lose(gone)
        self._host.gain(mine)

    def _is_mine(self, owner: ShardOwner) -> bool:
        return (owner.host_id, owner.incarnation) == (self._me.host_id, self._me.incarnation)

    # --- from the dead ------------------------------------------------------------------------------

    async def _take_over(self, owners: list[ShardOwner], plan: Plan, now: TickS) -> None:
        def is_live(host_id: HostId, incarnation: int) -> bool:
            if host_id == self._me.host_id:
                return incarnation == self._me.incarnation  # an earlier life of this host has ended
            return self._sightings.is_live(host_id, incarnation, now)

        wanted = takeovers(self._me, owners, plan, is_live)
        if not wanted:
            return
        won = await self._ownership.claim(wanted)
        taken = {owner.shard: owner.owner_epoch for owner, ok in zip(wanted, won, strict=True) if ok}
        self._host.gain(taken)
        log.info("shards_taken", host_id=self._me.host_id, shards=len(taken), raced=len(wanted) - len(taken))

    # --- to the living ------------------------------------------------------------------------------

    async def _hand_over(self, plan: Plan, live: Mapping[HostId, HostRecord]) -> None:
        for target, moves in handovers(self._me, self._host.shards, plan, live).items():
            for step in in_steps(moves, busy=self._host.busy_shards(), at_once=MOVES_AT_ONCE):
                if not self._may_act():
                    return
                await self._move(target, step)

    async def _move(self, target: HostId, moves: list[ShardOwner]) -> None:
        began_s = self._clock.tick_s()
        before = {move.shard: self._host.shards[move.shard] for move in moves}
        peers = await self._host.release(before)
        try:
            won = await self._ownership.claim(moves)
        except Unavailable:
            # It may have been taken. Sent away they come back to whoever has it, and the next look knows.
            self._host.send_on(peers)
            raise
        given = {move.shard: move.owner_epoch for move, ok in zip(moves, won, strict=True) if ok}
        with suppress(Unavailable):  # then it finds out by itself, within a second
            await self._tell_opened(target, given)
        elapsed_ms = round((self._clock.tick_s() - began_s) * 1000, 1)
        self._host.send_on(peers)
        log.info(
            "shards_moved",
            host_id=self._me.host_id,
            to_host_id=target,
            shards=len(given),
            connections=len(peers),
            elapsed_ms=elapsed_ms,
        )

    # --- time, and witnesses ------------------------------------------------------------------------

    async def _look_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._poked.wait()
            self._poked.clear()
            try:
                await self.look()
            except Unavailable as error:
                log.warning("shards_not_kept", host_id=self._me.host_id, why=str(error))
            except Exception:
                log.exception("shards_not_kept", host_id=self._me.host_id)

    def _watch_others(self, now: TickS) -> None:
        if self._wait_for_exit is None:
            return
        for host_id, record in self._sightings.live(now).items():
            life = host_id, record.incarnation
            if host_id != self._me.host_id and life not in self._watched:
                task = asyncio.get_running_loop().create_task(self._watch(self._wait_for_exit, life))
                self._watched[life] = task
                task.add_done_callback(lambda _, life=life: self._watched.pop(life, None))  # type: ignore[misc]

    async def _watch(
        self, wait_for_exit: Callable[[HostId, int], Awaitable[None]], life: tuple[HostId, int]
    ) -> None:
        try:
            await wait_for_exit(*life)
        except Unavailable:
            await asyncio.sleep(LOOK_EVERY_S)  # the next look asks again
            return
        log.warning("host_gone", host_id=self._me.host_id, gone_host_id=life[0], incarnation=life[1])
        self._sightings.exited(*life)
        self._poked.set()

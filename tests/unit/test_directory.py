"""How REST finds a user's host: a map that is a second old at most, and a retry when it was wrong."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.shards import shard_of
from connect.frames import CommandFrame, Reply, Snapshot
from kernel.errors import Code, Unavailable
from kernel.ids import DeviceId, HostId, UserId
from serve.directory import MAP_AGE_S, Directory
from storage.memory import MemoryOwnership
from storage.ports import HostRecord, ShardOwner
from tests.support.clock import FakeClock

ADA = UserId("user-ada")


class CountedOwnership(MemoryOwnership):
    """Counts the readings, and can be out of reach."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0
        self.reachable = True

    async def owners(self) -> list[ShardOwner]:
        self.readings += 1
        await asyncio.sleep(0)
        if not self.reachable:
            raise Unavailable(Code.STORE_UNAVAILABLE, "the store is gone")
        return await super().owners()


class NamedHost:
    """Knows whether it owns; does nothing else."""

    def __init__(self, host_id: str, owning: Sequence[str]) -> None:
        self.host_id = host_id
        self._owning = owning

    def ask(self) -> str:
        if self.host_id not in self._owning:
            raise Unavailable(Code.NOT_OWNER, f"{self.host_id} is not the owner")
        return self.host_id

    async def command(self, user_id: UserId, frame: CommandFrame, device_id: DeviceId | None) -> Reply:
        raise NotImplementedError

    async def look(self, user_id: UserId) -> Snapshot:
        raise NotImplementedError

    async def reread(self, user_id: UserId) -> Snapshot:
        raise NotImplementedError


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ownership = CountedOwnership()
        self.owning: list[str] = []
        self.asked: list[str] = []
        self.directory = Directory(self.ownership, self._reach, self.clock)

    def _reach(self, host: HostRecord) -> NamedHost:
        self.asked.append(host.host_id)
        return NamedHost(host.host_id, self.owning)

    async def move_to(self, host_id: str, *, epoch: int, state: str = "up", incarnation: int = 1) -> None:
        host = HostRecord(
            host_id=HostId(host_id),
            incarnation=incarnation,
            heartbeat=1,
            address=f"ws://{host_id}/",
            version="1",
            state=state,
        )
        await self.ownership.put_host(host)
        owner = ShardOwner(
            shard=shard_of(ADA), owner_epoch=epoch, host_id=host.host_id, incarnation=1, why="test"
        )
        await self.ownership.claim([owner])
        self.owning[:] = [host_id]

    async def call(self) -> str:
        async def ask(host: object) -> str:
            assert isinstance(host, NamedHost)
            return host.ask()

        return await self.directory.call(ADA, ask)


@pytest.fixture
def world() -> World:
    return World()


async def test_the_owner_is_the_host_of_the_highest_epoch(world: World) -> None:
    await world.move_to("host-0", epoch=1)
    await world.move_to("host-1", epoch=2)
    owner, host = await world.directory.owner(ADA)
    assert (owner.owner_epoch, host.address) == (2, "ws://host-1/")


async def test_the_map_is_read_once_a_second_however_many_ask(world: World) -> None:
    await world.move_to("host-0", epoch=1)
    await asyncio.gather(*(world.directory.owner(ADA) for _ in range(50)))
    assert world.ownership.readings == 1
    world.clock.advance(int(MAP_AGE_S * 1000) + 1)
    await asyncio.gather(*(world.directory.owner(ADA) for _ in range(50)))
    assert world.ownership.readings == 2


async def test_a_stale_map_costs_one_more_question(world: World) -> None:
    await world.move_to("host-0", epoch=1)
    assert await world.call() == "host-0"
    await world.move_to("host-1", epoch=2)
    assert await world.call() == "host-1"
    assert world.asked == ["host-0", "host-0", "host-1"]
    assert world.ownership.readings == 2


async def test_a_host_that_still_refuses_is_believed_the_second_time(world: World) -> None:
    await world.move_to("host-0", epoch=1)
    world.owning.clear()
    with pytest.raises(Unavailable) as refused:
        await world.call()
    assert refused.value.code is Code.NOT_OWNER
    assert world.asked == ["host-0", "host-0"]


async def test_another_refusal_is_not_asked_again(world: World) -> None:
    await world.move_to("host-0", epoch=1)
    asked = 0

    async def busy(_: object) -> str:
        nonlocal asked
        asked += 1
        raise Unavailable(Code.TIMEOUT, "no answer; it may have been done")

    with pytest.raises(Unavailable):
        await world.directory.call(ADA, busy)
    assert asked == 1


@pytest.mark.parametrize(("state", "incarnation"), [("leaving", 1), ("up", 2)])
async def test_a_host_that_leaves_or_began_another_life_owns_nothing(
    world: World, state: str, incarnation: int
) -> None:
    await world.move_to("host-0", epoch=1, state=state, incarnation=incarnation)
    with pytest.raises(Unavailable) as refused:
        await world.directory.owner(ADA)
    assert refused.value.code is Code.NOT_OWNER
    assert refused.value.retry_after_ms == 1000


async def test_a_store_that_does_not_answer_leaves_the_map_in_use(world: World) -> None:
    await world.move_to("host-0", epoch=1)
    assert await world.call() == "host-0"
    world.ownership.reachable = False
    world.clock.advance(60_000)
    assert await world.call() == "host-0"
    # And it is not asked again by everybody who comes.
    before = world.ownership.readings
    assert await world.call() == "host-0"
    assert world.ownership.readings == before


async def test_a_store_that_never_answered_is_said_so(world: World) -> None:
    world.ownership.reachable = False
    with pytest.raises(Unavailable) as refused:
        await world.directory.owner(ADA)
    assert refused.value.code is Code.STORE_UNAVAILABLE

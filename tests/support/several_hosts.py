"""Several real hosts in this process over the same stores. Time passes when the test says so, and each host
beats, looks, freezes or dies by its order."""

from collections.abc import Mapping
from random import Random

from msgspec.structs import replace

from actors.assembly import build_host
from actors.host import EntityHost
from actors.keeper import Keeper
from actors.lease import Lease, Standing
from actors.orders import read_orders
from actors.shards import read_map, shard_of
from connect.frames import Limits
from kernel.errors import Code, Unavailable
from kernel.ids import HostId, UserId
from storage.ports import HostRecord
from storage.stores import Stores
from tests.support.clock import FakeClock
from tests.support.hosting import FixedSecrets, believe

LIMITS = Limits(frames_per_s=100_000, frames_burst=100_000)


class Life:
    """One life of one host."""

    def __init__(self, house: "Several", record: HostRecord, expected: frozenset[HostId]) -> None:
        self.record = record
        self.house = house
        self.lease = Lease(house.clock.tick_s())
        self.frozen = False
        self.retired = False
        self.host: EntityHost = build_host(
            record.host_id,
            shards={},
            stores=house.stores,
            clock=house.clock,
            rng=Random(house.rng.getrandbits(32)),
            lease_secrets=FixedSecrets(),
            verify_ticket=believe,
            edge_url="http://127.0.0.1:8001",
            limits=LIMITS,
            may_act=lambda: self.standing is Standing.HELD,
        )
        self.keeper = Keeper(
            record,
            self.host,
            ownership=house.stores.ownership,
            orders=lambda: read_orders(house.stores.documents),
            clock=house.clock,
            may_act=lambda: self.standing is Standing.HELD,
            is_lost=lambda: self.standing is Standing.LOST,
            tell_opened=house.tell_opened,
            retire=self._retire,
            expected=expected,
        )

    @property
    def standing(self) -> Standing:
        return self.lease.standing(self.house.clock.tick_s())

    async def beat(self) -> None:
        asked_s = self.house.clock.tick_s()
        self.record = replace(self.record, heartbeat=self.record.heartbeat + 1)
        await self.house.stores.ownership.put_host(self.record)
        self.lease.renewed(asked_s)

    def _retire(self) -> None:
        self.retired = True


class Several:
    def __init__(self, stores: Stores, *, seed: int = 1, expected: int = 0) -> None:
        """`expected`: how many hosts know of each other from the start."""
        self.stores = stores
        self.clock = FakeClock()
        self.rng = Random(seed)
        self.lives: dict[HostId, Life] = {}
        """Those that run, frozen ones too."""
        self.told = True
        """Whether a host can tell another what it was given."""
        self._expected = frozenset(HostId(f"host-{number}") for number in range(expected))
        self._incarnations: dict[HostId, int] = {}

    async def begin(self, name: str) -> Life:
        """A new life of the host. Whether it has looked yet is the caller's to say."""
        host_id = HostId(name)
        incarnation = self._incarnations[host_id] = self._incarnations.get(host_id, 0) + 1
        record = HostRecord(
            host_id=host_id, incarnation=incarnation, heartbeat=0, address=f"ws://{name}", version="1"
        )
        await self.stores.ownership.put_host(record)
        life = self.lives[host_id] = Life(self, record, self._expected)
        return life

    def kill(self, life: Life) -> None:
        """It does nothing more, not even badly."""
        life.frozen = True
        del self.lives[life.record.host_id]

    async def second(self, times: int = 1) -> None:
        """Seconds pass; whoever runs beats and looks."""
        for _ in range(times):
            self.clock.advance(1_000)
            for life in list(self.lives.values()):
                if not life.frozen:
                    await life.beat()
            for life in list(self.lives.values()):
                if not life.frozen:
                    await life.keeper.look()

    async def tell_opened(self, host_id: HostId, shards: Mapping[int, int]) -> None:
        life = self.lives.get(host_id)
        if life is None or life.frozen or not self.told:
            raise Unavailable(Code.NOT_OWNER, f"{host_id} asked: it is not running")
        life.host.gain(shards)

    async def owner(self, user_id: UserId) -> Life:
        """By the store. Raises AssertionError when it is nobody that runs."""
        found = (await read_map(self.stores.ownership)).owner(shard_of(user_id))
        assert found is not None, f"nobody owns {user_id}"
        return self.lives[found[1].host_id]

    async def users_of(self, life: Life, count: int = 1) -> list[UserId]:
        """Some whom it owns."""
        users = (UserId(f"user-{number}") for number in range(10_000))
        return [
            user
            for user, _ in zip(
                (u for u in users if shard_of(u) in life.host.shards), range(count), strict=False
            )
        ]

    async def stop(self) -> None:
        for life in self.lives.values():
            await life.keeper.stop()
            life.frozen = False
            life.lease.renewed(self.clock.tick_s())
            await life.host.stop()

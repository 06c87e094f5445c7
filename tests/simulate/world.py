"""One simulated history: hosts that die, freeze and come back, over a bad store and a worse network.

Everything that is decided is decided by the seed. The classes that run are the ones that serve: hosts,
keepers, sessions, handoffs, links, the directory. What is simulated is time, the network, the store's temper
and which processes live. A host that is frozen is one whose messages and calls all stand still.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import msgspec

from actors.assembly import build_host
from actors.host import EntityHost
from actors.keeper import Keeper
from actors.lease import Lease, Standing
from actors.orders import drain, read_orders, undrain
from client.api import Doorway
from client.socket_dial import Socket
from connect.frames import SUBPROTOCOL_MSGPACK, Limits
from kernel.errors import Code, SegueError, Unavailable
from kernel.ids import HostId, UserId, uri
from kernel.units import Millis, TickS
from serve.directory import CONNECT_AGE_S, Directory
from storage.catalogue import Catalogue
from storage.memory import MemoryEntityLog
from storage.ports import Append, HostRecord, LogRecord
from storage.stores import Stores, memory_stores
from tests.simulate.checks import Broken, Checks
from tests.simulate.devices import SimulatedDevice
from tests.simulate.network import Line
from tests.support.faulty_stores import Faults, faulty
from tests.support.hosting import ALBUM_URI, TRACKS, FixedSecrets, believe, fill_catalogue

HOSTS = 3
USERS = 2
DEVICES = 2
"""Of each user."""
TROUBLE_FROM_S = 2.5
PEACE_FROM_S = 20.0
TROUBLE_EVERY_S = 2.0
FREEZE_S_MAX = 9.0
OUTAGE_S_MAX = 7.0
SETTLED_WITHIN_S = 30.0
TRACK_MS = Millis(3_600_000)
"""Longer than any history: the queue is consumed by nobody."""
EPOCH_MS = 1_790_000_000_000
LIMITS = Limits(frames_per_s=1_000, frames_burst=1_000)
FAULTS = Faults(refused=0.15, ambiguous=0.1, late=0.3, late_s_max=0.05)
CALM = Faults(refused=0.0, ambiguous=0.0, late=0.3, late_s_max=0.01)


class VirtualClock:
    """`kernel.units.Clock` of the running virtual loop."""

    def now_ms(self) -> Millis:
        return Millis(EPOCH_MS + round(asyncio.get_running_loop().time() * 1000))

    def tick_s(self) -> TickS:
        return TickS(asyncio.get_running_loop().time())


class WatchedLog(MemoryEntityLog):
    def __init__(self, checks: Checks) -> None:
        super().__init__()
        self._checks = checks

    async def append(self, records: Sequence[LogRecord]) -> list[Append]:
        outcomes = await super().append(records)
        for record, outcome in zip(records, outcomes, strict=True):
            if outcome is Append.WRITTEN:
                self._checks.record(record)
        return outcomes


class Gate:
    """A port of a store as one host reaches it: not while it is frozen, and not while the store is away."""

    def __init__(self, port: object, faulty: object, world: "World", awake: asyncio.Event) -> None:
        """`faulty` is the same port in times of trouble."""
        self._port = port
        self._faulty = faulty
        self._world = world
        self._awake = awake

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._port if self._world.is_peaceful else self._faulty, name)

        async def call(*args: object, **kwargs: object) -> Any:
            await self._awake.wait()
            if self._world.store_away:
                raise Unavailable(Code.STORE_UNAVAILABLE, "the store is away")
            answer = await method(*args, **kwargs)
            await self._awake.wait()
            return answer

        return call


class Process:
    """One life of a host."""

    def __init__(self, world: "World", record: HostRecord) -> None:
        self.record = record
        self.awake = asyncio.Event()
        self.awake.set()
        self.ended = asyncio.Event()
        self.lines: list[Line] = []
        self._world = world
        self._lease = Lease(world.clock.tick_s())
        stores = world.stores_of(self.awake)
        self._ownership = stores.ownership
        self.host: EntityHost = build_host(
            record.host_id,
            shards={},
            stores=stores,
            clock=world.clock,
            rng=Random(world.rng.getrandbits(64)),
            lease_secrets=FixedSecrets(),
            verify_ticket=believe,
            edge_url="http://127.0.0.1:8001",
            limits=LIMITS,
            may_act=lambda: self._standing() is Standing.HELD,
        )
        self._keeper = Keeper(
            record,
            self.host,
            ownership=stores.ownership,
            orders=lambda: read_orders(stores.documents),
            clock=world.clock,
            may_act=lambda: self._standing() is Standing.HELD,
            is_lost=lambda: self._standing() is Standing.LOST,
            tell_opened=world.tell_opened,
            retire=lambda: None,
            wait_for_exit=world.wait_for_exit if world.has_witness else None,
            expected=[HostId(f"host-{number}") for number in range(HOSTS)],
        )

    async def run(self) -> None:
        """From its birth on; it is ended by `kill`."""
        self.host.start()
        self._keeper.start()
        beat = 0
        while True:
            asked_s = self._world.clock.tick_s()
            beat += 1
            with suppress(Unavailable):
                await self._ownership.put_host(msgspec.structs.replace(self.record, heartbeat=beat))
                self._lease.renewed(asked_s)
            await asyncio.sleep(1.0)

    def kill(self) -> None:
        self.awake.clear()  # for ever: whatever it still has in hand goes nowhere
        self.ended.set()
        for line in self.lines:
            line.cut()

    def _standing(self) -> Standing:
        return self._lease.standing(self._world.clock.tick_s())


class World:
    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.clock = VirtualClock()
        self.checks = Checks()
        self.trace: list[str] = []
        self.store_away = False
        self.is_peaceful = False
        """Nothing goes wrong any more."""
        self.has_witness = self.rng.random() < 0.5
        """Whether somebody sees processes end, as Ray does on one machine."""
        self.processes: dict[HostId, Process] = {}
        self._faults = FAULTS if self.rng.random() < 0.7 else CALM
        self._base = replace(memory_stores(self.clock), log=WatchedLog(self.checks))
        self._lives: dict[HostId, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.directory = Directory(self._base.ownership, lambda _: None, self.clock)  # type: ignore[arg-type,return-value]
        self.devices: list[SimulatedDevice] = []

    # --- what hosts and devices see of it -----------------------------------------------------------

    def stores_of(self, awake: asyncio.Event) -> Stores:
        there = faulty(self._base, Random(self.rng.getrandbits(64)), self._faults)
        gated = {
            name: Gate(getattr(self._base, name), getattr(there, name), self, awake)
            for name in ("log", "ownership", "documents", "volatile")
        }
        return replace(there, **gated)  # type: ignore[arg-type]  # each has the methods of its port

    async def tell_opened(self, host_id: HostId, shards: Mapping[int, int]) -> None:
        await asyncio.sleep(self.rng.random() * 0.01)
        process = self.processes.get(host_id)
        if process is None or not process.awake.is_set() or self.rng.random() < 0.2:
            raise Unavailable(Code.NOT_OWNER, f"{host_id} does not answer")
        process.host.gain(shards)

    async def wait_for_exit(self, host_id: HostId, incarnation: int) -> None:
        process = self.processes.get(host_id)
        if process is None or process.record.incarnation != incarnation:
            raise Unavailable(Code.NOT_OWNER, f"nobody knows of {host_id}")
        await process.ended.wait()
        await asyncio.sleep(0.01)

    async def connect_info(self, user_id: UserId) -> Doorway:
        await asyncio.sleep(self.rng.random() * 0.02)
        if self.store_away:
            raise Unavailable(Code.STORE_UNAVAILABLE, "the store is away")
        owner, host = await self.directory.owner(user_id, age_s=CONNECT_AGE_S)
        return Doorway(
            url=host.address,
            ticket=user_id,
            expires_in=60,
            subprotocols=(SUBPROTOCOL_MSGPACK,),
            owner_epoch=owner.owner_epoch,
        )

    async def dial(self, url: str, subprotocols: tuple[str, ...]) -> Socket:
        await asyncio.sleep(self.rng.random() * 0.01)
        process = self.processes.get(HostId(url.removeprefix("ws://")))
        if process is None:
            raise Unavailable(Code.TIMEOUT, f"no socket at {url}: connection refused")
        line = Line(process.host, self.rng, process.awake)
        process.lines.append(line)
        return line

    # --- a history ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Raises Broken."""
        await self._furnish()
        loop = asyncio.get_running_loop()
        for number in range(HOSTS):
            await self._begin(HostId(f"host-{number}"))
        for device in self.devices:
            self._spawn(device.live())
        asking = [loop.create_task(device.ask(PEACE_FROM_S)) for device in self.devices]
        await self._trouble()
        await asyncio.gather(*asking)
        self.is_peaceful = True
        await asyncio.gather(*(device.ask_for_the_last_time() for device in self.devices))
        if self.checks.broken is not None:
            raise self.checks.broken
        await self._settle()
        for task in self._tasks:
            task.cancel()

    async def _furnish(self) -> None:
        catalogue = Catalogue(self._base.documents, self.clock)
        await fill_catalogue(catalogue)
        tracks = [track for track in await catalogue.tracks(TRACKS) if track is not None]
        await catalogue.put_tracks([msgspec.structs.replace(track, duration_ms=TRACK_MS) for track in tracks])
        for number in range(USERS):
            user_id = UserId(f"user-{number}")
            names = [f"phone-{number}-{one}" for one in range(DEVICES)]
            for one, name in enumerate(names):
                device = SimulatedDevice(
                    user_id,
                    name,
                    track=uri("track", TRACKS[one + 1]),
                    context=ALBUM_URI,
                    doorkeeper=_Door(self, user_id),
                    dial=self.dial,
                    clock=self.clock,
                    rng=Random(self.rng.getrandbits(64)),
                    checks=self.checks,
                    trace=self.note,
                )
                device.others = [other for other in names if other != name]  # type: ignore[misc]
                self.devices.append(device)

    async def _trouble(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(TROUBLE_FROM_S)
        while loop.time() < PEACE_FROM_S:
            self._spawn(self._one_trouble())
            await asyncio.sleep(self.rng.expovariate(1 / TROUBLE_EVERY_S))

    async def _one_trouble(self) -> None:
        host_id = self.rng.choice([HostId(f"host-{number}") for number in range(HOSTS)])
        process = self.processes.get(host_id)
        match self.rng.randrange(5):
            case 0 if process is not None:
                self.note(f"kill {host_id}")
                del self.processes[host_id]
                process.kill()
                await asyncio.sleep(self.rng.uniform(0.2, 6.0))
                await self._begin(host_id)
            case 1 if process is not None and process.awake.is_set():
                self.note(f"freeze {host_id}")
                process.awake.clear()
                await asyncio.sleep(self.rng.uniform(0.1, FREEZE_S_MAX))
                if not process.ended.is_set():
                    self.note(f"thaw {host_id}")
                    process.awake.set()
            case 2 if process is not None and process.lines:
                self.note(f"cut a line of {host_id}")
                self.rng.choice(process.lines).cut()
            case 3:
                self.note("the store goes away")
                self.store_away = True
                await asyncio.sleep(self.rng.uniform(0.1, OUTAGE_S_MAX))
                self.store_away = False
                self.note("the store is back")
            case 4:
                self.note(f"drain {host_id}")
                await drain(self._base.documents, host_id)
                await asyncio.sleep(self.rng.uniform(1.0, 8.0))
                await undrain(self._base.documents, host_id)
            case _:
                pass

    async def _begin(self, host_id: HostId) -> None:
        if host_id in self.processes:
            return
        life = self._lives[host_id] = self._lives.get(host_id, 0) + 1
        record = HostRecord(
            host_id=host_id, incarnation=life, heartbeat=0, address=f"ws://{host_id}", version="1"
        )
        self.note(f"begin {host_id} life {life}")
        process = self.processes[host_id] = Process(self, record)
        self._spawn(process.run())

    async def _settle(self) -> None:
        """Every acknowledged edit is there, once: in the log, not in the memory of who acknowledged it."""
        for process in self.processes.values():
            process.kill()
        self.processes.clear()
        for number in range(HOSTS):
            await self._begin(HostId(f"host-{number}"))
        for device in self.devices:
            queued = Counter(await self._queue(device.user_id))
            device.edits.settle(device.user_id, queued)

    async def _queue(self, user_id: UserId) -> list[str]:
        """As its owner has it, once somebody is that without a doubt."""
        ends_s = asyncio.get_running_loop().time() + SETTLED_WITHIN_S
        while asyncio.get_running_loop().time() < ends_s:
            try:
                owner, _ = await self.directory.owner(user_id, age_s=0.0)
                listener = await self.processes[owner.host_id].host.listener(user_id)
                return [item.uri for item in listener.session.session.queue]
            except (KeyError, SegueError):
                await asyncio.sleep(0.5)
        raise Broken(f"liveness: nobody has {user_id} after {SETTLED_WITHIN_S} s of peace")

    # --- small things -------------------------------------------------------------------------------

    def note(self, what: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():9.4f} {what}")

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self.checks.fail(f"a task ended by {type(fault).__name__}: {fault}")


class _Door:
    def __init__(self, world: World, user_id: UserId) -> None:
        self._world = world
        self._user_id = user_id

    async def connect_info(self) -> Doorway:
        return await self._world.connect_info(self._user_id)

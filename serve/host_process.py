"""A host as a process of its own: stores, shards, sockets, heartbeat, numbers. Composition only."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from random import SystemRandom

import msgspec
import structlog
from websockets.asyncio.server import Server

from actors.assembly import build_host
from actors.clock import SystemClock
from actors.cluster import ANY_LIFE, tell_opened, wait_for_exit
from actors.heart import Heart
from actors.host import EntityHost
from actors.keeper import Keeper
from actors.lease import Lease, Standing
from actors.orders import read_orders
from connect.codec import Encoding, decode_client, encode
from connect.frames import CommandFrame, Limits
from kernel.errors import Unavailable
from kernel.ids import DeviceId, HostId, UserId
from serve.host_metrics import HostMetrics
from serve.identity.withdrawals import Withdrawals
from serve.keys import KeyRing, Purpose
from serve.logs import set_up
from serve.settings import Settings
from serve.sockets import serve_sockets
from serve.tokens import Tokens
from serve.version import VERSION
from storage.ports import HostRecord
from storage.stores import Stores, open_stores

log = structlog.get_logger()


def host_id(index: int) -> HostId:
    """Hosts are known by their 0-based place."""
    return HostId(f"host-{index}")


class HostProcess:
    """One of `settings.hosts` hosts. A plain class: Ray wraps it in `actors/cluster.py`."""

    def __init__(self, settings: Settings, index: int) -> None:
        self._settings = settings
        self._index = index
        self._clock = SystemClock()
        self._metrics = HostMetrics()
        self._stores: Stores
        self._keys: KeyRing
        self._withdrawals: Withdrawals
        self._host: EntityHost
        self._record: HostRecord
        self._sockets: Server
        self._lease: Lease
        self._heart: Heart
        self._keeper: Keeper
        self._retiring: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Own this host's shards and listen. Raises OSError when its port is taken, Unavailable."""
        settings = self._settings
        set_up(settings)
        self._stores = open_stores(settings.data_dir, self._clock, settings.store_urls)
        await self._stores.prepare()
        self._keys = await KeyRing.open(self._stores.documents, self._clock, settings)
        self._keys.start()
        self._withdrawals = await Withdrawals.open(self._stores.documents, self._clock, settings)
        self._lease = Lease(self._clock.tick_s())
        self._record = await self._introduce()
        self._host = build_host(
            self._record.host_id,
            shards={},
            stores=self._stores,
            clock=self._clock,
            rng=SystemRandom(),
            lease_secrets=self._keys.of(Purpose.LEASE),
            verify_ticket=Tokens(self._keys, self._clock, settings, self._withdrawals).verify_ticket,
            edge_url=settings.edge_url,
            limits=Limits(lease_s=settings.lease_s),
            measured=self._metrics.measured,
            may_act=lambda: self._standing() is Standing.HELD,
        )
        self._heart = Heart(
            self._record,
            self._lease,
            open_stores=lambda: open_stores(settings.data_dir, self._clock, settings.store_urls),
            clock=self._clock,
        )
        self._heart.start()
        self._keeper = Keeper(
            self._record,
            self._host,
            ownership=self._stores.ownership,
            orders=lambda: read_orders(self._stores.documents),
            clock=self._clock,
            may_act=lambda: self._standing() is Standing.HELD,
            is_lost=lambda: self._standing() is Standing.LOST,
            tell_opened=tell_opened,
            retire=self._retire,
            wait_for_exit=wait_for_exit,
            expected=[host_id(index) for index in range(settings.hosts)],
        )
        await self._keeper.look()
        self._keeper.start()
        self._host.start()
        self._withdrawals.on_news(self._end_withdrawn)
        self._withdrawals.start()
        self._sockets = await serve_sockets(
            self._host,
            bind_host=settings.bind_host,
            port=settings.host_port(self._index),
            allowed_origins=settings.allowed_origins,
            metrics=lambda: self._metrics.text(self._host.statistics()),
        )

    async def stop(self) -> None:
        """Let every device go with a time to come back, fold every session into its log."""
        await self._keeper.stop()
        self._sockets.close(close_connections=False)
        await self._host.stop()
        self._sockets.close()
        await self._sockets.wait_closed()
        await self._heart.stop()
        # So that nobody is sent here any more; the next life says `up` again.
        with suppress(Unavailable):
            await self._stores.ownership.put_host(msgspec.structs.replace(self._record, state="down"))
        await self._withdrawals.stop()
        await self._keys.stop()
        await self._stores.close()

    async def command(self, user_id: UserId, data: bytes, device_id: DeviceId | None) -> bytes:
        """The far end of `actors.cluster.RayHost`: a command frame in, a reply out, both as msgpack."""
        frame = decode_client(data, Encoding.MSGPACK)
        assert isinstance(frame, CommandFrame), "only commands are sent here"
        return encode(await self._host.command(user_id, frame, device_id), Encoding.MSGPACK)

    async def look(self, user_id: UserId) -> bytes:
        """The same for a snapshot."""
        return encode(await self._host.look(user_id), Encoding.MSGPACK)

    async def look_many(self, user_ids: list[UserId]) -> list[bytes | None]:
        """Snapshots of those who are active, None for the others: nobody waits for another's activation."""
        found = map(self._host.look_now, user_ids)
        return [None if seen is None else encode(seen, Encoding.MSGPACK) for seen in found]

    async def reread(self, user_id: UserId) -> bytes:
        """The same, after the user's wishes were read anew."""
        return encode(await self._host.reread(user_id), Encoding.MSGPACK)

    async def opened(self, shards: Mapping[int, int]) -> None:
        """Another host gave these (shard to epoch) to this one."""
        self._host.gain(shards)

    async def lasts(self, incarnation: int) -> None:
        """Waits for the end of that life: for ever, unless it is not this one."""
        if incarnation in (ANY_LIFE, self._record.incarnation):
            await asyncio.Event().wait()

    async def statistics(self) -> dict[str, int]:
        return self._host.statistics()

    def _retire(self) -> None:
        """End this life: what supervises the process starts the next, on the code that is there by then."""
        if self._retiring is None:
            log.info("host_retires", host_id=self._record.host_id)
            self._retiring = asyncio.get_running_loop().create_task(self._stop_and_exit())

    async def _stop_and_exit(self) -> None:
        await self.stop()
        os._exit(0)

    def _standing(self) -> Standing:
        return self._lease.standing(self._clock.tick_s())

    def _end_withdrawn(self) -> None:
        ended = self._host.end_withdrawn(self._withdrawals.is_withdrawn)
        if ended:
            log.info("connections_withdrawn", host_id=self._record.host_id, ended=ended)

    async def _introduce(self) -> HostRecord:
        """This life's record: one incarnation more than the last one's."""
        me = host_id(self._index)
        before = [host.incarnation for host in await self._stores.ownership.hosts() if host.host_id == me]
        record = HostRecord(
            host_id=me,
            incarnation=max(before, default=0) + 1,
            heartbeat=0,
            address=self._settings.socket_url(self._index),
            version=VERSION,
        )
        await self._stores.ownership.put_host(record)
        return record

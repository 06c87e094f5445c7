"""A host as a process of its own: stores, shards, sockets, heartbeat, numbers. Composition only."""

import asyncio
from contextlib import suppress
from random import SystemRandom

import msgspec
import structlog
from websockets.asyncio.server import Server

from actors.assembly import build_host
from actors.clock import SystemClock
from actors.host import EntityHost
from actors.shards import claim_desired
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

HEARTBEAT_EVERY_S = 1.0

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
        self._heart: asyncio.Task[None]

    async def start(self) -> None:
        """Own this host's shards and listen. Raises OSError when its port is taken, Unavailable."""
        settings = self._settings
        set_up(settings)
        self._stores = open_stores(settings.data_dir, self._clock, settings.store_urls)
        await self._stores.prepare()
        self._keys = await KeyRing.open(self._stores.documents, self._clock, settings)
        self._keys.start()
        self._withdrawals = await Withdrawals.open(self._stores.documents, self._clock, settings)
        self._record = await self._introduce()
        shards = await claim_desired(
            self._stores.ownership,
            self._record,
            {host_id(index): 1.0 for index in range(settings.hosts)},
            why="join",
        )
        self._host = build_host(
            self._record.host_id,
            shards=shards,
            stores=self._stores,
            clock=self._clock,
            rng=SystemRandom(),
            lease_secrets=self._keys.of(Purpose.LEASE),
            verify_ticket=Tokens(self._keys, self._clock, settings, self._withdrawals).verify_ticket,
            edge_url=settings.edge_url,
            limits=Limits(lease_s=settings.lease_s),
            measured=self._metrics.measured,
        )
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
        self._heart = asyncio.get_running_loop().create_task(self._beat_forever())

    async def stop(self) -> None:
        """Let every device go with a time to come back, fold every session into its log."""
        self._heart.cancel()
        await asyncio.wait([self._heart])
        self._sockets.close(close_connections=False)
        await self._host.stop()
        self._sockets.close()
        await self._sockets.wait_closed()
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

    async def statistics(self) -> dict[str, int]:
        return self._host.statistics()

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

    async def _beat_forever(self) -> None:
        beat = 0
        while True:
            await asyncio.sleep(HEARTBEAT_EVERY_S)
            beat += 1
            record = msgspec.structs.replace(self._record, heartbeat=beat)
            try:
                await self._stores.ownership.put_host(record)
            except Unavailable as error:
                log.warning("heartbeat_not_written", host_id=record.host_id, why=str(error))

"""Hosts as Ray actors over one folder of data: real processes, real sockets, a real kill -9."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from msgspec.structs import replace

from actors.clock import SystemClock
from actors.cluster import NAMESPACE, RayHost, Spawned, actor_name, find_host, spawn
from actors.shards import read_map, shard_of
from catalog.model import Plan
from connect.frames import CommandFrame, Push, Reply, Snapshot
from kernel.errors import TABLE, Code, Unavailable
from kernel.ids import CommandId, HostId, UserId
from kernel.units import Millis
from serve.directory import Directory
from serve.host_process import HostProcess, host_id
from serve.identity.withdrawals import Withdrawals
from serve.keys import KeyRing
from serve.settings import Settings
from serve.tokens import AccessClaims, Tokens
from sessions.commands import AddToQueue, Command, Pause, Play, SeekTo
from storage.catalogue import Catalogue
from storage.stores import Stores, open_stores
from tests.support.faulty_stores import persist
from tests.support.hosting import ALBUM_URI, fill_catalogue, track_uri
from tests.support.listening_host import Caller, call

pytestmark = pytest.mark.usefixtures("ray_cluster")
WITHIN_S = 30.0


class Cluster:
    """Two hosts, and what the driver has of them."""

    def __init__(self, settings: Settings, stores: Stores, tokens: Tokens) -> None:
        self.settings = settings
        self.stores = stores
        self._tokens = tokens
        self.hosts: dict[int, Spawned] = {}
        self._directory = Directory(stores.ownership, lambda record: find_host(record.host_id), SystemClock())
        self._commands = 0

    async def start(self, index: int) -> None:
        if index in self.hosts:
            await self.hosts[index].stop()  # frees the name of one that is dead
        host = spawn(actor_name(host_id(index)), HostProcess, self.settings, index)
        self.hosts[index] = host
        await host.start()

    async def stop(self) -> None:
        await asyncio.gather(*(host.stop() for host in self.hosts.values()))
        self.hosts = {}

    async def kill(self, index: int) -> None:
        """As the kernel does when memory runs out."""
        os.kill(await self.pid(index), signal.SIGKILL)

    async def pid(self, index: int) -> int:
        actor = ray.get_actor(actor_name(host_id(index)), namespace=NAMESPACE)
        ask: Any = actor.__ray_call__  # Ray's stub takes it for a method of ours
        pid: int = await ask.remote(lambda _: os.getpid())
        return pid

    async def owner(self, user_id: UserId) -> HostId:
        found = (await read_map(self.stores.ownership)).owner(shard_of(user_id))
        assert found is not None
        return found[1].host_id

    async def user_of(self, index: int) -> UserId:
        """Somebody whom this host owns."""
        for number in range(100):
            user_id = UserId(f"user-{number}")
            if await self.owner(user_id) == host_id(index):
                return user_id
        raise AssertionError(f"{host_id(index)} owns nobody")

    async def device(self, user_id: UserId, device_id: str, *, nonce: str = "nonce-0001") -> Caller:
        owner = await self.owner(user_id)
        url = self.settings.socket_url([host_id(0), host_id(1)].index(owner))
        return await call(url, device_id, user=self.ticket(user_id), nonce=nonce)

    def ticket(self, user_id: UserId) -> str:
        now_ms = SystemClock().now_ms()
        return self._tokens.issue_ticket(
            AccessClaims(
                user_id=user_id,
                scopes=frozenset({"streaming"}),
                plan=Plan.PREMIUM,
                country="NL",
                token_id="test",
                issued_at_ms=now_ms,
                expires_at_ms=Millis(now_ms + 60_000),
            )
        )

    async def command(self, user_id: UserId, command: Command, command_id: str = "") -> Reply:
        """As REST does it."""
        self._commands += 1
        frame = CommandFrame(
            command_id=CommandId(command_id or f"driver-{self._commands:04}"), command=command
        )
        return await self._directory.call(user_id, lambda host: host.command(user_id, frame, None))

    async def look(self, user_id: UserId) -> Snapshot:
        return await self._directory.call(user_id, lambda host: host.look(user_id))


@asynccontextmanager
async def running(settings: Settings, data_dir: Path) -> AsyncIterator[Cluster]:
    settings = replace(settings, data_dir=data_dir)
    clock = SystemClock()
    stores = open_stores(data_dir, clock)
    await fill_catalogue(Catalogue(stores.documents, clock))
    keys = await KeyRing.open(stores.documents, clock, settings)
    withdrawals = await Withdrawals.open(stores.documents, clock, settings)
    cluster = Cluster(settings, stores, Tokens(keys, clock, settings, withdrawals))
    try:
        await asyncio.gather(*(cluster.start(index) for index in range(settings.hosts)))
        yield cluster
    finally:
        await cluster.stop()
        await stores.close()


@pytest.fixture
async def cluster(cluster_settings: Settings, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running(cluster_settings, tmp_path / "data") as cluster:
        yield cluster


async def test_both_hosts_serve_their_own_users_and_send_others_away(cluster: Cluster) -> None:
    for index in range(2):
        user_id = await cluster.user_of(index)
        phone = await cluster.device(user_id, "phone-001")
        assert (await phone.command(Play(context_uri=ALBUM_URI))).ok
        # What REST does, the socket hears of; what the socket did, REST sees.
        assert (await cluster.command(user_id, Pause())).ok
        async with asyncio.timeout(WITHIN_S):
            while True:
                push = await phone.socket.receive()
                if isinstance(push, Push) and push.player and push.player.is_paused is True:
                    break
        assert (await cluster.look(user_id)).player.is_paused
        assert (await RayHost(host_id(index)).reread(user_id)).player.is_paused
        other = RayHost(host_id(1 - index))
        with pytest.raises(Unavailable) as refused:
            await other.look(user_id)
        assert refused.value.code is Code.NOT_OWNER
        with pytest.raises((AssertionError, Unavailable)):
            await call(cluster.settings.socket_url(1 - index), "phone-002", user=cluster.ticket(user_id))
    with pytest.raises(Unavailable) as refused:
        await RayHost(HostId("host-9")).look(UserId("user-1"))
    assert refused.value.code is Code.NOT_OWNER


async def test_a_stop_folds_everything_and_a_restart_has_it(
    cluster_settings: Settings, tmp_path: Path
) -> None:
    async with running(cluster_settings, tmp_path / "data") as cluster:
        user_id = await cluster.user_of(0)
        phone = await cluster.device(user_id, "phone-001")
        await phone.command(Play(context_uri=ALBUM_URI))
        await phone.command(SeekTo(position_ms=Millis(4_000)))
        await phone.command(Pause())
        before = (await cluster.look(user_id)).player
        await cluster.stop()
        assert await phone.socket.wait_closed() == TABLE[Code.GOING_AWAY].close
        shards = await read_map(cluster.stores.ownership)
        assert shards.owner(shard_of(user_id)) is None, "nobody is sent to a host that has stopped"
        await asyncio.gather(*(cluster.start(index) for index in range(2)))
        after = await cluster.look(user_id)
        assert after.owner_epoch == 2
        assert after.player == before
        again = await cluster.device(user_id, "phone-001", nonce="nonce-0002")
        assert again.snapshot.player == before


async def test_nothing_acknowledged_is_lost_by_kill_9(cluster: Cluster) -> None:
    user_id = await cluster.user_of(1)
    phone = await cluster.device(user_id, "phone-001")
    assert (await phone.command(Play(context_uri=ALBUM_URI))).ok
    acknowledged: list[str] = []

    async def edit() -> None:
        for number in range(10_000):
            track = track_uri(number % 6)
            try:
                reply = await cluster.command(user_id, AddToQueue(uris=(track,)), f"edit-{number:05}")
            except Unavailable:
                return
            assert reply.ok
            acknowledged.append(track)
            if number == 25:
                await cluster.kill(1)

    async with asyncio.timeout(WITHIN_S):
        await edit()
    assert len(acknowledged) >= 25
    assert await phone.socket.wait_closed(within_s=WITHIN_S) is None
    # The other host is the owner by now, or in a moment. The command that died with the host may have been
    # written; its repeat is the one that says so.
    last = f"edit-{len(acknowledged):05}"
    edit_again = AddToQueue(uris=(track_uri(0),))
    assert (await persist(lambda: cluster.command(user_id, edit_again, last), pause_s=0.05)).ok
    found = await cluster.look(user_id)
    queued = [item.uri for item in found.player.next_tracks if item.provider == "queue"]
    assert len(queued) == len(acknowledged) + 1
    assert queued[: len(acknowledged)] == acknowledged
    assert await cluster.owner(user_id) == host_id(0)
    heir = await cluster.device(user_id, "phone-001", nonce="nonce-0002")
    assert (await heir.command(Pause())).ok
    others = await cluster.user_of(0)
    assert (await cluster.look(others)).owner_epoch in (1, 2)
    # The next life is given its share, and the listener with it.
    await cluster.start(1)
    async with asyncio.timeout(WITHIN_S):
        while await cluster.owner(user_id) != host_id(1):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.05)
    assert await heir.socket.wait_closed() == TABLE[Code.NOT_OWNER].close
    assert (
        await persist(lambda: cluster.look(user_id), pause_s=0.05)
    ).player.next_tracks == found.player.next_tracks


async def test_a_host_that_was_frozen_finds_another_in_its_place(cluster: Cluster) -> None:
    """SIGSTOP for longer than a lease: nobody saw it end, so its heartbeat is what tells."""
    user_id = await cluster.user_of(1)
    phone = await cluster.device(user_id, "phone-001")
    assert (await phone.command(Play(context_uri=ALBUM_URI))).ok
    frozen = await cluster.pid(1)
    os.kill(frozen, signal.SIGSTOP)
    try:
        async with asyncio.timeout(WITHIN_S):
            while await cluster.owner(user_id) != host_id(0):  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.1)
        assert (
            await persist(lambda: cluster.command(user_id, AddToQueue(uris=(track_uri(2),))), pause_s=0.05)
        ).ok
    finally:
        os.kill(frozen, signal.SIGCONT)
    with pytest.raises((AssertionError, Unavailable)):
        assert (await phone.command(AddToQueue(uris=(track_uri(3),)))).ok
    queued = [i.uri for i in (await cluster.look(user_id)).player.next_tracks if i.provider == "queue"]
    assert queued == [track_uri(2)]

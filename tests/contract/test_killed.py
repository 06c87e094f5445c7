"""Each server is killed with -9 and started again under load: nothing that was acknowledged is missing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from actors.clock import SystemClock
from kernel.errors import Unavailable
from kernel.ids import HostId
from kernel.units import Millis
from storage.ports import ShardOwner
from storage.s3_blobs import PART_BYTES
from storage.stores import Stores, open_stores
from tests.contract.conftest import own_urls
from tests.support.faulty_stores import persist
from tests.support.history import Writer, check
from tests.support.servers import Servers

KILLS = 2
PROGRESS = 4
"""What must have been acknowledged before each kill and after the last."""
WAIT_S = 60
"""Longest wait for that; a machine that is not busy takes a second."""
PAUSE_S = 0.02


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[Servers]:
    """Servers of this test alone: nobody else is to notice."""
    started = Servers(tmp_path / "servers")
    yield started
    started.stop()


@asynccontextmanager
async def opened(servers: Servers, folder: Path, *names: str) -> AsyncIterator[Stores]:
    # The system's clock: a server that forgot everything goes on from the time.
    stores = open_stores(folder / "data", SystemClock(), own_urls(servers, *names))
    await stores.prepare()
    try:
        yield stores
    finally:
        await stores.close()


async def grows(count: Callable[[], int]) -> None:
    enough = count() + PROGRESS
    async with asyncio.timeout(WAIT_S):
        while count() < enough:  # noqa: ASYNC110 - a real server gives no event to wait for
            await asyncio.sleep(0.01)


async def kill_under_load(
    servers: Servers, name: str, done: Callable[[], int], failed: Callable[[], int] | None = None
) -> None:
    """`done` counts what was acknowledged, by the slowest of the load; `failed` what was refused."""
    for _ in range(KILLS):
        await grows(done)
        await asyncio.to_thread(servers.kill, name)
        if failed is not None:
            await grows(failed)
        await asyncio.to_thread(servers.restart, name)
    await grows(done)


async def test_mongodb_is_killed_and_nothing_acknowledged_is_missing_or_doubled(
    own_servers: Servers, tmp_path: Path
) -> None:
    async with opened(own_servers, tmp_path, "mongo") as stores:
        over = asyncio.Event()
        writers = [
            Writer(stores.log, f"session/{key}", f"{key}{number}", pause_s=PAUSE_S)
            for key in "abc"
            for number in range(2)
        ]
        put: list[str] = []
        claimed: list[ShardOwner] = []

        async def write(writer: Writer) -> None:
            number = 0
            while not over.is_set():
                await writer.write_one(number)
                number += 1

        async def keep(name: int) -> None:
            while not over.is_set():
                doc_id = f"{name}-{len(put)}"
                await persist(lambda: stores.documents.put("c", [(doc_id, b"1")]), pause_s=PAUSE_S)  # noqa: B023
                put.append(doc_id)

        async def claim() -> None:
            while not over.is_set():
                owner = ShardOwner(
                    shard=1,
                    owner_epoch=len(claimed) + 1,
                    host_id=HostId("a"),
                    incarnation=1,
                    why="takeover",
                )
                assert await persist(lambda: stores.ownership.claim([owner]), pause_s=PAUSE_S) == [True]  # noqa: B023
                claimed.append(owner)

        async with asyncio.TaskGroup() as load:
            for writer in writers:
                load.create_task(write(writer))
            for name in range(2):
                load.create_task(keep(name))
            load.create_task(claim())
            await kill_under_load(
                own_servers, "mongo", lambda: min(len(writer.acknowledged) for writer in writers)
            )
            over.set()
        assert all(len(writer.acknowledged) > KILLS for writer in writers)
        await check(stores.log, writers)
        assert None not in await stores.documents.get("c", put)
        assert await stores.ownership.owners() == claimed[-1:]


async def test_redis_is_killed_and_only_volatile_values_are_lost(
    own_servers: Servers, tmp_path: Path
) -> None:
    async with opened(own_servers, tmp_path, "redis") as stores:
        over = asyncio.Event()
        writer = Writer(stores.log, "session/a", "a")
        failed: list[Unavailable] = []
        cursors = [0]

        async def write() -> None:
            number = 0
            while not over.is_set():
                await writer.write_one(number)
                number += 1

        async def remember() -> None:
            while not over.is_set():
                try:
                    await stores.volatile.put("epoch/a", b"1", epoch=1, ttl_ms=Millis(60_000))
                    cursor, _ = await stores.volatile.changed("epoch/", since=cursors[-1])
                    cursors.append(cursor)
                except Unavailable as error:
                    failed.append(error)
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as load:
            load.create_task(write())
            load.create_task(remember())
            await kill_under_load(own_servers, "redis", lambda: len(cursors), lambda: len(failed))
            over.set()
        assert failed
        assert cursors == sorted(cursors)
        await check(stores.log, [writer])
        # What was lost fences nobody, and what comes now is seen by whoever polls with an old cursor.
        assert await stores.volatile.put("epoch/b", b"2", epoch=2, ttl_ms=Millis(60_000))
        _, found = await stores.volatile.changed("epoch/", since=cursors[-1])
        assert ("epoch/b", 2, b"2") in found


async def test_s3_is_killed_and_every_acknowledged_blob_is_whole(
    own_servers: Servers, tmp_path: Path
) -> None:
    rng = Random(1)
    # One that goes in one request, one that goes in parts.
    bodies = [rng.randbytes(100_000), rng.randbytes(PART_BYTES + 100_000)]
    async with opened(own_servers, tmp_path, "s3") as stores:
        over = asyncio.Event()
        kept: dict[str, bytes] = {}

        async def read(key: str) -> bytes:
            return b"".join([chunk async for chunk in stores.blobs.read(key)])

        async def keep(body: bytes) -> None:
            number = 0
            while not over.is_set():
                key = f"audio/{len(body)}-{number}"
                await persist(
                    lambda: stores.blobs.put(key, body, content_type="audio/mp4"),  # noqa: B023
                    pause_s=PAUSE_S,
                )
                kept[key] = body
                found = await persist(lambda: read(key), pause_s=PAUSE_S)  # noqa: B023
                assert sha256(found).digest() == sha256(body).digest()
                number += 1

        async with asyncio.TaskGroup() as load:
            for body in bodies:
                load.create_task(keep(body))
            await kill_under_load(own_servers, "s3", lambda: len(kept))
            over.set()
        assert len(kept) > 2 * KILLS
        for key, body in kept.items():
            assert await read(key) == body

"""Every store that the contracts are tried on. A new adapter joins by one more parameter."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from storage.stores import Stores, StoreUrls, memory_stores, open_stores
from tests.support.clock import FakeClock
from tests.support.servers import Servers

NEEDED = {"test_blobs": "s3", "test_volatile": "redis"}
"""Which server a file's contract is about; MongoDB where nothing is said. The other stores are embedded."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Real servers of this run, each started when it is first needed."""
    started = Servers(tmp_path_factory.mktemp("servers"))
    yield started
    started.stop()


@pytest.fixture(params=["memory", "embedded", "server"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Stores]:
    """Empty stores, one set per adapter."""
    match request.param:
        case "memory":
            opened = memory_stores(clock)
        case "embedded":
            opened = open_stores(tmp_path / "data", clock)
        case _:
            needed = NEEDED.get(request.node.path.stem, "mongo")
            urls = own_urls(request.getfixturevalue("servers"), needed)
            opened = open_stores(tmp_path / "data", clock, urls)
            await opened.prepare()
            try:
                yield opened
            finally:
                await opened.close()
                await drop(urls)
            return
    yield opened
    await opened.close()


def own_urls(servers: Servers, *names: str) -> StoreUrls:
    """URLs of the servers, with a database, a number or a bucket that nobody else uses."""
    own = uuid4().hex[:12]
    urls = {name: servers.url(name) for name in names}
    if "mongo" in urls:
        urls["mongo"] = urls["mongo"].rpartition("/")[0] + f"/test-{own}"
    if "s3" in urls:
        urls["s3"] = urls["s3"].rpartition("/")[0] + f"/test-{own}"
    return StoreUrls(**urls)


async def drop(urls: StoreUrls) -> None:
    """Forget what was written; the buckets go with the server's folder."""
    if urls.mongo:
        async with AsyncMongoClient[dict[str, object]](urls.mongo) as client:
            await client.drop_database(client.get_default_database())
    if urls.redis:
        from redis.asyncio import Redis

        async with Redis.from_url(urls.redis) as redis:
            await redis.flushdb()

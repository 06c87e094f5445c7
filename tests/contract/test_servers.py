"""What the stores on servers promise beyond the ports: versions, bounds, signed URLs, unsaid passwords."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from actors.clock import SystemClock
from kernel.errors import Code, Rejected, Unavailable
from kernel.units import Millis
from storage.faults import Calls
from storage.mongo.database import INDEXES, SCHEMA_VERSION, MongoDatabase
from storage.mongo.entity_log import MongoEntityLog
from storage.ports import Append, LogRecord
from storage.redis_volatile import RedisVolatile
from storage.s3_blobs import PART_BYTES, PARTS_AT_ONCE, S3Blobs, parse_s3_url
from storage.stores import StoreUrls, open_stores
from tests.contract.conftest import drop, own_urls
from tests.support.clock import FakeClock
from tests.support.servers import SCRIPT, Servers

NOBODY = "127.0.0.1:9"
"""An address that nobody listens on."""


@asynccontextmanager
async def mongo(servers: Servers) -> AsyncIterator[str]:
    urls = own_urls(servers, "mongo")
    assert urls.mongo
    try:
        yield urls.mongo
    finally:
        await drop(urls)


@asynccontextmanager
async def s3(servers: Servers) -> AsyncIterator[S3Blobs]:
    url = own_urls(servers, "s3").s3
    assert url
    blobs = S3Blobs(url)
    await blobs.prepare()
    try:
        yield blobs
    finally:
        await blobs.close()


async def test_a_database_of_a_newer_segue_is_refused_in_one_sentence_and_left_as_it_is(
    servers: Servers,
) -> None:
    async with mongo(servers) as url, AsyncMongoClient[dict[str, object]](url) as client:
        newer = {"_id": "000099", "version": SCHEMA_VERSION + 98}
        await client.get_default_database()["schema"].insert_one(newer)
        database = MongoDatabase(url)
        for _ in range(2):
            with pytest.raises(Rejected, match=f"schema is version {SCHEMA_VERSION + 98}") as caught:
                await database.prepare()
            assert caught.value.code is Code.DISALLOWED
        await database.close()
        assert await client.get_default_database().list_collection_names() == ["schema"]


async def test_processes_that_start_together_make_each_index_once(servers: Servers) -> None:
    async with mongo(servers) as url, AsyncMongoClient[dict[str, object]](url) as client:
        databases = [MongoDatabase(url) for _ in range(4)]
        await asyncio.gather(*(database.prepare() for database in databases * 2))
        await asyncio.gather(*(database.close() for database in databases))
        for index in INDEXES:
            found = await client.get_default_database()[index.collection].index_information()
            assert [each["key"] for name, each in found.items() if name != "_id_"] == [
                [(field, 1) for field in index.fields]
            ]


@pytest.mark.parametrize(
    "urls",
    [
        StoreUrls(mongo=f"mongodb://ann:hush@{NOBODY}/a"),
        StoreUrls(redis=f"redis://ann:hush@{NOBODY}"),
        StoreUrls(s3=f"http://ann:hush@{NOBODY}/a"),
    ],
    ids=["mongo", "redis", "s3"],
)
async def test_a_server_that_is_not_there_is_unavailable_and_its_password_is_not_said(
    urls: StoreUrls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.mongo.database.FIND_SERVER_MS", 200)
    stores = open_stores(tmp_path, SystemClock(), urls)
    with pytest.raises(Unavailable) as caught:
        await stores.prepare()
    await stores.close()
    assert caught.value.code is Code.STORE_UNAVAILABLE
    assert caught.value.retry_after_ms
    assert "hush" not in caught.value.message


@pytest.mark.parametrize(
    "urls",
    [
        StoreUrls(mongo="mongodb://ann:hush@a:port/b"),
        StoreUrls(mongo="mongodb://ann:hush:hush@a/b"),
        StoreUrls(redis="redis://ann:hush@a:port"),
        StoreUrls(s3="http://ann:hush@a"),
        StoreUrls(s3="http://hush@a/b"),
        StoreUrls(s3="s3://hush@b"),
    ],
)
def test_a_url_that_cannot_be_one_is_refused_without_its_password(urls: StoreUrls, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        open_stores(tmp_path, SystemClock(), urls)
    assert caught.value.code is Code.BAD_REQUEST
    assert "hush" not in caught.value.message


def test_an_s3_url_names_a_bucket_a_folder_and_a_server() -> None:
    aws = parse_s3_url("s3://music/a/b?region=eu-central-1")
    assert (aws.bucket, aws.folder, aws.endpoint, aws.region) == ("music", "a/b/", None, "eu-central-1")
    other = parse_s3_url("https://ann:hu%2Fsh@s3.example:7070/music")
    assert other == ("music", "", "https://s3.example:7070", "ann", "hu/sh", "us-east-1")


async def test_calls_that_wait_for_a_connection_are_all_done(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.mongo.database.CONNECTIONS_MAX", 2)
    async with mongo(servers) as url:
        database = MongoDatabase(url)
        log = MongoEntityLog(database)
        appends = (
            log.append([LogRecord(key=f"session/{number}", seq=1, owner_epoch=1, payload=b"")])
            for number in range(200)
        )
        assert await asyncio.gather(*appends) == [[Append.WRITTEN]] * 200
        await database.close()
        with pytest.raises(Unavailable) as caught:
            await log.load("session/1")
        assert caught.value.code is Code.STORE_UNAVAILABLE


def test_a_full_store_says_when_to_come_back() -> None:
    calls = Calls("S3", OSError, calls_max=1)
    with calls("first"):
        with pytest.raises(Unavailable, match="S3: second rejected: 1 calls run or wait") as caught:
            calls("second").__enter__()
        assert caught.value.code is Code.BUSY
        assert caught.value.retry_after_ms
    with pytest.raises(ZeroDivisionError), calls("a bug passes, and gives its place back"):
        _ = 1 / 0
    with pytest.raises(Unavailable, match="S3: third failed: OSError: gone") as caught, calls("third"):
        raise OSError("gone")
    assert caught.value.code is Code.STORE_UNAVAILABLE


async def test_a_signed_url_gives_ranges_to_anybody_until_it_has_run_out(servers: Servers) -> None:
    async with s3(servers) as blobs, httpx.AsyncClient(trust_env=False) as http:
        await blobs.put("audio/1", b"0123456789", content_type="audio/mp4")
        url = await blobs.presigned_url("audio/1", expires_s=60)
        ranged = await http.get(url, headers={"Range": "bytes=2-4"})
        assert (ranged.status_code, ranged.content) == (206, b"234")
        assert ranged.headers["content-type"] == "audio/mp4"
        assert (await http.get(url.replace("audio/1", "audio/2"))).status_code == 403
        assert (await http.get(url[:-1] + ("0" if url[-1] != "0" else "1"))).status_code == 403


async def test_a_blob_in_many_parts_comes_back_whole_and_of_racing_ones_the_first_stays(
    servers: Servers, tmp_path: Path
) -> None:
    data = Random(1).randbytes((PARTS_AT_ONCE + 1) * PART_BYTES + 1)
    (tmp_path / "film").write_bytes(data)
    async with s3(servers) as blobs:
        await blobs.put("film/1", tmp_path / "film", content_type="video/mp4")
        assert b"".join([chunk async for chunk in blobs.read("film/1")]) == data
        bodies = [bytes([number]) * (PART_BYTES + number + 1) for number in range(4)]

        async def put_and_read(body: bytes) -> bytes:
            await blobs.put("film/2", body, content_type="video/mp4")
            return b"".join([chunk async for chunk in blobs.read("film/2")])

        seen = set(await asyncio.gather(*map(put_and_read, bodies)))
        assert len(seen) == 1
        assert seen < set(bodies)


async def test_an_upload_that_is_said_to_be_complete_and_is_not_there_is_no_success(servers: Servers) -> None:
    """As a server does that died while it put the parts together: the driver asks it again by itself."""
    data = Random(1).randbytes(PART_BYTES + 1)
    async with s3(servers) as blobs:
        await blobs.info("film/1")  # opens the client
        complete = blobs._client.complete_multipart_upload

        async def say_so(**_: object) -> dict[str, str]:
            return {"ETag": "x"}

        blobs._client.complete_multipart_upload = say_so
        with pytest.raises(Unavailable, match="said to be complete") as caught:
            await blobs.put("film/1", data, content_type="video/mp4")
        assert caught.value.retry_after_ms
        blobs._client.complete_multipart_upload = complete
        await blobs.put("film/1", data, content_type="video/mp4")
        assert b"".join([chunk async for chunk in blobs.read("film/1")]) == data


async def test_rows_that_expired_are_taken_out_of_redis(servers: Servers) -> None:
    url = own_urls(servers, "redis").redis
    assert url
    clock = FakeClock()
    volatile = RedisVolatile(url, clock)
    try:
        for number in range(200):
            await volatile.put(f"p/{number}", b"", epoch=1, ttl_ms=Millis(1_000))
            clock.advance(100)
        assert len((await volatile.changed("p/", since=0))[1]) == 9
        async with Redis.from_url(url) as redis:
            assert await redis.zcard("{segue}:changed:p") <= 11
    finally:
        await volatile.close()
        await drop(StoreUrls(redis=url))


def test_a_machine_without_go_is_told_so_in_one_line(tmp_path: Path) -> None:
    """A clone of its own, so nothing is built in it yet."""
    root = SCRIPT.parents[1]
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    shutil.copytree(root / "services", tmp_path / "services")
    done = subprocess.run(
        [str(tmp_path / "scripts/services"), "start", "mongo", "s3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert [line.partition(";")[0] for line in done.stderr.splitlines()] == ["mongo: missing", "s3: missing"]

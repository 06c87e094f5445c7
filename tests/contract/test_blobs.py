"""What every blob store promises."""

import asyncio
import hashlib
from pathlib import Path
from random import Random

import pytest

from kernel.errors import Code, Rejected
from storage.blob_keys import BLOB_KEY_CHARS_MAX, CHUNK_BYTES
from storage.ports import BlobInfo
from storage.stores import Stores

SONG = Random(1).randbytes(2 * CHUNK_BYTES + 1_000)
KEY = f"audio/{hashlib.sha256(SONG).hexdigest()}"


async def read(stores: Stores, key: str, *, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in stores.blobs.read(key, start=start, end=end)])


async def test_a_blob_comes_back_from_bytes_and_from_a_file(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "song").write_bytes(SONG)
    await stores.blobs.put(KEY, SONG, content_type="audio/mp4")
    await stores.blobs.put("audio/from-file", tmp_path / "song", content_type="audio/ogg")
    assert await read(stores, KEY) == SONG
    assert await read(stores, "audio/from-file") == SONG
    assert await stores.blobs.info(KEY) == BlobInfo(size=len(SONG), content_type="audio/mp4")
    assert await stores.blobs.info("audio/from-file") == BlobInfo(size=len(SONG), content_type="audio/ogg")
    assert (tmp_path / "song").read_bytes() == SONG


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, None),
        (0, 0),
        (0, 1),
        (1, None),
        (CHUNK_BYTES - 1, CHUNK_BYTES + 1),
        (CHUNK_BYTES, 2 * CHUNK_BYTES),
        (len(SONG) - 1, None),
        (len(SONG) - 10, len(SONG) + 10),
        (len(SONG), None),
        (len(SONG) + 5, None),
        (9, 3),
    ],
)
async def test_a_range_is_the_slice_in_chunks_no_larger_than_allowed(
    stores: Stores, start: int, end: int | None
) -> None:
    await stores.blobs.put(KEY, SONG, content_type="audio/mp4")
    chunks = [chunk async for chunk in stores.blobs.read(KEY, start=start, end=end)]
    assert b"".join(chunks) == SONG[start:end]
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)


async def test_an_empty_blob_is_a_blob(stores: Stores) -> None:
    await stores.blobs.put("audio/silence", b"", content_type="audio/mp4")
    assert await stores.blobs.info("audio/silence") == BlobInfo(size=0, content_type="audio/mp4")
    assert await read(stores, "audio/silence") == b""


async def test_a_key_that_exists_is_left_as_it_is(stores: Stores) -> None:
    await stores.blobs.put("cover/1", b"first", content_type="image/png")
    await stores.blobs.put("cover/1", b"and another", content_type="image/jpeg")
    assert await read(stores, "cover/1") == b"first"
    assert await stores.blobs.info("cover/1") == BlobInfo(size=5, content_type="image/png")


async def test_of_racing_puts_one_is_kept_whole(stores: Stores) -> None:
    bodies = [bytes([number]) * (1_000 + number) for number in range(30)]
    await asyncio.gather(*(stores.blobs.put("cover/1", b, content_type="image/png") for b in bodies))
    kept = await read(stores, "cover/1")
    assert kept in bodies
    assert await stores.blobs.info("cover/1") == BlobInfo(size=len(kept), content_type="image/png")


async def test_after_any_of_racing_puts_has_returned_the_bytes_never_change(stores: Stores) -> None:
    async def put_and_read(number: int) -> bytes:
        await stores.blobs.put("cover/1", bytes([number]) * 1_000, content_type="image/png")
        return await read(stores, "cover/1")

    seen = await asyncio.gather(*(put_and_read(number) for number in range(30)))
    assert len(set(seen)) == 1


async def test_what_is_not_there_has_no_info_and_cannot_be_read(stores: Stores) -> None:
    assert await stores.blobs.info("audio/missing") is None
    with pytest.raises(Rejected) as caught:
        await read(stores, "audio/missing")
    assert caught.value.code is Code.NOT_FOUND


async def test_a_deleted_blob_is_gone_and_may_come_back(stores: Stores) -> None:
    await stores.blobs.put("cover/1", b"first", content_type="image/png")
    await stores.blobs.delete("cover/1")
    await stores.blobs.delete("cover/1")
    assert await stores.blobs.info("cover/1") is None
    await stores.blobs.put("cover/1", b"second", content_type="image/png")
    assert await read(stores, "cover/1") == b"second"


@pytest.mark.parametrize(
    "key",
    ["", "/", "a/", "/a", "a//b", "..", "a/..", "../a", "a/../b", ".hidden", "a/.b", "a b", "a\\b", "a\0b",
     "a,b", "é", "a\n", "a" * (BLOB_KEY_CHARS_MAX + 1)],
)  # fmt: skip
async def test_a_key_that_could_name_something_else_is_refused(stores: Stores, key: str) -> None:
    for attempt in (
        lambda: stores.blobs.put(key, b"", content_type="x/y"),
        lambda: stores.blobs.info(key),
        lambda: stores.blobs.delete(key),
        lambda: read(stores, key),
    ):
        with pytest.raises(Rejected) as caught:
            await attempt()
        assert caught.value.code is Code.BAD_REQUEST


async def test_the_longest_key_is_accepted(stores: Stores) -> None:
    key = "a" * BLOB_KEY_CHARS_MAX
    await stores.blobs.put(key, b"1", content_type="x/y")
    assert await read(stores, key) == b"1"

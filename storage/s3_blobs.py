"""Blobs in an S3 bucket: immutable objects, put once.

A small blob is one conditional put (`If-None-Match: *`); a large one is sent in parts and becomes visible
with the last word, which carries the same condition. Whoever loses a race learns that the key exists, which
is what it wanted. A client belongs to the event loop that first uses it.

    s3://BUCKET[/FOLDER][?region=R]              AWS, credentials as its tools find them
    http[s]://KEY:SECRET@HOST[:PORT]/BUCKET[/FOLDER][?region=R]     any other server
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import aioboto3
from aiohttp import ClientError as AiohttpError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from kernel.errors import Code, Rejected, Unavailable
from storage.blob_keys import CHUNK_BYTES, checked_blob_key
from storage.faults import STORE_RETRY_AFTER_MS, Calls
from storage.ports import BlobInfo

PART_BYTES = 8 * 1024 * 1024
"""A blob up to this size is put in one request. S3 takes parts of 5 MiB to 5 GiB, and 10,000 of them."""
PARTS_AT_ONCE = 4
"""Parts of one blob on their way at a time, each held in memory."""
CONNECTIONS_MAX = 64
CONNECT_S = 3
ANSWER_S = 20
"""Longest silence of a server that is answering."""
TRIES_MAX = 3
READS_MAX = 1_024
"""Readers and writers at a time; more are told to come back."""
CONFLICT_TRIES_MAX = 5
"""S3 answers 409 to one of two conditional writes that run at once; that one is to ask again."""
DEFAULT_REGION = "us-east-1"

# The answers of `head` have no body, so their code is only the status.
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_NO_BUCKET = frozenset({"404", "NoSuchBucket"})
_EXISTS = frozenset({"PreconditionFailed", "412"})
_CONFLICT = frozenset({"ConditionalRequestConflict", "409"})
_PAST_THE_END = frozenset({"InvalidRange", "416"})

Client = Any
"""The driver makes its methods at run time and has no types for them."""


class Place(NamedTuple):
    """What an S3 URL says."""

    bucket: str
    folder: str
    """Stands before each key; ends with `/`, or is empty."""
    endpoint: str | None
    """None is AWS."""
    key_id: str | None
    secret: str | None
    region: str | None


def parse_s3_url(url: str) -> Place:
    """Raises Rejected BAD_REQUEST, without the secret in it."""
    parts = urlsplit(url)
    region = next(iter(parse_qs(parts.query).get("region", [])), None)
    path = parts.path.strip("/")
    if parts.scheme == "s3" and parts.hostname and parts.username is None:
        return Place(parts.netloc, path + "/" if path else "", None, None, None, region)
    bucket, _, folder = path.partition("/")
    if parts.scheme not in ("http", "https") or not parts.hostname or not bucket or not parts.password:
        raise Rejected(
            Code.BAD_REQUEST,
            "S3's URL rejected: it must be s3://BUCKET or http[s]://KEY:SECRET@HOST[:PORT]/BUCKET",
        )
    return Place(
        bucket=bucket,
        folder=folder + "/" if folder else "",
        endpoint=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        key_id=unquote(parts.username or ""),
        secret=unquote(parts.password),
        region=region or DEFAULT_REGION,
    )


class S3Blobs:
    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises Rejected BAD_REQUEST when the URL cannot be one."""
        self._place = parse_s3_url(url)
        self._calls = Calls(
            "S3", BotoCoreError, ClientError, AiohttpError, OSError, TimeoutError, calls_max=READS_MAX
        )
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Client = None
        self._closed = False

    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> None:
        checked_blob_key(key)
        if await self.info(key) is not None:
            return
        async with self._call("put") as client:
            if isinstance(source, bytes):
                await self._put(client, key, source, content_type)
                return
            file = await asyncio.to_thread(source.open, "rb")
            try:
                if await asyncio.to_thread(_size, file) <= PART_BYTES:
                    await self._put(client, key, await asyncio.to_thread(file.read), content_type)
                else:
                    await self._put_parts(client, key, file, content_type)
            finally:
                file.close()

    async def info(self, key: str) -> BlobInfo | None:
        checked_blob_key(key)
        async with self._call("info") as client:
            try:
                found = await client.head_object(**self._object(key))
            except ClientError as fault:
                if _code(fault) in _MISSING:
                    return None
                raise
            return BlobInfo(size=found["ContentLength"], content_type=found["ContentType"])

    async def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        checked_blob_key(key)
        if end is not None and end <= start:
            # HTTP has no empty range.
            if await self.info(key) is None:
                raise _not_found(key)
            return
        asked = {}
        if start or end is not None:
            asked["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        async with self._call("read") as client:
            try:
                found = await client.get_object(**self._object(key), **asked)
            except ClientError as fault:
                if _code(fault) in _MISSING:
                    raise _not_found(key) from None
                if _code(fault) in _PAST_THE_END:
                    return
                raise
            left = found["ContentLength"]
            body = found["Body"]
            async with body:
                async for chunk in body.iter_chunks(CHUNK_BYTES):
                    left -= len(chunk)
                    yield chunk
            if left:
                raise Unavailable(
                    Code.STORE_UNAVAILABLE,
                    f"S3: read of {key} failed: it ended {left} bytes early",
                    None,
                    STORE_RETRY_AFTER_MS,
                )

    async def delete(self, key: str) -> None:
        checked_blob_key(key)
        async with self._call("delete") as client:
            try:
                await client.delete_object(**self._object(key))
            except ClientError as fault:
                if _code(fault) not in _MISSING:
                    raise

    async def presigned_url(self, key: str, *, expires_s: int) -> str:
        """A URL by which anybody may read the blob, ranges too, for so long. It may name no blob."""
        checked_blob_key(key)
        async with self._call("sign") as client:
            url: str = await client.generate_presigned_url(
                "get_object", Params=self._object(key), ExpiresIn=expires_s
            )
        return url

    async def prepare(self) -> None:
        """Make the bucket when it is missing. Raises Unavailable when the server cannot be reached."""
        async with self._call("opening") as client:
            try:
                await client.head_bucket(Bucket=self._place.bucket)
            except ClientError as fault:
                if _code(fault) not in _NO_BUCKET:
                    raise
                with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                    await client.create_bucket(Bucket=self._place.bucket)

    async def close(self) -> None:
        """Idempotent."""
        self._closed = True
        await self._opened.aclose()

    @asynccontextmanager
    async def _call(self, what: str) -> AsyncIterator[Client]:
        with self._calls(what):
            if self._client is None:
                async with self._opening:
                    await self._open_once()
            if self._closed:
                raise Unavailable(Code.STORE_UNAVAILABLE, f"S3: {what} failed: the store is closed")
            yield self._client

    async def _open_once(self) -> None:
        if self._client is not None or self._closed:
            return
        place = self._place
        self._client = await self._opened.enter_async_context(
            aioboto3.Session().client(
                "s3",
                endpoint_url=place.endpoint,
                aws_access_key_id=place.key_id,
                aws_secret_access_key=place.secret,
                region_name=place.region,
                config=Config(
                    # Named: by itself the driver presigns in the old way, which newer servers refuse.
                    signature_version="s3v4",
                    # Whatever the bucket is called, the host name stays the one in the URL.
                    s3={"addressing_style": "path"} if place.endpoint else {},
                    max_pool_connections=CONNECTIONS_MAX,
                    connect_timeout=CONNECT_S,
                    read_timeout=ANSWER_S,
                    retries={"total_max_attempts": TRIES_MAX, "mode": "standard"},
                ),
            )
        )

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._place.folder + key}

    async def _put(self, client: Client, key: str, data: bytes, content_type: str) -> None:
        if len(data) > PART_BYTES:
            await self._put_parts(client, key, data, content_type)
            return
        await _unless_it_exists(
            lambda: client.put_object(
                **self._object(key), Body=data, ContentType=content_type, IfNoneMatch="*"
            )
        )

    async def _put_parts(
        self, client: Client, key: str, source: IO[bytes] | bytes, content_type: str
    ) -> None:
        begun = await client.create_multipart_upload(**self._object(key), ContentType=content_type)
        upload = {**self._object(key), "UploadId": begun["UploadId"]}
        written = False
        try:
            parts = {"Parts": await _send_parts(client, upload, source)}
            written = await _unless_it_exists(
                lambda: client.complete_multipart_upload(**upload, MultipartUpload=parts, IfNoneMatch="*")
            )
            # A server that died while it put the parts together may say "done" to the same words when it is
            # back, with nothing there (versitygw 1.8.0 does): what is acknowledged is what was seen.
            if await self.info(key) is None:
                written = False
                raise Unavailable(
                    Code.STORE_UNAVAILABLE,
                    f"S3: put of {key} failed: its upload is said to be complete and it is not there",
                    None,
                    STORE_RETRY_AFTER_MS,
                )
        finally:
            if not written:
                # Parts of an upload that never ends cost money; a lifecycle rule takes what this misses.
                with suppress(BotoCoreError, ClientError, OSError, TimeoutError):
                    await client.abort_multipart_upload(**upload)


async def _send_parts(
    client: Client, upload: dict[str, str], source: IO[bytes] | bytes
) -> list[dict[str, object]]:
    """Send all of it, a few parts at a time; what completes the upload."""
    pieces = _pieces(source)
    parts: list[dict[str, object]] = []
    while together := await asyncio.to_thread(lambda: list(islice(pieces, PARTS_AT_ONCE))):
        # All of them end before the first failure is raised, so that none is on its way after an abort.
        answers = await asyncio.gather(
            *(
                client.upload_part(**upload, PartNumber=number, Body=piece)
                for number, piece in enumerate(together, start=len(parts) + 1)
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            parts.append({"PartNumber": len(parts) + 1, "ETag": answer["ETag"]})
    return parts


def _pieces(source: IO[bytes] | bytes) -> Iterator[bytes]:
    """`source` in parts. Reading a file blocks."""
    if isinstance(source, bytes):
        for start in range(0, len(source), PART_BYTES):
            yield source[start : start + PART_BYTES]
        return
    while piece := source.read(PART_BYTES):
        yield piece


async def _unless_it_exists(write: Callable[[], Awaitable[object]]) -> bool:
    """False when the condition did not hold: the key exists."""
    for left in reversed(range(CONFLICT_TRIES_MAX)):
        try:
            await write()
            return True
        except ClientError as fault:
            if _code(fault) in _EXISTS:
                return False
            if _code(fault) not in _CONFLICT or not left:
                raise
    raise AssertionError("the last try returns or raises")


def _code(fault: ClientError) -> str:
    return str(fault.response.get("Error", {}).get("Code", ""))


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _not_found(key: str) -> Rejected:
    return Rejected(Code.NOT_FOUND, f"read of blob {key} rejected: there is no such blob")

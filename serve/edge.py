"""The edge: audio, manifests and cover art over HTTP, as one ASGI application.

    GET /s/<lease>/manifest.json    what the lease covers; never cached
    GET /s/<lease>/<file>           the bytes of one rendition; Range, conditions, cached for ever
    GET /art/<sha256>               a cover image; public, cached for ever

Routes and checks look at the path as it came over the wire. What holds a `%`, an empty part or a dot part is
refused rather than normalised: two readings of one path are how a signature is made to cover something else.
A lease is checked at each request, and again between the chunks of a long answer.

Plain ASGI without a framework: an answer is a handful of headers and one to a few chunks, and it is on the
way between a tap and the sound. Bounded: STREAMS_MAX answers at a time, each holding one chunk (256 KiB),
each chunk taken by its reader within SEND_WITHIN_S.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog

from catalog.model import Track
from kernel.errors import TABLE, Code, Rejected, SegueError, Unavailable
from kernel.units import Clock, Millis
from media.leases import LeaseClaims, UnknownKey, verify
from media.manifest import MANIFEST_NAME, leased_file, manifest_json
from serve.keys import KeyRing, Purpose
from serve.ranges import Part, Unsatisfiable, etag_listed, wanted_part
from serve.revocations import Revocations
from storage.catalogue import Catalogue
from storage.ports import Blobs
from storage.stores import Stores

STREAMS_MAX = 256
"""Answers with audio or art under way in one process: at most 64 MiB of chunks."""
STREAMS_RETRY_AFTER_MS = Millis(1_000)
SEND_WITHIN_S = 30.0
"""A reader that takes no chunk for so long is gone, or holds a place on purpose."""
ART_BYTES_MAX = 16 * 1024 * 1024

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_STREAM = re.compile(rb"/s/([A-Za-z0-9_-]+)/([A-Za-z0-9][A-Za-z0-9._-]{0,63})")
_ART = re.compile(rb"/art/([0-9a-f]{64})")

_CORS: Headers = [
    # No cookies and no credentials: the lease in the path is the whole right, so any page may ask.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Content-Range, Accept-Ranges, ETag, Content-Length, Retry-After"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"timing-allow-origin", b"*"),
]
_PREFLIGHT: Headers = [
    *_CORS,
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"Range, If-Range, If-Match, If-None-Match"),
    (b"access-control-max-age", b"7200"),
]
_IMMUTABLE = (b"cache-control", b"public, max-age=31536000, immutable")
_NO_STORE = (b"cache-control", b"no-store")

_log = structlog.get_logger(__name__)


class Edge:
    """The ASGI application. Its lifespan starts and stops the poller of revocations."""

    def __init__(
        self,
        blobs: Blobs,
        catalogue: Catalogue,
        keys: KeyRing,
        revocations: Revocations,
        clock: Clock,
        *,
        streams_max: int = STREAMS_MAX,
    ) -> None:
        self._blobs = blobs
        self._catalogue = catalogue
        self._keys = keys
        self._secrets = keys.of(Purpose.LEASE)
        self._revocations = revocations
        self._clock = clock
        self._streams_max = streams_max
        self._streams = 0
        self._bytes_sent = 0
        self._answers: Counter[str] = Counter()

    def statistics(self) -> dict[str, int]:
        """Answers by status or by the code of the refusal, bytes of bodies sent, answers under way."""
        return {**self._answers, "bytes_sent": self._bytes_sent, "streams": self._streams}

    def why_not_ready(self) -> str | None:
        """Why requests would better go to another edge; None when they need not."""
        if not self._revocations.is_current:
            return "the store does not say which devices were replaced"
        return "full" if self._streams >= self._streams_max else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case _:  # a websocket: there is none here
                await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._revocations.poll()
                except Unavailable as fault:
                    _log.warning("edge starts without device epochs", reason=str(fault))
                self._revocations.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._revocations.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        try:
            await self._answer(scope, receive, send)
        except SegueError as refused:
            self._answers[str(refused.code)] += 1
            meaning = TABLE[refused.code]
            extra: Headers = []
            if refused.retry_after_ms is not None:
                extra.append((b"retry-after", str(-(-refused.retry_after_ms // 1000)).encode()))
            await _send_error(send, meaning.http, refused.message, str(refused.code), extra, head=head)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["method"]:
            case "OPTIONS":
                await _send_empty(send, 204, _PREFLIGHT)
                return
            case "GET" | "HEAD":
                pass
            case _:
                allow = [(b"allow", b"GET, HEAD, OPTIONS")]
                await _send_error(
                    send, 405, "only GET, HEAD and OPTIONS", "METHOD_NOT_ALLOWED", allow, head=False
                )
                return
        path: bytes = scope.get("raw_path") or b""
        if found := _STREAM.fullmatch(path):
            await self._stream(found[1].decode(), found[2].decode(), scope, receive, send)
        elif found := _ART.fullmatch(path):
            await self._art(found[1].decode(), scope, receive, send)
        elif path.startswith(b"/s/"):
            raise Rejected(
                Code.LEASE_INVALID, "path rejected: it must be /s/<lease>/<file>, with nothing encoded in it"
            )
        else:
            raise Rejected(Code.NOT_FOUND, "path asked for: the edge has /s/<lease>/<file> and /art/<sha256>")

    async def _stream(self, token: str, file: str, scope: Scope, receive: Receive, send: Send) -> None:
        claims = await self._claims(token)
        track = await self._track(claims)
        if file == MANIFEST_NAME:
            self._answers["200"] += 1
            headers = [_NO_STORE, (b"content-type", b"application/json")]
            await _send_whole(
                send, 200, headers, manifest_json(track, claims), head=scope["method"] == "HEAD"
            )
            return
        rendition = leased_file(track, claims, file)
        await self._blob(
            rendition.blob,
            rendition.size,
            rendition.mime,
            scope,
            receive,
            send,
            still_good=lambda: self._revocations.require_current(claims),
        )

    async def _art(self, sha256: str, scope: Scope, receive: Receive, send: Send) -> None:
        key = f"art/{sha256}"
        info = await self._blobs.info(key)
        if info is None or info.size > ART_BYTES_MAX:
            raise Rejected(Code.NOT_FOUND, f"cover {sha256} asked for: there is none of that name")
        await self._blob(key, info.size, info.content_type, scope, receive, send, still_good=lambda: None)

    async def _claims(self, token: str) -> LeaseClaims:
        """What a good lease says. Raises Rejected LEASE_INVALID, LEASE_EXPIRED or LEASE_REVOKED."""
        await self._keys.refresh_if_due()
        now_ms = self._clock.now_ms()
        try:
            claims = verify(token, self._secrets, now_ms=now_ms)
        except UnknownKey as unknown:
            # A host may have signed with a key that was made a moment ago.
            if not await self._keys.learn(Purpose.LEASE, unknown.kid):
                raise
            claims = verify(token, self._secrets, now_ms=now_ms)
        self._revocations.require_current(claims)
        return claims

    async def _track(self, claims: LeaseClaims) -> Track:
        [track] = await self._catalogue.tracks([claims.track_id])
        if track is None:
            raise Rejected(Code.NOT_FOUND, f"track {claims.track_id} asked for: it is not in this catalogue")
        return track

    async def _blob(
        self,
        key: str,
        size: int,
        mime: str,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        still_good: Callable[[], None],
    ) -> None:
        """Answer with the blob, or the part of it that is asked for. `still_good` raises Rejected to end
        it."""
        # Keys end in the SHA-256 of the bytes, so the tag is strong and the same on every edge.
        etag = f'"{key.rpartition("/")[2]}"'
        head = scope["method"] == "HEAD"
        given = _conditions(scope)
        described: Headers = [_IMMUTABLE, (b"etag", etag.encode()), (b"accept-ranges", b"bytes")]
        if (value := given.get("if-match")) is not None and not etag_listed(value, etag, weakly=False):
            text = "the file is another than the one that If-Match names"
            await _send_error(send, 412, text, "PRECONDITION_FAILED", [], head=head)
            return
        if (value := given.get("if-none-match")) is not None and etag_listed(value, etag, weakly=True):
            self._answers["304"] += 1
            await _send_empty(send, 304, [*_CORS, *described])
            return
        described.append((b"content-type", mime.encode()))
        described.append((b"x-content-type-options", b"nosniff"))
        part = None
        # The RFC defines ranges for GET alone; a range under a condition that fails is no range.
        if not head and given.get("if-range", etag) == etag and "range" in given:
            part = wanted_part(given["range"], size)
        if isinstance(part, Unsatisfiable):
            self._answers["416"] += 1
            extra = [(b"content-range", f"bytes */{size}".encode()), (b"accept-ranges", b"bytes")]
            text = f"range {given['range']!r} asked for: the file has {size} bytes"
            await _send_error(send, 416, text, "RANGE_NOT_SATISFIABLE", extra, head=head)
            return
        status = 206 if part else 200
        if part:
            described.append((b"content-range", f"bytes {part.start}-{part.end - 1}/{size}".encode()))
        part = part or Part(0, size)
        described.append((b"content-length", str(part.end - part.start).encode()))
        if head or part.start == part.end:
            self._answers[str(status)] += 1
            await _send_empty(send, status, [*_CORS, *described])
            return
        with self._place():
            chunks = self._blobs.read(key, start=part.start, end=part.end)
            try:
                # Before the status goes out: a blob that is missing is still an honest 404.
                first = await anext(chunks, b"")
                if not first:
                    raise Rejected(Code.NOT_FOUND, f"file {key} asked for: its bytes are gone")
                self._answers[str(status)] += 1
                await send({"type": "http.response.start", "status": status, "headers": [*_CORS, *described]})
                await self._send_chunks(first, chunks, part.end - part.start, receive, send, still_good)
            finally:
                # The port promises an iterator; the stores' are generators, which may hold a file open.
                if (close := getattr(chunks, "aclose", None)) is not None:
                    await close()

    async def _send_chunks(
        self,
        chunk: bytes,
        rest: AsyncIterator[bytes],
        size: int,
        receive: Receive,
        send: Send,
        still_good: Callable[[], None],
    ) -> None:
        """The body. Returns without finishing it when that cannot be done; the server then breaks the
        connection, which is the one way to tell a client that bytes are missing."""
        if len(chunk) == size:
            await self._send_chunk(send, chunk, more=False)
            return
        # Whoever hangs up during a long answer must not keep its place; the server itself would only drop
        # what is sent after that.
        gone = asyncio.create_task(_until_disconnected(receive))
        try:
            while True:
                size -= len(chunk)
                if size < 0 or not await self._send_chunk(send, chunk, more=size > 0) or size == 0:
                    break
                if gone.done():
                    return
                still_good()
                chunk = await anext(rest)
        except (SegueError, StopAsyncIteration) as fault:
            # The status is out; no other answer can follow it.
            _log.info("stream cut short", reason=str(fault) or "the blob is shorter than its record says")
        finally:
            gone.cancel()

    async def _send_chunk(self, send: Send, chunk: bytes, *, more: bool) -> bool:
        """False when the reader did not take it in time."""
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
        except TimeoutError:
            return False
        self._bytes_sent += len(chunk)
        return True

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places for answers under way. Raises Unavailable BUSY when there is none."""
        if self._streams >= self._streams_max:
            raise Unavailable(
                Code.BUSY,
                f"stream rejected: {self._streams_max} are under way, as many as may be",
                None,
                STREAMS_RETRY_AFTER_MS,
            )
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1


def create_edge_app(stores: Stores, keys: KeyRing, clock: Clock, *, lease_s: int) -> Edge:
    """The edge over these stores. Whoever runs it must run its lifespan, or nothing is ever revoked."""
    return Edge(
        stores.blobs,
        Catalogue(stores.documents, clock),
        keys,
        Revocations(stores.volatile, clock, lease_s=lease_s),
        clock,
    )


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _conditions(scope: Scope) -> dict[str, str]:
    """The headers that select; a repeated Range selects nothing, repeated lists are one list."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _CONDITIONAL:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
    return found


_CONDITIONAL = frozenset({b"range", b"if-range", b"if-match", b"if-none-match"})


async def _send_error(
    send: Send, status: int, message: str, reason: str, extra: Headers, *, head: bool
) -> None:
    body = msgspec.json.encode({"error": {"status": status, "message": message, "reason": reason}})
    await _send_whole(
        send, status, [_NO_STORE, (b"content-type", b"application/json"), *extra], body, head=head
    )


async def _send_whole(send: Send, status: int, headers: Headers, body: bytes, *, head: bool) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*_CORS, *headers, length]})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _send_empty(send: Send, status: int, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})

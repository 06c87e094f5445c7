"""The edge, driven over ASGI: exact bytes, and a clear refusal for every lease that is not good."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from catalog.model import Codec
from kernel.errors import Code, Unavailable
from kernel.ids import DeviceId, PlayId, SessionId, UserId
from kernel.units import Millis
from media.leases import LeaseClaims, device_epoch_key, sign
from serve.edge import SEND_WITHIN_S, Edge, create_edge_app
from serve.keys import KeyRing, Purpose
from serve.revocations import Revocations
from serve.settings import Settings
from storage.blob_keys import CHUNK_BYTES
from storage.catalogue import Catalogue
from storage.memory import MemoryVolatile
from storage.stores import Stores, memory_stores
from tests.support.clock import FakeClock
from tests.support.tracks import LADDER, OTHER_TRACK_ID, TRACK_ID, a_rendition, a_track, put_track, some_bytes
from tests.support.waiting import until

SETTINGS = Settings()
SESSION = SessionId("01M00000000000000000000000")
FILES = {rendition.name: some_bytes(1000 + rendition.bitrate_kbps, rendition.name) for rendition in LADDER}
FILES["aac-160"] = some_bytes(3 * CHUNK_BYTES + 77, "aac-160")
LONG = FILES["aac-160"]
ART = some_bytes(5_000, "art")
ART_NAME = hashlib.sha256(ART).hexdigest()
ETAG = f'"{hashlib.sha256(LONG).hexdigest()}"'


class Rig:
    """An edge with one track, and a client that talks to it."""

    def __init__(self, clock: FakeClock, stores: Stores, keys: KeyRing, edge: Edge) -> None:
        self.clock = clock
        self.stores = stores
        self.keys = keys
        self.edge = edge
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://edge")

    def claims(self, **changes: Any) -> LeaseClaims:
        claims = LeaseClaims(
            user_id=UserId("u" * 22),
            device_id=DeviceId("kitchen-0001"),
            session_id=SESSION,
            device_epoch=3,
            play_id=PlayId("01P00000000000000000000000"),
            track_id=TRACK_ID,
            bitrate_kbps_max=160,
            expires_at_ms=Millis(self.clock.now_ms() + 120_000),
        )
        return msgspec.structs.replace(claims, **changes)

    def lease(self, **changes: Any) -> str:
        return sign(self.claims(**changes), self.keys.of(Purpose.LEASE))

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(
            path, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    async def raw(self, path: bytes, method: str = "GET") -> tuple[int, dict[str, Any]]:
        """A path exactly as it stands, past what a client would tidy up."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {"type": "http", "method": method, "path": "/x", "raw_path": path, "headers": []}
        await self.edge(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], msgspec.json.decode(body) if sent[0]["status"] >= 400 else {
            "bytes": len(body)
        }


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock = FakeClock()
    stores = memory_stores(clock)
    catalogue = Catalogue(stores.documents, clock)
    await put_track(stores, catalogue, a_track(*LADDER), FILES)
    await put_track(
        stores,
        catalogue,
        a_track(a_rendition(Codec.AAC, 96), track_id=OTHER_TRACK_ID),
        {"aac-96": b"other" * 50},
    )
    await stores.blobs.put(f"art/{ART_NAME}", ART, content_type="image/jpeg")
    keys = await KeyRing.open(stores.documents, clock, SETTINGS)
    made = Rig(clock, stores, keys, create_edge_app(stores, keys, clock, lease_s=SETTINGS.lease_s))
    yield made
    await made.client.aclose()


def reason(response: httpx.Response) -> tuple[int, str]:
    body = response.json()["error"]
    assert body["status"] == response.status_code
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, body["reason"]


# --- bytes -------------------------------------------------------------------------------------------


async def test_a_leased_file_comes_whole_and_may_be_kept_for_ever(rig: Rig) -> None:
    answer = await rig.get(f"/s/{rig.lease()}/aac-160.mp4")
    assert answer.status_code == 200
    assert answer.content == LONG
    assert answer.headers["content-type"] == 'audio/mp4; codecs="mp4a.40.2"'
    assert answer.headers["content-length"] == str(len(LONG))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == ETAG
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["access-control-allow-origin"] == "*"
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed >= {"Content-Range", "Accept-Ranges", "ETag", "Content-Length"}


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, len(LONG)),
        ("bytes=-1", len(LONG) - 1, len(LONG)),
        ("bytes=-77", len(LONG) - 77, len(LONG)),
        ("bytes=-99999999", 0, len(LONG)),
        ("bytes=0-", 0, len(LONG)),
        (f"bytes={len(LONG) - 1}-", len(LONG) - 1, len(LONG)),
        (f"bytes=5-{len(LONG) - 1}", 5, len(LONG)),
        (f"bytes=5-{len(LONG)}", 5, len(LONG)),
        (f"bytes=5-{10**40}", 5, len(LONG)),
        (f"bytes={CHUNK_BYTES - 1}-{CHUNK_BYTES}", CHUNK_BYTES - 1, CHUNK_BYTES + 1),
        (f"bytes=0-{CHUNK_BYTES - 1}", 0, CHUNK_BYTES),
        (f"bytes=0-{CHUNK_BYTES}", 0, CHUNK_BYTES + 1),
        ("BYTES=3-4", 3, 5),
        ("bytes= 3-4 ", 3, 5),
        ("bytes=0003-0004", 3, 5),
    ],
)
async def test_a_range_comes_as_exactly_its_bytes(rig: Rig, text: str, start: int, end: int) -> None:
    answer = await rig.get(f"/s/{rig.lease()}/aac-160.mp4", range=text)
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(LONG)}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["etag"] == ETAG
    assert answer.content == LONG[start:end]


@pytest.mark.parametrize(
    "text",
    [
        "bytes=0-1,3-4",
        "bytes=0-1, 3-4",
        "bytes=0-0,-1",
        "bytes=" + ",".join(["0-"] * 1000),
        "bytes=5-4",
        "bytes=-",
        "bytes=",
        "bytes",
        "",
        "bytes=a-b",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=-1-",
        "bytes=0x1-2",
        "bytes=1.0-2",
        "items=0-1",
        "bytes 0-1",
        "bytes=" + "9" * 5000 + "-",
        "bytes=\u00b2-\u00b3",
    ],
)
async def test_what_is_not_one_range_is_answered_with_the_whole(rig: Rig, text: str) -> None:
    answer = await rig.client.get(
        f"/s/{rig.lease()}/aac-96.mp4", headers=[(b"range", text.encode("latin-1"))]
    )
    assert answer.status_code == 200
    assert "content-range" not in answer.headers
    assert answer.content == FILES["aac-96"]


async def test_two_range_headers_are_answered_with_the_whole(rig: Rig) -> None:
    headers = [("range", "bytes=0-1"), ("range", "bytes=2-3")]
    answer = await rig.client.get(f"/s/{rig.lease()}/aac-96.mp4", headers=headers)
    assert (answer.status_code, answer.content) == (200, FILES["aac-96"])


@pytest.mark.parametrize(
    "text", [f"bytes={len(LONG)}-", f"bytes={len(LONG)}-{len(LONG) + 5}", "bytes=-0", f"bytes={10**40}-"]
)
async def test_a_range_outside_the_file_is_416_and_says_how_long_the_file_is(rig: Rig, text: str) -> None:
    answer = await rig.get(f"/s/{rig.lease()}/aac-160.mp4", range=text)
    assert reason(answer) == (416, "RANGE_NOT_SATISFIABLE")
    assert answer.headers["content-range"] == f"bytes */{len(LONG)}"


@pytest.mark.parametrize(
    ("if_range", "partial"),
    [
        (ETAG, True),
        (f"W/{ETAG}", False),
        ('"x"', False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", False),
        ("*", False),
        ("", False),
    ],
)
async def test_a_range_under_if_range_is_partial_only_for_the_very_same_file(
    rig: Rig, if_range: str, partial: bool
) -> None:
    answer = await rig.get(f"/s/{rig.lease()}/aac-160.mp4", range="bytes=10-19", if_range=if_range)
    assert answer.status_code == (206 if partial else 200)
    assert answer.content == (LONG[10:20] if partial else LONG)


@pytest.mark.parametrize("text", [ETAG, f"W/{ETAG}", f'"a", {ETAG}', "*", f'"a",W/{ETAG} , "b"'])
async def test_what_the_client_has_is_not_sent_again(rig: Rig, text: str) -> None:
    answer = await rig.get(f"/s/{rig.lease()}/aac-160.mp4", if_none_match=text, range="bytes=0-1")
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == ETAG
    assert "immutable" in answer.headers["cache-control"]
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("text", ['"a"', ETAG.strip('"'), ETAG[:-2] + '"', ""])
async def test_what_the_client_does_not_have_is_sent(rig: Rig, text: str) -> None:
    assert (await rig.get(f"/s/{rig.lease()}/aac-160.mp4", if_none_match=text)).content == LONG


async def test_if_match_of_another_file_is_412(rig: Rig) -> None:
    assert (await rig.get(f"/s/{rig.lease()}/aac-160.mp4", if_match=ETAG)).status_code == 200
    answer = await rig.get(f"/s/{rig.lease()}/aac-160.mp4", if_match=f"W/{ETAG}")
    assert reason(answer) == (412, "PRECONDITION_FAILED")


async def test_head_has_the_headers_of_get_and_no_body(rig: Rig) -> None:
    for path in (f"/s/{rig.lease()}/aac-160.mp4", f"/s/{rig.lease()}/manifest.json", f"/art/{ART_NAME}"):
        get, head = await rig.client.get(path), await rig.client.head(path, headers={"range": "bytes=0-1"})
        assert (head.status_code, head.content) == (200, b"")
        assert dict(head.headers) == dict(get.headers)
    refused = await rig.client.head(f"/s/{rig.lease()}x/aac-160.mp4")
    assert (refused.status_code, refused.content) == (403, b"")


async def test_a_cover_needs_no_lease(rig: Rig) -> None:
    answer = await rig.get(f"/art/{ART_NAME}")
    assert (answer.status_code, answer.content) == (200, ART)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await rig.get(f"/art/{ART_NAME}", range="bytes=1-3")).content == ART[1:4]
    assert reason(await rig.get(f"/art/{'0' * 64}")) == (404, "NOT_FOUND")


async def test_art_does_not_give_out_audio(rig: Rig) -> None:
    assert reason(await rig.get(f"/art/{hashlib.sha256(LONG).hexdigest()}")) == (404, "NOT_FOUND")


async def test_the_manifest_names_the_files_that_can_be_fetched_beside_it(rig: Rig) -> None:
    token = rig.lease(bitrate_kbps_max=96)
    answer = await rig.get(f"/s/{token}/manifest.json")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    manifest = answer.json()
    assert manifest["track_uri"] == f"spotify:track:{TRACK_ID}"
    assert [each["file"] for each in manifest["renditions"]] == ["aac-96.mp4", "vorbis-96.ogg"]
    for each in manifest["renditions"]:
        data = (await rig.get(f"/s/{token}/{each['file']}")).content
        assert data == FILES[each["name"]]
        assert len(data) == each["size"]


async def test_a_preflight_allows_ranges_from_any_page(rig: Rig) -> None:
    answer = await rig.client.options(
        f"/s/{rig.lease()}/aac-160.mp4",
        headers={
            "origin": "https://music.example",
            "access-control-request-method": "GET",
            "access-control-request-headers": "range",
        },
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Range" in answer.headers["access-control-allow-headers"]
    assert "GET" in answer.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"])
async def test_nothing_can_be_done_here_but_read(rig: Rig, method: str) -> None:
    status, body = await rig.raw(f"/s/{rig.lease()}/aac-160.mp4".encode(), method)
    assert (status, body["error"]["reason"]) == (405, "METHOD_NOT_ALLOWED")


# --- leases ------------------------------------------------------------------------------------------


async def test_an_expired_lease_is_gone(rig: Rig) -> None:
    token = rig.lease()
    rig.clock.advance(119_999)
    assert (await rig.get(f"/s/{token}/manifest.json")).status_code == 200
    rig.clock.advance(1)
    assert reason(await rig.get(f"/s/{token}/manifest.json")) == (410, "LEASE_EXPIRED")
    assert reason(await rig.get(f"/s/{token}/aac-160.mp4", range="bytes=0-1")) == (410, "LEASE_EXPIRED")


async def test_a_forged_lease_is_refused(rig: Rig) -> None:
    token = rig.lease()
    forged = ("B" if token[30] != "B" else "C").join((token[:30], token[31:]))
    assert reason(await rig.get(f"/s/{forged}/aac-160.mp4")) == (403, "LEASE_INVALID")
    others = await KeyRing.open(memory_stores(rig.clock).documents, rig.clock, SETTINGS)
    foreign = sign(rig.claims(), others.of(Purpose.LEASE))
    assert reason(await rig.get(f"/s/{foreign}/aac-160.mp4")) == (403, "LEASE_INVALID")


@pytest.mark.parametrize(
    "file",
    ["aac-256.mp4", "vorbis-320.ogg", "aac-160.ogg", "aac-128.mp4", "x", "manifest.json.", "AAC-160.MP4"],
)
async def test_a_file_outside_the_lease_is_foreign(rig: Rig, file: str) -> None:
    assert reason(await rig.get(f"/s/{rig.lease()}/{file}")) == (403, "LEASE_FOREIGN")


async def test_a_lease_gives_its_own_track_and_no_other(rig: Rig) -> None:
    answer = await rig.get(f"/s/{rig.lease(track_id=OTHER_TRACK_ID)}/aac-96.mp4")
    assert answer.content == b"other" * 50
    assert reason(await rig.get(f"/s/{rig.lease(track_id='0' * 22)}/aac-96.mp4")) == (404, "NOT_FOUND")


async def test_a_lease_signed_with_a_key_made_a_moment_ago_is_good(rig: Rig) -> None:
    rig.clock.advance(5_000)
    host = await KeyRing.open(rig.stores.documents, rig.clock, SETTINGS)
    await host.rotate(Purpose.LEASE)
    token = sign(rig.claims(), host.of(Purpose.LEASE))
    assert (await rig.get(f"/s/{token}/aac-160.mp4")).content == LONG


PATHS = [
    "/s/{t}/../aac-160.mp4",
    "/s/{t}/./aac-160.mp4",
    "/s/{t}//aac-160.mp4",
    "/s/{t}/aac-160.mp4/",
    "/s/{t}/aac-160.mp4/.",
    "/s/{t}/aac-160.mp4%00",
    "/s/{t}/aac-160%2emp4",
    "/s/{t}/%2e%2e/aac-160.mp4",
    "/s/{t}/..%2faac-160.mp4",
    "/s/{t}/%252e%252e%252faac-160.mp4",
    "/s/{t}%2faac-160.mp4",
    "/s/{t}/aac-160.mp4?x=1",
    "/s/{t}/aac-160.mp4;v=1",
    "/s/{t}/aac-160.mp4#x",
    "/s/{t}/aac-160.mp4 ",
    "/s/{t}/aac-160.mp4\r\n",
    "/s/{t}/\\..\\aac-160.mp4",
    "/s/{t}/.hidden",
    "/s/{t}/" + "a" * 65,
    "/s/{t}/audio/aac-160.mp4",
    "/s/{t}x/aac-160.mp4",
    "/s/{t}",
    "/s/{t}/",
    "/s//aac-160.mp4",
    "/s/",
    "/s/%41{t}/aac-160.mp4",
    "/s/" + "A" * 5_000 + "/aac-160.mp4",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_that_could_be_read_in_two_ways_is_refused(rig: Rig, path: str) -> None:
    status, body = await rig.raw(path.replace("{t}", rig.lease()).encode())
    assert (status, body["error"]["reason"]) == (403, "LEASE_INVALID")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "*",
        "/S/x/y",
        "//s/x/y",
        "/x/../s/{t}/aac-160.mp4",
        "/%73/{t}/aac-160.mp4",
        "http://edge/s/{t}/aac-160.mp4",
        "/art/../s/{t}/aac-160.mp4",
        "/art/" + ART_NAME.upper(),
        f"/art/{ART_NAME}/",
        f"/art/{ART_NAME}.jpg",
        f"/art/%2e%2e/art/{ART_NAME}",
        "/art/../../segue.db",
        "/audio/" + "0" * 64,
        "/etc/passwd",
    ],
)
async def test_there_is_nothing_else_here(rig: Rig, path: str) -> None:
    status, body = await rig.raw(path.replace("{t}", rig.lease()).encode())
    assert (status, body["error"]["reason"]) == (404, "NOT_FOUND")


# --- revocation --------------------------------------------------------------------------------------


async def switch_to(rig: Rig, device_epoch: int) -> None:
    await rig.stores.volatile.put(
        device_epoch_key(SESSION), b"", epoch=device_epoch, ttl_ms=Millis(SETTINGS.lease_s * 1000)
    )


async def test_once_told_of_a_newer_device_the_edge_refuses_the_older_one_s_lease(rig: Rig) -> None:
    older, newer = rig.lease(device_epoch=3), rig.lease(device_epoch=4)
    elsewhere = rig.lease(device_epoch=1, session_id="01M00000000000000000000009")
    assert (await rig.get(f"/s/{older}/aac-160.mp4")).status_code == 200
    await switch_to(rig, 4)
    assert (await rig.get(f"/s/{older}/aac-160.mp4")).status_code == 200, "not told yet: the grace"
    await rig.edge._revocations.poll()
    for file in ("aac-160.mp4", "manifest.json"):
        assert reason(await rig.get(f"/s/{older}/{file}")) == (403, "LEASE_REVOKED")
        assert (await rig.get(f"/s/{newer}/{file}")).status_code == 200
        assert (await rig.get(f"/s/{elsewhere}/{file}")).status_code == 200


async def test_a_long_answer_ends_when_its_lease_is_revoked(rig: Rig) -> None:
    token = rig.lease(device_epoch=3)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await switch_to(rig, 4)
            await rig.edge._revocations.poll()

    await rig.edge(http_scope(f"/s/{token}/aac-160.mp4"), never, send)
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert len(bodies) == 1
    assert bodies[0]["more_body"], "left unfinished, so that the server breaks the connection"
    assert rig.edge.statistics()["streams"] == 0


async def test_the_newest_epoch_stays_however_the_news_arrive() -> None:
    clock = FakeClock()

    class Shuffled(MemoryVolatile):
        async def changed(self, prefix: str, *, since: int) -> tuple[int, list[tuple[str, int, bytes]]]:
            news = [(f"{prefix}{SESSION}", epoch, b"") for epoch in (5, 4, 3)]
            return (1, news) if since == 0 else (since, [])

    revocations = Revocations(Shuffled(clock), clock, lease_s=120)
    await revocations.poll()
    assert revocations._newest[SESSION][0] == 5


async def test_what_no_living_lease_can_need_is_forgotten(rig: Rig) -> None:
    revocations = rig.edge._revocations
    await switch_to(rig, 4)
    await revocations.poll()
    rig.clock.advance(2 * SETTINGS.lease_s * 1000)
    await revocations.poll()
    assert len(revocations) == 1
    rig.clock.advance(1)
    await revocations.poll()
    assert len(revocations) == 0


async def test_the_lifespan_starts_and_stops_the_poller_even_when_the_store_is_down() -> None:
    clock = FakeClock()

    class Down(MemoryVolatile):
        async def changed(self, prefix: str, *, since: int) -> tuple[int, list[tuple[str, int, bytes]]]:
            raise Unavailable(Code.STORE_UNAVAILABLE, "down")

    stores = memory_stores(clock)
    keys = await KeyRing.open(stores.documents, clock, SETTINGS)
    edge = Edge(
        stores.blobs,
        Catalogue(stores.documents, clock),
        keys,
        Revocations(Down(clock), clock, lease_s=120),
        clock,
    )
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.create_task(edge({"type": "lifespan"}, to_app.get, from_app.put))
    to_app.put_nowait({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    assert [task.get_name() for task in asyncio.all_tasks()].count("revocations") == 1
    to_app.put_nowait({"type": "lifespan.shutdown"})
    assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
    await running
    assert [task.get_name() for task in asyncio.all_tasks()].count("revocations") == 0


# --- bounds ------------------------------------------------------------------------------------------


def http_scope(path: str, method: str = "GET") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": []}


async def never() -> Any:
    await asyncio.Event().wait()


async def test_more_streams_than_may_be_are_told_when_to_come_back(rig: Rig) -> None:
    edge = Edge(
        rig.stores.blobs,
        Catalogue(rig.stores.documents, rig.clock),
        rig.keys,
        rig.edge._revocations,
        rig.clock,
        streams_max=2,
    )
    path = f"/s/{rig.lease()}/aac-160.mp4"
    taking = asyncio.Event()

    async def slow(message: Any) -> None:
        await taking.wait()

    readers = [asyncio.create_task(edge(http_scope(path), never, slow)) for _ in range(2)]
    await until(lambda: edge.statistics()["streams"] == 2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://edge") as client:
        answer = await client.get(path)
        assert reason(answer) == (503, "BUSY")
        assert answer.headers["retry-after"] == "1"
        assert (await client.head(path)).status_code == 200, "what holds no bytes needs no place"
        assert (await client.get(path.replace("aac-160.mp4", "manifest.json"))).status_code == 200
        taking.set()
        await asyncio.gather(*readers)
        assert (await client.get(path)).content == LONG


async def test_no_more_than_one_chunk_is_held_for_a_reader(rig: Rig) -> None:
    sizes: list[int] = []

    async def send(message: Any) -> None:
        sizes.append(len(message.get("body", b"")))

    await rig.edge(http_scope(f"/s/{rig.lease()}/aac-160.mp4"), never, send)
    assert sum(sizes) == len(LONG)
    assert max(sizes) == CHUNK_BYTES


async def test_a_reader_that_hangs_up_gives_its_place_back(rig: Rig) -> None:
    sent: list[Any] = []

    async def hang_up() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        await asyncio.sleep(0)

    await rig.edge(http_scope(f"/s/{rig.lease()}/aac-160.mp4"), hang_up, send)
    assert len(sent) < 5
    assert sent[-1]["more_body"]
    assert rig.edge.statistics()["streams"] == 0


async def test_a_reader_that_takes_nothing_loses_its_place(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SEND_WITHIN_S == 30.0
    monkeypatch.setattr("serve.edge.SEND_WITHIN_S", 0.01)
    started = asyncio.Event()

    async def stuck(message: Any) -> None:
        if message["type"] == "http.response.body":
            started.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await rig.edge(http_scope(f"/s/{rig.lease()}/aac-160.mp4"), never, stuck)
    assert started.is_set()
    assert rig.edge.statistics()["streams"] == 0


async def test_bytes_that_are_gone_are_an_honest_404(rig: Rig) -> None:
    key = f"audio/{ETAG.strip(chr(34))}"
    await rig.stores.blobs.delete(key)
    assert reason(await rig.get(f"/s/{rig.lease()}/aac-160.mp4")) == (404, "NOT_FOUND")
    await rig.stores.blobs.put(key, b"", content_type="audio/mp4")
    assert reason(await rig.get(f"/s/{rig.lease()}/aac-160.mp4")) == (404, "NOT_FOUND")


async def test_a_blob_shorter_than_its_record_is_never_passed_off_as_whole(rig: Rig) -> None:
    catalogue = Catalogue(rig.stores.documents, rig.clock)
    [track] = await catalogue.tracks([TRACK_ID])
    assert track is not None
    longer = tuple(msgspec.structs.replace(each, size=each.size + 10) for each in track.renditions)
    await catalogue.put_tracks([msgspec.structs.replace(track, renditions=longer)])
    rig.clock.advance(10_000)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await rig.edge(http_scope(f"/s/{rig.lease()}/aac-160.mp4"), never, send)
    assert all(message["more_body"] for message in sent[1:])

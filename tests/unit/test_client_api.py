"""The HTTP half of the client, against answers that a test writes: tokens, refusals, ranges."""

import json
from collections.abc import Callable

import httpx
import pytest

from client.api import Api, Credentials
from client.stream import EdgeSource, Throughput
from kernel.errors import Code, Rejected, SegueError, Unavailable
from kernel.units import TickS
from tests.support.devices import lease

Handler = Callable[[httpx.Request], httpx.Response]


def api_over(handler: Handler, **credentials: str) -> Api:
    return Api("http://server/", Credentials(**credentials), transport=httpx.MockTransport(handler))


PASSWORD = {"username": "ada", "password": "secret"}


async def test_the_first_request_logs_in_and_the_token_is_kept() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/api/token":
            assert request.content == b"grant_type=password&username=ada&password=secret"
            return httpx.Response(200, json={"access_token": "t1", "token_type": "Bearer", "expires_in": 60})
        assert request.headers["Authorization"] == "Bearer t1"
        return httpx.Response(200, json={"id": "ada"})

    api = api_over(answer, **PASSWORD)
    assert await api.get("/v1/me") == {"id": "ada"}
    await api.get("/v1/me")
    assert asked == ["/api/token", "/v1/me", "/v1/me"]


async def test_a_token_that_ran_out_is_replaced_once() -> None:
    tokens = iter(["old", "new"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/token":
            return httpx.Response(200, json={"access_token": next(tokens)})
        if request.headers["Authorization"] == "Bearer new":
            return httpx.Response(204)
        return httpx.Response(401, json={"error": {"status": 401, "message": "The access token expired"}})

    assert await api_over(answer, **PASSWORD).get("/v1/me/player") is None


async def test_a_saved_token_that_ran_out_is_said_and_not_retried() -> None:
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(401, json={"error": {"status": 401, "message": "The access token expired"}})

    with pytest.raises(Rejected) as refused:
        await api_over(answer, access_token="saved").get("/v1/me")
    assert refused.value.code is Code.UNAUTHORIZED
    assert asked == 1


@pytest.mark.parametrize(
    ("status", "body", "code", "kind"),
    [
        (400, {"error": "invalid_grant", "error_description": "wrong"}, Code.UNAUTHORIZED, Rejected),
        (
            404,
            {"error": {"status": 404, "message": "x", "reason": "NO_ACTIVE_DEVICE"}},
            Code.NO_ACTIVE_DEVICE,
            Unavailable,
        ),
        (404, {"error": {"status": 404, "message": "x"}}, Code.NOT_FOUND, Rejected),
        (
            403,
            {"error": {"status": 403, "message": "x", "reason": "PREMIUM_REQUIRED"}},
            Code.PREMIUM_REQUIRED,
            Rejected,
        ),
        (410, {"error": {"status": 410, "message": "x"}}, Code.LEASE_EXPIRED, Rejected),
        (429, {"error": {"status": 429, "message": "x"}}, Code.RATE_LIMITED, Unavailable),
        (500, {"error": {"status": 500, "message": "x"}}, Code.INTERNAL, Unavailable),
        (502, None, Code.BUSY, Unavailable),
    ],
)
async def test_each_refusal_becomes_the_error_it_stands_for(
    status: int, body: object, code: Code, kind: type[SegueError]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=b"<html>" if body is None else json.dumps(body).encode())

    with pytest.raises(kind) as refused:
        await api_over(answer, access_token="t").get("/v1/x")
    assert refused.value.code is code


async def test_a_time_to_wait_is_passed_on() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            503, headers={"Retry-After": "2"}, json={"error": {"status": 503, "message": "x"}}
        )

    with pytest.raises(Unavailable) as refused:
        await api_over(answer, access_token="t").connect_info()
    assert refused.value.retry_after_ms == 2_000


async def test_no_answer_at_all_is_unavailable() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unavailable) as refused:
        await api_over(answer, access_token="t").get("/v1/me")
    assert refused.value.code is Code.TIMEOUT


async def test_an_answer_of_another_shape_is_no_segue_server() -> None:
    with pytest.raises(Unavailable, match="Segue server"):
        await api_over(lambda request: httpx.Response(200, json=[1]), access_token="t").connect_info()


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(Credentials(username="ada", password="secret", access_token="token"))
    assert "secret" not in shown
    assert "token" not in shown.replace("access_token", "")


# --- ranges ------------------------------------------------------------------------------------------

RENDITION = {
    "name": "vorbis-160",
    "file": "vorbis-160.ogg",
    "codec": "vorbis",
    "mime": "audio/ogg",
    "bitrate_kbps": 160,
    "size": 100,
    "sample_rate": 44_100,
    "pcm_frames": 1,
    "encoder_delay": 0,
    "end_padding": 0,
}
MANIFEST = {"track_uri": "spotify:track:x", "duration_ms": 1_000, "gain_db": -1.5, "renditions": [RENDITION]}


def edge_with(answer_file: Handler) -> EdgeSource:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("manifest.json"):
            return httpx.Response(200, json=MANIFEST)
        return answer_file(request)

    return EdgeSource(httpx.AsyncClient(transport=httpx.MockTransport(answer)))


def part(data: bytes, content_range: str) -> Handler:
    return lambda request: httpx.Response(206, content=data, headers={"Content-Range": content_range})


async def read_from(edge: EdgeSource) -> bytes:
    rendition = (await edge.manifest(lease(1))).rendition("vorbis-160")
    return await edge.read(lease(1), rendition, start=10, end=20)


async def test_a_range_is_asked_for_and_checked() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Range"] == "bytes=10-19"
        return httpx.Response(206, content=bytes(10), headers={"Content-Range": "bytes 10-19/100"})

    assert await read_from(edge_with(answer)) == bytes(10)


@pytest.mark.parametrize(
    "handler",
    [
        lambda request: httpx.Response(200, content=bytes(100)),
        part(bytes(10), "bytes 10-19/99"),
        part(bytes(9), "bytes 10-19/100"),
        part(bytes(10), "bytes 0-9/100"),
    ],
    ids=["the whole file", "a file of another size", "too few bytes", "another part"],
)
async def test_an_answer_that_is_not_the_range_is_never_taken_for_music(handler: Handler) -> None:
    with pytest.raises(Unavailable):
        await read_from(edge_with(handler))


async def test_a_refused_lease_keeps_its_code_and_its_token_stays_out_of_the_message() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            403, json={"error": {"status": 403, "message": "revoked", "reason": "LEASE_REVOKED"}}
        )

    with pytest.raises(Rejected) as refused:
        await read_from(edge_with(answer))
    assert refused.value.code is Code.LEASE_REVOKED
    assert "lease-1" not in str(refused.value)


def test_throughput_is_of_the_last_chunks() -> None:
    measured = Throughput()
    assert measured.kbps() is None
    for turn in range(100):
        speed = 1.0 if turn < 90 else 0.1
        measured.measured(size=125_000, began=TickS(0.0), ended=TickS(speed))
    assert measured.kbps() == 10_000

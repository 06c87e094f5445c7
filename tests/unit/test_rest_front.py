"""What surrounds every request: tokens, refusals, the way to a socket, the page, what an operator sees."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from catalog.model import Plan
from connect.frames import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from kernel.errors import Code, Unavailable
from kernel.units import Millis
from serve.accounts import ACCOUNT_TRIES_BURST, ADDRESS_TRIES_BURST
from serve.rest.exchange import BODY_BYTES_MAX
from serve.tokens import SCOPES
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, TRACKS, TestDevice
from tests.support.rest import ADA, HOST, Rest, own_every_shard, running_rest

LOGIN = {"grant_type": "password", "username": "Grace", "password": "correct horse"}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()["error"]
    assert body["status"] == answer.status_code
    return answer.status_code, body["reason"]


async def with_grace(rest: Rest) -> Rest:
    await rest.accounts.add("Grace", "correct horse", plan=Plan.STUDENT, country="SE")
    return rest


# --- tokens -----------------------------------------------------------------------------------------


async def test_a_password_becomes_a_token_that_rest_takes() -> None:
    async with running_rest() as rest:
        await with_grace(rest)
        answer = await rest.client.post("/api/token", data=LOGIN)
        assert answer.status_code == 200
        assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
        token = answer.json()
        assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
        assert token["scope"].split() == list(SCOPES)
        bearer = {"authorization": f"Bearer {token['access_token']}"}
        me = (await rest.client.get("/v1/me", headers=bearer)).json()
        assert (me["display_name"], me["country"], me["product"]) == ("Grace", "SE", "premium")
        assert me["uri"] == f"spotify:user:{me['id']}"
        other = (await rest.get(f"/v1/users/{me['id']}")).json()
        assert other["display_name"] == "Grace"
        assert "country" not in other


async def test_a_token_can_ask_for_less() -> None:
    async with running_rest() as rest:
        await with_grace(rest)
        answer = await rest.client.post("/api/token", data=LOGIN | {"scope": "user-read-playback-state"})
        token = answer.json()
        assert token["scope"] == "user-read-playback-state"
        bearer = {"authorization": f"Bearer {token['access_token']}"}
        assert refusal(await rest.client.put("/v1/me/player/pause", headers=bearer)) == (403, "FORBIDDEN")
        assert "country" not in (await rest.client.get("/v1/me", headers=bearer)).json()
        assert refusal(await rest.client.get("/v1/connect", headers=bearer)) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password", "username": "Grace"}, "invalid_request"),
        ({"grant_type": "password", "password": "x"}, "invalid_request"),
        ({"username": "Grace", "password": "x"}, "invalid_request"),
        (LOGIN | {"grant_type": "implicit"}, "unsupported_grant_type"),
        (LOGIN | {"scope": "streaming admin"}, "invalid_scope"),
        (LOGIN | {"password": "wrong horse"}, "invalid_grant"),
        (LOGIN | {"username": "nobody"}, "invalid_grant"),
    ],
)
async def test_a_refused_login_says_why_in_oauths_words(form: dict[str, str], error: str) -> None:
    async with running_rest() as rest:
        await with_grace(rest)
        answer = await rest.client.post("/api/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["error_description"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "more",
    [
        {"json": LOGIN},
        {"content": b"\xff=\xfe", "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {
            "content": b"grant_type=password&grant_type=password&username=a&password=b",
            "headers": {"content-type": "application/x-www-form-urlencoded"},
        },
        {"content": b"a=1&" * 30, "headers": {"content-type": "application/x-www-form-urlencoded"}},
    ],
)
async def test_a_body_that_is_no_form_is_an_invalid_request(more: dict[str, Any]) -> None:
    async with running_rest() as rest:
        answer = await rest.client.post("/api/token", **more)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_guessing_a_password_is_429_with_a_time_until_time_has_passed() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await with_grace(rest)
        wrong = LOGIN | {"password": "guess"}
        for _ in range(ACCOUNT_TRIES_BURST):
            assert (await rest.client.post("/api/token", data=wrong)).status_code == 400
        limited = await rest.client.post("/api/token", data=LOGIN)
        assert limited.status_code == 429
        wait_s = int(limited.headers["retry-after"])
        assert wait_s >= 1
        clock.advance(wait_s * 1000)
        assert (await rest.client.post("/api/token", data=LOGIN)).status_code == 200


async def test_behind_our_proxy_the_limit_is_on_the_address_that_it_saw() -> None:
    async with running_rest(clock=FakeClock(), behind_proxy=True) as rest:

        async def guess(number: int, forwarded: str) -> int:
            form = LOGIN | {"username": f"guess{number}", "password": "guess"}
            answer = await rest.client.post("/api/token", data=form, headers={"x-forwarded-for": forwarded})
            return answer.status_code

        # What the client wrote in front changes nothing.
        for number in range(ADDRESS_TRIES_BURST):
            assert await guess(number, f"10.9.9.{number}, 10.0.0.1") == 400
        assert await guess(99, "10.1.1.1, 10.0.0.1") == 429
        assert await guess(99, "10.0.0.2") == 400


async def test_without_a_proxy_nobody_chooses_the_address_they_are_limited_by() -> None:
    async with running_rest(clock=FakeClock()) as rest:
        for number in range(ADDRESS_TRIES_BURST + 1):
            form = LOGIN | {"username": f"guess{number}", "password": "guess"}
            answer = await rest.client.post(
                "/api/token", data=form, headers={"x-forwarded-for": f"10.0.0.{number}"}
            )
        assert answer.status_code == 429


@pytest.mark.parametrize(
    ("header", "says_invalid"),
    [
        (None, False),
        ("", False),
        ("Bearer", False),
        ("Basic QWRhOnB3", False),
        ("Bearer rubbish", True),
        ("Bearer a.b.c", True),
    ],
)
async def test_who_brings_no_good_token_is_401_everywhere_under_v1(
    header: str | None, says_invalid: bool
) -> None:
    async with running_rest() as rest:
        headers = {} if header is None else {"authorization": header}
        for path in ("/v1/me", "/v1/me/player", f"/v1/tracks/{TRACKS[0]}", "/v1/connect", "/v1/nothing"):
            answer = await rest.client.get(path, headers=headers)
            assert refusal(answer) == (401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert ("invalid_token" in answer.headers["www-authenticate"]) is says_invalid


async def test_an_old_token_is_401_and_the_scheme_may_be_in_any_case() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        token = rest.tokens.issue_access(ADA)
        headers = {"authorization": f"bearer {token}"}
        assert (await rest.client.get("/v1/markets", headers=headers)).status_code == 200
        clock.advance(3_600_000)
        assert refusal(await rest.client.get("/v1/markets", headers=headers)) == (401, "UNAUTHORIZED")


async def test_a_user_who_is_not_there_is_404() -> None:
    async with running_rest() as rest:
        assert refusal(await rest.get("/v1/me")) == (404, "NOT_FOUND")
        assert refusal(await rest.get(f"/v1/users/{'0' * 22}")) == (404, "NOT_FOUND")
        assert refusal(await rest.get("/v1/users/me")) == (400, "BAD_REQUEST")


# --- the way to a socket ----------------------------------------------------------------------------


async def test_connect_gives_the_owners_address_and_a_ticket_that_it_can_check() -> None:
    async with running_rest() as rest:
        answer = await rest.get("/v1/connect")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        way = answer.json()
        assert way["url"] == HOST.address
        assert way["subprotocols"] == [SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON]
        assert (way["expires_in"], way["owner_epoch"]) == (60, 1)
        assert (way["limits"]["frame_bytes_max"], way["limits"]["lease_s"]) == (65_536, 120)
        ticket = await rest.tokens.verify_ticket(way["ticket"])
        assert (ticket.user_id, ticket.plan, ticket.owner_epoch) == (ADA.user_id, ADA.plan, 1)


async def test_connect_is_503_with_a_time_while_nobody_owns_the_user_and_works_once_somebody_does() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock, owned=False) as rest:
        answer = await rest.get("/v1/connect")
        assert refusal(answer) == (503, "NOT_OWNER")
        assert int(answer.headers["retry-after"]) >= 1
        await own_every_shard(rest.stores)
        clock.advance(int(answer.headers["retry-after"]) * 1000 + 1)
        assert (await rest.get("/v1/connect")).status_code == 200


# --- what is not there, too much, or of the wrong kind ----------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/me/nothing", "/v1", "/v1/me/player/", "/api/nothing", "/nothing"]
)
async def test_a_path_that_is_not_there_is_404_in_the_same_shape(path: str) -> None:
    async with running_rest() as rest:
        answer = await rest.get(path)
    assert refusal(answer) == (404, "NOT_FOUND")
    assert path in answer.json()["error"]["message"]


async def test_a_method_that_a_path_does_not_take_is_405_and_names_those_it_does() -> None:
    async with running_rest() as rest:
        answer = await rest.ask("DELETE", "/v1/me/player")
        assert refusal(answer) == (405, "BAD_REQUEST")
        assert answer.headers["allow"] == "GET, HEAD, PUT"
        asked = await rest.client.options("/v1/me/player/queue")
        assert (asked.status_code, asked.headers["allow"]) == (204, "GET, HEAD, POST")


async def test_a_body_that_is_too_long_is_413_whether_it_says_so_or_not() -> None:
    async with running_rest() as rest:
        long = b" " * (BODY_BYTES_MAX + 1)
        assert refusal(await rest.ask("PUT", "/v1/me/player/play", content=long)) == (413, "FRAME_TOO_LARGE")

        async def chunks() -> Any:
            for _ in range(BODY_BYTES_MAX // 1024 + 1):
                yield b" " * 1024

        answer = await rest.ask("PUT", "/v1/me/player/play", content=chunks())
        assert refusal(answer) == (413, "FRAME_TOO_LARGE")


async def test_a_bug_is_500_with_a_trace_id_and_one_logged_traceback() -> None:
    class Broken:
        async def command(self, *_: object) -> Any:
            raise AssertionError("a bug")

        async def look(self, *_: object) -> Any:
            raise AssertionError("a bug")

        async def reread(self, *_: object) -> Any:
            raise AssertionError("a bug")

    async with running_rest(reach=Broken()) as rest:
        with capture_logs() as lines:
            answer = await rest.get("/v1/me/player", headers={"x-request-id": "trace-7"})
    assert refusal(answer) == (500, "INTERNAL")
    assert "a bug" not in answer.text
    assert answer.headers["x-trace-id"] == "trace-7"
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["request_failed"]


# --- other origins ----------------------------------------------------------------------------------


async def test_a_configured_origin_may_ask_and_another_may_not() -> None:
    async with running_rest(allowed_origins=("https://music.example",)) as rest:
        ask = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization"}
        yes = await rest.client.options("/v1/me/player", headers=ask | {"origin": "https://music.example"})
        assert yes.headers["access-control-allow-origin"] == "https://music.example"
        assert "PUT" in yes.headers["access-control-allow-methods"]
        no = await rest.client.options("/v1/me/player", headers=ask | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in no.headers
        # Refusals too, or a page could not read why.
        refused = await rest.client.get("/v1/me", headers={"origin": "https://music.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://music.example"
        assert "access-control-allow-credentials" not in refused.headers


# --- what an operator sees --------------------------------------------------------------------------


async def test_each_request_is_one_line_without_a_token() -> None:
    async with running_rest() as rest:
        token = rest.tokens.issue_access(ADA)
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
            answer = await rest.client.get(
                f"/v1/albums/{ALBUM}", headers={"authorization": f"Bearer {token}", "x-request-id": "trace-1"}
            )
    [line] = [line for line in lines if line["event"] == "request"]
    assert line["route"] == "/v1/albums/{id}"
    assert (line["method"], line["status"], line["outcome"]) == ("GET", 200, "ok")
    assert (line["user_id"], line["trace_id"]) == ("user-ada", "trace-1")
    assert line["elapsed_ms"] >= 0
    assert token not in str(lines)
    assert answer.headers["x-trace-id"] == "trace-1"


@pytest.mark.parametrize("given", ["", "x" * 65, "two words", "a;b"])
async def test_a_request_id_that_is_none_is_replaced(given: str) -> None:
    async with running_rest() as rest:
        answer = await rest.client.get("/healthz", headers={"x-request-id": given})
    assert answer.headers["x-trace-id"] != given
    assert len(answer.headers["x-trace-id"]) == 26


async def test_requests_are_counted_by_route_and_status_and_never_by_id() -> None:
    async with running_rest() as rest:
        for track_id in TRACKS[:3]:
            await rest.get(f"/v1/tracks/{track_id}")
        await rest.get("/v1/tracks/not-an-id")
        await rest.get("/v1/nothing")
        text = (await rest.client.get("/metrics")).text
    assert 'segue_http_requests_total{method="GET",route="/v1/tracks/{id}",status="200"} 3.0' in text
    assert 'segue_http_requests_total{method="GET",route="/v1/tracks/{id}",status="400"} 1.0' in text
    assert 'route="unmatched",status="404"' in text
    assert 'segue_http_request_seconds_count{route="/v1/tracks/{id}"} 4.0' in text
    assert TRACKS[0] not in text


async def test_healthz_needs_no_token_and_fails_when_the_store_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_rest() as rest:
        well = await rest.client.get("/healthz")
        assert (well.status_code, well.json()) == (200, {"status": "ok", "store": "ok"})

        async def gone(*_: object) -> Any:
            raise Unavailable(Code.STORE_UNAVAILABLE, "the disk is full", None, Millis(1))

        monkeypatch.setattr(rest.stores.documents, "get", gone)
        ill = await rest.client.get("/healthz")
        assert (ill.status_code, ill.json()["store"]) == (503, "unreachable")
        assert (await rest.client.get("/healthz/live")).status_code == 200, (
            "ending it would not bring it back"
        )


# --- the page ---------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "dist" / "assets").mkdir(parents=True)
    (tmp_path / "dist" / "index.html").write_text("<!doctype html><title>Segue</title>")
    (tmp_path / "dist" / "icon.svg").write_text("<svg/>")
    (tmp_path / "dist" / "assets" / "index-a1b2c3.js").write_text("play()")
    (tmp_path / "secret.txt").write_text("not for you")
    return tmp_path / "dist"


async def test_the_page_is_revalidated_and_its_assets_are_kept_for_ever(page: Path) -> None:
    async with running_rest(page_folder=page) as rest:
        index = await rest.client.get("/")
        assert (index.status_code, index.headers["cache-control"]) == (200, "no-cache")
        assert "Segue" in index.text
        asset = await rest.client.get("/assets/index-a1b2c3.js")
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["content-type"].startswith("text/javascript")
        assert (await rest.client.get("/icon.svg")).headers["cache-control"] == "no-cache"
        again = await rest.client.get("/", headers={"if-none-match": index.headers["etag"]})
        assert again.status_code == 304
        assert refusal(await rest.client.post("/")) == (405, "BAD_REQUEST")


async def test_the_page_is_sent_compressed_to_who_can_take_it_and_plain_to_others(page: Path) -> None:
    script = "export const word = 'segue';\n" * 1_000
    (page / "assets" / "large-d4e5f6.js").write_text(script)
    async with running_rest(page_folder=page) as rest:
        for accepted, encoding in (("gzip", "gzip"), ("identity", None)):
            headers = {"accept-encoding": accepted}
            answer = await rest.client.get("/assets/large-d4e5f6.js", headers=headers)
            assert answer.headers.get("content-encoding") == encoding
            assert "Accept-Encoding" in answer.headers["vary"]
            assert answer.text == script


async def test_the_page_may_talk_to_its_server_the_edge_and_the_sockets_and_to_nobody_else(
    page: Path,
) -> None:
    async with running_rest(page_folder=page, http_port=9000, public_host="music.example") as rest:
        policy = (await rest.client.get("/")).headers["content-security-policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == ["'none'"]
    assert rules["connect-src"] == ["'self'", "http://music.example:9001", "ws://music.example:*"]
    assert "blob:" in rules["media-src"]
    assert "http://music.example:9001" in rules["img-src"]
    assert rules["script-src"] == ["'self'"]
    assert rules["frame-ancestors"] == ["'none'"]


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt"])
async def test_nothing_outside_the_page_is_served(page: Path, path: str) -> None:
    async with running_rest(page_folder=page) as rest:
        answer = await rest.client.get(path)
    assert answer.status_code == 404
    assert "not for you" not in answer.text


async def test_a_page_that_was_not_built_is_a_hint_and_rest_works(tmp_path: Path) -> None:
    async with running_rest(page_folder=tmp_path) as rest:
        answer = await rest.client.get("/")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/plain; charset=utf-8")
        assert "npm run build" in answer.text
        assert (await rest.get("/v1/markets")).status_code == 200


# --- as client libraries call it --------------------------------------------------------------------


async def test_what_a_client_library_of_the_web_api_does_works() -> None:
    """Calls, headers and readings as spotipy has them: it sends a content type without a body, reads
    `device["id"]`, and takes 204 for done."""
    async with running_rest() as rest:
        phone = TestDevice(rest.host, "phone-001")
        await phone.connect()
        headers = {"content-type": "application/json"}

        async def call(method: str, path: str, payload: object = None, **params: Any) -> Any:
            answer = await rest.ask(method, f"/v1/{path}", params=params, json=payload, headers=headers)
            answer.raise_for_status()
            return answer.json() if answer.content else None

        [device] = (await call("GET", "me/player/devices"))["devices"]
        albums = await call("GET", "browse/new-releases", country="NL", limit=20, offset=0)
        album = albums["albums"]["items"][0]
        tracks = (await call("GET", f"albums/{album['id']}/tracks", limit=50, offset=0))["items"]
        await call(
            "PUT",
            "me/player/play",
            {"context_uri": album["uri"], "offset": {"uri": tracks[2]["uri"]}},
            device_id=device["id"],
        )
        now = await call("GET", "me/player", additional_types="track")
        assert (now["item"]["name"], now["device"]["id"]) == ("Étude", "phone-001")
        assert now["item"]["id"] == tracks[2]["id"]
        await call("PUT", "me/player/volume", volume_percent=40, device_id=device["id"])
        await call("PUT", "me/player/repeat", state="track")
        await call("POST", "me/player/queue", uri=tracks[0]["uri"])
        await call("PUT", "me/player/pause")
        queue = await call("GET", "me/player/queue")
        assert queue["queue"][0]["id"] == tracks[0]["id"]
        several = (await call("GET", "tracks", ids=",".join(track["id"] for track in tracks)))["tracks"]
        assert [track["id"] for track in several] == [track["id"] for track in tracks]

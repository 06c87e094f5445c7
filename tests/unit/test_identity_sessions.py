"""The page's session: one cookie, what it is good for, how it changes and how it ends."""

from http.cookies import SimpleCookie

import httpx
import pytest

from serve.identity.page_sessions import COOKIE, GRACE_S, LIFE_S, ROTATE_AFTER_S
from tests.support.clock import FakeClock
from tests.support.oauth import ORIGIN, PASSWORD, Program, Surfer, a_client, grace, logged_in, refusal, works
from tests.support.rest import Rest, running_rest

LOGIN = {"username": "Grace", "password": PASSWORD}


def cookie_of(answer: httpx.Response) -> str:
    morsel = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    return morsel.value


async def token(rest: Rest, cookie: str, **headers: str) -> httpx.Response:
    """As one request of a browser that holds this cookie."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(rest.api), base_url=ORIGIN) as http:
        return await http.post(
            "/session/token", headers={"cookie": f"{COOKIE}={cookie}", "origin": ORIGIN, **headers}
        )


async def test_a_login_sets_a_cookie_that_becomes_access_tokens() -> None:
    async with running_rest() as rest:
        await grace(rest)
        surfer = Surfer(rest)
        answer = await surfer.json("/login", LOGIN)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert answer.json()["expires_in"] == 3600
        assert await works(rest, answer.json()["access_token"])
        fresh = await surfer.json("/session/token")
        assert await works(rest, fresh.json()["access_token"])
        assert (await surfer.json("/logout")).status_code == 204
        assert (await surfer.json("/session/token")).status_code == 401


@pytest.mark.parametrize(
    ("headers", "secure"),
    [({}, False), ({"x-forwarded-proto": "https"}, True), ({"x-forwarded-proto": "http"}, False)],
)
async def test_no_script_and_no_other_site_gets_the_cookie(headers: dict[str, str], secure: bool) -> None:
    async with running_rest() as rest:
        await grace(rest)
        answer = await Surfer(rest).json("/login", LOGIN, **headers)
    morsel = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert len(morsel.value) == 43
    assert (morsel["httponly"], morsel["samesite"].lower(), morsel["path"]) == (True, "lax", "/")
    assert (morsel["domain"], int(morsel["max-age"])) == ("", LIFE_S)
    assert bool(morsel["secure"]) is secure


async def test_a_page_on_https_gets_a_secure_cookie() -> None:
    origin = "https://music.example"
    async with running_rest(allowed_origins=origin) as rest:
        await grace(rest)
        answer = await Surfer(rest).json("/login", LOGIN, origin=origin)
    assert SimpleCookie(answer.headers["set-cookie"])[COOKIE]["secure"]


@pytest.mark.parametrize("path", ["/login", "/session/token", "/logout"])
async def test_another_sites_request_is_refused(path: str) -> None:
    async with running_rest() as rest:
        await grace(rest)
        surfer = Surfer(rest)
        await surfer.json("/login", LOGIN)
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        ):
            answer = await surfer.http.post(path, json=LOGIN, headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
        assert (await surfer.json("/session/token")).status_code == 200, "it is still logged in"


async def test_a_form_of_another_site_cannot_be_a_login() -> None:
    async with running_rest() as rest:
        await grace(rest)
        surfer = Surfer(rest)
        assert (await surfer.http.post("/login", data=LOGIN)).status_code == 400
        text = await surfer.http.post(
            "/login", content=b'{"username":"Grace"}', headers={"content-type": "text/plain"}
        )
        assert text.status_code == 400
        assert (await surfer.http.get("/login")).status_code == 405


async def test_a_login_never_keeps_a_cookie_that_was_there_before() -> None:
    async with running_rest() as rest:
        await grace(rest)
        surfer = Surfer(rest)
        planted = cookie_of(await surfer.json("/login", LOGIN))
        assert cookie_of(await surfer.json("/login", LOGIN)) != planted
        assert (await token(rest, planted)).status_code == 401, "the session before ended"


async def test_wrong_names_and_passwords_get_no_cookie() -> None:
    async with running_rest() as rest:
        await grace(rest)
        for body in ({**LOGIN, "password": "wrong horse"}, {**LOGIN, "username": "nobody"}):
            answer = await Surfer(rest).json("/login", body)
            assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "A" * 5000, "%00"])
async def test_an_invented_cookie_is_nobodys(cookie: str) -> None:
    async with running_rest() as rest:
        assert (await token(rest, cookie)).status_code == 401


# --- rotation ---------------------------------------------------------------------------------------


async def test_the_cookie_changes_every_hour_and_two_tabs_get_the_same_one() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        first = cookie_of(await Surfer(rest).json("/login", LOGIN))
        assert "set-cookie" not in (await token(rest, first)).headers
        clock.advance(ROTATE_AFTER_S * 1000)
        second = cookie_of(await token(rest, first))
        assert second != first
        assert cookie_of(await token(rest, first)) == second, "the first answer may have been lost"
        assert (await token(rest, second)).status_code == 200
        clock.advance(GRACE_S * 1000)
        assert (await token(rest, first)).status_code == 200, "a request that was under way"


async def test_an_old_cookie_that_comes_back_ends_the_session() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        first = cookie_of(await Surfer(rest).json("/login", LOGIN))
        clock.advance(ROTATE_AFTER_S * 1000)
        second = cookie_of(await token(rest, first))
        assert (await token(rest, second)).status_code == 200
        clock.advance(GRACE_S * 1000 + 1)
        assert (await token(rest, first)).status_code == 401
        assert (await token(rest, second)).status_code == 401


async def test_a_session_that_is_not_used_for_a_month_is_over() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        cookie = cookie_of(await Surfer(rest).json("/login", LOGIN))
        clock.advance(LIFE_S * 1000 - 1)
        assert (await token(rest, cookie)).status_code == 200
        clock.advance(1)
        assert (await token(rest, cookie)).status_code == 401


# --- everywhere -------------------------------------------------------------------------------------


async def test_log_out_everywhere_ends_sessions_tokens_and_logins_of_clients() -> None:
    async with running_rest() as rest:
        await grace(rest)
        await grace(rest, "Linus")
        program = Program(rest, *await a_client(rest))
        tokens = await logged_in(rest, program)
        phone, laptop = Surfer(rest), Surfer(rest)
        await phone.json("/login", LOGIN)
        access = (await laptop.json("/login", LOGIN)).json()["access_token"]
        linus = (await Surfer(rest).json("/login", {**LOGIN, "username": "Linus"})).json()["access_token"]
        bearer = {"authorization": f"Bearer {access}"}
        ticket = (await rest.client.get("/v1/connect", headers=bearer)).json()["ticket"]

        answer = await rest.client.post("/v1/me/logout-everywhere", headers=bearer)
        assert answer.status_code == 204
        assert not await works(rest, access)
        assert not await works(rest, tokens["access_token"])
        assert refusal(await program.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
        for surfer in (phone, laptop):
            assert (await surfer.json("/session/token")).status_code == 401
        with pytest.raises(Exception, match="withdrawn"):
            await rest.tokens.verify_ticket(ticket)
        assert await works(rest, linus), "nobody else is touched"
        again = (await laptop.json("/login", LOGIN)).json()["access_token"]
        assert await works(rest, again), "in the same second already"


# --- a password for one time ------------------------------------------------------------------------


async def test_a_one_time_password_opens_nothing_until_it_was_replaced() -> None:
    async with running_rest() as rest:
        await rest.accounts.add("Grace", PASSWORD, must_change=True)
        surfer = Surfer(rest)
        refused = await surfer.json("/login", LOGIN)
        assert (refused.status_code, refused.json()["error"]["reason"]) == (403, "PASSWORD_MUST_CHANGE")
        assert "set-cookie" not in refused.headers
        form = {"grant_type": "password", **LOGIN}
        assert refusal(await rest.client.post("/api/token", data=form)) == (400, "invalid_grant")
        program = Program(rest, *await a_client(rest))
        page = await surfer.log_in(program.request())
        assert (page.status_code, "/password" in page.text) == (403, True)

        same = await surfer.json("/login", {**LOGIN, "new_password": PASSWORD})
        assert same.status_code == 400
        short = await surfer.json("/login", {**LOGIN, "new_password": "short"})
        assert short.status_code == 400
        done = await surfer.json("/login", {**LOGIN, "new_password": "battery staple"})
        assert await works(rest, done.json()["access_token"])
        assert (await Surfer(rest).json("/login", LOGIN)).status_code == 401
        now = await Surfer(rest).json("/login", {**LOGIN, "password": "battery staple"})
        assert now.status_code == 200


async def test_the_password_page_replaces_it_too() -> None:
    async with running_rest() as rest:
        await rest.accounts.add("Grace", PASSWORD, must_change=True)
        surfer = Surfer(rest)
        await surfer.get("/password")
        form = {**LOGIN, "new_password": "battery staple", "again": "battery stable"}
        differ = await surfer.send("/password", form)
        assert (differ.status_code, "differ" in differ.text) == (400, True)
        wrong = await surfer.send("/password", {**form, "password": "nonsense", "again": "battery staple"})
        assert wrong.status_code == 401
        assert PASSWORD not in wrong.text
        stolen = await Surfer(rest).send("/password", {**form, "again": "battery staple"})
        assert stolen.status_code == 403
        done = await surfer.send("/password", {**form, "again": "battery staple"})
        assert done.status_code == 200
        assert (await surfer.json("/session/token")).status_code == 200

"""The authorization code flow: a login and a consent become a code, and a code becomes tokens, once."""

from urllib.parse import urlsplit

import pytest

from serve.identity.grants import CODE_S
from tests.support.clock import FakeClock
from tests.support.oauth import (
    ORIGIN,
    PASSWORD,
    REDIRECT,
    SCOPE,
    VERIFIER,
    Program,
    Surfer,
    a_client,
    a_code,
    challenge_of,
    grace,
    logged_in,
    news,
    refusal,
    sent_to,
    works,
)
from tests.support.rest import running_rest

# --- the way it is meant ----------------------------------------------------------------------------


async def test_a_login_and_a_consent_become_tokens_that_rest_takes() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        surfer = Surfer(rest)
        path = program.request()

        first = await surfer.get(path)
        assert (first.status_code, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
        asked = await surfer.log_in(path)
        assert "Tuner" in asked.text
        assert "See your plan and country" in asked.text
        where, told = sent_to(await surfer.press(path, "allow"))
        assert where == REDIRECT
        assert (told["state"], told["iss"]) == ("xyz", ORIGIN)

        answer = await program.redeem(told["code"])
        assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
        tokens = answer.json()
        assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
        assert set(tokens["scope"].split()) == set(SCOPE.split())
        bearer = {"authorization": f"Bearer {tokens['access_token']}"}
        assert (await rest.client.get("/v1/me", headers=bearer)).json()["country"] == "SE"
        paused = await rest.client.put("/v1/me/player/pause", headers=bearer)
        assert paused.status_code == 403, "this scope was not asked for"


async def test_a_confidential_client_may_do_without_pkce_and_not_without_its_secret() -> None:
    async with running_rest() as rest:
        await grace(rest)
        client, secret = await a_client(rest, public=False)
        program = Program(rest, client, secret)
        code = await a_code(rest, program, code_challenge="", code_challenge_method="")
        assert refusal(await Program(rest, client).redeem(code)) == (401, "invalid_client")
        assert refusal(await Program(rest, client, "wrong").redeem(code)) == (401, "invalid_client")
        assert (await program.redeem(code, code_verifier="")).status_code == 200


async def test_a_consent_is_remembered_for_what_it_covered() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        surfer = Surfer(rest)
        await a_code(rest, program, surfer)
        assert "code" in sent_to(await surfer.get(program.request()))[1]
        assert "code" in sent_to(await surfer.get(program.request(scope="user-read-private")))[1]
        more = await surfer.get(program.request(scope="streaming"))
        assert (more.status_code, "Play music as one of your devices" in more.text) == (200, True)
        assert (await surfer.get(program.request(show_dialog="true"))).status_code == 200


async def test_a_client_on_loopback_is_asked_about_each_time() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest, "http://127.0.0.1/cb"))
        surfer = Surfer(rest)
        await a_code(rest, program, surfer, redirect_uri="http://127.0.0.1:41234/cb")
        again = await surfer.get(program.request(redirect_uri="http://127.0.0.1:41235/cb"))
        assert (again.status_code, "Allow" in again.text) == (200, True)


async def test_a_consent_that_is_revoked_ends_the_login_and_is_asked_for_again() -> None:
    async with running_rest() as rest:
        account = await grace(rest)
        program = Program(rest, *await a_client(rest))
        surfer = Surfer(rest)
        tokens = (await program.redeem(await a_code(rest, program, surfer))).json()
        own = rest.bearer(account)
        listed = (await rest.client.get("/v1/me/clients", headers=own)).json()["items"]
        assert [(each["name"], each["scopes"]) for each in listed] == [("Tuner", sorted(SCOPE.split()))]
        path = f"/v1/me/clients/{program.client.client_id}"
        assert (await rest.client.delete(path, headers=own)).status_code == 204
        assert not await works(rest, tokens["access_token"])
        assert refusal(await program.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
        assert (await surfer.get(program.request())).status_code == 200, "asked again"
        await surfer.press(program.request(), "allow")
        assert refusal(await program.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
        assert (await rest.client.delete(f"{path}0", headers=own)).status_code == 404


async def test_no_is_an_answer_and_another_account_is_possible() -> None:
    async with running_rest() as rest:
        await grace(rest)
        await grace(rest, "Linus")
        program = Program(rest, *await a_client(rest))
        surfer, path = Surfer(rest), program.request()
        await surfer.log_in(path)
        where, told = sent_to(await surfer.press(path, "deny"))
        assert (where, told["error"], told["state"]) == (REDIRECT, "access_denied", "xyz")
        await surfer.get(path)
        other = await surfer.press(path, "other")
        assert other.headers["location"].startswith("/authorize?")
        assert "Linus" in (await surfer.log_in(path, "Linus")).text


# --- codes ------------------------------------------------------------------------------------------


async def test_a_code_that_comes_twice_ends_what_was_made_from_it() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        code = await a_code(rest, program)
        tokens = (await program.redeem(code)).json()
        assert await works(rest, tokens["access_token"])
        assert refusal(await program.redeem(code)) == (400, "invalid_grant")
        assert refusal(await program.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
        await news(rest)
        assert not await works(rest, tokens["access_token"])


async def test_a_code_is_good_for_a_minute() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        in_time, late = await a_code(rest, program), await a_code(rest, program)
        clock.advance(CODE_S * 1000 - 1)
        assert (await program.redeem(in_time)).status_code == 200
        clock.advance(1)
        assert refusal(await program.redeem(late)) == (400, "invalid_grant")


async def test_a_code_of_another_client_is_refused_and_stays_good() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        thief = Program(rest, *await a_client(rest, name="Thief"))
        code = await a_code(rest, program)
        assert refusal(await thief.redeem(code)) == (400, "invalid_grant")
        assert (await program.redeem(code)).status_code == 200


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"code_verifier": "w" * 60}, "invalid_grant"),
        ({"code_verifier": challenge_of(VERIFIER)}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"code_verifier": VERIFIER + "ü"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": REDIRECT + "/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"code": "nonsense"}, "invalid_grant"),
        ({"client_secret": "x"}, "invalid_request"),
    ],
)
async def test_a_code_with_anything_wrong_beside_it_is_refused(more: dict[str, str], error: str) -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        code = await a_code(rest, program)
        assert refusal(await program.redeem(**{"code": code, **more})) == (400, error)


async def test_a_guess_at_the_verifier_spends_the_code() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        code = await a_code(rest, program)
        assert refusal(await program.redeem(code, code_verifier="w" * 60)) == (400, "invalid_grant")
        assert refusal(await program.redeem(code)) == (400, "invalid_grant")


async def test_a_challenge_that_was_removed_on_the_way_is_noticed() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest, public=False))
        code = await a_code(rest, program, code_challenge="", code_challenge_method="")
        assert refusal(await program.redeem(code)) == (400, "invalid_grant")


async def test_who_was_logged_out_or_disabled_gets_no_tokens_for_a_code() -> None:
    async with running_rest() as rest:
        account = await grace(rest)
        program = Program(rest, *await a_client(rest))
        code = await a_code(rest, program)
        await rest.accounts.end_sessions(account.user_id)
        assert refusal(await program.redeem(code)) == (400, "invalid_grant")
        code = await a_code(rest, program)
        await rest.accounts.set_disabled("Grace", disabled=True)
        assert refusal(await program.redeem(code)) == (400, "invalid_grant")


# --- requests that are wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"scope": "user-read-private admin"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "", "code_challenge": VERIFIER[:43]}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge": "A" * 42}, "invalid_request"),
        ({"code_challenge": "A" * 42 + "="}, "invalid_request"),
    ],
)
async def test_a_client_is_told_what_is_wrong_at_its_own_address(more: dict[str, str], error: str) -> None:
    async with running_rest() as rest:
        program = Program(rest, *await a_client(rest))
        where, told = sent_to(await Surfer(rest).get(program.request(**more)))
        assert (where, told["error"], told["state"]) == (REDIRECT, error, "xyz")
        assert "code" not in told


@pytest.mark.parametrize(
    "path",
    [
        "/authorize",
        f"/authorize?response_type=code&redirect_uri={REDIRECT}",
        f"/authorize?client_id=nobody&response_type=code&redirect_uri={REDIRECT}",
        f"/authorize?client_id=%00&response_type=code&redirect_uri={REDIRECT}",
        f"/authorize?client_id=<script>&response_type=code&redirect_uri={REDIRECT}",
    ],
)
async def test_without_a_known_client_nobody_is_redirected(path: str) -> None:
    async with running_rest() as rest:
        await a_client(rest)
        answer = await Surfer(rest).get(path)
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert "<script>" not in answer.text


@pytest.mark.parametrize("twice", ["redirect_uri=https://evil.example", "client_id=x", "state=1", "scope="])
async def test_a_parameter_that_stands_twice_redirects_nobody(twice: str) -> None:
    async with running_rest() as rest:
        program = Program(rest, *await a_client(rest))
        answer = await Surfer(rest).get(f"{program.request()}&{twice}")
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_where_a_login_leads_is_on_this_server_whatever_was_asked() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        surfer = Surfer(rest)
        path = program.request() + "&next=https://evil.example&%2F%2Fevil.example=1"
        await surfer.get(path)
        answer = await surfer.send(path, {"action": "login", "username": "Grace", "password": PASSWORD})
        location = urlsplit(answer.headers["location"])
        assert (location.scheme, location.netloc, location.path) == ("", "", "/authorize")
        assert "evil" not in answer.headers["location"]


# --- forms of others --------------------------------------------------------------------------------


async def test_a_form_of_another_site_is_refused_however_it_comes() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        surfer, path = Surfer(rest), program.request()
        await surfer.log_in(path)
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:8000.evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ):
            answer = await surfer.send(path, {"action": "allow"}, headers=headers)
            assert (answer.status_code, "location" in answer.headers) == (403, False)
        for csrf in ("", "0" * 64, surfer.csrf[:-1]):
            answer = await surfer.send(path, {"action": "allow", "csrf": csrf})
            assert (answer.status_code, "location" in answer.headers) == (403, False)


async def test_a_form_made_for_one_browser_or_account_is_not_taken_from_another() -> None:
    async with running_rest() as rest:
        await grace(rest)
        await grace(rest, "Mallory")
        program = Program(rest, *await a_client(rest))
        path = program.request()
        attacker, victim = Surfer(rest), Surfer(rest)
        await attacker.log_in(path, "Mallory")
        await victim.log_in(path)
        answer = await victim.send(path, {"action": "allow", "csrf": attacker.csrf})
        assert answer.status_code == 403
        stale = victim.csrf
        await victim.press(path, "other")
        await victim.log_in(path, "Mallory")
        assert (await victim.send(path, {"action": "allow", "csrf": stale})).status_code == 403


async def test_logging_somebody_in_from_another_site_is_refused() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        surfer, path = Surfer(rest), program.request()
        form = {"action": "login", "username": "Grace", "password": PASSWORD}
        answer = await surfer.send(path, form, headers={"origin": "https://evil.example"})
        assert (answer.status_code, surfer.http.cookies.get("segue_session")) == (403, None)
        answer = await surfer.send(path, form)
        assert (answer.status_code, surfer.http.cookies.get("segue_session")) == (403, None)


async def test_the_pages_cannot_be_framed_and_run_no_script() -> None:
    async with running_rest() as rest:
        await grace(rest)
        client, secret = await a_client(rest, name='<img src=x onerror="alert(1)">')
        program = Program(rest, client, secret)
        surfer = Surfer(rest)
        for page in (await surfer.get(program.request()), await surfer.log_in(program.request())):
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src" not in policy
            assert "frame-ancestors 'none'" in policy
            assert page.headers["x-frame-options"] == "DENY"
            assert page.headers["referrer-policy"] == "same-origin"
            assert page.headers["cache-control"] == "no-store"
            assert "<img" not in page.text
            assert "<script" not in page.text
        assert policy.endswith("form-action 'self' https://app.example")
        style = await surfer.get("/identity/style.css")
        assert style.headers["content-type"].startswith("text/css")


async def test_clients_find_everything_by_the_metadata() -> None:
    async with running_rest() as rest:
        found = (await rest.client.get("/.well-known/oauth-authorization-server")).json()
        assert found["issuer"] == ORIGIN
        assert found["code_challenge_methods_supported"] == ["S256"]
        for name in ("token_endpoint", "revocation_endpoint", "device_authorization_endpoint"):
            assert (await rest.client.post(found[name])).status_code == 400, name


async def test_a_login_of_one_client_says_nothing_about_another() -> None:
    async with running_rest() as rest:
        await grace(rest)
        tuner = Program(rest, *await a_client(rest))
        other = Program(rest, *await a_client(rest, name="Other"))
        surfer = Surfer(rest)
        await a_code(rest, tuner, surfer)
        asked = await surfer.get(other.request())
        assert (asked.status_code, "Other" in asked.text) == (200, True)
        tokens = await logged_in(rest, tuner)
        assert refusal(await other.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
        assert (await tuner.refresh(tokens["refresh_token"])).status_code == 200

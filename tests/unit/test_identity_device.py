"""The device flow: what the device hears while it waits, and what its person sees."""

from typing import Any

import httpx
import pytest

from serve.identity.device_flow import INTERVAL_S, LIFE_S
from serve.identity.device_page import CODE_TRIES_BURST
from serve.identity.token_endpoint import DEVICE_GRANT
from tests.support.clock import FakeClock
from tests.support.oauth import PASSWORD, Program, Surfer, a_client, grace, news, refusal, works
from tests.support.rest import running_rest


async def begun(program: Program, scope: str = "streaming") -> dict[str, Any]:
    form = {"client_id": program.client.client_id, "scope": scope}
    answer = await program.http.post("/api/device/code", data=form)
    assert answer.status_code == 200, answer.text
    started: dict[str, Any] = answer.json()
    return started


async def poll(program: Program, device_code: str) -> httpx.Response:
    return await program.token(grant_type=DEVICE_GRANT, device_code=device_code)


async def answered(surfer: Surfer, user_code: str, button: str) -> httpx.Response:
    """A person types the code and presses the button."""
    asked = await surfer.press("/device", "find", user_code=user_code)
    assert (asked.status_code, user_code in asked.text) == (200, True)
    return await surfer.press("/device", button, user_code=user_code)


async def test_a_player_gets_its_tokens_when_its_person_said_yes() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        started = await begun(program)
        assert (started["expires_in"], started["interval"]) == (LIFE_S, INTERVAL_S)
        assert started["verification_uri"].endswith("/device")
        code = started["device_code"]
        assert refusal(await poll(program, code)) == (400, "authorization_pending")

        surfer = Surfer(rest)
        link = started["verification_uri_complete"].removeprefix("http://127.0.0.1:8000")
        page = await surfer.log_in(link)
        assert started["user_code"].replace("-", "") in page.text.replace("-", "")
        done = await answered(surfer, started["user_code"], "allow")
        assert (done.status_code, "Connected" in done.text) == (200, True)

        clock.advance(INTERVAL_S * 1000)
        tokens = (await poll(program, code)).json()
        assert tokens["scope"] == "streaming"
        assert await works(rest, tokens["access_token"])
        assert (await program.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_device_code_that_comes_twice_ends_the_login() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        started = await begun(program)
        surfer = Surfer(rest)
        await surfer.log_in("/device")
        await answered(surfer, started["user_code"], "allow")
        tokens = (await poll(program, started["device_code"])).json()
        assert refusal(await poll(program, started["device_code"])) == (400, "invalid_grant")
        await news(rest)
        assert not await works(rest, tokens["access_token"])


async def test_who_asks_too_often_is_told_to_slow_down_and_has_to() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        program = Program(rest, *await a_client(rest))
        code = (await begun(program))["device_code"]
        assert refusal(await poll(program, code)) == (400, "authorization_pending")
        clock.advance(INTERVAL_S * 1000 - 1)
        assert refusal(await poll(program, code)) == (400, "slow_down")
        clock.advance(INTERVAL_S * 1000)
        assert refusal(await poll(program, code)) == (400, "slow_down"), "ten seconds now"
        clock.advance((INTERVAL_S + 10) * 1000)
        assert refusal(await poll(program, code)) == (400, "authorization_pending")


async def test_no_is_told_to_the_device_and_an_old_code_has_expired() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        denied, late = await begun(program), await begun(program)
        surfer = Surfer(rest)
        await surfer.log_in("/device")
        await answered(surfer, denied["user_code"], "deny")
        assert refusal(await poll(program, denied["device_code"])) == (400, "access_denied")
        second = await surfer.press("/device", "allow", user_code=denied["user_code"])
        assert second.status_code == 404, "the first word counts"
        clock.advance(LIFE_S * 1000)
        assert refusal(await poll(program, late["device_code"])) == (400, "expired_token")
        assert (await surfer.press("/device", "find", user_code=late["user_code"])).status_code == 404


async def test_a_device_code_is_its_clients_alone() -> None:
    async with running_rest() as rest:
        program = Program(rest, *await a_client(rest))
        thief = Program(rest, *await a_client(rest, name="Thief"))
        code = (await begun(program))["device_code"]
        assert refusal(await poll(thief, code)) == (400, "invalid_grant")
        assert refusal(await poll(program, "nonsense")) == (400, "invalid_grant")
        unknown = await rest.client.post("/api/device/code", data={"client_id": "nobody"})
        assert refusal(unknown) == (401, "invalid_client")
        wrong = {"client_id": program.client.client_id, "scope": "admin"}
        assert refusal(await rest.client.post("/api/device/code", data=wrong)) == (400, "invalid_scope")


@pytest.mark.parametrize("typing", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
async def test_a_code_may_be_typed_as_people_type(typing: object) -> None:
    assert callable(typing)
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        started = await begun(program)
        surfer = Surfer(rest)
        await surfer.log_in("/device")
        found = await surfer.press("/device", "find", user_code=typing(started["user_code"]))
        assert (found.status_code, "Tuner" in found.text) == (200, True)


async def test_guessing_codes_is_limited() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        surfer = Surfer(rest)
        await surfer.log_in("/device")
        for _ in range(CODE_TRIES_BURST):
            assert (await surfer.press("/device", "allow", user_code="BBBB-BBBB")).status_code == 404
        limited = await surfer.press("/device", "find", user_code="BBBB-BBBB")
        assert (limited.status_code, int(limited.headers["retry-after"]) > 0) == (429, True)


async def test_another_site_cannot_say_yes() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        started = await begun(program)
        surfer = Surfer(rest)
        await surfer.log_in("/device", password=PASSWORD)
        form = {"action": "allow", "user_code": started["user_code"]}
        evil = {"origin": "https://evil.example"}
        assert (await surfer.send("/device", form, headers=evil)).status_code == 403
        assert (await surfer.send("/device", {**form, "csrf": "0" * 64})).status_code == 403
        assert refusal(await poll(program, started["device_code"])) == (400, "authorization_pending")

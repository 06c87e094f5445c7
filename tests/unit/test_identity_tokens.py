"""Refresh tokens that rotate, clients that act for themselves, and who may use the token endpoint how."""

import asyncio
import base64

import pytest

from serve.identity.clients import Clients
from serve.identity.grants import REFRESH_S
from serve.identity.pages import SCOPE_WORDS
from serve.tokens import SCOPES
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM
from tests.support.oauth import PASSWORD, Program, a_client, grace, logged_in, news, refusal, works
from tests.support.rest import running_rest

BASIC_REFUSED = (401, "invalid_client")


# --- rotation ---------------------------------------------------------------------------------------


async def test_each_refresh_gives_another_token_and_the_access_that_goes_with_it() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        tokens = await logged_in(rest, program)
        seen = {tokens["refresh_token"]}
        for _ in range(3):
            tokens = (await program.refresh(tokens["refresh_token"])).json()
            assert await works(rest, tokens["access_token"])
            seen.add(tokens["refresh_token"])
        assert len(seen) == 4


async def test_a_stolen_refresh_token_ends_the_login_for_thief_and_owner_alike() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        stolen = (await logged_in(rest, program))["refresh_token"]
        thiefs = (await program.refresh(stolen)).json()
        assert await works(rest, thiefs["access_token"])
        assert refusal(await program.refresh(stolen)) == (400, "invalid_grant")
        assert refusal(await program.refresh(thiefs["refresh_token"])) == (400, "invalid_grant")
        await news(rest)
        assert not await works(rest, thiefs["access_token"])


async def test_a_login_that_ended_leaves_the_other_logins_of_the_client_alone() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        ended, other = await logged_in(rest, program), await logged_in(rest, program)
        await program.refresh(ended["refresh_token"])
        await program.refresh(ended["refresh_token"])
        await news(rest)
        assert await works(rest, other["access_token"])
        assert (await program.refresh(other["refresh_token"])).status_code == 200


async def test_a_refresh_may_ask_for_less_and_never_for_more() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        token = (await logged_in(rest, program))["refresh_token"]
        assert refusal(await program.refresh(token, scope="streaming")) == (400, "invalid_scope")
        assert refusal(await program.refresh(token, scope="admin")) == (400, "invalid_scope")
        less = (await program.refresh(token, scope="user-read-private")).json()
        assert less["scope"] == "user-read-private"
        again = (await program.refresh(less["refresh_token"])).json()
        assert len(again["scope"].split()) == 2, "the login itself lost nothing"


async def test_a_refresh_token_that_is_not_used_for_a_month_is_over() -> None:
    clock = FakeClock()
    async with running_rest(clock=clock) as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        token = (await logged_in(rest, program))["refresh_token"]
        clock.advance(REFRESH_S * 1000 - 1)
        token = (await program.refresh(token)).json()["refresh_token"]
        clock.advance(REFRESH_S * 1000)
        assert refusal(await program.refresh(token)) == (400, "invalid_grant")


async def test_a_client_can_give_its_login_back() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        other = Program(rest, *await a_client(rest, name="Other"))
        tokens = await logged_in(rest, program)
        form = {"token": tokens["refresh_token"]}
        for asker in (other, program):
            form["client_id"] = asker.client.client_id
            assert (await rest.client.post("/api/token/revoke", data=form)).status_code == 200
            if asker is other:
                tokens = (await program.refresh(form["token"])).json()
                form = {"token": tokens["refresh_token"]}
        assert refusal(await program.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
        await news(rest)
        assert not await works(rest, tokens["access_token"])


async def test_of_two_refreshes_at_one_time_one_wins_and_the_login_ends() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        token = (await logged_in(rest, program))["refresh_token"]
        answers = await asyncio.gather(*(program.refresh(token) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers)[:2] != [200, 200]
        for answer in answers:
            if answer.status_code == 200:
                later = await program.refresh(answer.json()["refresh_token"])
                assert refusal(later) == (400, "invalid_grant")


# --- clients ----------------------------------------------------------------------------------------


async def test_a_client_for_itself_sees_the_catalogue_and_nobodys_things() -> None:
    async with running_rest() as rest:
        client, secret = await Clients(rest.stores.documents, rest.clock).add(
            "Radio", public=False, country="NL"
        )
        answer = await Program(rest, client, secret).token(grant_type="client_credentials")
        assert answer.status_code == 200
        token = answer.json()
        assert "refresh_token" not in token
        bearer = {"authorization": f"Bearer {token['access_token']}"}
        assert (await rest.client.get(f"/v1/albums/{ALBUM}", headers=bearer)).status_code == 200
        for path in ("/v1/me", "/v1/me/player", "/v1/me/tracks", "/v1/me/clients", "/v1/connect"):
            assert (await rest.client.get(path, headers=bearer)).status_code == 403, path


async def test_a_public_client_cannot_act_for_itself() -> None:
    async with running_rest() as rest:
        program = Program(rest, *await a_client(rest))
        assert refusal(await program.token(grant_type="client_credentials")) == (400, "unauthorized_client")


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Bearer abc",
        "Basic " + base64.b64encode(b"nobody").decode(),
        "Basic " + base64.b64encode(b"nobody:secret").decode(),
        "Basic " + base64.b64encode(b"{id}:").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
    ],
)
async def test_who_is_not_a_client_is_401_with_a_challenge(header: str) -> None:
    async with running_rest() as rest:
        await a_client(rest, public=False)
        answer = await rest.client.post(
            "/api/token", data={"grant_type": "client_credentials"}, headers={"authorization": header}
        )
    assert refusal(answer) == BASIC_REFUSED
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_a_client_is_who_it_proves_to_be_and_no_other() -> None:
    async with running_rest() as rest:
        client, secret = await a_client(rest, public=False)
        public, _ = await a_client(rest)
        form = {"grant_type": "client_credentials"}
        right = (client.client_id, secret)
        both = await rest.client.post("/api/token", data={**form, "client_id": public.client_id}, auth=right)
        assert refusal(both) == (400, "invalid_request")
        none = await rest.client.post("/api/token", data={**form, "client_id": client.client_id})
        assert refusal(none) == BASIC_REFUSED
        invented = await rest.client.post("/api/token", data=form, auth=(public.client_id, "x"))
        assert refusal(invented) == BASIC_REFUSED
        assert (await rest.client.post("/api/token", data=form, auth=right)).status_code == 200


async def test_no_client_may_ask_for_a_password() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        form = {"grant_type": "password", "username": "Grace", "password": PASSWORD}
        assert refusal(await program.token(**form)) == (400, "unauthorized_client")
        by_basic = await rest.client.post("/api/token", data=form, auth=("a", "b"))
        assert refusal(by_basic) == (400, "unauthorized_client")
        old = await rest.client.post("/api/token", data=form, headers={"authorization": "Bearer old"})
        assert old.status_code == 200


async def test_a_client_that_was_removed_is_over_and_its_tokens_too() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        tokens = await logged_in(rest, program)
        await Clients(rest.stores.documents, rest.clock).remove(program.client.client_id)
        await news(rest)
        assert not await works(rest, tokens["access_token"])
        assert refusal(await program.refresh(tokens["refresh_token"])) == BASIC_REFUSED


async def test_a_clients_token_does_not_log_its_user_out_or_see_their_other_clients() -> None:
    async with running_rest() as rest:
        await grace(rest)
        program = Program(rest, *await a_client(rest))
        bearer = {"authorization": f"Bearer {(await logged_in(rest, program))['access_token']}"}
        assert (await rest.client.post("/v1/me/logout-everywhere", headers=bearer)).status_code == 403
        assert (await rest.client.get("/v1/me/clients", headers=bearer)).status_code == 403
        path = f"/v1/me/clients/{program.client.client_id}"
        assert (await rest.client.delete(path, headers=bearer)).status_code == 403


async def test_secrets_are_nowhere_in_the_store() -> None:
    async with running_rest() as rest:
        await grace(rest)
        client, secret = await a_client(rest, public=False)
        tokens = await logged_in(rest, Program(rest, client, secret))
        kept = repr(vars(rest.stores.documents))
        for each in (secret, tokens["refresh_token"], tokens["access_token"], PASSWORD):
            assert each not in kept


async def test_every_scope_that_there_is_has_words_on_the_consent_page() -> None:
    assert set(SCOPE_WORDS) == set(SCOPES)

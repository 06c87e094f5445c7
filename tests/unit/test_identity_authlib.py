"""An OAuth client library that knows nothing of this server logs in by it (Authlib's, over httpx)."""

import httpx
import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from serve.identity.token_endpoint import DEVICE_GRANT
from tests.support.oauth import ORIGIN, REDIRECT, VERIFIER, Surfer, a_client, grace
from tests.support.rest import Rest, running_rest


def library(rest: Rest, client_id: str, secret: str | None, **more: str) -> AsyncOAuth2Client:
    return AsyncOAuth2Client(
        client_id=client_id,
        client_secret=secret or None,
        token_endpoint_auth_method="client_secret_basic" if secret else "none",
        redirect_uri=REDIRECT,
        token_endpoint="/api/token",
        transport=httpx.ASGITransport(rest.api),
        base_url=ORIGIN,
        **more,
    )


@pytest.mark.parametrize("public", [True, False])
async def test_it_logs_in_with_pkce_asks_rest_and_refreshes(public: bool) -> None:
    async with running_rest() as rest:
        await grace(rest)
        client, secret = await a_client(rest, public=public)
        async with library(
            rest, client.client_id, secret, scope="user-read-private", code_challenge_method="S256"
        ) as oauth:
            url, state = oauth.create_authorization_url(f"{ORIGIN}/authorize", code_verifier=VERIFIER)
            surfer = Surfer(rest)
            path = url.removeprefix(ORIGIN)
            await surfer.log_in(path)
            answer = await surfer.press(path, "allow")
            token = await oauth.fetch_token(
                "/api/token",
                authorization_response=answer.headers["location"],
                state=state,
                code_verifier=VERIFIER,
            )
            assert token["scope"] == "user-read-private"
            assert (await oauth.get("/v1/me")).json()["country"] == "SE"
            renewed = await oauth.refresh_token("/api/token", refresh_token=token["refresh_token"])
            assert renewed["refresh_token"] != token["refresh_token"]
            assert (await oauth.get("/v1/me")).status_code == 200
            with pytest.raises(OAuthError, match="invalid_grant"):
                await oauth.refresh_token("/api/token", refresh_token=token["refresh_token"])


async def test_it_acts_for_itself_and_hears_what_a_device_hears() -> None:
    async with running_rest() as rest:
        client, secret = await a_client(rest, public=False)
        async with library(rest, client.client_id, secret) as oauth:
            token = await oauth.fetch_token("/api/token", grant_type="client_credentials")
            assert token["token_type"] == "Bearer"
            assert (await oauth.get("/v1/markets")).status_code == 200
        async with library(rest, client.client_id, secret) as oauth:
            with pytest.raises(OAuthError, match="invalid_grant"):
                await oauth.fetch_token("/api/token", grant_type=DEVICE_GRANT, device_code="x")

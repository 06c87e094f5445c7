"""spotipy logs in, unmodified but for its addresses: the authorization code flow with PKCE, over a socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import spotipy
import uvicorn
from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyClientCredentials, SpotifyOAuth, SpotifyOauthError, SpotifyPKCE

from tests.support.oauth import a_client, grace
from tests.support.rest import Rest, running_rest
from tests.support.spotipy_login import REDIRECT, allowed, at_home

SCOPE = "user-read-private user-read-playback-state"


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Rest, str]]:
    """The whole of REST behind uvicorn, and its address."""
    async with running_rest() as rest:
        config = uvicorn.Config(
            rest.api, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none"
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        try:
            async with asyncio.timeout(10):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield rest, f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await task


@pytest.mark.parametrize("public", [True, False])
async def test_spotipy_logs_in_asks_who_it_is_and_refreshes(public: bool) -> None:
    async with listening() as (rest, url):
        await grace(rest)
        client, secret = await a_client(rest, REDIRECT, public=public)
        common: dict[str, Any] = {
            "client_id": client.client_id,
            "redirect_uri": REDIRECT,
            "scope": SCOPE,
            "open_browser": False,
            "cache_handler": MemoryCacheHandler(),
        }
        manager = at_home(
            SpotifyPKCE(**common) if public else SpotifyOAuth(client_secret=secret, **common), url
        )
        location = await allowed(rest, url, manager)
        state, code = manager.parse_auth_response_url(location)
        assert state == "abc"

        def use() -> None:
            if public:
                manager.get_access_token(code, check_cache=False)
            else:
                manager.get_access_token(code, as_dict=False, check_cache=False)
            spotify = spotipy.Spotify(auth_manager=manager, retries=0, status_retries=0)
            spotify.prefix = f"{url}/v1/"
            me = spotify.me()
            assert (me["display_name"], me["country"]) == ("Grace", "SE")
            assert spotify.devices() == {"devices": []}
            first = manager.cache_handler.get_cached_token()
            second = manager.refresh_access_token(first["refresh_token"])
            assert second["refresh_token"] != first["refresh_token"]
            assert spotify.me()["id"] == me["id"]
            with pytest.raises(SpotifyOauthError, match="invalid_grant"):
                manager.refresh_access_token(first["refresh_token"])

        await asyncio.to_thread(use)


async def test_spotipy_acts_for_itself() -> None:
    async with listening() as (rest, url):
        client, secret = await a_client(rest, public=False)
        manager = at_home(
            SpotifyClientCredentials(
                client_id=client.client_id, client_secret=secret, cache_handler=MemoryCacheHandler()
            ),
            url,
        )

        def use() -> None:
            spotify = spotipy.Spotify(auth_manager=manager, retries=0, status_retries=0)
            spotify.prefix = f"{url}/v1/"
            assert "NL" in spotify.available_markets()["markets"]
            with pytest.raises(spotipy.SpotifyException) as refused:
                spotify.me()
            assert refused.value.http_status == 403

        await asyncio.to_thread(use)

"""spotipy logs in here, unmodified but for its addresses, and somebody says yes to it."""

import asyncio
from typing import Any

from spotipy.cache_handler import MemoryCacheHandler
from spotipy.oauth2 import SpotifyPKCE

from tests.support.oauth import Surfer, a_client
from tests.support.rest import Rest

REDIRECT = "http://127.0.0.1:43210/callback"


def at_home(manager: Any, url: str) -> Any:
    """Its two addresses; all else is as it was installed."""
    manager.OAUTH_AUTHORIZE_URL = f"{url}/authorize"
    manager.OAUTH_TOKEN_URL = f"{url}/api/token"
    return manager


async def allowed(rest: Rest, url: str, manager: Any) -> str:
    """What spotipy's user, Grace, does in their browser; the address that they are sent to."""
    path = manager.get_authorize_url(state="abc").removeprefix(url)
    surfer = Surfer(rest)
    await surfer.log_in(path)
    return str((await surfer.press(path, "allow")).headers["location"])


async def with_pkce(rest: Rest, url: str, scope: str) -> Any:
    """spotipy's manager of a login of Grace that is done."""
    client, _ = await a_client(rest, REDIRECT)
    manager = at_home(
        SpotifyPKCE(
            client_id=client.client_id,
            redirect_uri=REDIRECT,
            scope=scope,
            open_browser=False,
            cache_handler=MemoryCacheHandler(),
        ),
        url,
    )
    _, code = manager.parse_auth_response_url(await allowed(rest, url, manager))
    await asyncio.to_thread(manager.get_access_token, code, check_cache=False)
    return manager

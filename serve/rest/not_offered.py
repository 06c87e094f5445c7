"""What clients of the Web API may ask for and Segue has no equivalent of: each is 404 with NOT_OFFERED."""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import msgspec
from starlette.responses import Response

from kernel.errors import Code, Rejected
from serve.rest.operations import Ask, NoParams, Operation

_PLAYLISTS = "there are no playlists yet"
_ANALYSIS = "tracks are not analysed beyond their loudness"
_AUDIOBOOKS = "audiobooks are shows here: ask for /v1/shows, /v1/episodes or /v1/me/shows"
_RADIO = "there are no recommendations yet; autoplay goes on with the same artist and shared genres"

TABLE = (
    ("/v1/me/playlists", "GET POST", _PLAYLISTS),
    ("/v1/users/{id}/playlists", "GET POST", _PLAYLISTS),
    ("/v1/users/{id}/starred", "GET", _PLAYLISTS),
    ("/v1/playlists/{id}", "GET PUT", _PLAYLISTS),
    ("/v1/playlists/{id}/tracks", "GET POST PUT DELETE", _PLAYLISTS),
    ("/v1/playlists/{id}/items", "GET POST PUT DELETE", _PLAYLISTS),
    ("/v1/playlists/{id}/images", "GET PUT", _PLAYLISTS),
    ("/v1/playlists/{id}/followers", "PUT DELETE", _PLAYLISTS),
    ("/v1/playlists/{id}/followers/contains", "GET", _PLAYLISTS),
    ("/v1/users/{id}/playlists/{other_id}/tracks", "DELETE", _PLAYLISTS),
    ("/v1/browse/featured-playlists", "GET", _PLAYLISTS),
    ("/v1/browse/categories/{id}/playlists", "GET", _PLAYLISTS),
    ("/v1/recommendations", "GET", _RADIO),
    ("/v1/audio-features", "GET", _ANALYSIS),
    ("/v1/audio-features/{id}", "GET", _ANALYSIS),
    ("/v1/audio-analysis/{id}", "GET", _ANALYSIS),
    ("/v1/audiobooks", "GET", _AUDIOBOOKS),
    ("/v1/audiobooks/{id}", "GET", _AUDIOBOOKS),
    ("/v1/audiobooks/{id}/chapters", "GET", _AUDIOBOOKS),
    ("/v1/chapters", "GET", _AUDIOBOOKS),
    ("/v1/chapters/{id}", "GET", _AUDIOBOOKS),
    ("/v1/me/audiobooks", "GET PUT DELETE", _AUDIOBOOKS),
    ("/v1/me/audiobooks/contains", "GET", _AUDIOBOOKS),
)
"""Path, methods, and why."""


class AnyId(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class AnyIds(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    other_id: str


_PARAMS: tuple[type[msgspec.Struct], ...] = (NoParams, AnyId, AnyIds)


def operations() -> list[Operation[Any, Any]]:
    return [
        Operation(
            method=method,
            path=path,
            summary="Not offered",
            description=f"{why[0].upper()}{why[1:]}.",
            tag="Not offered",
            handler=_refuse(why),
            params=_PARAMS[path.count("{")],
            refusals=(Code.NOT_OFFERED,),
            slash=True,
        )
        for path, methods, why in TABLE
        for method in methods.split()
    ]


def _refuse(why: str) -> Callable[[Ask[Any, None]], Awaitable[Response]]:
    async def refuse(ask: Ask[Any, None]) -> NoReturn:
        path = ask.request.url.path[:100]
        raise Rejected(Code.NOT_OFFERED, f"{ask.request.method} {path} is not offered: {why}")

    return refuse

"""REST: four requests through HAProxy and Serve and to the same application alone, and a large library.

Both servers run at once, on copies of one data folder, and are asked in turn: a machine that slows down slows
both. The one that is not asked does nothing.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from client.api import Api, Credentials
from connect.frames import CommandFrame
from kernel.ids import CommandId
from scripts.bench.child import Child
from scripts.bench.figures import Figure, median, percentile, written
from scripts.bench.generated import TRACKS_PER_ALBUM, fill
from scripts.bench.load import device_info, join, until_reply
from scripts.bench.music import ALBUM_URI
from scripts.bench.running import folder, free_ports, running
from sessions.commands import Play

LISTENERS = 32
"""Each with a device that plays, and one connection that asks."""
ROUNDS = 3
"""Through it all, alone, through it all, …"""
SAVED = 100
SAVED_LARGE = 1_000
SMALL_TRACKS = 1_000
LARGE_TRACKS = 50_000
PAGE = 50


class Request(NamedTuple):
    """What is measured: requests that take turns on each connection, `(method, path)`."""

    name: str
    turns: tuple[tuple[str, str], ...]


def _get(name: str, path: str) -> Request:
    return Request(name, (("GET", path),))


def rest(*, quick: bool) -> list[Figure]:
    """Requests a second through everything, and of the application alone."""
    with folder() as path:
        data, copy = path / "data", path / "copy"
        taken = asyncio.run(fill(data, tracks=SMALL_TRACKS, listeners=LISTENERS, saved=SAVED))
        shutil.copytree(data, copy)
        port = free_ports(2)
        with (
            Child("scripts.bench.bare_rest", str(copy), str(port)),
            running(data) as server,
            Child("scripts.bench.generator") as generator,
        ):
            urls = (server.url, f"http://127.0.0.1:{port}")
            rounds, seconds = (1, 1.0) if quick else (ROUNDS, 1.5)
            return asyncio.run(_both(urls, generator, taken.tokens, rounds=rounds, seconds=seconds))


async def _both(
    urls: tuple[str, str], generator: Child, tokens: tuple[str, ...], *, rounds: int, seconds: float
) -> list[Figure]:
    figures: list[Figure] = []
    async with AsyncExitStack() as devices:
        await asyncio.gather(
            *(devices.enter_async_context(_playing(url, token)) for url in urls for token in tokens)
        )
        for request in await _requests(Api(urls[0], Credentials(access_token=tokens[0]))):
            got = [
                [await _load(generator, url, request, tokens, seconds=seconds) for url in urls]
                for _ in range(rounds)
            ]
            through = _together([one for one, _ in got])
            alone = _together([one for _, one in got])
            ratios = [through_it["per_s"] / by_itself["per_s"] for through_it, by_itself in got]
            figures.append(
                Figure(
                    what=f"{request.name}, through HAProxy and Serve",
                    value=through["per_s"],
                    unit="requests/s",
                    note=f"p50 {_ms(through, 50)}, p99 {_ms(through, 99)}; alone under uvicorn "
                    f"{written(alone['per_s'])}/s, p50 {_ms(alone, 50)}, p99 {_ms(alone, 99)}; "
                    f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} in {rounds} rounds)",
                )
            )
    return figures


def large_library(*, quick: bool) -> list[Figure]:
    """50,000 tracks, tags only: taken in, started with, and looked at."""
    count = LARGE_TRACKS // 10 if quick else LARGE_TRACKS
    with folder() as path:
        taken = asyncio.run(fill(path / "data", tracks=count, listeners=1, saved=SAVED_LARGE))
        with running(path / "data") as server, Child("scripts.bench.generator") as generator:
            looks = asyncio.run(_looks(server.url, generator, taken.tokens, seconds=0.5 if quick else 1.5))
    named = f"{taken.tracks:,} tracks"
    return [
        Figure(
            what=f"taking in the tags of {named}",
            value=taken.tracks / taken.seconds,
            unit="tracks/s",
            note=f"{taken.albums:,} albums, {taken.artists:,} artists; every row and listing; no audio",
        ),
        Figure(what=f"start with {named}", value=server.started_s, unit="s"),
        *looks,
    ]


async def _looks(url: str, generator: Child, tokens: tuple[str, ...], *, seconds: float) -> list[Figure]:
    api = Api(url, Credentials(access_token=tokens[0]))
    try:
        looks = [
            _get("first page of albums", f"/v1/browse/albums?limit={PAGE}"),
            _get("a page from the middle", await _middle(api)),
            _get("newest albums", f"/v1/browse/new-releases?limit={PAGE}"),
            _get("search for one letter", "/v1/search?q=b&type=track,album,artist&limit=20"),
            _get("search for two words", "/v1/search?q=bako%20mi&type=track,album,artist&limit=20"),
            _get(f"saved tracks, page of {PAGE}", f"/v1/me/tracks?limit={PAGE}&offset=200"),
        ]
        figures = []
        for look in looks:
            got = await _load(generator, url, look, tokens, seconds=seconds)
            figures.append(
                Figure(
                    what=f"{look.name}, p50",
                    value=percentile(got["ms"], 50),
                    unit="ms",
                    note=f"p99 {_ms(got, 99)}, slowest {_ms(got, 100)}; one connection, through Serve",
                )
            )
        return figures
    finally:
        await api.close()


async def _middle(api: Api) -> str:
    """The page of albums after the twentieth."""
    path = f"/v1/browse/albums?limit={PAGE}"
    for _ in range(20):
        following = (await api.get(path))["next"]
        if following is None:
            break
        path = "/v1/" + following.partition("/v1/")[2]
    return path


@asynccontextmanager
async def _playing(url: str, token: str) -> AsyncIterator[None]:
    """A device of the listener's plays."""
    api = Api(url, Credentials(access_token=token))
    try:
        door = await api.connect_info()
        device = await join(door.url, door.ticket, device_info("bench-device"), nonce="nonce-bench-device")
        try:
            play = CommandId("bench-play")
            device.send(CommandFrame(command_id=play, command=Play(context_uri=ALBUM_URI)))
            assert (await until_reply(device, play)).ok, "the album is there"
            yield
        finally:
            await device.close()
    finally:
        await api.close()


async def _requests(api: Api) -> list[Request]:
    albums = (await api.get(f"/v1/browse/albums?limit={PAGE}"))["items"]
    album = next(one["id"] for one in albums if one["total_tracks"] == TRACKS_PER_ALBUM)
    return [
        _get("GET /v1/me/player", "/v1/me/player"),
        # What is paused cannot be paused, so every other request is a play.
        Request(
            "PUT /v1/me/player/pause and /play in turn",
            (("PUT", "/v1/me/player/pause"), ("PUT", "/v1/me/player/play")),
        ),
        _get(f"an album of {TRACKS_PER_ALBUM} tracks", f"/v1/albums/{album}"),
        _get(f"saved tracks, page of {PAGE}", f"/v1/me/tracks?limit={PAGE}"),
    ]


async def _load(
    generator: Child, url: str, request: Request, tokens: tuple[str, ...], *, seconds: float
) -> dict[str, Any]:
    """What the generator measured. Raises RuntimeError unless every answer was 200 or 204."""
    got = await asyncio.to_thread(
        generator.ask,
        op="http",
        url=url,
        requests=request.turns,
        tokens=tokens,
        seconds=seconds,
        warm_up_s=seconds / 3,
    )
    if not got["ms"] or set(got["statuses"]) - {"200", "204"}:
        raise RuntimeError(f"{request.name} at {url} was answered with {got['statuses']}")
    return got


def _together(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "per_s": median([one["per_s"] for one in rounds]),
        "ms": [ms for one in rounds for ms in one["ms"]],
    }


def _ms(got: dict[str, Any], rank: float) -> str:
    return f"{written(percentile(got['ms'], rank))} ms"

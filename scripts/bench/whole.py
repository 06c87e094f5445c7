"""The figure of a server as `segue up` starts it: tap to first byte."""

import asyncio
import time

import httpx

from client.api import Api, Credentials
from client.raw import RawSocket
from client.stream import EdgeSource
from connect.frames import CommandFrame, Media
from kernel.errors import SegueError
from kernel.ids import CommandId, Uri
from scripts.bench.figures import Figure, percentile
from scripts.bench.load import device_info, join
from scripts.bench.running import Server, folder, running
from sessions.commands import Play

FIRST_BYTES = 16 * 1024
WARM_UP_TAPS = 5
BETWEEN_TAPS_S = 0.12
"""Under the frames a second that one connection may send."""


def taps(*, quick: bool) -> list[Figure]:
    """On the demo album, as a newcomer has it."""
    with folder() as path, running(path / "data") as server:
        return asyncio.run(_taps(server, 20 if quick else 150))


async def _taps(server: Server, count: int) -> list[Figure]:
    api = Api(server.url, Credentials(username="demo", password=server.password))
    try:
        albums = (await api.get("/v1/browse/albums", {"limit": 1}))["items"]
        tracks = (await api.get(f"/v1/albums/{albums[0]['id']}/tracks"))["items"]
        door = await api.connect_info()
        device = await join(door.url, door.ticket, device_info("tap-device"), nonce="nonce-tap-device")
        try:
            taps_ms = [
                await _tap(device, api.http, Uri(tracks[turn % len(tracks)]["uri"]), turn)
                for turn in range(WARM_UP_TAPS + count)
            ][WARM_UP_TAPS:]
        finally:
            await device.close()
    finally:
        await api.close()
    note = f"{count} taps, warmed up: play, media, manifest, first {FIRST_BYTES >> 10} KiB from the edge"
    return [
        Figure(what="tap to first byte, p50", value=percentile(taps_ms, 50), unit="ms", note=note),
        Figure(what="tap to first byte, p99", value=percentile(taps_ms, 99), unit="ms", target="< 200"),
    ]


async def _tap(device: RawSocket, http: httpx.AsyncClient, track: Uri, turn: int) -> float:
    """Milliseconds from a play command to the first audio byte at the device."""
    while not device.closed.is_set():
        try:
            await device.receive(within_s=0.01 if turn else 0.3)
        except SegueError:
            break
    await asyncio.sleep(BETWEEN_TAPS_S)
    began = time.perf_counter()
    device.send(CommandFrame(command_id=CommandId(f"tap-{turn:08}"), command=Play(uris=(track,))))
    while not (
        isinstance(frame := await device.receive(), Media) and frame.leases and frame.leases[0].uri == track
    ):
        assert frame is not None, "a frame or an exception"
    lease = frame.leases[0]
    manifest = await EdgeSource(http).manifest(lease)
    url = f"{lease.url}{manifest.rendition(lease.rendition).file}"
    async with http.stream("GET", url, headers={"Range": f"bytes=0-{FIRST_BYTES - 1}"}) as answer:
        answer.raise_for_status()
        async for chunk in answer.aiter_raw():
            if chunk:
                return (time.perf_counter() - began) * 1000
    raise RuntimeError("the edge sent no byte")

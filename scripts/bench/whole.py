"""The figures of a server as `segue up` starts it: REST through Serve and HAProxy, tap to first byte."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from client.api import Api, Credentials
from client.raw import RawSocket
from client.stream import EdgeSource
from connect.frames import CommandFrame, Media
from kernel.errors import SegueError
from kernel.ids import CommandId, Uri
from scripts.bench.child import Child
from scripts.bench.figures import Figure, Skipped, percentile
from scripts.bench.load import device_info, join
from sessions.commands import Play

READY_WITHIN_S = 300.0
"""The first start composes and takes in an album."""
STOP_WITHIN_S = 60.0
FIRST_BYTES = 16 * 1024
WARM_UP_TAPS = 5
BETWEEN_TAPS_S = 0.12
"""Under the frames a second that one connection may send."""


class Server(NamedTuple):
    """A running one."""

    url: str
    password: str
    port: int
    data_dir: Path


def server(*, quick: bool) -> list[Figure]:
    """Both figures on one server: starting it takes longest."""
    with running() as server:
        return [*asyncio.run(_taps(server, 20 if quick else 150)), *_rest(server, quick=quick)]


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """`segue up` with these options on temporary data and free ports; stopped by its pid."""
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as folder:
        port = _free_ports(8)
        log = Path(folder) / "server.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "serve.cli",
                    "up",
                    "--data",
                    f"{folder}/data",
                    "--port",
                    str(port),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(process, url, log)
            data_dir = Path(folder) / "data"
            yield Server(url, (data_dir / "demo-login").read_text().strip(), port, data_dir)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                # Its own session: nothing in this group was started by anybody else.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise Skipped(f"segue up ended with {process.returncode}: {' / '.join(last)}")
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/v1/markets", timeout=2, trust_env=False).status_code in (200, 401):
                return
        time.sleep(0.5)
    raise Skipped(f"segue up was not ready within {READY_WITHIN_S:.0f} s")


def _free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    for first in range(18_000, 30_000, count):
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
    raise Skipped("no free ports")


async def _taps(running: Server, count: int) -> list[Figure]:
    api = Api(running.url, Credentials(username="demo", password=running.password))
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


def _rest(running: Server, *, quick: bool) -> list[Figure]:
    async def token() -> str:
        api = Api(running.url, Credentials(username="demo", password=running.password))
        try:
            return (await api.login()).access_token
        finally:
            await api.close()

    with Child("scripts.bench.generator") as generator:
        got = generator.ask(
            op="http",
            url=f"{running.url}/v1/me/player",
            token=asyncio.run(token()),
            connections=32,
            seconds=2.0 if quick else 8.0,
            warm_up_s=1.0 if quick else 3.0,
        )
    good = sum(count for status, count in got["statuses"].items() if status in ("200", "204"))
    asked = sum(got["statuses"].values())
    if not got["ms"]:
        raise RuntimeError("no answer came")
    return [
        Figure(
            what="GET /v1/me/player through HAProxy and Serve",
            value=got["per_s"],
            unit="requests/s",
            note=f"32 connections, p99 {percentile(got['ms'], 99):.0f} ms; {asked - good} not 200 or 204 "
            f"({got['statuses']}); generator {got['cpu_share']:.0%} of a core, which it shares",
        )
    ]

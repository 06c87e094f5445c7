"""One public TLS address in front of a whole server: the HAProxy of the wheel, two devices, a handoff."""

import asyncio
import re
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.sync_api import sync_playwright

from client.api import Api, Credentials
from client.device import HeadlessDevice
from client.paced import PacedBytes
from client.remote import Remote
from client.stream import EdgeSource
from client.timing import SteadyClock
from kernel.ids import DeviceId, Uri
from serve.front import proxy_config
from serve.ingress import haproxy
from serve.settings import Settings
from sessions.commands import Play, Transfer
from tests.support.listening_ports import listeners, with_children
from tests.support.server import Server, free_row, running_server
from tests.support.sound import noise_and_tones, write_sound

pytestmark = pytest.mark.timeout(300)  # a whole server starts first

HOSTS = 2
SECONDS = 60.0
"""Of music: longer than a handoff on a busy machine."""
WITHIN_S = 60.0
GUESSES = 60


class Front(NamedTuple):
    """A server, and the one address that clients are told."""

    server: Server
    url: str
    trust: ssl.SSLContext
    settings: Settings


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    port = free_row()
    url = f"https://127.0.0.1:{_free_port()}"
    settings = Settings.read({}, public_url=url, http_port=port, hosts=HOSTS)
    trust = ssl.create_default_context(cafile=_certificate(folder))
    write_sound(folder / "music/Ada/First/01 - One.flac", noise_and_tones(SECONDS))
    config = folder / "haproxy.cfg"
    config.write_text(proxy_config(settings, certificate=str(folder / "both.pem"), listen="127.0.0.1"))
    with (
        running_server(
            folder, port=port, hosts=HOSTS, music=folder / "music", env={"SEGUE_PUBLIC_URL": url}
        ) as server,
        subprocess.Popen([haproxy(), "-db", "-f", config]) as proxy,
    ):
        try:
            yield Front(server, url, trust, settings)
        finally:
            proxy.kill()


async def test_two_devices_and_a_handoff_see_one_address_only(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the sockets; websockets asks OpenSSL for what to trust, and that asks here.
    monkeypatch.setenv("SSL_CERT_FILE", str(front.server.log.parent / "certificate.pem"))
    reached: set[str] = set()
    name, password = front.server.new_user()
    credentials = Credentials(username=name, password=password)
    async with (
        _device(front, "Phone", credentials, reached),
        _device(front, "Kitchen", credentials, reached) as kitchen,
        Remote(front.url, api=_api(front, credentials, reached), name="Remote") as remote,
    ):
        phone = await remote.wait_for_device("Phone", within_s=WITHIN_S)
        target = await remote.wait_for_device("Kitchen", within_s=WITHIN_S)
        [album, *_] = (await remote.api.get("/v1/browse/albums"))["items"]
        await remote.command(Play(context_uri=Uri(album["uri"]), device_id=phone.device_id))
        await remote.wait_for(lambda player: player.is_playing, within_s=WITHIN_S)
        await remote.command(Transfer(device_id=target.device_id), within_s=WITHIN_S)
        player = await remote.wait_for(
            lambda player: player.last_handoff is not None and player.last_handoff.gap_ms is not None,
            within_s=WITHIN_S,
        )
        assert (player.active_device_id, player.is_playing) == (target.device_id, True)
        assert isinstance(kitchen.output, PacedBytes)
        assert kitchen.output.fetched_bytes > 0, "the music came through the proxy as well"
        way = await remote.api.connect_info()
        assert re.fullmatch(rf"wss{re.escape(front.url[5:])}/socket/host-[01]/", way.url)
    assert reached == {front.url}


def test_a_browser_gets_the_page_and_its_socket_through_it(front: Front, chromium_path: str) -> None:
    """It speaks HTTP/2 to the proxy, which nothing else here does."""
    name, password = front.server.new_user()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = browser.new_page(ignore_https_errors=True)
        sockets: list[str] = []
        page.on("websocket", lambda opened: sockets.append(opened.url))
        page.goto(front.url)
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        deadline = time.monotonic() + WITHIN_S
        while not page.evaluate("__segue.status() === 'online' && __segue.state() !== null"):
            assert time.monotonic() < deadline, "the page is not online"
            page.wait_for_timeout(50)
        versions = page.evaluate("performance.getEntriesByType('resource').map((one) => one.nextHopProtocol)")
        browser.close()
    assert "h2" in versions
    assert sockets
    assert all(url.startswith(f"wss{front.url[5:]}/socket/host-") for url in sockets)


async def test_each_process_behind_it_is_ready_and_tells_its_numbers(front: Front) -> None:
    behind = front.settings
    async with httpx.AsyncClient(trust_env=False) as client:
        for port in (
            behind.http_port,
            behind.edge_port,
            *(behind.host_port(index) for index in range(HOSTS)),
        ):
            for path in ("/healthz", "/healthz/live"):
                assert (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200, (port, path)
            assert "# TYPE segue_" in (await client.get(f"http://127.0.0.1:{port}/metrics")).text


async def test_each_path_is_answered_by_the_process_that_it_names(front: Front) -> None:
    """A host answers a plain request for its socket itself; Serve answers for a host that there is not."""
    async with _http(front) as client:
        for index in range(HOSTS):
            refused = await client.get(f"/socket/host-{index}/")
            assert (refused.status_code, "server" in refused.headers) == (426, False)
        art = await client.get(f"/art/{'0' * 64}")
        assert (art.status_code, art.headers["cross-origin-resource-policy"]) == (404, "cross-origin")
        nowhere = await client.get("/socket/host-7/")
        assert (nowhere.status_code, "<html" in nowhere.text) == (404, False)


async def test_who_operates_it_is_not_served_in_public(front: Front) -> None:
    async with _http(front) as client:
        for path in ("/metrics", "/%6detrics", "/-/routes", "/%2d/healthz"):
            assert (await client.get(path)).status_code == 404, path
        page = await client.get("/")
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert (
            f"connect-src 'self' {front.url} wss{front.url[5:]};" in page.headers["content-security-policy"]
        )


async def test_logins_are_limited_by_the_address_that_the_proxy_saw(front: Front) -> None:
    """The limit is of a range of addresses; both are this machine's."""

    async def guess(number: int, own_address: str) -> int:
        form = {"grant_type": "password", "username": f"nobody-{number}", "password": "guess"}
        async with _http(front, own_address) as client:
            # Each from another address, if the client had its way.
            told = {"x-forwarded-for": f"10.0.{number}.1"}
            return (await client.post("/api/token", data=form, headers=told)).status_code

    assert 429 in [await guess(number, "127.0.1.1") for number in range(GUESSES)]
    assert await guess(GUESSES, "127.0.2.1") == 400


def test_nothing_listens_beyond_loopback_unless_asked(front: Front) -> None:
    assert front.server.process_id is not None
    listening = {
        address: process_id
        for process_id in with_children(front.server.process_id)
        for address in listeners(process_id)
    }
    assert {
        ("127.0.0.1", front.settings.http_port),
        ("127.0.0.1", front.settings.host_port(1)),
    } <= listening.keys()
    beyond = {address: who for address, who in listening.items() if not ip_address(address[0]).is_loopback}
    assert beyond == {}, {who: Path(f"/proc/{who}/cmdline").read_text() for who in beyond.values()}


# --- pieces -----------------------------------------------------------------------------------------


def _http(front: Front, own_address: str | None = None) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(verify=front.trust, local_address=own_address)
    return httpx.AsyncClient(base_url=front.url, trust_env=False, transport=transport)


class _Seen(httpx.AsyncHTTPTransport):
    """Notes which servers were asked."""

    def __init__(self, trust: ssl.SSLContext, reached: set[str]) -> None:
        super().__init__(verify=trust)
        self._reached = reached

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._reached.add(f"{request.url.scheme}://{request.url.netloc.decode()}")
        return await super().handle_async_request(request)


def _api(front: Front, credentials: Credentials, reached: set[str]) -> Api:
    return Api(front.url, credentials, transport=_Seen(front.trust, reached))


@asynccontextmanager
async def _device(
    front: Front, name: str, credentials: Credentials, reached: set[str]
) -> AsyncIterator[HeadlessDevice]:
    api = _api(front, credentials, reached)
    clock = SteadyClock()
    device = HeadlessDevice(
        name,
        api,
        PacedBytes(EdgeSource(api.http), clock),
        device_id=DeviceId(f"{name.lower()}-0001"),
        clock=clock,
    )
    running = asyncio.create_task(device.run())
    try:
        yield device
    finally:
        await device.close()
        await asyncio.wait([running])
        await api.close()


def _certificate(folder: Path) -> Path:
    """One for 127.0.0.1 that vouches for itself; with its key in `both.pem`, as HAProxy wants it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "segue test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "certificate.pem").write_bytes(pem)
    (folder / "both.pem").write_bytes(pem + secret)
    return folder / "certificate.pem"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""What outlives its maker: music a token that ran out, the shell a server that is gone."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE_MS, Device
from tests.support.absent import absent
from tests.support.server import ROOT, Server, running_server

TOKEN_TTL_S = 60
"""The shortest that the server takes: the one test that has to wait for it is long."""
FIRST_LOAD_BYTES_MAX = 300_000


@dataclass(frozen=True)
class Forgetful:
    """A server whose tokens soon run out, and which may be ended."""

    server: Server
    stack: ExitStack


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forgetful]:
    if not (ROOT / "web" / "dist" / "index.html").is_file():
        absent("web/dist is not built: cd web && npm ci && npm run build")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGUE_TOKEN_TTL_S", str(TOKEN_TTL_S))
        server = stack.enter_context(running_server(tmp_path_factory.mktemp("forgetful")))
        yield Forgetful(server, stack)


@pytest.fixture
def device(forgetful: Forgetful, chromium: Browser) -> Iterator[Device]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    device = Device(page=page, url=forgetful.server.url)
    device.open()
    device.sign_in(*forgetful.server.new_user())
    yield device
    context.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_token_that_runs_out_in_the_middle_of_the_music_is_not_heard(device: Device) -> None:
    began = time.monotonic()
    device.play_album()
    page = device.page
    tokens: list[str] = []
    page.on(
        "request", lambda request: tokens.append(request.url) if "/session/token" in request.url else None
    )
    page.get_by_role("button", name="Repeat: off").click()
    device.wait_for("__segue.state().player.repeat === 'context'")
    before = device.ask("[__segue.audioTime(), performance.now() / 1000]")
    while time.monotonic() < began + TOKEN_TTL_S + 3:
        page.wait_for_timeout(500)
    assert tokens == [], "nothing was asked for, so nothing had to be renewed"
    # Both ways to the server: REST by itself, and a new connection.
    page.get_by_role("searchbox", name="Search").fill("waltz")
    expect(page.get_by_role("list", name="Tracks").get_by_text("Harbour Waltz")).to_be_visible()
    assert len(tokens) == 1
    device.ask("__segue.link.drop()")
    device.ask("__segue.link.restore()")
    device.wait_for("__segue.status() === 'online'")
    after = device.ask("[__segue.audioTime(), performance.now() / 1000]")
    assert device.ask("__segue.playing()") is True
    assert abs((after[0] - before[0]) - (after[1] - before[1])) < 0.15, "the sound was interrupted"


@pytest.mark.timeout(300)
def test_the_shell_loads_without_a_server_and_says_so(device: Device, forgetful: Forgetful) -> None:
    page = device.page
    sizes = device.ask(
        """performance.getEntries().filter((one) => one.entryType === "navigation"
            || /assets|icon|manifest/.test(one.name)).map((one) => one.encodedBodySize)"""
    )
    assert 0 < sum(sizes) < FIRST_LOAD_BYTES_MAX
    worker = device.ask("navigator.serviceWorker.ready.then(({ active }) => active.scriptURL)")
    assert worker == f"{device.url}/sw.js"
    manifest = device.ask("fetch('/manifest.json').then((answer) => answer.json())")
    for icon in manifest["icons"]:
        assert device.ask(f"fetch('{icon['src']}').then((answer) => answer.status)") == 200
    device.wait_for("navigator.serviceWorker.controller !== null")
    forgetful.stack.close()
    page.reload()
    expect(page.get_by_role("link", name="Segue, all albums")).to_be_visible()
    expect(page.locator(".banner")).to_contain_text("The server cannot be reached.")

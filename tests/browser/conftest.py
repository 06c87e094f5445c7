"""A server, a Chromium, and listeners in it: each browser context is a device of its own."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.absent import absent
from tests.support.server import ROOT, Server, already_running, running_server

FLAGS = (
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 20_000
"""Two shared cores may be busy; what is waited for is looked at all the time, so patience costs nothing."""

expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Device:
    """One browser of a listener, signed in or about to be."""

    page: Page
    url: str

    def open(self) -> None:
        self.page.goto(self.url)

    def sign_in(self, name: str, password: str) -> None:
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.wait_for("__segue.status() === 'online' && __segue.state() !== null")

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page; JSON, hence no type."""
        return self.page.evaluate(expression)

    def wait_for(self, expression: str) -> None:
        """Until it is true. (Playwright's own waiting evaluates strings, which the page's policy forbids.)"""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.ask(expression):
            assert time.monotonic() < deadline, f"within {PATIENCE_MS} ms never true: {expression}"
            self.page.wait_for_timeout(50)

    def call(self, name: str) -> None:
        """Rename this device, so that a person, and a test, can tell it from another."""
        self.show("Devices")
        self.page.get_by_role("button", name="Rename this device").click()
        self.page.get_by_label("Name of this device").fill(name)
        self.page.get_by_label("Name of this device").press("Enter")
        self.wait_for(f"{self.ask_own}?.name === '{name}'")

    ask_own: ClassVar[str] = "__segue.state().devices.find((one) => one.device_id === __segue.deviceId)"
    """This device, as the session has it."""

    def show(self, panel: str) -> None:
        button = self.page.get_by_role("button", name=panel, exact=True)
        if button.get_attribute("aria-expanded") != "true":
            button.click()

    def play_album(self, *, track: int = 0) -> None:
        """The one whose tracks run into each other, from its `track`-th."""
        self.page.goto(f"{self.url}/#/")
        self.page.get_by_role("link", name=re.compile("Harbour Lights")).click()
        self.page.get_by_role("list", name="Tracks").locator(".row-main").nth(track).click()
        self.wait_for("__segue.playing()")

    @property
    def level(self) -> float:
        """The loudest of a few looks at what leaves the graph: music has rests."""
        return float(
            self.ask(
                """async () => {
                    let loudest = 0;
                    for (let i = 0; i < 20; i++) {
                        loudest = Math.max(loudest, __segue.level());
                        await new Promise((resolve) => setTimeout(resolve, 25));
                    }
                    return loudest;
                }"""
            )
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if running := already_running():
        yield running
        return
    if not (ROOT / "web" / "dist" / "index.html").is_file():
        absent("web/dist is not built: cd web && npm ci && npm run build")
    with running_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="session")
def chromium(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def new_device(server: Server, chromium: Browser) -> Iterator[Callable[[], Device]]:
    """Another browser, not signed in. A script error in any of them fails the test at its end."""
    errors: list[str] = []
    with ExitStack() as stack:

        def make() -> Device:
            context = chromium.new_context(viewport={"width": 1280, "height": 800})
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("pageerror", lambda error: errors.append(str(error)))
            return Device(page=page, url=server.url)

        yield make
    assert errors == []


@pytest.fixture
def account(server: Server) -> tuple[str, str]:
    return server.new_user()


@pytest.fixture
def listen(new_device: Callable[[], Device], account: tuple[str, str]) -> Callable[[], Device]:
    """Another device of the same new listener, signed in."""

    def make() -> Device:
        device = new_device()
        device.open()
        device.sign_in(*account)
        return device

    return make


@pytest.fixture(scope="session")
def strict_chromium(chromium_path: str, chromium: Browser) -> Iterator[Browser]:
    """As listeners have it: a page may sound only once it was touched."""
    flags = [flag for flag in FLAGS if not flag.startswith("--autoplay-policy")]
    browser = chromium.browser_type.launch(executable_path=chromium_path, args=flags)
    yield browser
    browser.close()

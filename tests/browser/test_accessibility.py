"""Each page as axe sees it: wide and light, narrow and dark."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import PATIENCE_MS, Device
from tests.support.absent import absent
from tests.support.server import ROOT, Server

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = """axe.run().then(({ violations }) => JSON.stringify(violations.map(({ id, nodes }) =>
    `${id}: ${nodes.map(({ target }) => target).join(" ")}`)))"""


@pytest.fixture(params=[("light", 1280, 800), ("dark", 390, 844)], ids=["wide and light", "narrow and dark"])
def device(request: pytest.FixtureRequest, chromium: Browser, server: Server) -> Iterator[Device]:
    scheme, width, height = request.param
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        # What is half faded in has half the contrast.
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield Device(page=page, url=server.url)
    context.close()


def test_axe_finds_no_violation_on_any_page(device: Device, account: tuple[str, str]) -> None:
    if not AXE.is_file():
        absent(f"{AXE.relative_to(ROOT)} is not there: cd web && npm ci")
    page = device.page
    found: dict[str, str] = {}

    def look(name: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
        if (seen := violations(page)) != "[]":
            found[name] = seen

    device.open()
    look("login")
    device.sign_in(*account)
    page.locator(".grid .tile").first.wait_for()
    look("albums")
    device.play_album()
    look("album")
    page.get_by_role("list", name="Tracks").get_by_role("button", name="More for Lamplight").click()
    look("menu")
    page.get_by_role("menuitem", name="Play next").click()
    device.show("Queue")
    page.get_by_role("region", name="Your queue").wait_for()
    look("queue")
    device.show("Devices")
    look("devices")
    page.keyboard.press("Escape")
    others: dict[str, Callable[[], None]] = {
        "now": lambda: page.get_by_role("region", name="What comes next").wait_for(),
        "settings": lambda: page.get_by_role("switch", name="Leave out explicit").wait_for(),
        "search/harbour": lambda: page.get_by_role("list", name="Tracks").wait_for(),
        "library/recent": lambda: page.get_by_text("Nothing was played to its end yet.").wait_for(),
        "artists": lambda: page.get_by_role("link", name=re.compile("^Mira Solenne")).first.wait_for(),
        "shows": lambda: page.get_by_text("Nothing spoken here").wait_for(),
        "library/tracks": lambda: page.get_by_text("Nothing yet.").wait_for(),
    }
    for name, is_there in others.items():
        page.goto(f"{device.url}/#/{name}")
        is_there()
        look(name)
    page.goto(f"{device.url}/#/artists")
    page.get_by_role("link", name=re.compile("^Mira Solenne")).first.click()
    page.get_by_role("heading", name="Mira Solenne").wait_for()
    look("artist")
    assert found == {}


def violations(page: Page) -> str:
    """Past the page's policy, which lets no script in that is not its own."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    asked = {"expression": VIOLATIONS, "awaitPromise": True, "returnByValue": True}
    answer = session.send("Runtime.evaluate", asked)
    session.detach()
    return str(answer["result"]["value"])

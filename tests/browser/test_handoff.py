"""Two browsers of one listener: hand the music over, steer from afar, lose the network and come back."""

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE_MS, Device

Listen = Callable[[], Device]

GAP_MS_MAX = 30.0
JUMP_MS_MAX = 40.0


@pytest.fixture
def kitchen(listen: Listen) -> Device:
    device = listen()
    device.call("Kitchen")
    return device


@pytest.fixture
def study(listen: Listen) -> Device:
    device = listen()
    device.call("Study")
    return device


def test_the_music_goes_to_the_other_device_and_back_without_a_gap(kitchen: Device, study: Device) -> None:
    kitchen.play_album()
    item = kitchen.ask("__segue.state().player.track.uid")
    seen: set[str] = set()
    for source, target, button in ((kitchen, study, "Play on Study"), (study, kitchen, "Play on Kitchen")):
        before_ms = source.ask("__segue.position()")
        # Asked for once from the target itself and once from the source, as a remote.
        kitchen.show("Devices")
        kitchen.page.get_by_role("button", name=button).click()
        source.wait_for("!__segue.playing()")
        target.wait_for(
            "__segue.playing() && __segue.lastHandoff()?.to_device_id === __segue.deviceId"
            " && __segue.lastHandoff().gap_ms != null"
        )
        handoff = target.ask("__segue.lastHandoff()")
        assert handoff["handoff_id"] not in seen
        seen.add(handoff["handoff_id"])
        assert abs(handoff["gap_ms"]) < GAP_MS_MAX
        assert abs(handoff["jump_ms"]) < JUMP_MS_MAX
        assert target.ask("__segue.state().player.track.uid") == item
        assert target.ask("__segue.position()") > before_ms
        assert target.level > 0.005
        assert source.level < 1e-4
        # What the page shows is what the state says.
        kitchen.wait_for(f"__segue.lastHandoff()?.handoff_id === '{handoff['handoff_id']}'")
        kitchen.wait_for("__segue.lastHandoff().gap_ms != null")
        shown = kitchen.page.get_by_test_id("gap")
        figure = re.match(r"([0-9.]+) ms (gap|overlap)$", shown.inner_text())
        assert figure is not None, shown.inner_text()
        said_ms = float(figure[1]) * (-1 if figure[2] == "overlap" else 1)
        assert abs(said_ms - handoff["gap_ms"]) <= 0.051


def test_a_paused_session_is_handed_over_paused(kitchen: Device, study: Device) -> None:
    kitchen.play_album()
    kitchen.page.get_by_role("button", name="Pause").click()
    kitchen.wait_for("__segue.state().player.is_paused && !__segue.playing()")
    stood_ms = kitchen.ask("__segue.position()")
    study.show("Devices")
    study.page.get_by_role("button", name="Play on Study").click()
    study.wait_for("__segue.state().player.active_device_id === __segue.deviceId")
    assert study.ask("__segue.state().player.is_paused") is True
    assert study.level < 1e-4
    study.page.get_by_role("button", name="Play", exact=True).first.click()
    study.wait_for("__segue.playing()")
    assert study.level > 0.005
    assert abs(study.ask("__segue.position()") - stood_ms) < 3_000


def test_one_device_steers_the_other(kitchen: Device, study: Device) -> None:
    kitchen.play_album()
    expect(study.page.get_by_role("button", name=re.compile("Playing on Kitchen"))).to_be_visible()
    study.page.get_by_role("button", name="Pause").click()
    kitchen.wait_for("!__segue.playing()")
    study.page.locator(".round.play").click()
    kitchen.wait_for("__segue.playing()")
    study.page.get_by_label("Volume of Kitchen").first.fill("10")
    kitchen.wait_for(f"{kitchen.ask_own}.volume_percent === 10")
    expect(kitchen.page.get_by_label("Volume", exact=True)).to_have_value("10")
    study.page.get_by_role("button", name="Next", exact=True).click()
    expect(kitchen.page.locator(".bar-title")).to_have_text("Tide Going Out")
    study.page.get_by_role("contentinfo").get_by_role("slider", name="Position").fill("15000")
    kitchen.wait_for("__segue.playing() && Math.abs(__segue.position() - 15000) < 5000")
    study.page.get_by_role("button", name="Previous", exact=True).click()
    kitchen.wait_for("__segue.playing() && __segue.position() < 10000")
    assert study.ask("__segue.playing()") is False
    assert study.level < 1e-4


def test_the_music_plays_on_without_a_network_and_the_session_is_resumed(kitchen: Device) -> None:
    kitchen.play_album()
    kitchen.wait_for("__segue.bufferedMs() > 8000")
    owner = kitchen.ask("[__segue.state().ownerEpoch, __segue.state().seq]")
    kitchen.page.context.set_offline(True)
    kitchen.ask("__segue.link.drop()")
    expect(kitchen.page.locator(".banner")).to_be_visible()
    before = kitchen.ask("[__segue.audioTime(), performance.now() / 1000]")
    assert kitchen.level > 0.005
    kitchen.page.wait_for_timeout(2_000)
    after = kitchen.ask("[__segue.audioTime(), performance.now() / 1000]")
    assert abs((after[0] - before[0]) - (after[1] - before[1])) < 0.1, "the sound broke with the network"
    kitchen.page.context.set_offline(False)
    kitchen.ask("__segue.link.restore()")
    kitchen.wait_for("__segue.status() === 'online'")
    expect(kitchen.page.locator(".banner")).to_have_count(0)
    kitchen.wait_for("__segue.playing()")
    again = kitchen.ask("[__segue.audioTime(), performance.now() / 1000]")
    assert abs((again[0] - before[0]) - (again[1] - before[1])) < 0.1, "the resume restarted the music"
    assert kitchen.ask("[__segue.state().ownerEpoch, __segue.state().seq]") >= owner
    kitchen.page.get_by_role("button", name="Pause").click()
    kitchen.wait_for("__segue.state().player.is_paused && !__segue.playing()")


def test_two_tabs_of_one_browser_are_two_devices_and_the_music_stays_where_it_is(kitchen: Device) -> None:
    kitchen.play_album()
    second = Device(page=kitchen.page.context.new_page(), url=kitchen.url)
    second.open()
    second.wait_for("window.__segue?.status() === 'online' && __segue.state() !== null")
    assert kitchen.ask("__segue.playing()") is True
    assert second.ask("__segue.deviceId") != kitchen.ask("__segue.deviceId")
    second.show("Devices")
    second.page.get_by_role("button", name=re.compile("^Play on .*, tab 2$")).click()
    second.wait_for("__segue.playing() && __segue.lastHandoff()?.gap_ms != null")
    kitchen.wait_for("!__segue.playing()")
    # A reload, and another tab in the place of one that was closed, are the devices that they were.
    tab = second.ask("__segue.deviceId")
    second.page.reload()
    second.wait_for("window.__segue?.status() === 'online'")
    assert second.ask("__segue.deviceId") == tab
    second.page.close()
    third = Device(page=kitchen.page.context.new_page(), url=kitchen.url)
    third.open()
    third.wait_for("window.__segue?.status() === 'online'")
    assert third.ask("__segue.deviceId") == tab


def test_a_device_that_was_replaced_says_so_and_can_take_over_again(kitchen: Device) -> None:
    # A browser without locks cannot tell its tabs apart.
    second = kitchen.page.context.new_page()
    second.add_init_script("delete Navigator.prototype.locks")
    second.goto(kitchen.url)
    expect(kitchen.page.get_by_role("alert")).to_contain_text("another tab")
    second.close()
    kitchen.page.get_by_role("button", name="Use this tab").click()
    kitchen.wait_for("__segue.status() === 'online'")


class Untouched:
    """A page that nobody has clicked in. Playwright's evaluation counts as a touch: it is asked past it."""

    def __init__(self, browser: Browser, kitchen: Device) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 800})
        # Signed in by an earlier visit.
        self.context.add_cookies([cast(Any, each) for each in kitchen.page.context.cookies()])
        self.context.add_init_script("localStorage.setItem('segue.signed_in', '1')")
        self.page = self.context.new_page()
        self._session = self.context.new_cdp_session(self.page)
        self.page.goto(kitchen.url)
        self.wait_for("window.__segue?.status() === 'online' && __segue.state() !== null")

    def ask(self, expression: str) -> Any:
        asked = {"expression": expression, "returnByValue": True, "userGesture": False}
        return self._session.send("Runtime.evaluate", asked)["result"].get("value")

    def wait_for(self, expression: str) -> None:
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.ask(expression):
            assert time.monotonic() < deadline, f"within {PATIENCE_MS} ms never true: {expression}"
            time.sleep(0.05)

    def tap(self, selector: str) -> None:
        """Where a person would, by the mouse alone."""
        corner = self.ask(f"JSON.stringify(document.querySelector('{selector}').getBoundingClientRect())")
        box = json.loads(corner)
        self.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


@pytest.fixture
def untouched(strict_chromium: Browser, kitchen: Device) -> Iterator[Untouched]:
    page = Untouched(strict_chromium, kitchen)
    yield page
    page.context.close()


def test_a_device_nobody_touched_refuses_in_words_and_takes_over_once_it_is_tapped(
    kitchen: Device, untouched: Untouched
) -> None:
    kitchen.play_album()
    kitchen.show("Devices")
    kitchen.page.get_by_role("button", name=re.compile("^Play on Chrome")).click()
    expect(kitchen.page.locator(".toast")).to_contain_text("has to be tapped once")
    assert kitchen.ask("__segue.playing()") is True
    assert untouched.ask("__segue.audioContext()") == "suspended"
    untouched.tap("h1")
    untouched.wait_for("__segue.audioContext() === 'running'")
    kitchen.page.get_by_role("button", name=re.compile("^Play on Chrome")).click()
    untouched.wait_for("__segue.playing() && __segue.lastHandoff()?.gap_ms != null")
    untouched.wait_for("__segue.level() > 0.005")


def test_an_active_device_that_was_never_touched_asks_for_a_tap(
    kitchen: Device, untouched: Untouched
) -> None:
    kitchen.play_album()
    # Paused, it may be handed over; to be played there, a tap is needed.
    kitchen.page.get_by_role("button", name="Pause").click()
    kitchen.wait_for("__segue.state().player.is_paused")
    kitchen.show("Devices")
    kitchen.page.get_by_role("button", name=re.compile("^Play on Chrome")).click()
    untouched.wait_for("__segue.state().player.active_device_id === __segue.deviceId")
    kitchen.page.locator(".round.play").click()
    untouched.wait_for("document.querySelector('.gesture') !== null")
    untouched.tap(".gesture")
    untouched.wait_for("__segue.playing() && document.querySelector('.gesture') === null")
    untouched.wait_for("__segue.level() > 0.005")

"""The listener's own queue in the page: put into another order by pointer and by keyboard."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Device

Listen = Callable[[], Device]
TITLES = ["Tide Going Out", "Tide Coming In", "Harbour Waltz"]


@pytest.fixture
def device(listen: Listen) -> Device:
    """Plays, with three tracks queued and the queue open."""
    device = listen()
    device.play_album()
    device.show("Queue")
    for count, title in enumerate(TITLES, start=1):
        device.page.get_by_role("button", name=f"Add {title} to the queue").click()
        expect(rows(device)).to_have_count(count)
    return device


def test_a_track_is_dragged_to_another_place_and_back_by_undo(device: Device) -> None:
    first = grip(device, "Tide Going Out").bounding_box()
    last = grip(device, "Harbour Waltz").bounding_box()
    assert first is not None
    assert last is not None
    mouse = device.page.mouse
    mouse.move(first["x"] + 8, first["y"] + 8)
    mouse.down()
    mouse.move(first["x"] + 8, last["y"] + 4, steps=6)
    mouse.up()
    shows(device, ["Tide Coming In", "Harbour Waltz", "Tide Going Out"])
    # The session has it so too, not only the page.
    device.page.reload()
    device.wait_for("window.__segue?.status() === 'online' && __segue.state() !== null")
    device.show("Queue")
    shows(device, ["Tide Coming In", "Harbour Waltz", "Tide Going Out"])
    device.page.get_by_role("button", name="Undo").click()
    shows(device, TITLES)


def test_a_drag_that_is_escaped_changes_nothing(device: Device) -> None:
    version = device.ask("__segue.state().player.queue_version.minor")
    box = grip(device, "Tide Going Out").bounding_box()
    assert box is not None
    mouse = device.page.mouse
    mouse.move(box["x"] + 8, box["y"] + 8)
    mouse.down()
    mouse.move(box["x"] + 8, box["y"] + 120, steps=4)
    device.page.keyboard.press("Escape")
    mouse.up()
    shows(device, TITLES)
    assert device.ask("__segue.state().player.queue_version.minor") == version


def test_the_arrow_keys_move_a_track_and_keep_the_focus_on_it(device: Device) -> None:
    page = device.page
    grip(device, "Harbour Waltz").focus()
    page.keyboard.press("ArrowUp")
    shows(device, ["Tide Going Out", "Harbour Waltz", "Tide Coming In"])
    expect(grip(device, "Harbour Waltz")).to_be_focused()
    page.keyboard.press("ArrowUp")
    shows(device, ["Harbour Waltz", "Tide Going Out", "Tide Coming In"])
    # With Alt from anywhere in the row, also where the arrow alone means something else.
    rows(device).filter(has_text="Harbour Waltz").locator(".item-main").focus()
    page.keyboard.press("Alt+ArrowDown")
    shows(device, ["Tide Going Out", "Harbour Waltz", "Tide Coming In"])
    expect(page.get_by_role("status").filter(has_text="Harbour Waltz is now 2 of 3")).to_have_count(1)
    page.keyboard.press("Delete")
    shows(device, ["Tide Going Out", "Tide Coming In"])


def test_the_menu_of_a_track_puts_it_next(device: Device) -> None:
    page = device.page
    page.get_by_role("list", name="Tracks").get_by_role("button", name="More for Lamplight").click()
    page.get_by_role("menuitem", name="Play next").click()
    shows(device, ["Lamplight", *TITLES])
    # By keyboard alone: open, go down, choose.
    more = rows(device).nth(2).get_by_role("button", name=re.compile("^More for"))
    more.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Play next")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    shows(device, ["Lamplight", "Tide Coming In", "Tide Going Out", "Harbour Waltz"])


def rows(device: Device) -> Locator:
    return device.page.get_by_role("region", name="Your queue").locator("li")


def grip(device: Device, title: str) -> Locator:
    return device.page.get_by_role("button", name=f"Move {title}", exact=True)


def shows(device: Device, titles: list[str]) -> None:
    expect(rows(device).locator(".row-title")).to_have_text(titles)

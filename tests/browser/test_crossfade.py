"""One track fades into the next, measured on what comes out of both ways into the audio graph."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Device

FADE_S = 6
HEARD = 0.003
"""Root mean square: music, however quiet."""
SILENT = 1e-4
BEFORE_END_MS = 9_000
"""Time enough for what comes next to be fetched before it is faded into."""

WATCH = """() => {
    window.__heard = [];
    window.__watch = setInterval(() => window.__heard.push({ levels: __segue.levels() }), 50);
}"""
OVERLAP_MS = f"50 * __heard.filter(({{ levels }}) => Math.min(...levels) > {HEARD}).length"
A_CUT_MS = 150
"""A look reaches back over some 50 ms: right after a cut it sees both."""

Listen = Callable[[], Device]


@pytest.fixture
def device(listen: Listen) -> Device:
    """With a crossfade set where a person sets it."""
    device = listen()
    device.page.get_by_role("link", name="Settings").click()
    slider = device.page.get_by_role("slider", name="Crossfade")
    slider.fill(str(FADE_S))
    expect(device.page.get_by_text(f"{FADE_S} s", exact=True)).to_be_visible()
    return device


def play_found(device: Device) -> None:
    """Tracks that are no album: what a search finds, from its first on."""
    device.page.get_by_role("searchbox", name="Search").fill("tide")
    rows = device.page.get_by_role("list", name="Tracks").locator(".row-main")
    expect(rows.nth(1)).to_be_visible()
    rows.first.click()
    device.wait_for("__segue.playing() && __segue.state().player.next_tracks.length > 0")


def go_near_the_end(device: Device) -> None:
    device.ask(WATCH)
    end_ms = device.ask("__segue.state().player.duration") - BEFORE_END_MS
    position = device.page.get_by_role("contentinfo").get_by_role("slider", name="Position")
    position.fill(str(end_ms // 1000 * 1000))
    device.wait_for(f"__segue.playing() && __segue.position() >= {end_ms - 1000}")


def test_both_tracks_sound_while_one_fades_into_the_next(device: Device) -> None:
    play_found(device)
    first = device.ask("__segue.state().player.play_id")
    coming = device.ask("__segue.state().player.next_tracks[0].uri")
    go_near_the_end(device)
    device.wait_for(f"Math.min(...__segue.levels()) > {HEARD}")
    device.wait_for(f"__segue.state().player.play_id !== '{first}'")
    assert device.ask("__segue.state().player.track.uri") == coming
    # The session hears of the next track when that begins, not when the last one has ended.
    device.wait_for(f"__segue.levels()[1] > {HEARD}")
    assert device.ask("__segue.position()") < FADE_S * 1000
    assert device.ask("Math.abs(__segue.position() - __segue.due())") < 150
    device.wait_for(f"__segue.position() > {FADE_S * 1000} && __segue.levels()[1] < {SILENT}")
    assert device.level > HEARD
    assert device.ask(OVERLAP_MS) > FADE_S * 1000 / 4
    # It never paused for breath on the way.
    assert device.ask("__segue.state().player.is_buffering") is False


def test_an_album_in_its_order_goes_on_without_a_fade(device: Device) -> None:
    device.play_album()
    first = device.ask("__segue.state().player.play_id")
    go_near_the_end(device)
    device.wait_for(f"__segue.state().player.play_id !== '{first}' && __segue.position() > 1000")
    assert device.ask("__heard.every(({ levels }) => levels[1] === 0)")


def test_skipping_by_hand_is_no_fade_and_ends_one(device: Device) -> None:
    play_found(device)
    go_near_the_end(device)
    device.wait_for(f"Math.min(...__segue.levels()) > {HEARD}")
    device.page.get_by_role("button", name="Previous", exact=True).click()
    device.wait_for(f"__segue.levels()[1] < {SILENT}")
    device.wait_for("__segue.playing() && __segue.position() > 500")
    device.ask("clearInterval(__watch)")
    device.ask(WATCH)
    play = device.ask("__segue.state().player.play_id")
    device.page.get_by_role("button", name=re.compile("^Next$")).click()
    device.wait_for(
        f"__segue.state().player.play_id !== '{play}' && __segue.playing() && __segue.position() > 500"
    )
    assert device.ask(OVERLAP_MS) <= A_CUT_MS
    assert device.level > HEARD


def test_the_music_is_handed_over_in_the_middle_of_a_fade(device: Device, listen: Listen) -> None:
    other = listen()
    other.call("Study")
    play_found(device)
    go_near_the_end(device)
    device.wait_for(f"Math.min(...__segue.levels()) > {HEARD}")
    device.show("Devices")
    device.page.get_by_role("button", name="Play on Study").click()
    other.wait_for("__segue.playing() && __segue.lastHandoff()?.gap_ms != null")
    assert abs(other.ask("__segue.lastHandoff().jump_ms")) < 100
    device.wait_for("!__segue.playing() && __segue.level() < 1e-4")
    assert other.level > HEARD

"""The page in a real browser against a real server: sign in, look, play, and do things to what plays."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Device

Listen = Callable[[], Device]


def test_a_wrong_password_is_said_in_words(new_device: Listen, account: tuple[str, str]) -> None:
    device = new_device()
    device.open()
    device.page.get_by_label("User name").fill(account[0])
    device.page.get_by_label("Password").fill("not the password")
    device.page.get_by_role("button", name="Sign in").click()
    expect(device.page.get_by_role("alert")).to_contain_text("do not go together")


def test_a_listener_signs_in_sees_albums_with_their_covers_and_stays_signed_in(listen: Listen) -> None:
    device = listen()
    albums = device.page.locator(".grid .tile")
    expect(albums).to_have_count(3)
    device.wait_for(
        "[...document.querySelectorAll('.tile img')].filter((one) => one.naturalWidth > 0).length === 3"
    )
    device.page.reload()
    expect(albums).to_have_count(3)


def test_signing_out_leaves_nothing_behind(listen: Listen) -> None:
    device = listen()
    device.play_album()
    device.page.get_by_role("link", name="Settings").click()
    device.page.get_by_role("button", name="Sign out").click()
    expect(device.page.get_by_label("User name")).to_be_visible()
    assert device.ask("__segue.playing()") is False
    device.page.reload()
    expect(device.page.get_by_label("User name")).to_be_visible()


def test_a_played_track_sounds_and_its_audio_time_advances_with_the_clock(listen: Listen) -> None:
    device = listen()
    device.play_album()
    before = device.ask("[__segue.audioTime(), performance.now()]")
    assert device.level > 0.005
    device.page.wait_for_timeout(1_500)
    after = device.ask("[__segue.audioTime(), performance.now()]")
    elapsed_s = (after[1] - before[1]) / 1000
    assert abs((after[0] - before[0]) - elapsed_s) < 0.1, "audio time does not go with the clock"
    assert abs(device.ask("__segue.position() - __segue.due()")) < 100


def test_two_tracks_that_are_one_piece_are_heard_as_one(listen: Listen) -> None:
    device = listen()
    device.play_album(track=1)
    duration_ms = device.ask("__segue.state().player.duration")
    first = device.ask("__segue.state().player.track.uid")
    seek(device, duration_ms - 4_000)
    device.wait_for("__segue.playing()")
    # From here on nothing may interrupt the sound: the media clock and the page's advance together.
    looks: list[list[Any]] = device.ask(
        """async () => {
            const looks = [];
            while (looks.length < 120) {
                looks.push([__segue.audioTime(), performance.now() / 1000, __segue.state().player.track.uid]);
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
            return looks;
        }"""
    )
    assert looks[0][2] == first
    assert looks[-1][2] != first, "the next track was not reached"
    offsets = [audio_s - clock_s for audio_s, clock_s, _ in looks]
    assert max(offsets) - min(offsets) < 0.06, "the sound was interrupted at the boundary"
    assert device.ask("__segue.position()") < 5_000
    expect(device.page.locator(".bar-title")).to_have_text("Tide Coming In")


def test_the_slider_seeks(listen: Listen) -> None:
    device = listen()
    device.play_album()
    seek(device, 12_000)
    device.wait_for("__segue.playing() && __segue.position() > 12000 && __segue.position() < 15000")
    assert device.level > 0.005


def test_space_pauses_and_plays_and_arrows_seek(listen: Listen) -> None:
    device = listen()
    device.play_album()
    device.page.locator("body").focus()
    device.page.evaluate("document.activeElement?.blur()")
    device.page.keyboard.press("Space")
    device.wait_for("__segue.state().player.is_paused && !__segue.playing()")
    stood = device.ask("__segue.audioTime()")
    device.page.wait_for_timeout(400)
    assert device.ask("__segue.audioTime()") == stood
    paused_ms = device.ask("__segue.position()")
    device.page.keyboard.press("ArrowRight")
    device.wait_for(f"Math.abs(__segue.position() - {paused_ms + 5_000}) < 300")
    device.page.keyboard.press("Space")
    device.wait_for("__segue.playing()")


def test_volume_and_mute_change_what_leaves_the_graph(listen: Listen) -> None:
    device = listen()
    device.play_album()
    loud = device.level
    device.page.get_by_label("Volume", exact=True).fill("20")
    device.page.wait_for_timeout(300)
    assert device.level < loud / 4
    device.page.get_by_role("button", name="Mute").click()
    device.page.wait_for_timeout(300)
    assert device.level < 1e-4
    device.wait_for(f"{device.ask_own}.muted && {device.ask_own}.volume_percent === 20")


def test_the_queue_is_added_to_removed_from_undone_cleared_and_played_from(listen: Listen) -> None:
    device = listen()
    device.play_album()
    page = device.page
    device.show("Queue")
    for title in ("Harbour Waltz", "Tide Going Out"):
        page.get_by_role("button", name=f"Add {title} to the queue").click()
        expect(own_queue(device, title)).to_have_count(1)
    page.get_by_role("button", name="Remove Harbour Waltz from the queue").click()
    expect(own_queue(device, "Harbour Waltz")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(own_queue(device, "Harbour Waltz")).to_have_count(1)
    own_queue(device, "Tide Going Out").get_by_role("button", name=re.compile("^Play")).click()
    expect(page.locator(".bar-title")).to_have_text("Tide Going Out")
    device.wait_for("__segue.playing()")
    page.get_by_role("button", name="Add Lamplight to the queue").click()
    expect(own_queue(device, "Lamplight")).to_have_count(1)
    page.get_by_role("button", name="Clear queue").click()
    expect(page.get_by_role("region", name="Your queue")).to_have_count(0)


def test_next_and_previous_go_there_and_back(listen: Listen) -> None:
    device = listen()
    device.play_album()
    device.page.get_by_role("button", name="Next", exact=True).click()
    expect(device.page.locator(".bar-title")).to_have_text("Tide Going Out")
    device.wait_for("__segue.playing()")
    device.page.get_by_role("button", name="Previous", exact=True).click()
    expect(device.page.locator(".bar-title")).to_have_text("Lamplight")
    device.wait_for("__segue.playing()")
    assert device.level > 0.005


def own_queue(device: Device, title: str) -> Any:
    return device.page.get_by_role("region", name="Your queue").locator("li").filter(has_text=title)


def seek(device: Device, position_ms: int) -> None:
    """As a person does: the slider is moved and let go."""
    slider = device.page.get_by_label("Position", exact=True)
    slider.evaluate(
        """(slider, value) => {
            slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            slider.dispatchEvent(new Event("change", { bubbles: true }));
        }""",
        position_ms,
    )
    device.wait_for(f"Math.abs(__segue.position() - {position_ms}) < 3000")

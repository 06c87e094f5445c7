"""Finding and keeping music in the page, what plays in large, and how this device plays."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Device

Listen = Callable[[], Device]


def test_search_finds_while_one_types_and_plays_what_was_found(listen: Listen) -> None:
    device = listen()
    field = device.page.get_by_role("searchbox", name="Search")
    field.press_sequentially("harb")
    expect(device.page.get_by_role("list", name="Tracks").get_by_text("Harbour Waltz")).to_be_visible()
    expect(device.page.get_by_role("link", name=re.compile("Harbour Lights"))).to_be_visible()
    expect(field).to_be_focused()
    field.fill("no such thing")
    expect(device.page.get_by_text("Nothing in this library goes by that name.")).to_be_visible()
    field.fill("waltz")
    device.page.locator(".row-main").filter(has_text="Harbour Waltz").click()
    device.wait_for("__segue.playing()")
    expect(device.page.locator(".bar-title")).to_have_text("Harbour Waltz")
    # Letters are no steps: back leads to where one was before the search.
    device.page.go_back()
    expect(device.page.get_by_role("heading", name="Albums")).to_be_visible()


def test_hearts_fill_the_library_and_empty_it_again(listen: Listen) -> None:
    device = listen()
    page = device.page
    page.get_by_role("link", name=re.compile("Harbour Lights")).click()
    page.get_by_role("button", name="Lamplight in your library").click()
    page.get_by_role("button", name="Harbour Lights in your library").click()
    page.locator(".album-artist a").click()
    page.get_by_role("button", name="Mira Solenne in your library").click()
    page.get_by_role("link", name="Library").click()
    saved = page.get_by_role("list", name="Saved tracks")
    expect(saved.locator("li")).to_have_count(1)
    shelves = page.get_by_role("navigation", name="Library")
    shelves.get_by_role("link", name="Albums").click()
    expect(page.locator(".grid .tile-title")).to_have_text(["Harbour Lights"])
    shelves.get_by_role("link", name="Artists").click()
    expect(page.locator(".grid .tile-title")).to_have_text(["Mira Solenne"])
    # Another browser of the same listener has the same library.
    other = listen()
    other.page.goto(f"{other.url}/#/library/tracks")
    heart = other.page.get_by_role("button", name="Lamplight in your library")
    expect(heart).to_have_attribute("aria-pressed", "true")
    heart.click()
    expect(other.page.get_by_text("Nothing yet. The heart beside a track puts it here.")).to_be_visible()


def test_an_album_plays_from_its_cover(listen: Listen) -> None:
    device = listen()
    tile = device.page.get_by_role("listitem").filter(has_text="Harbour Lights")
    tile.hover()
    tile.get_by_role("button", name="Play Harbour Lights").click()
    device.wait_for("__segue.playing()")
    expect(device.page.locator(".bar-title")).to_have_text("Lamplight")
    expect(device.page.get_by_role("heading", name="Albums")).to_be_visible()


def test_an_artist_has_a_page_with_albums_and_tracks_to_play(listen: Listen) -> None:
    device = listen()
    device.page.get_by_role("link", name="Artists").click()
    device.page.get_by_role("link", name=re.compile("^Mira Solenne")).first.click()
    expect(device.page.get_by_role("heading", name="Mira Solenne")).to_be_visible()
    expect(device.page.locator(".grid .tile-title").first).to_be_visible()
    row = device.page.get_by_role("list", name="Tracks to begin with").locator(".row-main").nth(1)
    title = row.locator(".row-title").inner_text()
    row.click()
    device.wait_for("__segue.playing()")
    expect(device.page.locator(".bar-title")).to_have_text(title)


def test_what_plays_is_shown_large_with_what_comes_next(listen: Listen) -> None:
    device = listen()
    device.play_album()
    page = device.page
    page.get_by_role("link", name="Show what is playing, large").click()
    expect(page.get_by_role("heading", name="Lamplight")).to_be_visible()
    coming = page.get_by_role("region", name="What comes next").locator(".row-title")
    expect(coming).to_have_text(["Tide Going Out", "Tide Coming In", "Harbour Waltz"])
    coming.nth(1).click()
    expect(page.get_by_role("heading", name="Tide Coming In")).to_be_visible()
    device.wait_for("__segue.playing()")
    page.get_by_role("button", name="Sleep timer: off").click()
    page.get_by_role("menuitemradio", name="At the end of the track").click()
    device.wait_for("__segue.state().player.sleep_timer?.end_of_track === true")
    page.get_by_role("link", name="Back to the music").click()
    expect(page.get_by_role("heading", name="Harbour Lights")).to_be_visible()


def test_the_explicit_filter_is_the_accounts_and_stays(listen: Listen) -> None:
    device = listen()
    page = device.page
    page.get_by_role("link", name="Settings").click()
    switch = page.get_by_role("switch", name="Leave out explicit tracks")
    expect(switch).not_to_be_checked()
    switch.check()
    expect(page.get_by_text("Explicit tracks are left out from now on.")).to_be_visible()
    page.reload()
    expect(switch).to_be_checked()
    switch.uncheck()
    expect(page.get_by_text("Explicit tracks are played again.")).to_be_visible()
    page.reload()
    expect(switch).not_to_be_checked()


def test_settings_reach_the_session_and_the_sound(listen: Listen) -> None:
    device = listen()
    device.play_album()
    page = device.page
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Sparing").check()
    device.wait_for(f"{device.ask_own}?.capabilities.bitrate_kbps_max === 96")
    # Saying so is no reason to stop.
    assert device.ask("__segue.playing()") is True
    switch = page.get_by_role("switch", name="Equal loudness")
    assert device.ask("__segue.loudness()") != 1
    switch.uncheck()
    device.wait_for("__segue.loudness() === 1")
    page.get_by_role("button", name=re.compile("^Rename ")).first.click()
    field = page.get_by_label(re.compile("^New name of"))
    field.fill("Larder")
    field.press("Enter")
    device.wait_for(f"{device.ask_own}?.name === 'Larder'")
    page.reload()
    device.wait_for("window.__segue?.status() === 'online'")
    expect(page.get_by_label("Sparing")).to_be_checked()
    expect(page.get_by_role("switch", name="Equal loudness")).not_to_be_checked()


def test_logging_out_everywhere_ends_the_other_browser_too(listen: Listen) -> None:
    here, there = listen(), listen()
    there.play_album()
    here.page.get_by_role("link", name="Settings").click()
    here.page.get_by_role("button", name="Log out everywhere").click()
    here.page.get_by_role("button", name="Yes, everywhere").click()
    for device in (here, there):
        expect(device.page.get_by_label("User name")).to_be_visible()
        assert device.ask("__segue.playing()") is False

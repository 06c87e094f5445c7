"""What the page has to do with the system around it: media keys, the lock screen, a tab nobody looks at."""

import time
from collections.abc import Callable

from tests.browser.conftest import PATIENCE_MS, Device

KEEP_HANDLERS = """(() => {
    window.__keys = {};
    const set = MediaSession.prototype.setActionHandler;
    MediaSession.prototype.setActionHandler = function (action, handler) {
        window.__keys[action] = handler;
        set.call(this, action, handler);
    };
})()"""
METADATA = "(({ title, artist, album, artwork }) => [title, artist, album, artwork.length])"

Listen = Callable[[], Device]


def test_media_keys_and_the_lock_screen_show_and_steer_what_plays(
    new_device: Listen, account: tuple[str, str]
) -> None:
    device = new_device()
    device.page.add_init_script(KEEP_HANDLERS)
    device.open()
    device.sign_in(*account)
    device.play_album()
    device.wait_for("navigator.mediaSession.metadata?.title === 'Lamplight'")
    shown = device.ask(f"{METADATA}(navigator.mediaSession.metadata)")
    assert shown == ["Lamplight", "Mira Solenne", "Harbour Lights", 1]
    assert device.ask("navigator.mediaSession.playbackState") == "playing"
    device.ask("__keys.pause({})")
    device.wait_for("!__segue.playing() && navigator.mediaSession.playbackState === 'paused'")
    device.ask("__keys.play({})")
    device.wait_for("__segue.playing()")
    device.ask("__keys.seekto({ seekTime: 3 })")
    device.ask("__keys.seekforward({ seekOffset: 9 })")
    device.wait_for("__segue.playing() && __segue.position() > 11000")
    device.ask("__keys.nexttrack({})")
    device.wait_for("navigator.mediaSession.metadata?.title === 'Tide Going Out'")
    device.ask("__keys.previoustrack({})")
    device.wait_for("navigator.mediaSession.metadata?.title === 'Lamplight'")


def test_a_page_whose_timers_are_throttled_goes_on_to_say_that_it_is_there(listen: Listen) -> None:
    device = listen()
    pings: list[str | bytes] = []

    def note(sent: str | bytes) -> None:
        if isinstance(sent, str) and '"ping"' in sent:
            pings.append(sent)

    device.page.on("websocket", lambda socket: socket.on("framesent", note))
    device.page.goto(f"{device.url}/?wire=json")
    device.wait_for("window.__segue?.status() === 'online'")
    # As in a tab that nobody looks at, only worse. What was set before may still come, and set nothing new.
    device.ask("void (window.setTimeout = window.setInterval = () => 0)")
    before = len(pings)
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while len(pings) < before + 2:
        assert time.monotonic() < deadline, "no sign of life without the page's own timers"
        device.page.wait_for_timeout(50)

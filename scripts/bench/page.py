"""The page in Chromium: what its first load weighs and takes, and how soon after a click there is sound."""

import math
import shutil
import struct
import time
import wave
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from scripts.bench.figures import Figure, Skipped, median, percentile
from scripts.bench.running import Server, folder, running

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH, HEIGHT = 1280, 800
PIECES = 4
PIECE_S = 12
SAMPLE_HZ = 44_100
WITHIN_MS = 20_000
LOADED = "document.readyState === 'complete' && document.querySelector('input[type=password]') !== null"
ONLINE = "__segue.status() === 'online' && __segue.state() !== null"
SILENT = "!__segue.playing() && __segue.level() < 0.0005"
SOUND = """async (row) => {
    const before = __segue.audioTime(), began = performance.now();
    row.click();
    while (performance.now() - began < 20000) {
        // The clock of the audio element, which moves only while it plays, and a level behind it.
        if (__segue.playing() && __segue.audioTime() !== before && __segue.level() > 0.001) {
            const first = __segue.audioTime(), at = performance.now() - began;
            await new Promise((resolve) => setTimeout(resolve, 50));
            if (__segue.audioTime() > first) return at;
        }
        await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return -1;
}"""


def page(*, quick: bool) -> list[Figure]:
    """Each load in a browser context of its own, so nothing is cached."""
    executable = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if executable is None:
        raise Skipped(f"none of {', '.join(BROWSERS)} is on the PATH")
    with folder() as path:
        _compose(path / "music" / "Bench" / "Tones")
        with (
            running(path / "data", "--music", str(path / "music"), "--hosts", "1") as server,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
            try:
                loads = [_load(browser, server) for _ in range(2 if quick else 5)]
                clicks = _clicks(browser, server)
            except BrowserError as fault:
                raise RuntimeError(f"the page: {fault.message}") from fault
            finally:
                browser.close()
    first_ms, others_ms = clicks[0], clicks[1:]
    times_ms = [load_ms for _, load_ms, _ in loads]
    return [
        Figure(
            what="first load of the page, compressed",
            value=loads[0][0] / 1000,
            unit="kB",
            target="< 300",
            note=f"{loads[0][2]} requests with their heads, cache empty",
        ),
        Figure(
            what="first load of the page, median",
            value=median(times_ms),
            unit="ms",
            note=f"until one can log in; {len(loads)} loads, slowest {percentile(times_ms, 100):.0f} ms",
        ),
        Figure(
            what="click to first sound, the first of a visit",
            value=first_ms,
            unit="ms",
            note="audio time advances and the level is above silence; the audio context starts too",
        ),
        Figure(
            what="click to first sound, median of the next",
            value=median(others_ms),
            unit="ms",
            note=f"{len(others_ms)} tracks, each from silence, slowest {percentile(others_ms, 100):.0f} ms",
        ),
    ]


def _load(browser: Browser, server: Server) -> tuple[float, float, int]:
    """Bytes on the wire, milliseconds, requests."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    try:
        tab = context.new_page()
        wire = context.new_cdp_session(tab)
        sizes: list[float] = []
        wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        wire.send("Network.enable")
        began = time.perf_counter()
        tab.goto(server.url)
        _wait(tab, LOADED)
        elapsed_ms = (time.perf_counter() - began) * 1000
        tab.wait_for_load_state("networkidle")
        return sum(sizes), elapsed_ms, len(sizes)
    finally:
        context.close()


def _clicks(browser: Browser, server: Server) -> list[float]:
    """Milliseconds from the click to sound, for each track of the album."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    try:
        tab = context.new_page()
        tab.set_default_timeout(WITHIN_MS)
        tab.goto(server.url)
        tab.get_by_label("User name").fill("demo")
        tab.get_by_label("Password").fill(server.password)
        tab.get_by_role("button", name="Sign in").click()
        _wait(tab, ONLINE)
        tab.locator(".grid .tile").first.click()
        rows = tab.get_by_role("list", name="Tracks").locator(".row-main")
        rows.nth(PIECES - 1).wait_for()
        clicks_ms: list[float] = []
        for place in range(PIECES):
            clicks_ms.append(float(rows.nth(place).evaluate(SOUND)))
            # What still sounds of one track must not count for the next.
            tab.get_by_role("button", name="Pause", exact=True).first.click()
            _wait(tab, SILENT)
    finally:
        context.close()
    if min(clicks_ms) < 0:
        raise RuntimeError(f"no sound within {WITHIN_MS} ms of a click")
    return clicks_ms


def _wait(tab: Page, expression: str) -> None:
    """Until it is true. (Playwright's own waiting evaluates strings, which the page's policy forbids.)"""
    ends = time.monotonic() + WITHIN_MS / 1000
    while not tab.evaluate(expression):
        if time.monotonic() > ends:
            raise RuntimeError(f"within {WITHIN_MS} ms never true: {expression}")
        tab.wait_for_timeout(5)


def _compose(album: Path) -> None:
    """Steady tones, each of its own pitch: taken in within seconds."""
    album.mkdir(parents=True)
    for number in range(1, PIECES + 1):
        step = 2 * math.pi * 110 * (number + 1) / SAMPLE_HZ
        samples = (round(9_000 * math.sin(step * at)) for at in range(PIECE_S * SAMPLE_HZ))
        with wave.open(str(album / f"{number:02} - Tone {number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_HZ)
            file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))

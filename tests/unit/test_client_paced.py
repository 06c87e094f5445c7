"""The output without a sound card: real bytes at the pace of the music, gapless, honest when they fail."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from catalog.model import Codec
from client.output import AHEAD_MS, BecameReady, Ended, Failed, OutputEvent, RanDry, Sounded, WentOn
from client.paced import LOADED_MAX, PacedBytes
from client.stream import CHUNK_BYTES, Manifest, ManifestRendition
from client.timing import SteadyClock
from connect.frames import Lease
from kernel.errors import Code, Rejected, SegueError, Unavailable
from kernel.ids import PlayId
from tests.support.devices import lease

SIZE = CHUNK_BYTES * 3 + 1_000


class HeldSource:
    """Bytes from memory; fails, or waits, when told to."""

    def __init__(self, *, size: int = SIZE) -> None:
        self.size = size
        self.reads: list[tuple[str, int, int]] = []
        self.faults: list[SegueError] = []
        """Raised by the next reads, the first one first."""
        self.open = asyncio.Event()
        self.open.set()
        self.whole = asyncio.Event()
        """Set once the last byte has been read."""
        self.shut_after: int | None = None
        """After so many reads the next one waits for `open`."""

    async def manifest(self, lease: Lease) -> Manifest:
        rendition = ManifestRendition(
            name="vorbis-160",
            file="vorbis-160.ogg",
            codec=Codec.VORBIS,
            mime="audio/ogg",
            bitrate_kbps=160,
            size=self.size,
            sample_rate=44_100,
            pcm_frames=1,
            encoder_delay=0,
            end_padding=0,
        )
        return Manifest(
            track_uri=lease.uri, duration_ms=lease.duration_ms, gain_db=0.0, renditions=(rendition,)
        )

    async def read(self, lease: Lease, rendition: ManifestRendition, *, start: int, end: int) -> bytes:
        await self.open.wait()
        if self.faults:
            raise self.faults.pop(0)
        self.reads.append((lease.url, start, end))
        if len(self.reads) == self.shut_after:
            self.open.clear()
        if end == self.size:
            self.whole.set()
        return bytes(end - start)


class Scene:
    def __init__(self) -> None:
        self.source = HeldSource()
        self.output = PacedBytes(self.source, SteadyClock(), sleep=self.sleep)
        self.events: list[OutputEvent] = []
        self._said = asyncio.Event()
        self.output.listen(self._hear)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)

    def _hear(self, event: OutputEvent) -> None:
        self.events.append(event)
        self._said.set()

    async def until(self, kind: type[OutputEvent]) -> OutputEvent:
        async with asyncio.timeout(5):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        self.events.remove(event)
                        return event
                self._said.clear()
                await self._said.wait()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    await scene.output.close()


ONE, TWO = PlayId("play-1"), PlayId("play-2")


async def test_every_byte_is_fetched_once_and_in_order(scene: Scene) -> None:
    scene.output.load(lease(1, duration_ms=1_000), position_ms=0.0)
    await scene.until(BecameReady)
    async with asyncio.timeout(5):
        await scene.source.whole.wait()
    assert [(start, end) for _, start, end in scene.source.reads] == [
        (0, CHUNK_BYTES),
        (CHUNK_BYTES, 2 * CHUNK_BYTES),
        (2 * CHUNK_BYTES, 3 * CHUNK_BYTES),
        (3 * CHUNK_BYTES, SIZE),
    ]
    assert scene.output.throughput_kbps() is not None


async def test_no_more_is_fetched_than_the_buffer_holds(scene: Scene) -> None:
    scene.source.size = 60 * CHUNK_BYTES
    scene.output.load(lease(1, duration_ms=60_000), position_ms=0.0)
    await scene.until(BecameReady)
    for _ in range(500):
        await asyncio.sleep(0)
    assert AHEAD_MS <= scene.output.buffered_ms(ONE) <= AHEAD_MS + 2_000


async def test_a_load_in_the_middle_starts_at_that_part_of_the_file(scene: Scene) -> None:
    scene.source.size = 10 * CHUNK_BYTES
    scene.output.load(lease(1, duration_ms=10_000), position_ms=5_000.0)
    await scene.until(BecameReady)
    assert scene.source.reads[0][1] == 5 * CHUNK_BYTES


async def test_sound_waits_for_bytes_and_says_where_it_began(scene: Scene) -> None:
    scene.source.open.clear()
    scene.output.load(lease(1), position_ms=0.0)
    scene.output.play(ONE, position_ms=0.0, speed=1.0)
    await asyncio.sleep(0)
    assert scene.events == []
    assert scene.output.position_ms() == 0.0
    scene.source.open.set()
    sounded = await scene.until(Sounded)
    assert isinstance(sounded, Sounded)
    assert (sounded.play_id, sounded.position_ms) == (ONE, 0.0)


async def test_the_next_play_follows_where_the_last_one_ended_and_not_when_the_timer_woke(
    scene: Scene,
) -> None:
    scene.output.load(lease(1, duration_ms=80), position_ms=0.0)
    scene.output.load(lease(2, duration_ms=60_000), position_ms=0.0)
    await scene.until(BecameReady)
    await scene.until(BecameReady)
    scene.output.play(ONE, position_ms=0.0, speed=1.0)
    scene.output.then(TWO)
    began = await scene.until(Sounded)
    assert isinstance(began, Sounded)
    went = await scene.until(WentOn)
    assert isinstance(went, WentOn)
    assert (went.from_play_id, went.to_play_id) == (ONE, TWO)
    # Already this far into the next play when the timer woke: that much the timer was late.
    assert 0.0 <= went.position_ms < 5_000
    assert scene.output.position_ms() >= went.position_ms


async def test_the_end_without_a_next_play_is_said(scene: Scene) -> None:
    scene.output.load(lease(1, duration_ms=50), position_ms=0.0)
    scene.output.play(ONE, position_ms=0.0, speed=1.0)
    ended = await scene.until(Ended)
    assert isinstance(ended, Ended)
    assert ended.play_id == ONE


async def test_running_dry_is_said_and_the_music_goes_on_from_there(scene: Scene) -> None:
    scene.source.size = 4 * CHUNK_BYTES
    scene.source.shut_after = 1
    scene.output.load(lease(1, duration_ms=2_400), position_ms=0.0)
    await scene.until(BecameReady)
    scene.output.play(ONE, position_ms=0.0, speed=3.0)
    dry = await scene.until(RanDry)
    assert isinstance(dry, RanDry)
    assert dry.position_ms == 600.0
    await scene.until(Sounded)
    scene.source.open.set()
    again = await scene.until(Sounded)
    assert isinstance(again, Sounded)
    assert again.position_ms == dry.position_ms


async def test_silence_says_where_the_music_was(scene: Scene) -> None:
    scene.output.load(lease(1), position_ms=0.0)
    scene.output.play(ONE, position_ms=0.0, speed=1.0)
    await scene.until(Sounded)
    await asyncio.sleep(0.02)
    last_ms = scene.output.silence()
    assert last_ms >= 15
    assert scene.output.position_ms() == 0.0


async def test_a_refused_lease_is_said_at_once_and_a_new_one_goes_on_with_the_bytes_in_hand(
    scene: Scene,
) -> None:
    scene.source.faults = [Rejected(Code.LEASE_EXPIRED, "expired")]
    scene.output.load(lease(1), position_ms=0.0)
    failed = await scene.until(Failed)
    assert isinstance(failed, Failed)
    assert failed.lease_refused
    scene.output.load(lease(1), position_ms=0.0)
    await scene.until(BecameReady)


async def test_a_network_fault_is_tried_again_and_then_given_up(scene: Scene) -> None:
    scene.source.faults = [Unavailable(Code.TIMEOUT, "no answer")] * 2
    scene.output.load(lease(1), position_ms=0.0)
    await scene.until(BecameReady)
    scene.source.faults = [Unavailable(Code.TIMEOUT, "no answer")] * 10
    scene.output.load(lease(2), position_ms=0.0)
    failed = await scene.until(Failed)
    assert isinstance(failed, Failed)
    assert (failed.play_id, failed.lease_refused) == (TWO, False)


async def test_what_is_dropped_is_no_longer_fetched_and_the_audible_play_is_kept(scene: Scene) -> None:
    for number in range(1, LOADED_MAX + 1):
        scene.output.load(lease(number), position_ms=0.0)
    scene.output.play(ONE, position_ms=0.0, speed=1.0)
    scene.output.drop_all_but(frozenset())
    assert scene.output.buffered_ms(TWO) == 0
    await scene.until(Sounded)
    with pytest.raises(AssertionError, match="loaded first"):
        scene.output.then(TWO)

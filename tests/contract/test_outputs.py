"""What a player may rely on, whichever output it plays on: paced bytes, and a sound card that is a file here.

The bytes are real Ogg Vorbis, decoded by the real ffmpeg. The sound card's program is the system's `tee`: it
takes samples as they come, which makes the music pass quickly, and keeps them to be counted.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from catalog.model import Codec
from client.output import BecameReady, Ended, Failed, Output, OutputEvent, RanDry, Sounded, WentOn
from client.paced import PacedBytes
from client.sound_card import FRAME_BYTES, RATE_HZ, SoundCard, Tool, find_tool
from client.stream import Manifest, ManifestRendition
from client.timing import SteadyClock
from connect.frames import Lease
from kernel.errors import Code, Rejected
from kernel.ids import PlayId
from tests.support.devices import lease

LENGTHS_MS = {1: 700, 2: 900}
WITHIN_S = 20.0
ONE, TWO = PlayId("play-1"), PlayId("play-2")


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tone per play, by the URL of its lease."""
    folder = tmp_path_factory.mktemp("songs")
    made = {}
    for number, length_ms in LENGTHS_MS.items():
        path = folder / f"{number}.ogg"
        subprocess.run(
            [
                imageio_ffmpeg.get_ffmpeg_exe(),
                *("-v", "error", "-f", "lavfi", "-i", f"sine=440:sample_rate={RATE_HZ}:d={length_ms / 1000}"),
                *("-ac", "2", "-c:a", "libvorbis", "-b:a", "160k"),
                # As ingest does it: a stream of one page loses its last 128 frames.
                *("-page_duration", "200000", str(path)),
            ],
            check=True,
        )
        made[lease(number).url] = path.read_bytes()
    return made


class Songs:
    """`client.stream.Source` over bytes in memory."""

    def __init__(self, songs: dict[str, bytes]) -> None:
        self._songs = songs
        self.refuse: Rejected | None = None

    async def manifest(self, lease: Lease) -> Manifest:
        if self.refuse is not None:
            raise self.refuse
        rendition = ManifestRendition(
            name=lease.rendition,
            file=f"{lease.rendition}.ogg",
            codec=Codec.VORBIS,
            mime="audio/ogg",
            bitrate_kbps=160,
            size=len(self._songs[lease.url]),
            sample_rate=RATE_HZ,
            pcm_frames=1,
            encoder_delay=0,
            end_padding=0,
        )
        return Manifest(
            track_uri=lease.uri, duration_ms=lease.duration_ms, gain_db=0.0, renditions=(rendition,)
        )

    async def read(self, lease: Lease, rendition: ManifestRendition, *, start: int, end: int) -> bytes:
        return self._songs[lease.url][start:end]


class Stage:
    """One output, and what it said."""

    def __init__(self, output: Output, source: Songs, heard: Path) -> None:
        self.output = output
        self.source = source
        self.heard = heard
        """Every sample that reached the card; not there for paced bytes."""
        self._events: asyncio.Queue[OutputEvent] = asyncio.Queue()
        self.dry = False
        output.listen(self._events.put_nowait)

    async def raw(self) -> OutputEvent:
        async with asyncio.timeout(WITHIN_S):
            return await self._events.get()

    async def next(self) -> OutputEvent:
        """What is said next, dry spells left out: this card is faster than any decoder."""
        async with asyncio.timeout(WITHIN_S):
            while isinstance(event := await self._events.get(), RanDry):
                self.dry = True
            if self.dry and isinstance(event, Sounded):
                self.dry = False
                return await self.next()
            return event

    def load(self, number: int, *, position_ms: float = 0.0) -> None:
        self.output.load(lease(number, duration_ms=LENGTHS_MS[number]), position_ms=position_ms)

    async def heard_whole(self, length_ms: int) -> None:
        """Exactly so much reached the card, now that all of it was sent."""
        if isinstance(self.output, PacedBytes):
            return
        expected = length_ms * RATE_HZ // 1000 * FRAME_BYTES
        async with asyncio.timeout(WITHIN_S):
            while self.heard.stat().st_size < expected:  # noqa: ASYNC110  # another program writes it
                await asyncio.sleep(0.01)
        await self.output.close()
        assert self.heard.stat().st_size == expected

    async def loaded(self, *numbers: int) -> None:
        for number in numbers:
            self.load(number)
        ready = {await self.next() for _ in numbers}
        assert ready == {BecameReady(play_id=PlayId(f"play-{number}")) for number in numbers}


@pytest.fixture(params=["paced bytes", "sound card"])
async def stage(
    request: pytest.FixtureRequest, songs: dict[str, bytes], tmp_path: Path
) -> AsyncIterator[Stage]:
    source, heard = Songs(songs), tmp_path / "heard.pcm"
    output: Output
    if request.param == "paced bytes":
        output = PacedBytes(source, SteadyClock())
    else:
        tee = shutil.which("tee")
        assert tee is not None, "every system of ours has one"
        tool = Tool("tee", (tee, "-a", str(heard)))
        output = SoundCard(source, SteadyClock(), ffmpeg=imageio_ffmpeg.get_ffmpeg_exe(), tool=tool)
    yield Stage(output, source, heard)
    await output.close()


async def test_a_loaded_play_sounds_to_its_end_and_says_so(stage: Stage) -> None:
    await stage.loaded(1)
    stage.output.play(ONE, position_ms=0.0, speed=1.0)
    assert await stage.next() == Sounded(play_id=ONE, position_ms=0.0)
    assert await stage.next() == Ended(play_id=ONE)


async def test_a_play_is_heard_while_it_is_still_being_loaded(stage: Stage) -> None:
    stage.load(1)
    stage.output.play(ONE, position_ms=0.0, speed=1.0)
    said = {type(await stage.next()), type(await stage.next())}
    assert said == {BecameReady, Sounded}


async def test_one_play_follows_another_and_no_sample_is_lost_between_them(stage: Stage) -> None:
    await stage.loaded(1, 2)
    stage.output.play(ONE, position_ms=0.0, speed=1.0)
    stage.output.then(TWO)
    assert isinstance(await stage.next(), Sounded)
    went = await stage.next()
    assert isinstance(went, WentOn)
    assert (went.from_play_id, went.to_play_id) == (ONE, TWO)
    assert await stage.next() == Ended(play_id=TWO)
    await stage.heard_whole(sum(LENGTHS_MS.values()))


async def test_a_play_may_begin_in_the_middle(stage: Stage) -> None:
    stage.load(2, position_ms=600.0)
    assert await stage.next() == BecameReady(play_id=TWO)
    stage.output.play(TWO, position_ms=600.0, speed=1.0)
    sounded = await stage.next()
    assert isinstance(sounded, Sounded)
    assert sounded.position_ms == pytest.approx(600.0, abs=1.0)
    assert await stage.next() == Ended(play_id=TWO)
    await stage.heard_whole(300)


async def test_silence_is_silence(stage: Stage) -> None:
    await stage.loaded(1)
    stage.output.play(ONE, position_ms=0.0, speed=1.0)
    assert isinstance(await stage.next(), Sounded)
    assert 0.0 <= stage.output.silence() <= LENGTHS_MS[1]
    assert stage.output.position_ms() == 0.0
    # Samples that were heard are gone: they are decoded again.
    stage.output.play(ONE, position_ms=0.0, speed=1.0)
    said = [await stage.raw()]
    while not isinstance(said[-1], Ended):
        said.append(await stage.raw())
    assert any(isinstance(event, Sounded) for event in said)


async def test_a_refused_lease_and_an_undecodable_file_are_said_and_nothing_sounds(stage: Stage) -> None:
    stage.source.refuse = Rejected(Code.LEASE_EXPIRED, "it has run out")
    stage.load(1)
    failed = await stage.next()
    assert isinstance(failed, Failed)
    assert failed.lease_refused
    stage.source.refuse = None
    await stage.loaded(1)


def test_the_first_player_that_the_system_has_is_taken() -> None:
    found = find_tool(lambda name: f"/opt/{name}" if name in {"aplay", "ffplay"} else None)
    assert found is not None
    assert (found.name, found.command[0]) == ("aplay", "/opt/aplay")
    assert find_tool(lambda name: None) is None

"""A folder goes through real Ray tasks and real ffmpeg into real stores, again and again."""

import io
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from catalog.model import Track
from kernel.errors import Code, Rejected
from serve.ingest import IngestReport, Progress, ingest, last_report
from serve.ingest_view import IngestView
from storage.catalogue import Catalogue
from storage.stores import Stores, open_stores
from tests.support.clock import FakeClock
from tests.support.sound import noise_and_tones, write_sound

pytestmark = pytest.mark.usefixtures("ray_cluster")


@dataclass
class House:
    """A library, the stores it goes into, and runs over it."""

    music: Path
    data: Path
    stores: Stores
    catalogue: Catalogue
    clock: FakeClock

    async def run(self) -> tuple[IngestReport, list[Progress]]:
        seen: list[Progress] = []
        report = await ingest(
            self.music,
            self.stores,
            self.catalogue,
            clock=self.clock,
            work_dir=self.data / "work",
            on_progress=seen.append,
        )
        # The catalogue's cache may show what it likes for two seconds; tests look at what is stored.
        self.clock.advance(10_000)
        assert not (self.data / "work").exists()
        return report, seen

    async def tracks(self) -> dict[str, Track]:
        """By title, in the order of their albums."""
        page = await self.catalogue.album_page(limit=100)
        ids = [track_id for album in page.items for track_id in album.track_ids]
        return {track.title: track for track in await self.catalogue.tracks(ids) if track}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    clock = FakeClock()
    stores = open_stores(tmp_path / "data", clock)
    catalogue = Catalogue(stores.documents, clock)
    (tmp_path / "music").mkdir()
    yield House(tmp_path / "music", tmp_path / "data", stores, catalogue, clock)
    await stores.close()


def put(house: House, rel: str, seed: int, *, seconds: float = 0.6) -> Path:
    return write_sound(house.music / rel, noise_and_tones(seconds, seed=seed))


async def test_a_library_is_taken_once_and_a_second_run_does_nothing(house: House) -> None:
    put(house, "Ada/First/01 - One.flac", 1)
    put(house, "Ada/First/02 - Two.ogg", 2)
    (house.music / "Ada/First/03 - Bad.mp3").write_bytes(b"not music at all" * 99)
    (house.music / "Ada/First/04 - Empty.flac").touch()
    report, seen = await house.run()
    assert (report.taken, report.encoded, report.unchanged) == (2, 2, 0)
    assert (report.tracks, report.albums, report.artists) == (2, 1, 1)
    assert {problem.rel.split("/")[-1] for problem in report.problems} == {"03 - Bad.mp3", "04 - Empty.flac"}
    assert seen[0].done == 0
    assert (seen[-1].done, seen[-1].done_bytes) == (3, seen[-1].total_bytes)
    tracks = await house.tracks()
    assert list(tracks) == ["One", "Two"]
    for track in tracks.values():
        assert len(track.renditions) == 6
        for rendition in track.renditions:
            data = b"".join([chunk async for chunk in house.stores.blobs.read(rendition.blob)])
            assert rendition.blob == f"audio/{sha256(data).hexdigest()}"
            assert len(data) == rendition.size

    revision = await house.catalogue.revision()
    again, seen = await house.run()
    assert (again.taken, again.encoded, again.unchanged) == (0, 0, 3)
    assert again.problems == report.problems
    # No file is read, so no ffmpeg is started; and nothing of the catalogue is written.
    assert seen[-1].total == 0
    assert await house.catalogue.revision() == revision


async def test_changed_moved_removed_and_returned_files_keep_their_tracks(house: House) -> None:
    kept = put(house, "Ada/First/01 - One.flac", 1)
    moved = put(house, "Ada/First/02 - Two.flac", 2)
    await house.run()
    before = await house.tracks()

    put(house, "Ada/First/01 - One.flac", 3)
    (house.music / "Bob/Other").mkdir(parents=True)
    moved = moved.rename(house.music / "Bob/Other/05 - Deux.flac")
    report, _ = await house.run()
    # The moved file is read for its new names, and not encoded again.
    assert (report.taken, report.encoded, report.unavailable) == (2, 1, 0)
    after = await house.tracks()
    assert after["One"].track_id == before["One"].track_id
    assert after["One"].renditions != before["One"].renditions
    assert after["Deux"].track_id == before["Two"].track_id
    assert after["Deux"].renditions == before["Two"].renditions
    assert after["Deux"].artist_names == ("Bob",)
    assert (report.albums, report.artists) == (2, 2)

    aside = moved.rename(house.data / "aside")
    report, seen = await house.run()
    assert (report.taken, report.unavailable, seen[-1].total) == (0, 1, 0)
    gone = (await house.tracks())["Deux"]
    assert not gone.available
    assert gone.renditions == after["Deux"].renditions

    aside.rename(moved)
    report, seen = await house.run()
    assert (report.back, report.taken, report.unavailable, seen[-1].total) == (1, 0, 0, 0)
    assert (await house.tracks())["Deux"] == after["Deux"]
    assert kept.exists()


async def test_a_retag_replaces_the_album_and_its_artist(house: House) -> None:
    one = put(house, "Ada/First/01 - One.flac", 1)
    await house.run()
    [album] = (await house.catalogue.album_page()).items
    one.unlink()
    write_sound(
        one,
        noise_and_tones(0.6, seed=1),
        args=("-metadata", "album=Second", "-metadata", "artist=Eve", "-metadata", "album_artist=Eve"),
    )
    await house.run()
    [renamed] = (await house.catalogue.album_page()).items
    assert (renamed.title, renamed.artist_names) == ("Second", ("Eve",))
    assert renamed.track_ids == album.track_ids
    assert await house.catalogue.albums([album.album_id]) == [None]
    assert [artist.name for artist in (await house.catalogue.artist_page()).items] == ["Eve"]


async def test_a_run_that_was_killed_is_finished_by_the_next(house: House) -> None:
    put(house, "Ada/First/01 - One.flac", 1)
    put(house, "Ada/First/02 - Two.flac", 2)

    class KilledError(Exception):
        pass

    def kill(progress: Progress) -> None:
        if progress.done == 1:
            raise KilledError

    leftover = house.data / "work" / "1"
    leftover.mkdir(parents=True)
    with pytest.raises(KilledError):
        await ingest(
            house.music,
            house.stores,
            house.catalogue,
            clock=house.clock,
            work_dir=house.data / "work",
            on_progress=kill,
        )
    report, _ = await house.run()
    assert (report.taken, report.unchanged, report.albums) == (1, 1, 1)
    assert list(await house.tracks()) == ["One", "Two"]


async def test_folders_without_music_are_refused_and_change_nothing(house: House) -> None:
    one = put(house, "Ada/First/01 - One.flac", 1)
    await house.run()
    one.unlink()
    with pytest.raises(Rejected, match="no music in") as refused:
        await house.run()
    assert refused.value.code is Code.BAD_REQUEST
    assert (await house.tracks())["One"].available
    house.music = house.music / "missing"
    with pytest.raises(Rejected, match="cannot be read"):
        await house.run()


async def test_the_view_shows_problems_without_trusting_names(house: House) -> None:
    put(house, "Ada/First/01 - One.flac", 1)
    for number in range(25):
        (house.music / f"[red]bad[bold] {number:02d}.mp3").write_bytes(os.urandom(3000))
    report, seen = await house.run()
    console = Console(file=io.StringIO(), width=120)
    with IngestView(console) as view:
        for progress in seen:
            view(progress)
    view.show(report, report_file=house.data / "problems.txt")
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "26/26 files" in shown
    assert "[red]bad[bold] 19.mp3" in shown
    assert "[red]bad[bold] 20.mp3" not in shown
    assert "and 5 more" in shown
    assert len((house.data / "problems.txt").read_text().splitlines()) == 25
    assert await last_report(house.stores.documents) == report

"""Takes a folder of music into the stores: files go through Ray tasks, results are written from here alone.

Ray does what is heavy (`media.pipeline.prepare`, one file per task, one core kept free); this process decides
what is to be done (`media.library`) and is the one writer. Order makes it safe to be killed anywhere: blobs,
then the track, then what is remembered of the path, and at the end albums, artists and whatever differs. A
run that finds everything as it was starts no task and writes nothing.

Tasks hand over files by path, so every node of a cluster must see `library` and `work_dir` under these names.
"""

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec
import ray
import ray.exceptions

from kernel.errors import Code, Rejected
from kernel.units import Clock
from media.library import (
    Plan,
    Shelf,
    Source,
    Take,
    catalogue_of,
    plan,
    with_bad_file,
    with_file_back,
    without_file,
)
from media.pipeline import Job, Prepared, cover_values, prepare
from media.probe import Problem, Walk, printable, walk
from serve.publish import SOURCES, publish, read_sources, write_sources
from storage.catalogue import Catalogue
from storage.ports import Documents
from storage.stores import Stores

T = TypeVar("T")

TASK_RETRIES: Final = 2
"""How often a task whose process died is started again."""
TASK_DEADLINE_S: Final = 3_600.0
"""Longest that one file may take; the runs of ffmpeg in it have shorter limits of their own."""
REPORTS: Final = "ingest_reports"
"""Collection: `last` → the report of the last run, as JSON."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands."""

    done: int
    """Files settled, of those that had to be read."""
    total: int
    done_bytes: int
    total_bytes: int
    """Sizes of these files: a better measure of what is left than their number."""
    problems: int
    music_s: float
    """Seconds of music encoded so far."""
    rel: str
    """The file settled last; empty before the first."""


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did."""

    taken: int
    """New and changed files that are now in the catalogue."""
    encoded: int
    """Of these, the ones whose content was not known yet."""
    unchanged: int
    back: int
    """Were gone, and are there again."""
    unavailable: int
    """Tracks of the catalogue whose file is not there, or no longer good."""
    tracks: int
    albums: int
    artists: int
    """In the catalogue now, the unavailable ones included."""
    problems: tuple[Problem, ...]
    """Files that are not in the catalogue, by path; the same ones again at every run."""
    companions: int
    """Files passed over because they belong beside music."""
    music_s: float
    """Seconds of music encoded."""
    elapsed_s: float


OnProgress = Callable[[Progress], None]


async def ingest(
    library: Path,
    stores: Stores,
    catalogue: Catalogue,
    *,
    clock: Clock,
    work_dir: Path,
    spare_cores: int = 1,
    on_progress: OnProgress | None = None,
) -> IngestReport:
    """Make the catalogue show what is in `library`. Ray must be running.

    `work_dir` holds files for the time of the run; what an earlier, killed run left there is deleted. One run
    at a time per store. Raises Rejected BAD_REQUEST when the folder cannot be read or holds no music (nothing
    is changed then: an unmounted disk is not an empty library), Unavailable when a store fails.
    """
    run = _Run(library, stores, catalogue, clock=clock, work_dir=work_dir, spare_cores=spare_cores)
    return await run.go(on_progress or (lambda _: None))


class _Run:
    def __init__(
        self,
        library: Path,
        stores: Stores,
        catalogue: Catalogue,
        *,
        clock: Clock,
        work_dir: Path,
        spare_cores: int,
    ) -> None:
        self._library = library
        self._stores = stores
        self._catalogue = catalogue
        self._clock = clock
        self._work_dir = work_dir
        self._spare_cores = spare_cores
        self._shelf = Shelf(())
        self._problems: dict[str, Problem] = {}
        self._taken = self._encoded = 0
        self._music_s = 0.0

    async def go(self, on_progress: OnProgress) -> IngestReport:
        began_s = time.monotonic()
        walked = await asyncio.to_thread(walk, self._library)
        if not walked.found:
            raise Rejected(Code.BAD_REQUEST, _no_music(self._library, walked))
        self._shelf = Shelf([source async for source in read_sources(self._stores.documents)])
        self._problems = {problem.rel: problem for problem in walked.problems}
        planned = plan(walked.found, self._shelf.sources)
        for source in planned.unchanged:
            if source.reason:
                self._problems[source.rel] = Problem(rel=source.rel, reason=source.reason)
        for source in planned.gone:
            await self._remember(without_file(source))
        for source in planned.back:
            # Its track may have taken other content while it was away; then it is read like a new file.
            await self._remember(with_file_back(source))
        await self._take_all(planned, on_progress)
        tracks, albums, artists = await publish(self._shelf, self._catalogue, self._stores.documents)
        report = IngestReport(
            taken=self._taken,
            encoded=self._encoded,
            unchanged=len(planned.unchanged),
            back=len(planned.back),
            unavailable=sum(not track.available for track in tracks.values()),
            tracks=len(tracks),
            albums=albums,
            artists=artists,
            problems=tuple(self._problems[rel] for rel in sorted(self._problems)),
            companions=walked.companions,
            music_s=self._music_s,
            elapsed_s=time.monotonic() - began_s,
        )
        if self._taken or planned.gone or planned.back or self._problems:
            await self._stores.documents.put(REPORTS, [("last", msgspec.json.encode(report))])
        return report

    # ---------------------------------------------------------------------------------------- taking files

    async def _take_all(self, planned: Plan, on_progress: OnProgress) -> None:
        waiting = deque(planned.take)
        total_bytes = sum(take.found.size for take in planned.take)
        done = done_bytes = 0

        def report(rel: str) -> None:
            on_progress(
                Progress(
                    done=done,
                    total=len(planned.take),
                    done_bytes=done_bytes,
                    total_bytes=total_bytes,
                    problems=len(self._problems),
                    music_s=self._music_s,
                    rel=rel,
                )
            )

        report("")
        if not waiting:
            return
        shutil.rmtree(self._work_dir, ignore_errors=True)
        task = ray.remote(num_cpus=1, max_retries=TASK_RETRIES)(prepare)
        # Each task is one core's worth of ffmpeg; what is kept free is for those who are listening.
        cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]  # Ray's own gap
        at_once = max(1, cores - self._spare_cores)
        running: dict[asyncio.Task[Prepared], Take] = {}
        started = 0
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    take = waiting.popleft()
                    started += 1
                    running[asyncio.create_task(self._prepared(task, take, started))] = take
                finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for future in finished:
                    take = running.pop(future)
                    prepared = future.result()
                    again = await self._settle(take, prepared)
                    if again:
                        waiting.append(again)
                        continue
                    done += 1
                    done_bytes += take.found.size
                    report(take.found.rel)
        finally:
            for future in running:
                future.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            shutil.rmtree(self._work_dir, ignore_errors=True)

    async def _prepared(self, task: Any, take: Take, number: int) -> Prepared:
        """Run one task to its end. A task that dies is a problem of that file alone."""
        job = Job(
            root=self._library.absolute(),
            rel=take.found.rel,
            size=take.found.size,
            mtime_ns=take.found.mtime_ns,
            known=take.known,
            work_dir=(self._work_dir / str(number)).absolute(),
            spare_cores=self._spare_cores,
        )
        ref = task.remote(job)
        try:
            async with asyncio.timeout(TASK_DEADLINE_S):
                return cast(Prepared, await ref)  # Ray does not carry the type through `remote`
        except TimeoutError:
            ray.cancel(ref, force=True)
            return Prepared(rel=job.rel, reason=f"given up after {TASK_DEADLINE_S:.0f} s", retry=True)
        except ray.exceptions.RayError as error:
            reason = f"the task that read it died: {type(error).__name__}"
            return Prepared(rel=job.rel, reason=reason, retry=True)
        except asyncio.CancelledError:
            # Gently: the task ends its ffmpeg on the way out.
            ray.cancel(ref)
            raise

    async def _settle(self, take: Take, prepared: Prepared) -> Take | None:
        """Write what one task gave; returns the file when it must be read again in full."""
        found = take.found
        before = self._shelf.sources.get(found.rel)
        if prepared.reason:
            self._problems[found.rel] = Problem(rel=found.rel, reason=prepared.reason)
            if not prepared.retry:
                await self._remember(with_bad_file(found, before, prepared.reason))
            return None
        track_id = self._shelf.identify(found.rel, prepared.sha256)
        source = Source(
            rel=found.rel,
            size=found.size,
            mtime_ns=found.mtime_ns,
            sha256=prepared.sha256,
            track_id=track_id,
            names=prepared.names,
            covers=cover_values(prepared.covers),
            added_at_ms=self._shelf.added_at_ms(track_id) or self._clock.now_ms(),
        )
        if prepared.content:
            content = prepared.content
            renditions = tuple(rendition for rendition, _ in content.renditions)
            for rendition, path in content.renditions:
                await self._stores.blobs.put(rendition.blob, path, content_type=rendition.mime)
                path.unlink(missing_ok=True)
            self._encoded += 1
            self._music_s += content.duration_ms / 1000
            source = msgspec.structs.replace(
                source,
                duration_ms=content.duration_ms,
                loudness_lufs=content.loudness_lufs,
                true_peak_db=content.true_peak_db,
            )
        else:
            is_its_track = self._shelf.track_of(prepared.sha256) == track_id
            measured = (await self._catalogue.tracks([track_id]))[0] if is_its_track else None
            if measured is None or not measured.renditions:
                return Take(found=found, known=())
            renditions = measured.renditions
            source = msgspec.structs.replace(
                source,
                duration_ms=measured.duration_ms,
                loudness_lufs=measured.loudness_lufs,
                true_peak_db=measured.true_peak_db,
            )
        for image in prepared.covers:
            await self._stores.blobs.put(image.cover.blob, image.data, content_type=image.cover.mime)
        # As if it stood alone; publishing puts it into its album.
        alone = catalogue_of([source]).tracks[track_id]
        await self._catalogue.put_tracks([msgspec.structs.replace(alone, renditions=renditions)])
        await self._remember(source)
        self._problems.pop(found.rel, None)
        self._taken += 1
        return None

    async def _remember(self, source: Source) -> None:
        amended = self._shelf.put(source)
        await write_sources(self._stores.documents, amended.written)
        await self._stores.documents.delete(SOURCES, amended.forgotten)


async def last_report(documents: Documents) -> IngestReport | None:
    """Of the last run that changed or found wrong anything; None when there was none."""
    [value] = await documents.get(REPORTS, ["last"])
    return msgspec.json.decode(value, type=IngestReport) if value else None


def _no_music(library: Path, walked: Walk) -> str:
    message = f"no music in {printable(str(library))}"
    if walked.problems:
        first = walked.problems[0]
        message += f": {len(walked.problems)} files are not usable, {first.rel}: {first.reason}"
    return message

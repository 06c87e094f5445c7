"""The figures of the work that needs no socket: signing leases, and taking music in."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernel.errors import SegueError
from kernel.ids import DeviceId, PlayId, SessionId, TrackId, UserId
from kernel.units import Millis
from media.compose import compose_demo
from media.leases import LeaseClaims, sign
from media.pipeline import Job, prepare
from media.probe import walk
from scripts.bench.figures import Figure, Skipped

CLAIMS = LeaseClaims(
    user_id=UserId("01J0000000000000000000USER"),
    device_id=DeviceId("headless-01j00000000000000000device"),
    session_id=SessionId("01J0000000000000000SESSION"),
    device_epoch=7,
    play_id=PlayId("01J000000000000000000PLAY0"),
    track_id=TrackId("4uLU6hMCjMI75M1A2tKUQC"),
    bitrate_kbps_max=320,
    expires_at_ms=Millis(1_790_000_120_000),
)


class _OneKey:
    def signing_key(self) -> tuple[str, bytes]:
        return "lease-00000001", b"k" * 32

    def secret(self, kid: str) -> bytes | None:
        return b"k" * 32


def leases_signed(*, quick: bool) -> list[Figure]:
    """Signatures per second on one core, in the library."""
    keys, count, seconds = _OneKey(), 0, 0.5 if quick else 3.0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(500):
            sign(CLAIMS, keys)
        count += 500
    return [
        Figure(
            what="stream leases signed",
            value=count / (time.perf_counter() - began),
            unit="/s",
            target="≥ 20,000 per core",
        )
    ]


@contextmanager
def _one_core() -> Iterator[None]:
    """This process, and what it starts, on a single core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def ingest_speed(*, quick: bool) -> list[Figure]:
    """Seconds of music per second of one core: tags, decode, loudness, six renditions."""
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as folder:
        root, work = Path(folder) / "music", Path(folder) / "work"
        try:
            compose_demo(root)
        except SegueError as why:
            raise Skipped(f"no music to take in: {why.message}") from why
        found = walk(root).found[: 2 if quick else None]
        music_s, failures = 0.0, 0
        with _one_core():
            began = time.perf_counter()
            for number, file in enumerate(found):
                job_dir = work / str(number)
                job = Job(
                    root=root,
                    rel=file.rel,
                    size=file.size,
                    mtime_ns=file.mtime_ns,
                    known=(),
                    work_dir=job_dir,
                )
                prepared = prepare(job)
                if prepared.content is None:
                    failures += 1
                else:
                    music_s += prepared.content.duration_ms / 1000
                shutil.rmtree(job_dir, ignore_errors=True)
            elapsed_s = time.perf_counter() - began
    assert failures == 0, f"{failures} of {len(found)} files were refused"
    return [
        Figure(
            what="ingest, per core",
            value=music_s / elapsed_s,
            unit="× real time",
            note=f"{len(found)} pieces, {music_s:.0f} s of music; three AAC and three Vorbis renditions each",
        )
    ]

"""The one place that runs ffmpeg: with bounds on time, memory and output, and a reason when it fails.

Files come from strangers. ffmpeg may open the named files only (no URLs, no playlists that lead elsewhere),
reads with a fixed set of demuxers, never asks the terminal, and runs at a low priority.
"""

import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from kernel.errors import Code, Rejected, Unavailable

LOG_BYTES_MAX: Final = 64 * 1024
"""Of what ffmpeg says, the first and the last half of this much is kept."""
ALLOC_BYTES_MAX: Final = 512 * 1024 * 1024
"""Largest single block that ffmpeg may allocate; a header that asks for more is an attack or damage."""
NICENESS: Final = 10
READ_BYTES: Final = 256 * 1024

DEMUXERS: Final = (
    "aac,ac3,aiff,ape,asf,au,caf,dsf,eac3,flac,matroska,webm,mov,mp4,m4a,mp3,mpc,mpc8,ogg,tta,w64,wav,wv"
)
"""What a source may be. Leaves out everything that names other files (HLS, DASH, concat, image sequences)."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that ended well."""

    log: str
    """What ffmpeg said, shortened in the middle when long."""
    output: bytes
    """The beginning of its standard output, as much as was asked to be kept."""
    output_bytes: int
    """All of its standard output."""


@cache
def executable() -> str:
    """Path of the ffmpeg program. Raises Unavailable when there is none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise Unavailable(Code.INTERNAL, f"ffmpeg could not be found: {error}") from error


def source_args(path: Path) -> list[str]:
    """Input options for a file that a stranger made."""
    # The `file:` prefix keeps a name like `concat:a|b` or `-y` from being read as anything but a name.
    return ["-protocol_whitelist", "file", "-format_whitelist", DEMUXERS, "-i", f"file:{path.absolute()}"]


def run(args: Sequence[str], *, timeout_s: float, spare_cores: int = 0, output_bytes_kept: int = 0) -> Ran:
    """Run ffmpeg with `args` and wait.

    `spare_cores`: how many of the process's cores ffmpeg stays off, so that others find them free.
    Raises Rejected BAD_REQUEST when ffmpeg refuses the input, Unavailable when time or the machine ran out.
    """
    command = [
        *_niceness(),
        executable(),
        *("-nostdin", "-hide_banner", "-nostats", "-y", "-max_alloc", str(ALLOC_BYTES_MAX)),
        # CPU seconds: ends an orphan whose parent was killed and can no longer keep the time.
        *("-timelimit", str(int(timeout_s * 2) + 1), "-threads", "1", "-filter_complex_threads", "1"),
        *args,
    ]
    process = _start(command, spare_cores)
    try:
        output, output_bytes, log = _listen(process, time.monotonic() + timeout_s, output_bytes_kept)
    except TimeoutError:
        raise Unavailable(Code.TIMEOUT, f"ffmpeg given up: not done within {timeout_s:.0f} s") from None
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
    if process.returncode != 0:
        raise _failure(log, process.returncode)
    return Ran(log=log, output=output, output_bytes=output_bytes)


def probe_log(path: Path, *, timeout_s: float) -> str:
    """What ffmpeg says of a file without decoding it.

    Asks for an output of nothing from a second of input: a run that succeeds for anything that has audio.
    """
    return run(
        [*("-t", "0"), *source_args(path), *("-map", "0:a:0", "-c", "copy", "-f", "null", "-")],
        timeout_s=timeout_s,
    ).log


def _niceness() -> list[str]:
    nice = shutil.which("nice")
    return [nice, "-n", str(NICENESS)] if nice else []


def _start(command: list[str], spare_cores: int) -> subprocess.Popen[bytes]:
    """Start it on the cores left when `spare_cores` of ours are kept free (always at least one)."""
    cores: set[int] = set()
    if spare_cores and hasattr(os, "sched_getaffinity"):
        cores = set(os.sched_getaffinity(0))
    allowed = set(sorted(cores)[min(spare_cores, len(cores) - 1) :]) if cores else set()
    # A child inherits the affinity of the thread that starts it; narrowing ours for that moment has no race.
    if allowed:
        os.sched_setaffinity(0, allowed)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
    except OSError as error:
        raise Unavailable(Code.INTERNAL, f"ffmpeg could not be started: {error}") from error
    finally:
        if allowed:
            os.sched_setaffinity(0, cores)


def _listen(
    process: subprocess.Popen[bytes], deadline: float, output_bytes_kept: int
) -> tuple[bytes, int, str]:
    """Read both pipes to their end. Raises TimeoutError."""
    assert process.stdout
    assert process.stderr
    output, output_bytes = bytearray(), 0
    head, tail = bytearray(), bytearray()
    half = LOG_BYTES_MAX // 2
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, "output")
        selector.register(process.stderr, selectors.EVENT_READ, "log")
        while selector.get_map():
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError
            for key, _ in selector.select(remaining_s):
                chunk = os.read(key.fd, READ_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.data == "output":
                    output_bytes += len(chunk)
                    output += chunk[: max(0, output_bytes_kept - len(output))]
                else:
                    room = half - len(head)
                    head += chunk[:room]
                    tail = (tail + chunk[room:])[-half:] if len(chunk) > room else tail
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return bytes(output), output_bytes, (head + tail).decode("utf-8", "replace")


_PREFIX = re.compile(r"^\[[^\]]*\] ?")
_REASONS: Final = (
    ("moov atom not found", "truncated: the index of the MP4 file is missing"),
    ("matches no streams", "holds no audio"),
    ("Invalid data found when processing input", "not audio, or damaged beyond reading"),
    ("Format not on whitelist", "not a kind of file that is taken"),
    ("Unable to find a suitable", "no way to decode this kind of audio"),
    ("Decoder not found", "no way to decode this kind of audio"),
    ("Cannot allocate memory", "its header asks for more memory than is allowed"),
)


def _failure(log: str, status: int) -> Rejected | Unavailable:
    if "No space left on device" in log:
        return Unavailable(Code.STORE_UNAVAILABLE, "ffmpeg could not write: no space left on the device")
    if status < 0:
        return Unavailable(Code.INTERNAL, f"ffmpeg was ended by signal {-status}")
    for sign, reason in _REASONS:
        if sign in log:
            return Rejected(Code.BAD_REQUEST, reason)
    lines = [_PREFIX.sub("", line).strip() for line in log.splitlines()]
    last = next((line for line in reversed(lines) if line and not line.startswith("Conversion failed")), "")
    return Rejected(Code.BAD_REQUEST, f"ffmpeg gave up with status {status}: {last[:200] or 'no reason'}")

"""One play's bytes, fetched from the edge by range: manifest, then chunks, held in memory up to a bound.

Checks what it gets: a range must come back as 206 with the size that the manifest names, so that a changed
or cut-off file is an error and never taken for the end of the music.
"""

from typing import Protocol

import httpx
import msgspec

from catalog.model import Codec, Segment
from client.api import refusal
from connect.frames import Lease
from kernel.errors import Code, Rejected, SegueError, Unavailable
from kernel.units import TickS

CHUNK_BYTES = 64 * 1024
FILE_BYTES_MAX = 512 * 1024 * 1024
"""A manifest that names more is refused: three hours at 320 kbps are 432 MB."""
ATTEMPTS_MAX = 3


class ManifestRendition(msgspec.Struct, frozen=True, kw_only=True):
    """One file under a lease. The fields are those of `catalog.model.Rendition`."""

    name: str
    file: str
    codec: Codec
    mime: str
    bitrate_kbps: int
    size: int
    sample_rate: int
    pcm_frames: int
    encoder_delay: int
    end_padding: int
    init_size: int = 0
    segments: tuple[Segment, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`<lease url>manifest.json`."""

    track_uri: str
    duration_ms: int
    gain_db: float
    renditions: tuple[ManifestRendition, ...]

    def rendition(self, name: str) -> ManifestRendition:
        for one in self.renditions:
            if one.name == name:
                return one
        raise Rejected(
            Code.NOT_FOUND,
            f"rendition {name} of {self.track_uri} is not in the manifest, which has "
            f"{', '.join(one.name for one in self.renditions) or 'none'}",
        )


class Source(Protocol):
    """Where bytes come from."""

    async def manifest(self, lease: Lease) -> Manifest:
        """Raises Rejected LEASE_… when the lease is refused, Unavailable when there is no answer."""
        ...

    async def read(self, lease: Lease, rendition: ManifestRendition, *, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive) of the file; exactly so many. Raises as `manifest`."""
        ...


class EdgeSource:
    """The real one: HTTP ranges."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def manifest(self, lease: Lease) -> Manifest:
        answer = await self._get(f"{lease.url}manifest.json", {})
        try:
            return msgspec.convert(answer.json(), Manifest)
        except (ValueError, msgspec.ValidationError) as fault:
            raise Unavailable(Code.INTERNAL, f"manifest of {lease.uri} cannot be read: {fault}") from fault

    async def read(self, lease: Lease, rendition: ManifestRendition, *, start: int, end: int) -> bytes:
        url = f"{lease.url}{rendition.file}"
        answer = await self._get(url, {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"})
        expected = f"bytes {start}-{end - 1}/{rendition.size}"
        got = answer.headers.get("Content-Range", "")
        if answer.status_code != 206 or got != expected or len(answer.content) != end - start:
            raise Unavailable(
                Code.INTERNAL,
                f"asked for {expected}; the answer was {answer.status_code} {got or 'without a range'}, "
                f"{len(answer.content)} bytes",
            )
        return answer.content

    async def _get(self, url: str, headers: dict[str, str]) -> httpx.Response:
        try:
            answer = await self._http.get(url, headers=headers)
        except httpx.HTTPError as fault:
            why = type(fault).__name__
            raise Unavailable(Code.TIMEOUT, f"GET of a stream had no answer: {why}") from fault
        if not answer.is_success:
            # The lease in the path is a secret of this play: it stays out of the message.
            raise refusal("GET", "a stream", answer)
        return answer


class Throughput:
    """Kilobits per second over the last chunks, the slowest weighing as much as its time took."""

    KEEP = 8

    def __init__(self) -> None:
        self._samples: list[tuple[int, float]] = []

    def measured(self, *, size: int, began: TickS, ended: TickS) -> None:
        self._samples = [*self._samples[1 - self.KEEP :], (size, max(ended - began, 1e-4))]

    def kbps(self) -> int | None:
        """None before the first measurement."""
        if not self._samples:
            return None
        size = sum(size for size, _ in self._samples)
        seconds = sum(seconds for _, seconds in self._samples)
        return min(10_000_000, round(size * 8 / 1000 / seconds))


def is_transient(fault: SegueError) -> bool:
    """Worth another attempt with the same lease."""
    return isinstance(fault, Unavailable)

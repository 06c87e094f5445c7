"""Reads the boxes of our own fragmented MP4 files: where the init part ends, and where each segment lies.

Knows the files that `media.transcode` writes and nothing more general: one track, no edit list, `ftyp moov`
and then pairs of `moof mdat`, offsets relative to the `moof` (ISO/IEC 14496-12 §8.8). Anything else is
refused with BAD_REQUEST, because a segment table that is a little wrong would be heard.
"""

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import Final, NamedTuple

import msgspec

from catalog.model import Segment
from kernel.errors import Code, Rejected

HEADER_BOX_BYTES_MAX: Final = 1024 * 1024
"""Largest `ftyp`, `moov` or `moof`."""
SEGMENTS_MAX: Final = 100_000
SAMPLES_PER_RUN_MAX: Final = 65_536
BOXES_PER_LEVEL_MAX: Final = 64
"""Inside `moov` and `moof`; the top level is bounded by SEGMENTS_MAX."""

_DEFAULT_BASE_IS_MOOF: Final = 0x020000


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where things lie in one file."""

    init_size: int
    """Bytes of `ftyp` and `moov`."""
    timescale: int
    """Units of time in a second; the sample rate in files of ours."""
    segments: tuple[Segment, ...]

    @property
    def frames(self) -> int:
        """What a decoder will give for all segments: music, delay and padding."""
        return sum(segment.frames for segment in self.segments)


class _Box(NamedTuple):
    kind: bytes
    start: int
    body: int
    end: int


def read_layout(data: bytes | mmap) -> Layout:
    """The layout of a whole file. Raises Rejected BAD_REQUEST for any other bytes."""
    try:
        return _read_layout(data)
    except struct.error as error:
        raise _bad(f"a box is shorter than its fields ({error})") from error


def _read_layout(data: bytes | mmap) -> Layout:
    boxes = _boxes(data, 0, len(data), 2 + 2 * SEGMENTS_MAX)
    ftyp, moov = next(boxes, None), next(boxes, None)
    if ftyp is None or moov is None or (ftyp.kind, moov.kind) != (b"ftyp", b"moov"):
        raise _bad("it does not begin with ftyp and moov")
    timescale, default_frames = _read_moov(_held(data, ftyp, moov), moov.body - ftyp.start)
    segments: list[Segment] = []
    next_frame = 0
    for moof in boxes:
        mdat = next(boxes, None)
        if moof.kind != b"moof" or mdat is None or mdat.kind != b"mdat":
            raise _bad(f"at byte {moof.start} there is no pair of moof and mdat")
        fragment = _read_moof(_held(data, moof, moof), moof.body - moof.start, default_frames)
        if fragment.start_frame != next_frame:
            raise _bad(f"a fragment begins at frame {fragment.start_frame}, not at {next_frame}")
        if fragment.data_offset != mdat.body - moof.start or fragment.data_bytes != mdat.end - mdat.body:
            raise _bad(f"the samples of the fragment at byte {moof.start} are not the bytes of its mdat")
        segments.append(
            Segment(
                offset=moof.start, size=mdat.end - moof.start, start_frame=next_frame, frames=fragment.frames
            )
        )
        next_frame += fragment.frames
    if not segments:
        raise _bad("it has no fragments")
    return Layout(init_size=moov.end, timescale=timescale, segments=tuple(segments))


def _held(data: bytes | mmap, first: _Box, last: _Box) -> bytes:
    if last.end - first.start > HEADER_BOX_BYTES_MAX:
        raise _bad(f"a box of {last.end - first.start} bytes is over the limit of {HEADER_BOX_BYTES_MAX}")
    return data[first.start : last.end]


def _read_moov(data: bytes, body: int) -> tuple[int, int]:
    """`(timescale, frames per sample when a fragment says nothing)`."""
    trak = mvex = None
    for box in _boxes(data, body, len(data)):
        if box.kind == b"trak":
            if trak:
                raise _bad("it has more than one track")
            trak = box
        elif box.kind == b"mvex":
            mvex = box
    if not trak or not mvex:
        raise _bad("its moov has no track, or does not announce fragments")
    in_trak = {box.kind: box for box in _boxes(data, trak.body, trak.end)}
    if b"edts" in in_trak:
        raise _bad("it has an edit list, which decoders read differently")
    mdia = in_trak.get(b"mdia")
    mdhd = mdia and _first(data, mdia, b"mdhd")
    trex = _first(data, mvex, b"trex")
    if not mdhd or not trex:
        raise _bad("its moov lacks mdhd or trex")
    version = data[mdhd.body] if mdhd.body < mdhd.end else 0
    (timescale,) = struct.unpack_from(">I", data[: mdhd.end], mdhd.body + (20 if version == 1 else 12))
    if not timescale:
        raise _bad("its timescale is 0")
    (default_frames,) = struct.unpack_from(">I", data[: trex.end], trex.body + 12)
    return timescale, default_frames


class _Fragment(NamedTuple):
    start_frame: int
    frames: int
    data_offset: int
    """From the start of the moof."""
    data_bytes: int


def _read_moof(data: bytes, body: int, default_frames: int) -> _Fragment:
    trafs = [box for box in _boxes(data, body, len(data)) if box.kind == b"traf"]
    if len(trafs) != 1:
        raise _bad(f"a fragment has {len(trafs)} tracks, not one")
    inside = list(_boxes(data, trafs[0].body, trafs[0].end))
    if sorted(box.kind for box in inside) != [b"tfdt", b"tfhd", b"trun"]:
        raise _bad("a fragment is not made of one each of tfhd, tfdt, trun")
    of = {box.kind: box for box in inside}
    default_frames, default_bytes = _read_tfhd(data[: of[b"tfhd"].end], of[b"tfhd"].body, default_frames)
    tfdt = of[b"tfdt"]
    (version,) = struct.unpack_from(">B", data[: tfdt.end], tfdt.body)
    (start_frame,) = struct.unpack_from(">Q" if version == 1 else ">I", data[: tfdt.end], tfdt.body + 4)
    trun = of[b"trun"]
    return _read_trun(data[: trun.end], trun.body, start_frame, default_frames, default_bytes)


def _read_tfhd(data: bytes, at: int, frames: int) -> tuple[int, int]:
    """`(frames, bytes)` of a sample whose own are not given."""
    (flags,) = struct.unpack_from(">I", data, at)
    if not flags & _DEFAULT_BASE_IS_MOOF or flags & 0x01:
        raise _bad("a fragment's offsets are not relative to its moof")
    at += 8
    size = 0
    if flags & 0x02:  # sample description index
        at += 4
    if flags & 0x08:
        (frames,) = struct.unpack_from(">I", data, at)
        at += 4
    if flags & 0x10:
        (size,) = struct.unpack_from(">I", data, at)
    return frames, size


def _read_trun(data: bytes, at: int, start_frame: int, default_frames: int, default_bytes: int) -> _Fragment:
    flags, count = struct.unpack_from(">II", data, at)
    if not flags & 0x01:
        raise _bad("a run does not say where its samples are")
    if not 0 < count <= SAMPLES_PER_RUN_MAX:
        raise _bad(f"a run of {count} samples is not between 1 and {SAMPLES_PER_RUN_MAX}")
    (data_offset,) = struct.unpack_from(">i", data, at + 8)
    at += 12 + (4 if flags & 0x04 else 0)
    fields = [flags & bit != 0 for bit in (0x100, 0x200, 0x400, 0x800)]
    width = sum(fields)
    numbers = struct.unpack_from(f">{count * width}I", data, at)
    frames = sum(numbers[0::width]) if fields[0] else count * default_frames
    sizes = numbers[fields[0] :: width] if fields[1] else ()
    if frames <= 0:
        raise _bad("a run has no length")
    return _Fragment(start_frame, frames, data_offset, sum(sizes) if fields[1] else count * default_bytes)


def _first(data: bytes, parent: _Box, kind: bytes) -> _Box | None:
    return next((box for box in _boxes(data, parent.body, parent.end) if box.kind == kind), None)


def _boxes(data: bytes | mmap, start: int, end: int, count_max: int = BOXES_PER_LEVEL_MAX) -> Iterator[_Box]:
    """The boxes that fill `start` to `end` exactly."""
    count = 0
    while start < end:
        count += 1
        if count > count_max:
            raise _bad(f"more than {count_max} boxes on one level")
        size, kind = struct.unpack(">I4s", data[start : min(start + 8, end)])
        body = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", data[body : min(body + 8, end)])
            body += 8
        if size < body - start or start + size > end:
            raise _bad(f"the box at byte {start} says {size} bytes, {end - start} are left")
        yield _Box(kind, start, body, start + size)
        start += size


def _bad(what: str) -> Rejected:
    return Rejected(Code.BAD_REQUEST, f"fragmented MP4 refused: {what}")

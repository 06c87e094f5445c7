"""Turns one source file into what is streamed: decoded once, measured, encoded, and checked frame by frame.

The source is decoded once into a file of samples, already at the rate and in the two channels that will be
encoded; everything after that reads those samples, so length, loudness and every rendition describe the same
music. Two lengths are never guessed:

    Ogg Vorbis   a decoder gives back exactly the frames that went in.
    AAC          a decoder gives 1024 frames of delay first. No edit list is written, since decoders differ in
                 reading it; the source is padded with silence to whole packets, so that the decoder's output
                 and the durations in the file agree, and the client trims both ends by our numbers.

Both are proved at the end by decoding the packaged bytes. Equal input gives equal bytes.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from catalog.model import Codec, Rendition
from kernel.errors import Code, Rejected, Unavailable
from media import ffmpeg, fmp4

DURATION_S_MAX: Final = 4 * 3600
"""Longer sources are refused: at 44.1 kHz this is already 5 GB of samples on the disk for a while."""
DURATION_S_MIN: Final = 0.5
"""Shorter ones are refused: nothing to hear, and less than two pages of Ogg."""
DECODE_TIMEOUT_S: Final = 900.0
PROBE_TIMEOUT_S: Final = 30.0
RATES: Final = (44_100, 48_000)
"""Hz. A source at one of these keeps it."""
CHANNELS: Final = 2
BYTES_PER_FRAME: Final = 4 * CHANNELS
"""Of the decoded samples: 32-bit floats, since a lossy source may well go over full scale."""
AAC_PACKET_FRAMES: Final = 1024
AAC_DELAY_FRAMES: Final = 1024
"""What ffmpeg's own AAC encoder puts in front; proved against the decoder for each file."""
FRAGMENT_S: Final = 4
OGG_PAGE_US: Final = 200_000
"""Sound in a page of Ogg. The decoder learns from the end of the first page where the stream begins; when
that page is the only one, it loses 128 frames: with the default of a second, in short pieces."""
VORBIS_KBPS: Final = (96, 160, 320)
AAC_KBPS: Final = (96, 160, 256)
VORBIS_MIME: Final = 'audio/ogg; codecs="vorbis"'
AAC_MIME: Final = 'audio/mp4; codecs="mp4a.40.2"'

_SILENCE_LUFS: Final = -69.9
"""The measure ends at -70: nothing passed its gate."""
_BITEXACT: Final = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Samples on the disk, interleaved 32-bit floats in two channels."""

    path: Path
    sample_rate: int
    frames: int

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate


@dataclass(frozen=True, slots=True)
class Transcoded:
    """What one source became. The files are the caller's to keep or delete."""

    sample_rate: int
    pcm_frames: int
    loudness_lufs: float | None
    true_peak_db: float | None
    renditions: tuple[tuple[Rendition, Path], ...]


def transcode(source: Path, work_dir: Path, *, spare_cores: int = 0) -> Transcoded:
    """Decode, measure, encode and check one file; results are left in `work_dir`.

    Raises Rejected BAD_REQUEST with a reason that an owner of music understands, or Unavailable.
    """
    decoded = decode(source, work_dir / "samples.f32", spare_cores=spare_cores)
    try:
        return encode(decoded, work_dir, spare_cores=spare_cores)
    finally:
        decoded.path.unlink(missing_ok=True)


def decode(source: Path, to: Path, *, spare_cores: int = 0) -> Decoded:
    """All of the first audio stream, at one of RATES, in stereo."""
    rate = _nearest_rate(_source_rate(source))
    ffmpeg.run(
        [
            *("-v", "error", *ffmpeg.source_args(source), "-map", "0:a:0", "-vn", "-sn", "-dn"),
            *("-af", f"aformat=sample_fmts=flt:sample_rates={rate}:channel_layouts=stereo"),
            *("-t", str(DURATION_S_MAX + 1), "-c:a", "pcm_f32le", "-f", "f32le", str(to)),
        ],
        timeout_s=DECODE_TIMEOUT_S,
        spare_cores=spare_cores,
    )
    frames, rest = divmod(to.stat().st_size, BYTES_PER_FRAME)
    assert rest == 0
    if frames > DURATION_S_MAX * rate:
        raise Rejected(Code.BAD_REQUEST, f"longer than {DURATION_S_MAX // 3600} hours")
    if frames < DURATION_S_MIN * rate:
        raise Rejected(Code.BAD_REQUEST, f"too short: {frames / rate * 1000:.0f} ms of sound")
    return Decoded(to, rate, frames)


def encode(decoded: Decoded, work_dir: Path, *, spare_cores: int = 0) -> Transcoded:
    """Every rendition and the loudness, in one run of ffmpeg."""
    packets = -(-decoded.frames // AAC_PACKET_FRAMES)
    branches = ["[m]ebur128=peak=true:framelog=verbose[m1]"]
    labels, outputs = ["[m]"], ["-map", "[m1]", "-f", "null", "-"]
    for kbps in VORBIS_KBPS:
        labels.append(f"[v{kbps}]")
        outputs += ["-map", f"[v{kbps}]", *_BITEXACT, "-c:a", "libvorbis", "-b:a", f"{kbps}k"]
        outputs += ["-page_duration", str(OGG_PAGE_US), "-f", "ogg", str(work_dir / f"vorbis-{kbps}.ogg")]
    for kbps in AAC_KBPS:
        labels.append(f"[a{kbps}]")
        branches.append(f"[a{kbps}]apad=whole_len={packets * AAC_PACKET_FRAMES}[p{kbps}]")
        # `fast` measured against `twoloop`: a third of the time, and less noise in all but the highest band.
        outputs += ["-map", f"[p{kbps}]", *_BITEXACT, "-c:a", "aac", "-aac_coder", "fast", "-b:a", f"{kbps}k"]
        outputs += ["-movflags", "+empty_moov+default_base_moof+skip_trailer"]
        outputs += ["-frag_duration", str(FRAGMENT_S * 1_000_000)]
        outputs += ["-f", "mp4", str(work_dir / f"aac-{kbps}.mp4")]
    graph = ";".join([f"[0:a]asplit={len(labels)}{''.join(labels)}", *branches])
    log = ffmpeg.run(
        [
            *("-f", "f32le", "-ar", str(decoded.sample_rate), "-ac", str(CHANNELS)),
            *("-protocol_whitelist", "file", "-i", f"file:{decoded.path.absolute()}"),
            *("-filter_complex", graph, *outputs),
        ],
        timeout_s=120 + 4 * decoded.duration_s,
        spare_cores=spare_cores,
    ).log
    loudness_lufs, true_peak_db = read_loudness(log)
    renditions = [
        *(_vorbis(work_dir / f"vorbis-{kbps}.ogg", kbps, decoded, spare_cores) for kbps in VORBIS_KBPS),
        *(_aac(work_dir / f"aac-{kbps}.mp4", kbps, decoded, spare_cores) for kbps in AAC_KBPS),
    ]
    return Transcoded(decoded.sample_rate, decoded.frames, loudness_lufs, true_peak_db, tuple(renditions))


def _vorbis(path: Path, kbps: int, source: Decoded, spare_cores: int) -> tuple[Rendition, Path]:
    out = decoded_frames(path, spare_cores=spare_cores)
    _prove(path, out == source.frames, f"{out} frames decoded, {source.frames} went in")
    key, size = _blob(path)
    rendition = Rendition(
        name=f"vorbis-{kbps}",
        codec=Codec.VORBIS,
        bitrate_kbps=kbps,
        mime=VORBIS_MIME,
        blob=key,
        size=size,
        sample_rate=source.sample_rate,
        pcm_frames=source.frames,
        encoder_delay=0,
        end_padding=0,
    )
    return rendition, path


def _aac(path: Path, kbps: int, source: Decoded, spare_cores: int) -> tuple[Rendition, Path]:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        layout = fmp4.read_layout(data)
    out = decoded_frames(path, spare_cores=spare_cores)
    padding = out - AAC_DELAY_FRAMES - source.frames
    _prove(path, layout.timescale == source.sample_rate, f"its timescale is {layout.timescale}")
    _prove(path, layout.frames == out, f"{out} frames decoded, {layout.frames} announced")
    _prove(path, 0 <= padding < AAC_PACKET_FRAMES, f"{padding} frames of padding at its end")
    key, size = _blob(path)
    rendition = Rendition(
        name=f"aac-{kbps}",
        codec=Codec.AAC,
        bitrate_kbps=kbps,
        mime=AAC_MIME,
        blob=key,
        size=size,
        sample_rate=source.sample_rate,
        pcm_frames=source.frames,
        encoder_delay=AAC_DELAY_FRAMES,
        end_padding=padding,
        init_size=layout.init_size,
        segments=layout.segments,
    )
    return rendition, path


def decoded_frames(path: Path, *, spare_cores: int = 0) -> int:
    """How many frames a decoder gives for a rendition of ours."""
    args = ["-v", "error", *ffmpeg.source_args(path), "-map", "0:a:0", "-f", "s16le", "-"]
    ran = ffmpeg.run(args, timeout_s=DECODE_TIMEOUT_S, spare_cores=spare_cores)
    return ran.output_bytes // (2 * CHANNELS)


_INTEGRATED = re.compile(r"Integrated loudness:\s+I:\s+(-?[\d.]+|-?inf|nan) LUFS")
_TRUE_PEAK = re.compile(r"True peak:\s+Peak:\s+(-?[\d.]+|-?inf|nan) dBFS")


def read_loudness(log: str) -> tuple[float | None, float | None]:
    """`(LUFS, dBTP)` from what the ebur128 filter said; None for what silence or brevity left unmeasured."""
    integrated, peak = _INTEGRATED.search(log), _TRUE_PEAK.search(log)
    if not integrated or not peak:
        raise Unavailable(Code.INTERNAL, "ffmpeg gave no loudness summary")
    lufs, db = float(integrated[1]), float(peak[1])
    return (
        lufs if lufs > _SILENCE_LUFS else None,
        db if abs(db) != float("inf") and db == db else None,
    )


_AUDIO_STREAM = re.compile(r"Stream #0:\d+.*?: Audio: .*?, (\d+) Hz")


def _source_rate(source: Path) -> int:
    found = _AUDIO_STREAM.search(ffmpeg.probe_log(source, timeout_s=PROBE_TIMEOUT_S))
    if not found:
        raise Rejected(Code.BAD_REQUEST, "its sample rate cannot be told")
    return int(found[1])


def _nearest_rate(rate: int) -> int:
    """Itself when it is one of ours; 44.1 kHz for its even fractions (22,050; 11,025), else 48 kHz."""
    if rate in RATES:
        return rate
    return 44_100 if rate < 44_100 and 44_100 % rate == 0 else 48_000


def _blob(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = sha256()
        while chunk := file.read(1024 * 1024):
            digest.update(chunk)
    return f"audio/{digest.hexdigest()}", path.stat().st_size


def _prove(path: Path, fact: bool, otherwise: str) -> None:
    # Not an assertion: it must hold with -O too, and one odd file must not end the run for all others.
    if not fact:
        raise Unavailable(Code.INTERNAL, f"{path.stem} is not sample-exact and was thrown away: {otherwise}")

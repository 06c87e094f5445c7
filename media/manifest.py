"""What lies under a lease's URL: the files of one track and where their segments are, as a player reads
it."""

import msgspec

from catalog.model import Codec, Rendition, Segment, Track, gain_db, piece_uri
from kernel.errors import Code, Rejected
from kernel.ids import Uri
from kernel.units import Millis
from media.leases import LeaseClaims

MANIFEST_NAME = "manifest.json"

_EXTENSIONS = {Codec.AAC: "mp4", Codec.VORBIS: "ogg"}


class ManifestRendition(msgspec.Struct, frozen=True, kw_only=True):
    """One file. The fields are those of `catalog.model.Rendition`; `blob` is nobody's business outside."""

    name: str
    file: str
    """Relative to the manifest."""
    codec: Codec
    mime: str
    bitrate_kbps: int
    size: int
    sample_rate: int
    pcm_frames: int
    encoder_delay: int
    end_padding: int
    init_size: int
    segments: tuple[Segment, ...]
    """Each `[offset, size, start_frame, frames]`."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    track_uri: Uri
    duration_ms: Millis
    gain_db: float
    renditions: tuple[ManifestRendition, ...]


def file_name(rendition: Rendition) -> str:
    """`aac-160.mp4`, `vorbis-320.ogg`."""
    return f"{rendition.name}.{_EXTENSIONS[rendition.codec]}"


def leased_renditions(track: Track, claims: LeaseClaims) -> tuple[Rendition, ...]:
    """Those of the track's renditions that the lease covers."""
    return tuple(
        rendition for rendition in track.renditions if rendition.bitrate_kbps <= claims.bitrate_kbps_max
    )


def leased_file(track: Track, claims: LeaseClaims, file: str) -> Rendition:
    """The rendition that `file` names. Raises Rejected LEASE_FOREIGN unless the lease covers it."""
    for rendition in leased_renditions(track, claims):
        if file_name(rendition) == file:
            return rendition
    raise Rejected(Code.LEASE_FOREIGN, f"file {file[:64]!r} asked for: the lease covers no file of that name")


def manifest_json(track: Track, claims: LeaseClaims) -> bytes:
    """The manifest of what the lease covers."""
    return _encode(
        Manifest(
            track_uri=piece_uri(track),
            duration_ms=track.duration_ms,
            gain_db=round(gain_db(track.loudness_lufs, track.true_peak_db), 2),
            renditions=tuple(_shown(rendition) for rendition in leased_renditions(track, claims)),
        )
    )


def _shown(rendition: Rendition) -> ManifestRendition:
    return ManifestRendition(
        name=rendition.name,
        file=file_name(rendition),
        codec=rendition.codec,
        mime=rendition.mime,
        bitrate_kbps=rendition.bitrate_kbps,
        size=rendition.size,
        sample_rate=rendition.sample_rate,
        pcm_frames=rendition.pcm_frames,
        encoder_delay=rendition.encoder_delay,
        end_padding=rendition.end_padding,
        init_size=rendition.init_size,
        segments=rendition.segments,
    )


_encode = msgspec.json.Encoder().encode

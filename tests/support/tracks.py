"""Tracks as ingest would store them, with bytes that are told apart at every place."""

from hashlib import sha256

import msgspec

from catalog.model import Codec, Cover, Rendition, Segment, Track
from kernel.ids import AlbumId, ArtistId, TrackId, catalogue_id
from kernel.units import Millis
from storage.catalogue import Catalogue
from storage.stores import Stores

TRACK_ID = TrackId(catalogue_id("track", "one"))
OTHER_TRACK_ID = TrackId(catalogue_id("track", "two"))

_MIMES = {Codec.AAC: 'audio/mp4; codecs="mp4a.40.2"', Codec.VORBIS: 'audio/ogg; codecs="vorbis"'}


def some_bytes(size: int, seed: str = "") -> bytes:
    """Bytes in which no stretch of 32 or more comes twice."""
    blocks = (sha256(f"{seed}/{number}".encode()).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def a_rendition(codec: Codec, bitrate_kbps: int, data: bytes = b"") -> Rendition:
    fragmented = codec is Codec.AAC
    return Rendition(
        name=f"{codec}-{bitrate_kbps}",
        codec=codec,
        bitrate_kbps=bitrate_kbps,
        mime=_MIMES[codec],
        blob=f"audio/{sha256(data).hexdigest()}",
        size=len(data),
        sample_rate=44_100,
        pcm_frames=441_000,
        encoder_delay=1024 if fragmented else 0,
        end_padding=312 if fragmented else 0,
        init_size=100 if fragmented else 0,
        segments=(Segment(offset=100, size=len(data) - 100, start_frame=0, frames=442_336),)
        if fragmented
        else (),
    )


def a_track(
    *renditions: Rendition,
    track_id: TrackId = TRACK_ID,
    available: bool = True,
    covers: tuple[Cover, ...] = (),
) -> Track:
    return Track(
        track_id=track_id,
        title="Étude",
        artist_ids=(ArtistId(catalogue_id("artist", "ada")),),
        artist_names=("Ada",),
        album_id=AlbumId(catalogue_id("album", "studies")),
        album_title="Studies",
        duration_ms=Millis(10_000),
        available=available,
        loudness_lufs=-20.0,
        true_peak_db=-9.0,
        renditions=renditions,
        covers=covers,
    )


LADDER = (
    a_rendition(Codec.AAC, 96),
    a_rendition(Codec.AAC, 160),
    a_rendition(Codec.AAC, 256),
    a_rendition(Codec.VORBIS, 96),
    a_rendition(Codec.VORBIS, 160),
    a_rendition(Codec.VORBIS, 320),
)


async def put_track(stores: Stores, catalogue: Catalogue, track: Track, files: dict[str, bytes]) -> Track:
    """Store the track with these bytes under the names of its renditions."""
    renditions = []
    for rendition in track.renditions:
        data = files[rendition.name]
        blob = f"audio/{sha256(data).hexdigest()}"
        await stores.blobs.put(blob, data, content_type=rendition.mime)
        renditions.append(msgspec.structs.replace(rendition, blob=blob, size=len(data)))
    track = msgspec.structs.replace(track, renditions=tuple(renditions))
    await catalogue.put_tracks([track])
    return track

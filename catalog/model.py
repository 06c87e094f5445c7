"""What there is to play: tracks, albums, artists, and the files behind them.

Plain values as they are stored. What the Spotify Web API calls these things is shaped in `serve/`.
"""

from enum import StrEnum

import msgspec

from kernel.ids import AlbumId, ArtistId, TrackId, Uri, uri
from kernel.units import Millis


class Plan(StrEnum):
    """What an account pays for."""

    FREE = "free"
    PREMIUM = "premium"
    FAMILY = "family"
    DUO = "duo"
    STUDENT = "student"


class Codec(StrEnum):
    """How a rendition is coded. A device names the ones it can play, best first."""

    VORBIS = "vorbis"
    """Ogg Vorbis, one progressive file."""
    AAC = "aac"
    """AAC-LC in fragmented MP4, one file with byte-addressed segments."""


class Segment(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One `moof`+`mdat` of a fragmented file."""

    offset: int
    size: int
    """Bytes."""
    start_frame: int
    """Decoder output frame at which the segment begins, encoder delay included."""
    frames: int


class Rendition(msgspec.Struct, frozen=True, kw_only=True):
    """One encoding of one track, as bytes in the blob store."""

    name: str
    """`aac-160`, `vorbis-320`: unique within the track; also the file name in a stream's path."""
    codec: Codec
    bitrate_kbps: int
    """Nominal."""
    mime: str
    """As a media source wants it: `audio/mp4; codecs="mp4a.40.2"`, `audio/ogg; codecs="vorbis"`."""
    blob: str
    """Key in the blob store; ends in the SHA-256 of the bytes."""
    size: int
    """Bytes."""
    sample_rate: int
    """Hz, also the timescale of the numbers below."""
    pcm_frames: int
    """Frames of music: what is left after trimming delay and padding. Equal in time for all renditions."""
    encoder_delay: int
    """Frames to drop at the start of the decoder's output."""
    end_padding: int
    """Frames to drop at its end."""
    init_size: int = 0
    """Bytes of `ftyp`+`moov` at the start of a fragmented file; 0 for a progressive one."""
    segments: tuple[Segment, ...] = ()
    """Empty for a progressive file."""


class Cover(msgspec.Struct, frozen=True, kw_only=True):
    """One size of a cover image."""

    blob: str
    mime: str
    width: int
    height: int


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of music."""

    track_id: TrackId
    title: str
    artist_ids: tuple[ArtistId, ...]
    artist_names: tuple[str, ...]
    album_id: AlbumId
    album_title: str
    disc_number: int = 1
    track_number: int = 1
    duration_ms: Millis
    explicit: bool = False
    isrc: str | None = None
    genres: tuple[str, ...] = ()
    """As tagged, lower case."""
    is_speech: bool = False
    """Playback speed may be changed."""
    is_episode: bool = False
    """A piece of a show: its URI is an episode's."""
    available: bool = True
    """False once every file that held it is gone from the library."""
    loudness_lufs: float | None = None
    """Integrated loudness (EBU R128); None when the piece is too short or silent to measure."""
    true_peak_db: float | None = None
    album_loudness_lufs: float | None = None
    album_true_peak_db: float | None = None
    renditions: tuple[Rendition, ...] = ()
    covers: tuple[Cover, ...] = ()
    """Largest first."""

    @property
    def is_there(self) -> bool:
        """There are bytes of it to play."""
        return self.available and bool(self.renditions)


class Album(msgspec.Struct, frozen=True, kw_only=True):
    """Tracks in order."""

    album_id: AlbumId
    title: str
    artist_ids: tuple[ArtistId, ...]
    artist_names: tuple[str, ...]
    track_ids: tuple[TrackId, ...]
    """By disc, then number."""
    release_date: str = ""
    """`YYYY`, `YYYY-MM` or `YYYY-MM-DD`; empty when not tagged."""
    label: str = ""
    genres: tuple[str, ...] = ()
    covers: tuple[Cover, ...] = ()
    added_at_ms: Millis
    is_show: bool = False
    """All of it is speech: a podcast or an audiobook, listed beside the albums and not among them."""


class Artist(msgspec.Struct, frozen=True, kw_only=True):
    """Who made it."""

    artist_id: ArtistId
    name: str
    album_ids: tuple[AlbumId, ...]
    """Newest release first."""
    genres: tuple[str, ...] = ()
    covers: tuple[Cover, ...] = ()


def piece_uri(track: Track) -> Uri:
    """`spotify:track:…`, or `spotify:episode:…` for a piece of a show."""
    return uri("episode" if track.is_episode else "track", track.track_id)


TARGET_LUFS = -14.0
CEILING_DB = -1.0


def gain_db(loudness_lufs: float | None, true_peak_db: float | None) -> float:
    """Gain that brings a piece to the target without its true peak passing the ceiling.

    Decibels; 0.0 when the piece was not measurable. A quiet piece is raised only as far as its peak allows.
    """
    if loudness_lufs is None or true_peak_db is None:
        return 0.0
    return min(TARGET_LUFS - loudness_lufs, CEILING_DB - true_peak_db)

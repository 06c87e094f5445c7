"""An album for a server that nobody listens to: long tracks, real records, no bytes behind them."""

from hashlib import sha256

from catalog.model import Album, Artist, Codec, Rendition, Track
from kernel.ids import AlbumId, ArtistId, TrackId, Uri, catalogue_id, uri
from kernel.units import Millis
from storage.catalogue import Catalogue

TRACKS = 10
DURATION_MS = Millis(30 * 60 * 1000)
ALBUM_ID = AlbumId(catalogue_id("album", "bench"))
ARTIST_ID = ArtistId(catalogue_id("artist", "bench"))
ALBUM_URI: Uri = uri("album", ALBUM_ID)


async def put_album(catalogue: Catalogue) -> None:
    """Idempotent."""
    tracks = [_track(number) for number in range(1, TRACKS + 1)]
    await catalogue.put_tracks(tracks)
    await catalogue.put_albums(
        [
            Album(
                album_id=ALBUM_ID,
                title="Bench",
                artist_ids=(ARTIST_ID,),
                artist_names=("Bench",),
                track_ids=tuple(track.track_id for track in tracks),
                added_at_ms=Millis(0),
            )
        ]
    )
    await catalogue.put_artists([Artist(artist_id=ARTIST_ID, name="Bench", album_ids=(ALBUM_ID,))])


def _track(number: int) -> Track:
    digest = sha256(f"bench {number}".encode()).hexdigest()
    return Track(
        track_id=TrackId(catalogue_id("track", "bench", number)),
        title=f"Bench {number}",
        artist_ids=(ARTIST_ID,),
        artist_names=("Bench",),
        album_id=ALBUM_ID,
        album_title="Bench",
        track_number=number,
        duration_ms=DURATION_MS,
        renditions=tuple(
            Rendition(
                name=f"vorbis-{kbps}",
                codec=Codec.VORBIS,
                bitrate_kbps=kbps,
                mime='audio/ogg; codecs="vorbis"',
                blob=f"audio/{digest}",
                size=1,
                sample_rate=44_100,
                pcm_frames=DURATION_MS * 441 // 10,
                encoder_delay=0,
                end_padding=0,
            )
            for kbps in (96, 160, 320)
        ),
    )

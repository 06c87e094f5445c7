"""A catalogue with something of every kind: two artists of one genre, an album each, and a show."""

from msgspec.structs import replace

from catalog.model import Album, Artist, Cover
from kernel.ids import AlbumId, ArtistId, TrackId, catalogue_id
from kernel.units import Millis
from storage.catalogue import Catalogue
from tests.support.hosting import ALBUM, LATER_TRACKS, TRACKS
from tests.support.tracks import LADDER, a_track

ADA = ArtistId(catalogue_id("artist", "ada"))
BEA = ArtistId(catalogue_id("artist", "bea"))
BEAS_ALBUM = AlbumId(catalogue_id("album", "beas"))
SHOW = AlbumId(catalogue_id("album", "show"))
EPISODES = tuple(TrackId(catalogue_id("episode", number)) for number in range(3))
GENRE = "post-rock"
GENRE_ID = "post-rock"
COVERS = tuple(
    Cover(blob=f"art/{size:064x}", mime="image/jpeg", width=size, height=size) for size in (640, 300, 64)
)


async def fill_shelves(catalogue: Catalogue) -> None:
    """Beside what `tests.support.hosting.fill_catalogue` puts there."""
    later = [
        replace(
            a_track(*LADDER, track_id=track_id), title="Later", album_id=BEAS_ALBUM, album_title="Lanterns"
        )
        for track_id in LATER_TRACKS
    ]
    spoken = [
        replace(
            a_track(*LADDER, track_id=track_id),
            title=f"Episode {number}: Ångström",
            album_id=SHOW,
            album_title="Hours",
            duration_ms=Millis(3_600_000),
            is_speech=True,
            is_episode=True,
        )
        for number, track_id in enumerate(EPISODES)
    ]
    await catalogue.put_tracks([*later, *spoken])
    await catalogue.put_albums(
        [
            an_album(ALBUM, "Studies", ADA, "Ada", TRACKS, added_at_ms=1),
            an_album(BEAS_ALBUM, "Lanterns", BEA, "Bea", LATER_TRACKS, added_at_ms=2),
            an_album(SHOW, "Hours", ADA, "Ada", EPISODES, added_at_ms=3, is_show=True),
        ]
    )
    await catalogue.put_artists(
        [
            Artist(
                artist_id=ADA, name="Ada", album_ids=(ALBUM, BEAS_ALBUM, SHOW), genres=(GENRE,), covers=COVERS
            ),
            Artist(artist_id=BEA, name="Bea", album_ids=(BEAS_ALBUM,), genres=(GENRE,)),
        ]
    )


def an_album(
    album_id: AlbumId,
    title: str,
    artist_id: ArtistId,
    artist: str,
    track_ids: tuple[TrackId, ...],
    *,
    added_at_ms: int,
    is_show: bool = False,
) -> Album:
    return Album(
        album_id=album_id,
        title=title,
        artist_ids=(artist_id,),
        artist_names=(artist,),
        track_ids=track_ids,
        release_date="2001-02-03",
        genres=(GENRE,),
        covers=COVERS,
        added_at_ms=Millis(added_at_ms),
        is_show=is_show,
    )

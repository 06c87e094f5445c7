"""The catalogue as REST shows it: pieces of any kind by id or URI, with the listener's place in episodes."""

from collections.abc import Sequence

from msgspec import UNSET

from catalog.model import Album, Track
from kernel.errors import Code, Rejected
from kernel.ids import AlbumId, TrackId, Uri, parse_uri
from kernel.units import Clock, Millis
from serve.rest.exchange import PAGE_LIMIT_MAX
from serve.rest.objects import (
    EpisodeObject,
    Page,
    ResumePoint,
    SimplifiedEpisode,
    SimplifiedTrack,
    TrackObject,
)
from serve.rest.shapes import Resume, Shapes
from serve.tokens import AccessClaims
from storage.catalogue import Catalogue
from storage.library import Library
from storage.preferences import Preferences

READ_POSITION = "user-read-playback-position"


class CatalogueReader:
    def __init__(
        self,
        catalogue: Catalogue,
        library: Library,
        preferences: Preferences,
        shapes: Shapes,
        clock: Clock,
    ) -> None:
        self.preferences = preferences
        self.catalogue = catalogue
        self.library = library
        self.shapes = shapes
        self._clock = clock

    def now_ms(self) -> Millis:
        return self._clock.now_ms()

    def in_market(self, claims: AccessClaims) -> Shapes:
        return self.shapes.in_market(claims.country)

    async def _for_listener(self, pieces: Sequence[Track | None], claims: AccessClaims) -> Shapes:
        """As `in_market`, with the listener's explicit filter, which is read when it makes a difference."""
        if not any(piece is not None and piece.explicit for piece in pieces):
            return self.in_market(claims)
        explicit_filter = await self.preferences.explicit_filter(claims.user_id)
        return self.shapes.in_market(claims.country, explicit_filter=explicit_filter)

    # --- pieces -------------------------------------------------------------------------------------

    async def track_objects(
        self, wanted: Sequence[TrackId], claims: AccessClaims
    ) -> list[TrackObject | None]:
        """In the order asked, None where there is none."""
        asked = await self.catalogue.tracks(wanted)
        relinked = await self._relinked(asked)
        tracks = [found for found, _ in relinked]
        shapes = await self._for_listener(tracks, claims)
        albums = await self._albums_of(tracks)
        return [
            shapes.track(track, albums.get(track.album_id), asked=before) if track is not None else None
            for track, before in relinked
        ]

    async def _relinked(self, asked: Sequence[Track | None]) -> list[tuple[Track | None, Track | None]]:
        """Each with what it stands for; a copy of the recording stands for one whose files are gone."""
        copies = [await self.catalogue.copy_of(track) if track is not None else None for track in asked]
        return [
            (copy, track) if copy is not None else (track, None)
            for track, copy in zip(asked, copies, strict=True)
        ]

    async def episode_objects(
        self, wanted: Sequence[TrackId], claims: AccessClaims
    ) -> list[EpisodeObject | None]:
        """In the order asked, None where there is no such episode."""
        pieces = [
            track if track is not None and track.is_episode else None
            for track in await self.catalogue.tracks(wanted)
        ]
        shapes = await self._for_listener(pieces, claims)
        shows = await self._albums_of(pieces)
        resume = await self.resume_points(wanted, claims)
        return [
            shapes.episode(piece, shows.get(piece.album_id), where) if piece is not None else None
            for piece, where in zip(pieces, resume, strict=True)
        ]

    async def piece_objects(
        self, uris: Sequence[Uri], claims: AccessClaims
    ) -> list[TrackObject | EpisodeObject | None]:
        """Tracks and episodes by URI, in the order asked."""
        wanted = [TrackId(found[1] if (found := parse_uri(each)) is not None else "") for each in uris]
        episodes = {
            track.track_id
            for track in await self.catalogue.tracks(wanted)
            if track is not None and track.is_episode
        }
        tracks = await self.track_objects(wanted, claims)
        if not episodes:
            return list(tracks)
        spoken = await self.episode_objects(wanted, claims)
        return [
            episode if track is not None and track.id in episodes else track
            for track, episode in zip(tracks, spoken, strict=True)
        ]

    async def resume_points(self, wanted: Sequence[TrackId], claims: AccessClaims) -> list[Resume]:
        """Where the listener is in each; nothing at all without the scope for it."""
        if READ_POSITION not in claims.scopes:
            return [UNSET] * len(wanted)
        found = await self.library.resume_points(claims.user_id, wanted)
        return [
            ResumePoint(fully_played=each.fully_played, resume_position_ms=each.position_ms)
            if each is not None
            else _NOT_BEGUN
            for each in found
        ]

    async def _albums_of(self, pieces: Sequence[Track | None]) -> dict[AlbumId, Album | None]:
        album_ids = list(dict.fromkeys(piece.album_id for piece in pieces if piece is not None))
        return dict(zip(album_ids, await self.catalogue.albums(album_ids), strict=True))

    # --- albums and shows ---------------------------------------------------------------------------

    async def album(self, album_id: str) -> Album:
        """Raises Rejected NOT_FOUND."""
        [album] = await self.catalogue.albums([AlbumId(album_id)])
        if album is None:
            raise missing("album", album_id)
        return album

    async def show(self, show_id: str) -> Album:
        """Raises Rejected NOT_FOUND, also for an album that is no show."""
        [album] = await self.catalogue.albums([AlbumId(show_id)])
        if album is None or not album.is_show:
            raise missing("show", show_id)
        return album

    async def track_page(
        self, album: Album, claims: AccessClaims, *, offset: int = 0, limit: int = PAGE_LIMIT_MAX
    ) -> Page[SimplifiedTrack]:
        relinked = await self._relinked(await self.catalogue.tracks(album.track_ids[offset : offset + limit]))
        shapes = await self._for_listener([track for track, _ in relinked], claims)
        return shapes.page(
            f"/v1/albums/{album.album_id}/tracks",
            [shapes.simplified_track(track, asked=before) for track, before in relinked if track is not None],
            offset=offset,
            limit=limit,
            total=len(album.track_ids),
        )

    async def episode_page(
        self, show: Album, claims: AccessClaims, *, offset: int = 0, limit: int = PAGE_LIMIT_MAX
    ) -> Page[SimplifiedEpisode]:
        wanted = show.track_ids[offset : offset + limit]
        pieces = await self.catalogue.tracks(wanted)
        resume = await self.resume_points(wanted, claims)
        shapes = await self._for_listener(pieces, claims)
        return shapes.page(
            f"/v1/shows/{show.album_id}/episodes",
            [
                shapes.simplified_episode(piece, show, where)
                for piece, where in zip(pieces, resume, strict=True)
                if piece is not None
            ],
            offset=offset,
            limit=limit,
            total=len(show.track_ids),
        )


_NOT_BEGUN = ResumePoint(fully_played=False, resume_position_ms=Millis(0))


def missing(kind: str, identifier: str) -> Rejected:
    return Rejected(Code.NOT_FOUND, f"{kind} {identifier} asked for: there is none")

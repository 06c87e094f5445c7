"""Tracks, albums and artists to read: one by one, by `ids`, and in pages.

Answers are for the market of the listener's account. They carry an ETag over their bytes, so a page that asks
again gets 304 until something changed.
"""

from collections import Counter
from typing import Annotated, Any

from msgspec import Meta
from starlette.responses import Response

from catalog.model import Artist
from kernel.errors import Code, Rejected
from kernel.ids import AlbumId, ArtistId, TrackId
from serve.rest.exchange import tagged_response
from serve.rest.objects import (
    AlbumObject,
    Albums,
    ArtistObject,
    Artists,
    Page,
    RelatedArtists,
    SimplifiedAlbum,
    SimplifiedTrack,
    TopTracks,
    TrackObject,
    Tracks,
)
from serve.rest.operations import Ask, Operation
from serve.rest.parameters import One, OnePaged, Several, SeveralFew
from serve.rest.reader import CatalogueReader, missing
from storage.catalogue import sort_key

TOP_TRACKS = 10
RELATED = 20
RELATED_GENRES_MAX = 3
_GROUPS = frozenset({"album", "single", "appears_on", "compilation"})


class AlbumsOfArtist(OnePaged, frozen=True, kw_only=True):
    include_groups: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="Which kinds, separated by commas: album, single, appears_on, compilation.",
                examples=["album,single"],
            ),
        ]
        | None
    ) = None


class CatalogueEndpoints:
    def __init__(self, reader: CatalogueReader) -> None:
        self._reader = reader
        self._catalogue = reader.catalogue

    def operations(self) -> list[Operation[Any, Any]]:
        def read(
            path: str, summary: str, handler: Any, params: type[Any], answer: Any, **more: Any
        ) -> Operation[Any, Any]:
            return Operation(
                method="GET",
                path=f"/v1/{path}",
                summary=summary,
                tag=path.split("/")[0].capitalize(),
                handler=handler,
                params=params,
                answers={200: answer},
                refusals=(Code.NOT_FOUND,) if "{id}" in path else (),
                cached=True,
                slash=True,
                **more,
            )

        return [
            read("tracks", "Several tracks", self.tracks, Several, Tracks),
            read("tracks/{id}", "One track", self.track, One, TrackObject),
            read("albums", "Several albums", self.albums, SeveralFew, Albums),
            read("albums/{id}", "One album with its first tracks", self.album, One, AlbumObject),
            read(
                "albums/{id}/tracks", "Tracks of an album", self.album_tracks, OnePaged, Page[SimplifiedTrack]
            ),
            read("artists", "Several artists", self.artists, Several, Artists),
            read("artists/{id}", "One artist", self.artist, One, ArtistObject),
            read(
                "artists/{id}/albums",
                "Albums of an artist, newest first",
                self.artist_albums,
                AlbumsOfArtist,
                Page[SimplifiedAlbum],
                description="Also those of others on which the artist appears. Shows are not among them.",
            ),
            read(
                "artists/{id}/top-tracks",
                "Tracks of an artist to begin with",
                self.top_tracks,
                One,
                TopTracks,
                description="From the artist's newest albums: nobody else's listening is counted here.",
            ),
            read(
                "artists/{id}/related-artists",
                "Artists with the same genres",
                self.related_artists,
                One,
                RelatedArtists,
            ),
        ]

    # --- tracks -------------------------------------------------------------------------------------

    async def track(self, ask: Ask[One, None]) -> Response:
        [track] = await self._reader.track_objects([TrackId(ask.params.id)], ask.claims)
        if track is None:
            raise missing("track", ask.params.id)
        return tagged_response(ask.request, track)

    async def tracks(self, ask: Ask[Several, None]) -> Response:
        found = await self._reader.track_objects([TrackId(each) for each in ask.params.ids], ask.claims)
        return tagged_response(ask.request, Tracks(tracks=tuple(found)))

    # --- albums -------------------------------------------------------------------------------------

    async def album(self, ask: Ask[One, None]) -> Response:
        album = await self._reader.album(ask.params.id)
        tracks = await self._reader.track_page(album, ask.claims)
        return tagged_response(ask.request, self._reader.in_market(ask.claims).album(album, tracks))

    async def albums(self, ask: Ask[SeveralFew, None]) -> Response:
        shapes = self._reader.in_market(ask.claims)
        found = await self._catalogue.albums([AlbumId(each) for each in ask.params.ids])
        shown = [
            shapes.album(album, await self._reader.track_page(album, ask.claims))
            if album is not None
            else None
            for album in found
        ]
        return tagged_response(ask.request, Albums(albums=tuple(shown)))

    async def album_tracks(self, ask: Ask[OnePaged, None]) -> Response:
        album = await self._reader.album(ask.params.id)
        page = await self._reader.track_page(
            album, ask.claims, offset=ask.params.offset, limit=ask.params.limit
        )
        return tagged_response(ask.request, page)

    # --- artists ------------------------------------------------------------------------------------

    async def artist(self, ask: Ask[One, None]) -> Response:
        artist = await self._artist(ask.params.id)
        return tagged_response(ask.request, self._reader.shapes.artist(artist))

    async def artists(self, ask: Ask[Several, None]) -> Response:
        shapes = self._reader.shapes
        found = await self._catalogue.artists([ArtistId(each) for each in ask.params.ids])
        shown = tuple(shapes.artist(artist) if artist is not None else None for artist in found)
        return tagged_response(ask.request, Artists(artists=shown))

    async def artist_albums(self, ask: Ask[AlbumsOfArtist, None]) -> Response:
        shapes = self._reader.in_market(ask.claims)
        offset, limit = ask.params.offset, ask.params.limit
        groups = _groups(ask.params.include_groups)
        artist = await self._artist(ask.params.id)
        found = await self._catalogue.albums(artist.album_ids)
        albums = [album for album in found if album is not None and not album.is_show]
        shown = [each for each in map(shapes.simplified_album, albums) if each.album_type in groups]
        page = shapes.page(
            f"/v1/artists/{artist.artist_id}/albums",
            shown[offset : offset + limit],
            offset=offset,
            limit=limit,
            total=len(shown),
            **({} if groups == _GROUPS else {"include_groups": ",".join(sorted(groups))}),
        )
        return tagged_response(ask.request, page)

    async def top_tracks(self, ask: Ask[One, None]) -> Response:
        artist = await self._artist(ask.params.id)
        albums = await self._catalogue.albums(artist.album_ids[:TOP_TRACKS])
        # One of each album in turn, so that the newest album is not all there is.
        rows = [album.track_ids for album in albums if album is not None and not album.is_show]
        longest = max(map(len, rows), default=0)
        wanted = [row[place] for place in range(min(longest, TOP_TRACKS)) for row in rows if place < len(row)]
        tracks = await self._reader.track_objects(wanted[: TOP_TRACKS * 5], ask.claims)
        theirs = [
            track
            for track in tracks
            if track is not None and any(credit.id == artist.artist_id for credit in track.artists)
        ]
        return tagged_response(ask.request, TopTracks(tracks=tuple(theirs[:TOP_TRACKS])))

    async def related_artists(self, ask: Ask[One, None]) -> Response:
        artist = await self._artist(ask.params.id)
        shared: Counter[ArtistId] = Counter()
        for genre in artist.genres[:RELATED_GENRES_MAX]:
            albums = await self._catalogue.albums_by_genre(sort_key(genre))
            shared.update({artist_id for album in albums for artist_id in album.artist_ids})
        del shared[artist.artist_id]
        # By how many genres are shared; the id settles what is left, so that an answer is the same twice.
        nearest = sorted(shared, key=lambda artist_id: (-shared[artist_id], artist_id))[:RELATED]
        found = await self._catalogue.artists(nearest)
        shown = tuple(self._reader.shapes.artist(each) for each in found if each is not None)
        return tagged_response(ask.request, RelatedArtists(artists=shown))

    async def _artist(self, artist_id: str) -> Artist:
        [artist] = await self._catalogue.artists([ArtistId(artist_id)])
        if artist is None:
            raise missing("artist", artist_id)
        return artist


def _groups(text: str | None) -> frozenset[str]:
    if text is None:
        return _GROUPS
    groups = frozenset(text.split(","))
    if not groups <= _GROUPS:
        raise Rejected(
            Code.BAD_REQUEST, f"include_groups={text!r} rejected: it may name {', '.join(sorted(_GROUPS))}"
        )
    return groups

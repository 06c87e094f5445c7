"""Tracks, albums and artists to read, one by one, by `ids`, and in pages.

Answers are for the market of the listener's account. They carry an ETag over their bytes, so a page that asks
again gets 304 until something changed.
"""

import base64
import binascii
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from catalog.markets import MARKETS
from catalog.model import Album, Track
from kernel.errors import Code, Rejected
from kernel.ids import AlbumId, ArtistId, TrackId
from kernel.units import Clock, Millis
from serve.rest.http import (
    PAGE_LIMIT_MAX,
    claims_of,
    ids,
    integer,
    market_of,
    offset_and_limit,
    path_id,
    tagged_response,
)
from serve.rest.newest import Newest
from serve.rest.shapes import (
    AlbumCursorPage,
    AlbumObject,
    AlbumPage,
    ArtistObject,
    Cursors,
    Shapes,
    TrackObject,
    TrackPage,
)
from storage.catalogue import Catalogue

ALBUM_IDS_MAX = 20
CURSOR_CHARS_MAX = 1_000
_GROUPS = frozenset({"album", "single", "appears_on", "compilation"})


class Markets(msgspec.Struct, frozen=True, kw_only=True):
    markets: tuple[str, ...]


class Tracks(msgspec.Struct, frozen=True, kw_only=True):
    tracks: list[TrackObject | None]


class Albums(msgspec.Struct, frozen=True, kw_only=True):
    albums: list[AlbumObject | None]


class NewReleases(msgspec.Struct, frozen=True, kw_only=True):
    albums: AlbumPage


class Artists(msgspec.Struct, frozen=True, kw_only=True):
    artists: list[ArtistObject | None]


class CatalogueReader:
    """The catalogue as REST shows it, and the handlers that show it."""

    def __init__(self, catalogue: Catalogue, shapes: Shapes, clock: Clock) -> None:
        self._catalogue = catalogue
        self._shapes = shapes
        self._clock = clock
        self._newest = Newest(catalogue, clock)

    def now_ms(self) -> Millis:
        return self._clock.now_ms()

    def routes(self) -> list[Route]:
        return [
            Route("/v1/tracks", self.tracks, methods=["GET"]),
            Route("/v1/tracks/{id}", self.track, methods=["GET"]),
            Route("/v1/albums", self.albums, methods=["GET"]),
            Route("/v1/albums/{id}", self.album, methods=["GET"]),
            Route("/v1/albums/{id}/tracks", self.album_tracks, methods=["GET"]),
            Route("/v1/artists", self.artists, methods=["GET"]),
            Route("/v1/artists/{id}", self.artist, methods=["GET"]),
            Route("/v1/artists/{id}/albums", self.artist_albums, methods=["GET"]),
            Route("/v1/browse/albums", self.all_albums, methods=["GET"]),
            Route("/v1/browse/new-releases", self.new_releases, methods=["GET"]),
            Route("/v1/markets", self.markets, methods=["GET"]),
        ]

    # --- tracks -------------------------------------------------------------------------------------

    async def track(self, request: Request) -> Response:
        market = _market(request)
        track_id = path_id(request)
        [track] = await self.track_objects([TrackId(track_id)], market=market)
        if track is None:
            raise _missing("track", track_id)
        return tagged_response(request, track)

    async def tracks(self, request: Request) -> Response:
        market = _market(request)
        wanted = [TrackId(each) for each in ids(request)]
        return tagged_response(request, Tracks(tracks=await self.track_objects(wanted, market=market)))

    async def track_objects(self, wanted: Sequence[TrackId], *, market: str) -> list[TrackObject | None]:
        """In the order asked, None where there is none."""
        shapes = self._shapes.in_market(market)
        tracks = await self._catalogue.tracks(wanted)
        album_ids = list(dict.fromkeys(track.album_id for track in tracks if track is not None))
        albums = dict(zip(album_ids, await self._catalogue.albums(album_ids), strict=True))
        return [
            shapes.track(track, albums.get(track.album_id)) if track is not None else None for track in tracks
        ]

    # --- albums -------------------------------------------------------------------------------------

    async def album(self, request: Request) -> Response:
        shapes = self._shapes.in_market(_market(request))
        return tagged_response(request, await self._whole(await self._album(path_id(request)), shapes))

    async def albums(self, request: Request) -> Response:
        shapes = self._shapes.in_market(_market(request))
        found = await self._catalogue.albums([AlbumId(each) for each in ids(request, most=ALBUM_IDS_MAX)])
        shown = [await self._whole(album, shapes) if album is not None else None for album in found]
        return tagged_response(request, Albums(albums=shown))

    async def album_tracks(self, request: Request) -> Response:
        shapes = self._shapes.in_market(_market(request))
        offset, limit = offset_and_limit(request)
        album = await self._album(path_id(request))
        return tagged_response(request, await self._track_page(album, shapes, offset=offset, limit=limit))

    async def _album(self, album_id: str) -> Album:
        [album] = await self._catalogue.albums([AlbumId(album_id)])
        if album is None:
            raise _missing("album", album_id)
        return album

    async def _whole(self, album: Album, shapes: Shapes) -> AlbumObject:
        page = await self._track_page(album, shapes, offset=0, limit=PAGE_LIMIT_MAX)
        return shapes.album(album, page)

    async def _track_page(self, album: Album, shapes: Shapes, *, offset: int, limit: int) -> TrackPage:
        tracks: list[Track | None] = await self._catalogue.tracks(album.track_ids[offset : offset + limit])
        links = _links(shapes, f"/v1/albums/{album.album_id}/tracks", offset, limit, len(album.track_ids))
        return TrackPage(
            href=links[0],
            items=tuple(shapes.simplified_track(track) for track in tracks if track is not None),
            limit=limit,
            next=links[1],
            offset=offset,
            previous=links[2],
            total=len(album.track_ids),
        )

    # --- artists ------------------------------------------------------------------------------------

    async def artist(self, request: Request) -> Response:
        claims_of(request)
        artist_id = path_id(request)
        [artist] = await self._catalogue.artists([ArtistId(artist_id)])
        if artist is None:
            raise _missing("artist", artist_id)
        return tagged_response(request, self._shapes.artist(artist))

    async def artists(self, request: Request) -> Response:
        claims_of(request)
        found = await self._catalogue.artists([ArtistId(each) for each in ids(request)])
        shown = [self._shapes.artist(artist) if artist is not None else None for artist in found]
        return tagged_response(request, Artists(artists=shown))

    async def artist_albums(self, request: Request) -> Response:
        shapes = self._shapes.in_market(_market(request))
        offset, limit = offset_and_limit(request)
        groups = _groups(request)
        artist_id = path_id(request)
        [artist] = await self._catalogue.artists([ArtistId(artist_id)])
        if artist is None:
            raise _missing("artist", artist_id)
        found = await self._catalogue.albums(artist.album_ids)
        shown = [
            album
            for album in (shapes.simplified_album(each) for each in found if each is not None)
            if album.album_type in groups
        ]
        query = {} if groups == _GROUPS else {"include_groups": ",".join(sorted(groups))}
        links = _links(shapes, f"/v1/artists/{artist_id}/albums", offset, limit, len(shown), **query)
        page = AlbumPage(
            href=links[0],
            items=tuple(shown[offset : offset + limit]),
            limit=limit,
            next=links[1],
            offset=offset,
            previous=links[2],
            total=len(shown),
        )
        return tagged_response(request, page)

    # --- browsing -----------------------------------------------------------------------------------

    async def all_albums(self, request: Request) -> Response:
        shapes = self._shapes.in_market(_market(request))
        limit = integer(request, "limit", low=1, high=PAGE_LIMIT_MAX, default=PAGE_LIMIT_MAX)
        cursor = request.query_params.get("after")
        page = await self._catalogue.album_page(_place(cursor) if cursor else None, limit)
        after = _cursor(page.after) if page.after is not None else None
        path = "/v1/browse/albums"
        here = {"limit": limit, "after": cursor} if cursor else {"limit": limit}
        shown = AlbumCursorPage(
            href=shapes.page_link(path, **here),
            items=tuple(shapes.simplified_album(album) for album in page.items),
            limit=limit,
            next=shapes.page_link(path, limit=limit, after=after) if after else None,
            cursors=Cursors(after=after),
        )
        return tagged_response(request, shown)

    async def new_releases(self, request: Request) -> Response:
        shapes = self._shapes.in_market(_market(request))
        offset, limit = offset_and_limit(request)
        newest = await self._newest.album_ids()
        found = await self._catalogue.albums(newest[offset : offset + limit])
        links = _links(shapes, "/v1/browse/new-releases", offset, limit, len(newest))
        page = AlbumPage(
            href=links[0],
            items=tuple(shapes.simplified_album(album) for album in found if album is not None),
            limit=limit,
            next=links[1],
            offset=offset,
            previous=links[2],
            total=len(newest),
        )
        return tagged_response(request, NewReleases(albums=page))

    async def markets(self, request: Request) -> Response:
        claims_of(request)
        return tagged_response(request, Markets(markets=tuple(sorted(MARKETS))))


def _market(request: Request) -> str:
    return market_of(request, claims_of(request))


def _missing(kind: str, identifier: str) -> Rejected:
    return Rejected(Code.NOT_FOUND, f"{kind} {identifier} asked for: there is none")


def _groups(request: Request) -> frozenset[str]:
    text = request.query_params.get("include_groups")
    if text is None:
        return _GROUPS
    groups = frozenset(text.split(","))
    if not groups <= _GROUPS:
        raise Rejected(
            Code.BAD_REQUEST,
            f"include_groups={text[:64]!r} rejected: it may name {', '.join(sorted(_GROUPS))}",
        )
    return groups


def _links(
    shapes: Shapes, path: str, offset: int, limit: int, total: int, **query: str
) -> tuple[str, str | None, str | None]:
    """`(href, next, previous)` of one page."""

    def at(place: int) -> str:
        return shapes.page_link(path, offset=place, limit=limit, **query)

    following = at(offset + limit) if offset + limit < total else None
    return at(offset), following, at(max(offset - limit, 0)) if offset > 0 else None


def _cursor(place: str) -> str:
    """A place in a listing as a client sees it: to be given back, not read."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _place(cursor: str) -> str:
    try:
        if len(cursor) > CURSOR_CHARS_MAX:
            raise ValueError("too long")
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise Rejected(Code.BAD_REQUEST, f"after={cursor[:64]!r} rejected: it is no cursor of ours") from None

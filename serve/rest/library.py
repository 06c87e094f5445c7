"""`/v1/me/tracks`, `/v1/me/library` and the like: what a listener keeps and follows, and hears most.

Both forms of the Web API: one path per kind with `ids` (in the query or the body), and `/v1/me/library` with
`uris`. A page's `next` names the last item seen, so it goes on there even when items came or went meanwhile.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from starlette.responses import Response

from catalog.library import IDS_MAX, Kept, Shelf, check_follow, most_played, window
from kernel.errors import Code, Rejected
from kernel.ids import AlbumId, ArtistId, TrackId, Uri, UserId, parse_uri
from kernel.units import Millis
from serve.accounts import Accounts
from serve.rest.exchange import no_content, tagged_response
from serve.rest.objects import (
    ArtistObject,
    CursorPage,
    Cursors,
    FollowedArtists,
    Page,
    SavedAlbum,
    SavedEpisode,
    SavedShow,
    SavedTrack,
    TrackObject,
)
from serve.rest.operations import Ask, Operation
from serve.rest.parameters import Ids, InMarket, Limit, Offset, Paged
from serve.rest.reader import CatalogueReader
from storage.library import PLAYS_READ_MAX

READ = "user-library-read"
MODIFY = "user-library-modify"
READ_FOLLOWS = "user-follow-read"
MODIFY_FOLLOWS = "user-follow-modify"
READ_TOP = "user-top-read"
TOP_MAX = 200
DAY_MS = 24 * 3600 * 1000
_RANGES_MS = {"short_term": 28 * DAY_MS, "medium_term": 182 * DAY_MS, "long_term": 365 * DAY_MS}
_SHELVES = {
    "track": Shelf.TRACKS,
    "album": Shelf.ALBUMS,
    "show": Shelf.SHOWS,
    "episode": Shelf.EPISODES,
    "artist": Shelf.ARTISTS,
    "user": Shelf.USERS,
}
"""By the kind in a URI."""

Uris = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...],
    Meta(
        min_length=1,
        max_length=IDS_MAX,
        description=f"URIs separated by commas, at most {IDS_MAX}: of {', '.join(_SHELVES)}.",
        examples=[["spotify:album:3wYKLTQ9uCeLsKzqpAqB2x"]],
    ),
]


class SavedPage(Paged, frozen=True, kw_only=True):
    after: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9]+$",
                min_length=17,
                max_length=17,
                description="From `next`.",
                examples=["99820414760528900"],
            ),
        ]
        | None
    ) = None


class MaybeIds(InMarket, frozen=True, kw_only=True):
    ids: Ids | None = None


class IdsBody(msgspec.Struct, frozen=True, kw_only=True):
    ids: Ids


class Contains(msgspec.Struct, frozen=True, kw_only=True):
    ids: Ids


class OfUris(msgspec.Struct, frozen=True, kw_only=True):
    uris: Uris


class Following(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["artist"] = "artist"
    after: Annotated[str, Meta(max_length=64, description="The id of the last artist seen.")] | None = None
    limit: Limit = 20


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["artist", "user"]
    ids: Ids | None = None


class FollowContains(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["artist", "user"]
    ids: Ids


class TopParams(msgspec.Struct, frozen=True, kw_only=True):
    time_range: Literal["short_term", "medium_term", "long_term"] = "medium_term"
    limit: Limit = 20
    offset: Offset = 0


_KINDS: dict[Shelf, Any] = {
    Shelf.TRACKS: SavedTrack,
    Shelf.ALBUMS: SavedAlbum,
    Shelf.SHOWS: SavedShow,
    Shelf.EPISODES: SavedEpisode,
}


class LibraryEndpoints:
    def __init__(self, reader: CatalogueReader, accounts: Accounts) -> None:
        self._reader = reader
        self._library = reader.library
        self._catalogue = reader.catalogue
        self._accounts = accounts

    def operations(self) -> list[Operation[Any, Any]]:
        saved = [each for shelf in _KINDS for each in self._shelf_operations(shelf)]
        return [*saved, *self._uri_operations(), *self._follow_operations(), *self._top_operations()]

    def _shelf_operations(self, shelf: Shelf) -> list[Operation[Any, Any]]:
        path, kinds = f"/v1/me/{shelf}", shelf.value
        pages: Any = Page  # made at run time, one for each kind
        page_type = pages[_KINDS[shelf]]

        def of(method: str, summary: str, handler: Any, **more: Any) -> Operation[Any, Any]:
            return Operation(
                method=method,
                path=more.pop("path", path),
                summary=summary,
                tag="Library",
                handler=handler,
                **more,
            )

        async def put(ask: Ask[MaybeIds, IdsBody | None]) -> Response:
            return await self._keep(ask.claims.user_id, {shelf: _ids_of(ask)})

        async def delete(ask: Ask[MaybeIds, IdsBody | None]) -> Response:
            return await self._drop(ask.claims.user_id, {shelf: _ids_of(ask)})

        async def contains(ask: Ask[Contains, None]) -> Response:
            return tagged_response(
                ask.request, await self._library.holds(ask.claims.user_id, shelf, ask.params.ids)
            )

        body = {"params": MaybeIds, "body": IdsBody, "body_required": False, "scopes": (MODIFY,)}
        return [
            of(
                "GET",
                f"Saved {kinds}, newest first",
                self._listing(shelf),
                params=SavedPage,
                scopes=(READ,),
                answers={200: page_type},
                cached=True,
            ),
            of(
                "PUT",
                f"Save {kinds}",
                put,
                answers={200: None},
                refusals=(Code.NOT_FOUND, Code.DISALLOWED),
                **body,
            ),
            of("DELETE", f"Take {kinds} out of the library", delete, answers={200: None}, **body),
            of(
                "GET",
                f"Whether {kinds} are saved",
                contains,
                path=f"{path}/contains",
                params=Contains,
                scopes=(READ,),
                answers={200: tuple[bool, ...]},
                cached=True,
            ),
        ]

    def _uri_operations(self) -> list[Operation[Any, Any]]:
        path = "/v1/me/library"
        common: dict[str, Any] = {"tag": "Library", "params": OfUris}
        changes: dict[str, Any] = {**common, "scopes": (MODIFY, MODIFY_FOLLOWS), "answers": {200: None}}
        refusals = (Code.NOT_FOUND, Code.DISALLOWED)
        return [
            Operation(
                method="PUT",
                path=path,
                summary="Save or follow by URI",
                handler=self.keep_uris,
                refusals=refusals,
                **changes,
            ),
            Operation(
                method="DELETE", path=path, summary="Take out by URI", handler=self.drop_uris, **changes
            ),
            Operation(
                method="GET",
                path=f"{path}/contains",
                summary="Whether things are saved or followed",
                handler=self.holds_uris,
                scopes=(READ, READ_FOLLOWS),
                answers={200: tuple[bool, ...]},
                cached=True,
                **common,
            ),
        ]

    def _follow_operations(self) -> list[Operation[Any, Any]]:
        path = "/v1/me/following"
        change: dict[str, Any] = {
            "path": path,
            "tag": "Library",
            "params": Follow,
            "body": IdsBody,
            "body_required": False,
            "scopes": (MODIFY_FOLLOWS,),
            "answers": {204: None},
        }
        return [
            Operation(
                method="GET",
                path=path,
                summary="Followed artists, newest first",
                tag="Library",
                handler=self.following,
                params=Following,
                scopes=(READ_FOLLOWS,),
                answers={200: FollowedArtists},
                cached=True,
            ),
            Operation(
                method="PUT",
                summary="Follow artists or users",
                handler=self.follow,
                refusals=(Code.NOT_FOUND, Code.DISALLOWED),
                **change,
            ),
            Operation(method="DELETE", summary="Stop following", handler=self.unfollow, **change),
            Operation(
                method="GET",
                path=f"{path}/contains",
                summary="Whether artists or users are followed",
                tag="Library",
                handler=self.follows,
                params=FollowContains,
                scopes=(READ_FOLLOWS,),
                answers={200: tuple[bool, ...]},
                cached=True,
            ),
        ]

    def _top_operations(self) -> list[Operation[Any, Any]]:
        def top(kind: str, handler: Any, answer: Any) -> Operation[Any, Any]:
            return Operation(
                method="GET",
                path=f"/v1/me/top/{kind}",
                summary=f"{kind.capitalize()} heard most",
                tag="Library",
                handler=handler,
                params=TopParams,
                scopes=(READ_TOP,),
                answers={200: answer},
                cached=True,
                description="short_term is four weeks, medium_term six months, long_term a year.",
            )

        return [
            top("tracks", self.top_tracks, Page[TrackObject]),
            top("artists", self.top_artists, Page[ArtistObject]),
        ]

    # --- shelves ------------------------------------------------------------------------------------

    def _listing(self, shelf: Shelf) -> Callable[[Ask[SavedPage, None]], Awaitable[Response]]:
        async def listing(ask: Ask[SavedPage, None]) -> Response:
            params = ask.params
            kept = await self._library.shelf(ask.claims.user_id, shelf)
            shown = window(kept, offset=params.offset, limit=params.limit, after=params.after)
            shapes = self._reader.in_market(ask.claims)
            page = shapes.page(
                f"/v1/me/{shelf}",
                await self._saved(shelf, shown, ask),
                offset=params.offset,
                limit=params.limit,
                total=len(kept),
            )
            is_last = not shown or shown[-1] == kept[-1]
            following = None
            if not is_last:
                # Where this page ended, not how far it was: nothing comes twice when the shelf changes.
                following = shapes.page_link(
                    f"/v1/me/{shelf}",
                    offset=params.offset + len(shown),
                    limit=params.limit,
                    after=shown[-1].place,
                )
            return tagged_response(ask.request, msgspec.structs.replace(page, next=following))

        return listing

    async def _saved(self, shelf: Shelf, kept: Sequence[Kept], ask: Ask[SavedPage, None]) -> list[Any]:
        ids = [each.item_id for each in kept]
        shapes = self._reader.in_market(ask.claims)
        found: Sequence[Any]
        match shelf:
            case Shelf.TRACKS:
                found = await self._reader.track_objects([TrackId(each) for each in ids], ask.claims)
            case Shelf.EPISODES:
                found = await self._reader.episode_objects([TrackId(each) for each in ids], ask.claims)
            case Shelf.ALBUMS:
                albums = await self._catalogue.albums([AlbumId(each) for each in ids])
                found = [
                    shapes.album(album, await self._reader.track_page(album, ask.claims)) if album else None
                    for album in albums
                ]
            case _:
                albums = await self._catalogue.albums([AlbumId(each) for each in ids])
                found = [shapes.simplified_show(show) if show else None for show in albums]
        name = shelf.value.removesuffix("s")
        return [
            _KINDS[shelf](added_at=timestamp(each.added_at_ms), **{name: item})
            for each, item in zip(kept, found, strict=True)
            if item is not None
        ]

    async def _keep(self, user_id: UserId, shelves: dict[Shelf, list[str]]) -> Response:
        for shelf, ids in shelves.items():
            check_follow(user_id, shelf, ids)
            await self._check_known(shelf, ids)
        for shelf, ids in shelves.items():
            await self._library.keep(user_id, shelf, ids)
        return _done(200)

    async def _drop(self, user_id: UserId, shelves: dict[Shelf, list[str]]) -> Response:
        for shelf, ids in shelves.items():
            await self._library.drop(user_id, shelf, ids)
        return _done(200)

    async def _check_known(self, shelf: Shelf, ids: Sequence[str]) -> None:
        """Raises Rejected NOT_FOUND: nothing is kept that is not there."""
        known: list[bool]
        match shelf:
            case Shelf.TRACKS:
                known = [each is not None for each in await self._catalogue.tracks([TrackId(i) for i in ids])]
            case Shelf.EPISODES:
                pieces = await self._catalogue.tracks([TrackId(each) for each in ids])
                known = [piece is not None and piece.is_episode for piece in pieces]
            case Shelf.ALBUMS:
                known = [each is not None for each in await self._catalogue.albums([AlbumId(i) for i in ids])]
            case Shelf.SHOWS:
                albums = await self._catalogue.albums([AlbumId(each) for each in ids])
                known = [album is not None and album.is_show for album in albums]
            case Shelf.ARTISTS:
                known = [
                    each is not None for each in await self._catalogue.artists([ArtistId(i) for i in ids])
                ]
            case Shelf.USERS:
                known = [await self._accounts.get(UserId(each)) is not None for each in ids]
        unknown = [each for each, is_known in zip(ids, known, strict=True) if not is_known]
        if unknown:
            raise Rejected(
                Code.NOT_FOUND,
                f"keeping {len(ids)} {shelf} rejected: there is no {unknown[0]}"
                + (f", and {len(unknown) - 1} more are not there" if len(unknown) > 1 else ""),
            )

    # --- by URI -------------------------------------------------------------------------------------

    async def keep_uris(self, ask: Ask[OfUris, None]) -> Response:
        return await self._keep(ask.claims.user_id, _shelves(ask, (MODIFY, MODIFY_FOLLOWS)))

    async def drop_uris(self, ask: Ask[OfUris, None]) -> Response:
        return await self._drop(ask.claims.user_id, _shelves(ask, (MODIFY, MODIFY_FOLLOWS)))

    async def holds_uris(self, ask: Ask[OfUris, None]) -> Response:
        held = {
            (shelf, item_id): holds
            for shelf, ids in _shelves(ask, (READ, READ_FOLLOWS)).items()
            for item_id, holds in zip(
                ids, await self._library.holds(ask.claims.user_id, shelf, ids), strict=True
            )
        }
        return tagged_response(ask.request, [held[_parsed(each)] for each in ask.params.uris])

    # --- following ----------------------------------------------------------------------------------

    async def following(self, ask: Ask[Following, None]) -> Response:
        kept = await self._library.shelf(ask.claims.user_id, Shelf.ARTISTS)
        limit, after = ask.params.limit, ask.params.after
        places = {each.item_id: each.place for each in kept}
        shown = window(kept, offset=0, limit=limit, after=places.get(after) if after else None)
        found = await self._catalogue.artists([ArtistId(each.item_id) for each in shown])
        shapes, path = self._reader.shapes, "/v1/me/following"
        last = shown[-1].item_id if shown and shown[-1] != kept[-1] else None
        here = {"after": after} if after else {}
        page = CursorPage[ArtistObject](
            href=shapes.page_link(path, type="artist", limit=limit, **here),
            items=tuple(shapes.artist(artist) for artist in found if artist is not None),
            limit=limit,
            next=shapes.page_link(path, type="artist", limit=limit, after=last) if last else None,
            cursors=Cursors(after=last),
            total=len(kept),
        )
        return tagged_response(ask.request, FollowedArtists(artists=page))

    async def follow(self, ask: Ask[Follow, IdsBody | None]) -> Response:
        await self._keep(ask.claims.user_id, {_SHELVES[ask.params.type]: _ids_of(ask)})
        return no_content()

    async def unfollow(self, ask: Ask[Follow, IdsBody | None]) -> Response:
        await self._drop(ask.claims.user_id, {_SHELVES[ask.params.type]: _ids_of(ask)})
        return no_content()

    async def follows(self, ask: Ask[FollowContains, None]) -> Response:
        shelf = _SHELVES[ask.params.type]
        return tagged_response(
            ask.request, await self._library.holds(ask.claims.user_id, shelf, ask.params.ids)
        )

    # --- heard most ---------------------------------------------------------------------------------

    async def top_tracks(self, ask: Ask[TopParams, None]) -> Response:
        heard = [uri for uri in await self._most_played(ask) if uri.startswith("spotify:track:")][:TOP_MAX]
        params = ask.params
        shown = heard[params.offset : params.offset + params.limit]
        tracks = await self._reader.track_objects([TrackId(uri.split(":")[2]) for uri in shown], ask.claims)
        page = self._reader.shapes.page(
            "/v1/me/top/tracks",
            [track for track in tracks if track is not None],
            offset=params.offset,
            limit=params.limit,
            total=len(heard),
            time_range=params.time_range,
        )
        return tagged_response(ask.request, page)

    async def top_artists(self, ask: Ask[TopParams, None]) -> Response:
        heard = (await self._most_played(ask))[:TOP_MAX]
        tracks = await self._catalogue.tracks([TrackId(uri.split(":")[2]) for uri in heard])
        counts: Counter[ArtistId] = Counter()
        for place, track in enumerate(tracks):
            if track is not None and not track.is_episode:
                counts.update(dict.fromkeys(track.artist_ids, TOP_MAX - place))
        best = [artist_id for artist_id, _ in counts.most_common(TOP_MAX)]
        params = ask.params
        found = await self._catalogue.artists(best[params.offset : params.offset + params.limit])
        page = self._reader.shapes.page(
            "/v1/me/top/artists",
            [self._reader.shapes.artist(artist) for artist in found if artist is not None],
            offset=params.offset,
            limit=params.limit,
            total=len(best),
            time_range=params.time_range,
        )
        return tagged_response(ask.request, page)

    async def _most_played(self, ask: Ask[TopParams, None]) -> list[Uri]:
        since_ms = Millis(self._reader.now_ms() - _RANGES_MS[ask.params.time_range])
        plays = await self._library.plays(ask.claims.user_id, limit=PLAYS_READ_MAX, after_ms=since_ms)
        return most_played(plays, since_ms=since_ms)


def timestamp(at_ms: Millis) -> str:
    """RFC 3339 in UTC, as the Web API writes it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _done(status: int) -> Response:
    return Response(status_code=status, headers={"cache-control": "no-store"})


def _ids_of(ask: Ask[Any, IdsBody | None]) -> list[str]:
    """From the query or the body. Raises Rejected BAD_REQUEST when neither names any."""
    found = ask.params.ids or (ask.body.ids if ask.body is not None else None)
    if not found:
        raise Rejected(
            Code.BAD_REQUEST,
            f"{ask.request.method} {ask.request.url.path} rejected: name 1 to {IDS_MAX} ids",
        )
    return list(dict.fromkeys(found))


def _parsed(uri: str) -> tuple[Shelf, str]:
    found = parse_uri(uri)
    if found is None or found[0] not in _SHELVES:
        kinds = ", ".join(_SHELVES)
        raise Rejected(Code.BAD_REQUEST, f"uris={uri!r} rejected: it must be the URI of one of {kinds}")
    return _SHELVES[found[0]], found[1]


def _shelves(ask: Ask[OfUris, None], scopes: tuple[str, str]) -> dict[Shelf, list[str]]:
    """The ids of each shelf. Raises Rejected BAD_REQUEST, FORBIDDEN where the scope of a kind is missing."""
    shelves: dict[Shelf, list[str]] = defaultdict(list)
    for uri in dict.fromkeys(ask.params.uris):
        shelf, item_id = _parsed(uri)
        shelves[shelf].append(item_id)
    for shelf in shelves:
        needed = scopes[1] if shelf in (Shelf.ARTISTS, Shelf.USERS) else scopes[0]
        if needed not in ask.claims.scopes:
            raise Rejected(Code.FORBIDDEN, f"{ask.request.method} of {shelf} needs the scope {needed}")
    return shelves

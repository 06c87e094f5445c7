"""What there is when nothing is asked for by name: all albums, all shows, what is new, genres, markets."""

import base64
import binascii
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from catalog.markets import MARKETS
from catalog.model import Album
from kernel.errors import Code, Rejected
from kernel.units import Clock
from serve.rest.exchange import tagged_response
from serve.rest.newest import Newest
from serve.rest.objects import (
    AlbumListing,
    ArtistObject,
    Categories,
    CategoryObject,
    CursorPage,
    Cursors,
    Genres,
    Markets,
    SimplifiedAlbum,
    SimplifiedShow,
    T,
)
from serve.rest.operations import Ask, NoParams, Operation
from serve.rest.parameters import Cursor, InMarket, Limit, Paged
from serve.rest.reader import CatalogueReader, missing
from storage.catalogue import GENRES_MAX
from storage.catalogue import Page as Stored

CategoryId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=120,
        description="A genre, its words joined by hyphens: an `id` of `/v1/browse/categories`.",
        examples=["post-rock"],
    ),
]


class Everything(InMarket, frozen=True, kw_only=True):
    limit: Limit = 50
    after: Cursor | None = None


class OneCategory(InMarket, frozen=True, kw_only=True):
    category_id: CategoryId


class OneCategoryPaged(Paged, frozen=True, kw_only=True):
    category_id: CategoryId


class BrowseEndpoints:
    def __init__(self, reader: CatalogueReader, clock: Clock) -> None:
        self._reader = reader
        self._catalogue = reader.catalogue
        self._newest = Newest(reader.catalogue, clock)

    def operations(self) -> list[Operation[Any, Any]]:
        def read(
            path: str,
            summary: str,
            handler: Any,
            params: type[msgspec.Struct],
            answer: Any,
            description: str = "",
        ) -> Operation[Any, Any]:
            return Operation(
                method="GET",
                path=f"/v1/{path}",
                summary=summary,
                tag="Browse",
                handler=handler,
                params=params,
                answers={200: answer},
                refusals=(Code.NOT_FOUND,) if "{" in path else (),
                cached=True,
                description=description,
            )

        own = "Segue's own: the Web API has no list of everything."
        genres = "The genres that the files are tagged with."
        return [
            read("browse/albums", "All albums", self.albums, Everything, CursorPage[SimplifiedAlbum], own),
            read("browse/shows", "All shows", self.shows, Everything, CursorPage[SimplifiedShow], own),
            read("browse/artists", "All artists", self.artists, Everything, CursorPage[ArtistObject], own),
            read("browse/new-releases", "What was added last", self.new_releases, Paged, AlbumListing),
            read("browse/categories", "Genres", self.categories, Paged, Categories, genres),
            read("browse/categories/{category_id}", "One genre", self.category, OneCategory, CategoryObject),
            read(
                "browse/categories/{category_id}/albums",
                "Albums of a genre, newest first",
                self.category_albums,
                OneCategoryPaged,
                AlbumListing,
                "Segue's own: where the Web API has playlists of a category.",
            ),
            read(
                "recommendations/available-genre-seeds", "Names of all genres", self.genres, NoParams, Genres
            ),
            read("markets", "Country codes", self.markets, NoParams, Markets),
        ]

    # --- everything ---------------------------------------------------------------------------------

    async def albums(self, ask: Ask[Everything, None]) -> Response:
        page = await self._catalogue.album_page(_place(ask.params.after), ask.params.limit)
        shapes = self._reader.in_market(ask.claims)
        return self._listed(
            ask, "/v1/browse/albums", page, [shapes.simplified_album(each) for each in page.items]
        )

    async def shows(self, ask: Ask[Everything, None]) -> Response:
        page = await self._catalogue.show_page(_place(ask.params.after), ask.params.limit)
        shapes = self._reader.in_market(ask.claims)
        return self._listed(
            ask, "/v1/browse/shows", page, [shapes.simplified_show(each) for each in page.items]
        )

    async def artists(self, ask: Ask[Everything, None]) -> Response:
        page = await self._catalogue.artist_page(_place(ask.params.after), ask.params.limit)
        shapes = self._reader.shapes
        return self._listed(ask, "/v1/browse/artists", page, [shapes.artist(each) for each in page.items])

    def _listed(self, ask: Ask[Everything, None], path: str, page: Stored[Any], items: list[T]) -> Response:
        shapes, limit = self._reader.shapes, ask.params.limit
        after = _cursor(page.after) if page.after is not None else None
        here = {"limit": limit, "after": ask.params.after} if ask.params.after else {"limit": limit}
        shown = CursorPage[Any](
            href=shapes.page_link(path, **here),
            items=tuple(items),
            limit=limit,
            next=shapes.page_link(path, limit=limit, after=after) if after else None,
            cursors=Cursors(after=after),
        )
        return tagged_response(ask.request, shown)

    async def new_releases(self, ask: Ask[Paged, None]) -> Response:
        newest = await self._newest.album_ids()
        offset, limit = ask.params.offset, ask.params.limit
        found = await self._catalogue.albums(newest[offset : offset + limit])
        shapes = self._reader.in_market(ask.claims)
        items = [shapes.simplified_album(album) for album in found if album is not None]
        page = shapes.page("/v1/browse/new-releases", items, offset=offset, limit=limit, total=len(newest))
        return tagged_response(ask.request, AlbumListing(albums=page))

    # --- genres -------------------------------------------------------------------------------------

    async def categories(self, ask: Ask[Paged, None]) -> Response:
        genres = await self._catalogue.genres(GENRES_MAX)
        offset, limit = ask.params.offset, ask.params.limit
        items = [self._category(genre) for genre in genres[offset : offset + limit]]
        page = self._reader.shapes.page(
            "/v1/browse/categories", items, offset=offset, limit=limit, total=len(genres)
        )
        return tagged_response(ask.request, Categories(categories=page))

    async def category(self, ask: Ask[OneCategory, None]) -> Response:
        await self._albums_of(ask.params.category_id)
        return tagged_response(ask.request, self._category(_genre(ask.params.category_id)))

    async def category_albums(self, ask: Ask[OneCategoryPaged, None]) -> Response:
        albums = await self._albums_of(ask.params.category_id)
        albums.sort(key=lambda album: (album.release_date, album.album_id), reverse=True)
        offset, limit = ask.params.offset, ask.params.limit
        shapes = self._reader.in_market(ask.claims)
        page = shapes.page(
            f"/v1/browse/categories/{ask.params.category_id}/albums",
            [shapes.simplified_album(album) for album in albums[offset : offset + limit]],
            offset=offset,
            limit=limit,
            total=len(albums),
        )
        return tagged_response(ask.request, AlbumListing(albums=page))

    async def _albums_of(self, category_id: str) -> list[Album]:
        albums = await self._catalogue.albums_by_genre(_genre(category_id))
        if not albums:
            raise missing("category", category_id)
        return albums

    def _category(self, genre: str) -> CategoryObject:
        category_id = genre.replace(" ", "-")
        href = self._reader.shapes.link(f"/v1/browse/categories/{category_id}")
        return CategoryObject(href=href, icons=(), id=category_id, name=genre)

    async def genres(self, ask: Ask[NoParams, None]) -> Response:
        return tagged_response(ask.request, Genres(genres=tuple(await self._catalogue.genres(GENRES_MAX))))

    async def markets(self, ask: Ask[NoParams, None]) -> Response:
        return tagged_response(ask.request, Markets(markets=tuple(sorted(MARKETS))))


def _genre(category_id: str) -> str:
    return category_id.replace("-", " ")


def _cursor(place: str) -> str:
    """A place in a listing as a client sees it: to be given back, not read."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _place(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise Rejected(Code.BAD_REQUEST, f"after={cursor[:64]!r} rejected: it is no cursor of ours") from None

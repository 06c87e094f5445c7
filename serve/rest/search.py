"""Search over the catalogue's own words: what it finds has a word beginning with each word asked for.

Simple and local. What ranks by meaning will stand behind the same shape.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.responses import Response

from kernel.errors import Code, Rejected
from serve.rest.exchange import tagged_response
from serve.rest.objects import ArtistObject, EpisodeObject, Page, SimplifiedAlbum, SimplifiedShow, TrackObject
from serve.rest.operations import Ask, Operation
from serve.rest.parameters import Limit, Market
from serve.rest.reader import CatalogueReader
from storage.catalogue import sort_key

KINDS = ("album", "artist", "track", "show", "episode", "playlist", "audiobook")
QUERY_CHARS_MAX = 250
OFFSET_MAX = 1_000
T = TypeVar("T")


class SearchParams(msgspec.Struct, frozen=True, kw_only=True):
    q: Annotated[
        str, Meta(min_length=1, max_length=QUERY_CHARS_MAX, description="The words.", examples=["etude ada"])
    ]
    type: Annotated[
        str,
        Meta(
            max_length=80,
            description=f"What to find, separated by commas: {', '.join(KINDS)}.",
            examples=["album,track"],
        ),
    ]
    market: Market | None = None
    limit: Limit = 20
    offset: Annotated[int, Meta(ge=0, le=OFFSET_MAX, description="How many finds stand before.")] = 0
    include_external: Annotated[str, Meta(max_length=16, description="Has no effect.")] | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page for each kind that was asked for."""

    tracks: Page[TrackObject] | None = None
    artists: Page[ArtistObject] | None = None
    albums: Page[SimplifiedAlbum] | None = None
    shows: Page[SimplifiedShow] | None = None
    episodes: Page[EpisodeObject] | None = None
    playlists: Page[None] | None = None
    """Empty: there are none yet."""
    audiobooks: Page[None] | None = None
    """Empty: audiobooks are shows."""


class SearchEndpoint:
    def __init__(self, reader: CatalogueReader) -> None:
        self._reader = reader
        self._catalogue = reader.catalogue

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                method="GET",
                path="/v1/search",
                summary="Find by words",
                tag="Search",
                handler=self.search,
                params=SearchParams,
                answers={200: Found},
                cached=True,
                description=(
                    "Regardless of case and accents; each word may be the beginning of one in the name or in "
                    "the artists. Names that begin with the words come first. A field filter is a word here."
                ),
            )
        ]

    async def search(self, ask: Ask[SearchParams, None]) -> Response:
        kinds = dict.fromkeys(ask.params.type.split(","))
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown:
            raise Rejected(
                Code.BAD_REQUEST,
                f"type={ask.params.type!r} rejected: {unknown[0]!r} is none of {', '.join(KINDS)}",
            )
        return tagged_response(
            ask.request, Found(**{f"{kind}s": await self._page(kind, ask) for kind in kinds})
        )

    async def _page(self, kind: str, ask: Ask[SearchParams, None]) -> Page[Any]:
        words, claims = ask.params.q, ask.claims
        shapes = self._reader.in_market(claims)
        items: Sequence[Any]
        match kind:
            case "artist":
                artists = _ranked(await self._catalogue.find_artists(words), words, lambda each: each.name)
                total, items = len(artists), [shapes.artist(each) for each in self._cut(artists, ask)]
            case "album" | "show":
                found = await self._catalogue.find_albums(words)
                wanted = [each for each in found if each.is_show == (kind == "show")]
                albums = _ranked(wanted, words, lambda each: each.title)
                show = shapes.simplified_show if kind == "show" else shapes.simplified_album
                total, items = len(albums), [show(each) for each in self._cut(albums, ask)]
            case "track" | "episode":
                pieces = await self._catalogue.find_tracks(words)
                spoken = kind == "episode"
                tracks = _ranked(
                    [p for p in pieces if p.is_episode == spoken], words, lambda each: each.title
                )
                ids = [each.track_id for each in self._cut(tracks, ask)]
                read = self._reader.episode_objects if spoken else self._reader.track_objects
                total, items = len(tracks), [each for each in await read(ids, claims) if each is not None]
            case _:
                total, items = 0, []
        return shapes.page(
            "/v1/search",
            items,
            offset=ask.params.offset,
            limit=ask.params.limit,
            total=total,
            q=words,
            type=kind,
        )

    def _cut(self, found: list[T], ask: Ask[SearchParams, None]) -> list[T]:
        return found[ask.params.offset : ask.params.offset + ask.params.limit]


def _ranked(found: list[T], words: str, name_of: Any) -> list[T]:
    """Names that are the words, then those that begin with them, then the others; each by name."""
    asked = sort_key(words)

    def rank(item: T) -> tuple[int, str]:
        name = sort_key(name_of(item))
        return (0 if name == asked else 1 if name.startswith(asked) else 2, name)

    return sorted(found, key=rank)

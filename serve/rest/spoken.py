"""Shows and episodes: what is spoken, as kinds of their own. Audiobooks are shows here."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from catalog.library import resume_at
from kernel.errors import Code
from kernel.ids import AlbumId, TrackId
from kernel.units import Millis
from serve.rest.exchange import no_content, tagged_response
from serve.rest.objects import EpisodeObject, Episodes, Page, ShowObject, Shows, SimplifiedEpisode
from serve.rest.operations import Ask, Operation
from serve.rest.parameters import One, OnePaged, Several
from serve.rest.reader import CatalogueReader, missing

MODIFY_LIBRARY = "user-library-modify"


class ResumeBody(msgspec.Struct, frozen=True, kw_only=True):
    position_ms: Annotated[Millis, Meta(ge=0, le=24 * 3600 * 1000)]


class SpokenEndpoints:
    def __init__(self, reader: CatalogueReader) -> None:
        self._reader = reader
        self._catalogue = reader.catalogue

    def operations(self) -> list[Operation[Any, Any]]:
        def read(
            path: str, summary: str, handler: Any, params: type[msgspec.Struct], answer: Any
        ) -> Operation[Any, Any]:
            return Operation(
                method="GET",
                path=f"/v1/{path}",
                summary=summary,
                tag="Shows and episodes",
                handler=handler,
                params=params,
                answers={200: answer},
                refusals=(Code.NOT_FOUND,) if "{id}" in path else (),
                cached=True,
                slash=True,
                description="Resume points are there for a token with user-read-playback-position.",
            )

        return [
            read("shows", "Several shows", self.shows, Several, Shows),
            read("shows/{id}", "One show with its first episodes", self.show, One, ShowObject),
            read(
                "shows/{id}/episodes",
                "Episodes of a show",
                self.show_episodes,
                OnePaged,
                Page[SimplifiedEpisode],
            ),
            read("episodes", "Several episodes", self.episodes, Several, Episodes),
            read("episodes/{id}", "One episode", self.episode, One, EpisodeObject),
            Operation(
                method="PUT",
                path="/v1/me/episodes/{id}/resume-point",
                summary="Say where an episode was left",
                tag="Shows and episodes",
                handler=self.put_resume_point,
                params=One,
                body=ResumeBody,
                scopes=(MODIFY_LIBRARY,),
                answers={204: None},
                refusals=(Code.NOT_FOUND,),
                description="Segue's own. The session says so by itself whenever it leaves an episode.",
            ),
        ]

    async def shows(self, ask: Ask[Several, None]) -> Response:
        shapes = self._reader.in_market(ask.claims)
        found = await self._catalogue.albums([AlbumId(each) for each in ask.params.ids])
        shown = tuple(
            shapes.simplified_show(show) if show is not None and show.is_show else None for show in found
        )
        return tagged_response(ask.request, Shows(shows=shown))

    async def show(self, ask: Ask[One, None]) -> Response:
        show = await self._reader.show(ask.params.id)
        episodes = await self._reader.episode_page(show, ask.claims)
        return tagged_response(ask.request, self._reader.in_market(ask.claims).show(show, episodes))

    async def show_episodes(self, ask: Ask[OnePaged, None]) -> Response:
        show = await self._reader.show(ask.params.id)
        page = await self._reader.episode_page(
            show, ask.claims, offset=ask.params.offset, limit=ask.params.limit
        )
        return tagged_response(ask.request, page)

    async def episodes(self, ask: Ask[Several, None]) -> Response:
        wanted = [TrackId(each) for each in ask.params.ids]
        found = await self._reader.episode_objects(wanted, ask.claims)
        return tagged_response(ask.request, Episodes(episodes=tuple(found)))

    async def episode(self, ask: Ask[One, None]) -> Response:
        return tagged_response(ask.request, await self._episode(ask))

    async def put_resume_point(self, ask: Ask[One, ResumeBody]) -> Response:
        episode = await self._episode(ask)
        where = resume_at(ask.body.position_ms, episode.duration_ms, self._reader.now_ms())
        await self._reader.library.put_resume_point(ask.claims.user_id, episode.id, where)
        return no_content()

    async def _episode(self, ask: Ask[One, Any]) -> EpisodeObject:
        [episode] = await self._reader.episode_objects([TrackId(ask.params.id)], ask.claims)
        if episode is None:
            raise missing("episode", ask.params.id)
        return episode

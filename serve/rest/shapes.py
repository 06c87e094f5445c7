"""How values of the catalogue become objects of the Web API."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from msgspec import UNSET, UnsetType

from catalog.model import Album, Artist, Cover, Track
from kernel.ids import ArtistId, Uri, UserId, uri
from kernel.units import Millis
from serve.rest.objects import (
    AlbumObject,
    ArtistObject,
    ContextObject,
    EpisodeObject,
    ExplicitContent,
    ExternalIds,
    ExternalUrls,
    Followers,
    Image,
    LinkedFrom,
    Page,
    PrivateUserObject,
    Restrictions,
    ResumePoint,
    ShowObject,
    SimplifiedAlbum,
    SimplifiedArtist,
    SimplifiedEpisode,
    SimplifiedShow,
    SimplifiedTrack,
    T,
    TrackObject,
    UserObject,
)


class Shapes:
    """Turns catalogue values into objects with links of this server."""

    def __init__(
        self, *, base_url: str, art_url: str, market: str = "", explicit_filter: bool = False
    ) -> None:
        """`base_url`: this server (`http://host:port`). `art_url`: the edge, where covers are. Neither ends
        with a slash.

        `market`: the listener's. It is the one that `available_markets` names, since an answer is for one
        listener and says whether *they* may play; all 249 for each track would be most of the body.
        `explicit_filter`: theirs, which makes explicit pieces unplayable.
        """
        self._base = base_url
        self._art = art_url
        self._markets = (market,) if market else ()
        self._explicit_filter = explicit_filter

    def in_market(self, market: str, *, explicit_filter: bool = False) -> "Shapes":
        return Shapes(base_url=self._base, art_url=self._art, market=market, explicit_filter=explicit_filter)

    def page(
        self, path: str, items: Sequence[T], *, offset: int, limit: int, total: int, **query: str
    ) -> Page[T]:
        """A page of the listing at `path`, from `offset` on; `query`: what else belongs to its links."""

        def at(place: int) -> str:
            return self.page_link(path, offset=place, limit=limit, **query)

        return Page(
            href=at(offset),
            items=tuple(items),
            limit=limit,
            next=at(offset + limit) if offset + limit < total else None,
            offset=offset,
            previous=at(max(offset - limit, 0)) if offset > 0 else None,
            total=total,
        )

    def link(self, path: str) -> str:
        """The address of a path of this server."""
        return f"{self._base}{path}"

    def page_link(self, path: str, **query: int | str) -> str:
        """The address of a page of a listing."""
        return f"{self._base}{path}?{urlencode(query)}"

    def _link(self, kind: str, identifier: str) -> str:
        return f"{self._base}/v1/{kind}s/{identifier}"

    def _page(self, kind: str, identifier: str) -> ExternalUrls:
        return ExternalUrls(spotify=f"{self._base}/#/{kind}/{identifier}")

    def _images(self, covers: tuple[Cover, ...]) -> tuple[Image, ...]:
        return tuple(
            Image(url=f"{self._art}/{cover.blob}", width=cover.width, height=cover.height) for cover in covers
        )

    def _credits(self, ids: tuple[ArtistId, ...], names: tuple[str, ...]) -> tuple[SimplifiedArtist, ...]:
        return tuple(
            SimplifiedArtist(
                external_urls=self._page("artist", artist_id),
                href=self._link("artist", artist_id),
                id=artist_id,
                name=name,
                uri=uri("artist", artist_id),
            )
            for artist_id, name in zip(ids, names, strict=True)
        )

    def artist(self, artist: Artist) -> ArtistObject:
        return ArtistObject(
            external_urls=self._page("artist", artist.artist_id),
            followers=Followers(),
            genres=artist.genres,
            href=self._link("artist", artist.artist_id),
            id=artist.artist_id,
            images=self._images(artist.covers),
            name=artist.name,
            popularity=0,
            uri=uri("artist", artist.artist_id),
        )

    def simplified_album(self, album: Album) -> SimplifiedAlbum:
        return SimplifiedAlbum(**self._album_fields(album))

    def _album_fields(self, album: Album) -> dict[str, Any]:  # keyword arguments of two structs
        return {
            "album_type": "album" if len(album.track_ids) > 1 else "single",
            "total_tracks": len(album.track_ids),
            "available_markets": self._markets,
            "external_urls": self._page("album", album.album_id),
            "href": self._link("album", album.album_id),
            "id": album.album_id,
            "images": self._images(album.covers),
            "name": album.title,
            "release_date": album.release_date or "0000",
            "release_date_precision": _precision(album.release_date),
            "uri": uri("album", album.album_id),
            "artists": self._credits(album.artist_ids, album.artist_names),
        }

    def album(self, album: Album, tracks: Page[SimplifiedTrack]) -> AlbumObject:
        return AlbumObject(
            **self._album_fields(album),
            tracks=tracks,
            copyrights=(),
            external_ids=ExternalIds(),
            genres=album.genres,
            label=album.label,
            popularity=0,
        )

    def simplified_track(self, track: Track, *, asked: Track | None = None) -> SimplifiedTrack:
        """`asked`: the track that was asked for, when `track` stands for it."""
        return SimplifiedTrack(**self._track_fields(track, asked))

    def _linked_from(self, asked: Track) -> LinkedFrom:
        return LinkedFrom(
            external_urls=self._page("track", asked.track_id),
            href=self._link("track", asked.track_id),
            id=asked.track_id,
            uri=uri("track", asked.track_id),
        )

    def _track_fields(
        self, track: Track, asked: Track | None
    ) -> dict[str, Any]:  # keyword arguments of two structs
        restrictions = self._restrictions(track)
        return {
            "artists": self._credits(track.artist_ids, track.artist_names),
            "available_markets": self._markets if track.available else (),
            "disc_number": track.disc_number,
            "duration_ms": track.duration_ms,
            "explicit": track.explicit,
            "external_urls": self._page("track", track.track_id),
            "href": self._link("track", track.track_id),
            "id": track.track_id,
            "is_playable": restrictions is UNSET,
            "linked_from": self._linked_from(asked) if asked is not None else UNSET,
            "restrictions": restrictions,
            "name": track.title,
            "preview_url": None,
            "track_number": track.track_number,
            "uri": uri("track", track.track_id),
        }

    def track(self, track: Track, album: Album | None, *, asked: Track | None = None) -> TrackObject:
        return TrackObject(
            **self._track_fields(track, asked),
            album=self.simplified_album(album or _album_of(track)),
            external_ids=ExternalIds(isrc=track.isrc),
            popularity=0,
        )

    def simplified_show(self, show: Album) -> SimplifiedShow:
        return SimplifiedShow(**self._show_fields(show))

    def show(self, show: Album, episodes: Page[SimplifiedEpisode]) -> ShowObject:
        return ShowObject(**self._show_fields(show), episodes=episodes)

    def _show_fields(self, show: Album) -> dict[str, Any]:  # keyword arguments of two structs
        return {
            "available_markets": self._markets,
            "copyrights": (),
            "description": "",
            "html_description": "",
            "explicit": False,
            "external_urls": self._page("show", show.album_id),
            "href": self._link("show", show.album_id),
            "id": show.album_id,
            "images": self._images(show.covers),
            "is_externally_hosted": False,
            "languages": (),
            "media_type": "audio",
            "name": show.title,
            "publisher": ", ".join(show.artist_names),
            "uri": uri("show", show.album_id),
            "total_episodes": len(show.track_ids),
        }

    def simplified_episode(self, episode: Track, show: Album, resume: "Resume" = UNSET) -> SimplifiedEpisode:
        return SimplifiedEpisode(**self._episode_fields(episode, show, resume))

    def episode(self, episode: Track, show: Album | None, resume: "Resume" = UNSET) -> EpisodeObject:
        show = show or _album_of(episode)
        return EpisodeObject(**self._episode_fields(episode, show, resume), show=self.simplified_show(show))

    def _episode_fields(
        self, episode: Track, show: Album, resume: "Resume"
    ) -> dict[str, Any]:  # keyword arguments of two structs
        restrictions = self._restrictions(episode)
        return {
            "audio_preview_url": None,
            "description": "",
            "html_description": "",
            "duration_ms": episode.duration_ms,
            "explicit": episode.explicit,
            "external_urls": self._page("episode", episode.track_id),
            "href": self._link("episode", episode.track_id),
            "id": episode.track_id,
            "images": self._images(episode.covers or show.covers),
            "is_externally_hosted": False,
            "is_playable": restrictions is UNSET,
            "language": "",
            "languages": (),
            "name": episode.title,
            "release_date": show.release_date or "0000",
            "release_date_precision": _precision(show.release_date),
            "resume_point": resume,
            "uri": uri("episode", episode.track_id),
            "restrictions": restrictions,
        }

    def _restrictions(self, piece: Track) -> Restrictions | UnsetType:
        if not piece.is_there:
            return _GONE
        return _EXPLICIT if piece.explicit and self._explicit_filter else UNSET

    def user(self, user_id: UserId, name: str) -> UserObject:
        return UserObject(**self._user_fields(user_id, name))

    def private_user(
        self, user_id: UserId, name: str, *, country: str, product: str, explicit_filter: bool
    ) -> PrivateUserObject:
        return PrivateUserObject(
            **self._user_fields(user_id, name),
            country=country,
            product=product,
            explicit_content=ExplicitContent(filter_enabled=explicit_filter, filter_locked=False),
        )

    def _user_fields(self, user_id: UserId, name: str) -> dict[str, Any]:  # keyword arguments of two structs
        return {
            "display_name": name,
            "external_urls": self._page("user", user_id),
            "followers": Followers(),
            "href": self._link("user", user_id),
            "id": user_id,
            "images": (),
            "uri": uri("user", user_id),
        }

    def context(self, context_uri: Uri | None) -> ContextObject | None:
        if context_uri is None:
            return None
        _, kind, identifier = context_uri.split(":")
        return ContextObject(
            type=kind,
            href=self._link(kind, identifier),
            external_urls=self._page(kind, identifier),
            uri=context_uri,
        )


Resume = ResumePoint | UnsetType
_GONE = Restrictions(reason="market")
"""The nearest of the Web API's reasons for a piece that no file of the library holds now."""

_EXPLICIT = Restrictions(reason="explicit")


def _precision(release_date: str) -> str:
    return {7: "month", 10: "day"}.get(len(release_date), "year")


def _album_of(track: Track) -> Album:
    """What a track itself knows of its album, when the album's own record is gone."""
    return Album(
        album_id=track.album_id,
        title=track.album_title,
        artist_ids=track.artist_ids,
        artist_names=track.artist_names,
        track_ids=(track.track_id,),
        genres=track.genres,
        covers=track.covers,
        added_at_ms=Millis(0),
    )

"""The Spotify Web API's objects, field for field, and how ours become them.

Each struct is one object of that API. Fields that Segue has nothing to say about carry the value that API
documents for "none".
"""

from typing import Any
from urllib.parse import urlencode

import msgspec

from catalog.model import Album, Artist, Cover, Track
from kernel.ids import AlbumId, ArtistId, TrackId, Uri, UserId, uri
from kernel.units import Millis


class Image(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    width: int | None
    height: int | None


class ExternalUrls(msgspec.Struct, frozen=True, kw_only=True):
    spotify: str


class ExternalIds(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    isrc: str | None = None


class SimplifiedArtist(msgspec.Struct, frozen=True, kw_only=True):
    external_urls: ExternalUrls
    href: str
    id: ArtistId
    name: str
    type: str = "artist"
    uri: Uri


class Followers(msgspec.Struct, frozen=True, kw_only=True):
    href: str | None = None
    total: int = 0


class ArtistObject(msgspec.Struct, frozen=True, kw_only=True):
    external_urls: ExternalUrls
    followers: Followers
    genres: tuple[str, ...]
    href: str
    id: ArtistId
    images: tuple[Image, ...]
    name: str
    popularity: int
    type: str = "artist"
    uri: Uri


class SimplifiedAlbum(msgspec.Struct, frozen=True, kw_only=True):
    album_type: str
    total_tracks: int
    available_markets: tuple[str, ...]
    external_urls: ExternalUrls
    href: str
    id: AlbumId
    images: tuple[Image, ...]
    name: str
    release_date: str
    release_date_precision: str
    type: str = "album"
    uri: Uri
    artists: tuple[SimplifiedArtist, ...]


class SimplifiedTrack(msgspec.Struct, frozen=True, kw_only=True):
    artists: tuple[SimplifiedArtist, ...]
    available_markets: tuple[str, ...]
    disc_number: int
    duration_ms: Millis
    explicit: bool
    external_urls: ExternalUrls
    href: str
    id: TrackId
    is_playable: bool
    name: str
    preview_url: str | None
    track_number: int
    type: str = "track"
    uri: Uri
    is_local: bool = False


class TrackObject(SimplifiedTrack, frozen=True, kw_only=True):
    album: SimplifiedAlbum
    external_ids: ExternalIds
    popularity: int


class TrackPage(msgspec.Struct, frozen=True, kw_only=True):
    href: str
    items: tuple[SimplifiedTrack, ...]
    limit: int
    next: str | None
    offset: int
    previous: str | None
    total: int


class AlbumPage(msgspec.Struct, frozen=True, kw_only=True):
    href: str
    items: tuple[SimplifiedAlbum, ...]
    limit: int
    next: str | None
    offset: int
    previous: str | None
    total: int


class Copyright(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    type: str


class AlbumObject(SimplifiedAlbum, frozen=True, kw_only=True):
    tracks: TrackPage
    copyrights: tuple[Copyright, ...]
    external_ids: ExternalIds
    genres: tuple[str, ...]
    label: str
    popularity: int


class Cursors(msgspec.Struct, frozen=True, kw_only=True):
    after: str | None


class AlbumCursorPage(msgspec.Struct, frozen=True, kw_only=True):
    """Segue's own: every album, in order."""

    href: str
    items: tuple[SimplifiedAlbum, ...]
    limit: int
    next: str | None
    cursors: Cursors


class DeviceObject(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    is_active: bool
    is_private_session: bool
    is_restricted: bool
    name: str
    type: str
    volume_percent: int
    supports_volume: bool


class ContextObject(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    href: str
    external_urls: ExternalUrls
    uri: Uri


class Actions(msgspec.Struct, frozen=True, kw_only=True):
    """`disallows`: the actions that are not possible now, each true. Reasons are on the socket."""

    disallows: dict[str, bool]


class PlaybackState(msgspec.Struct, frozen=True, kw_only=True):
    device: DeviceObject
    repeat_state: str
    shuffle_state: bool
    context: ContextObject | None
    timestamp: Millis
    progress_ms: Millis
    is_playing: bool
    item: TrackObject | None
    currently_playing_type: str
    actions: Actions


class CurrentlyPlaying(msgspec.Struct, frozen=True, kw_only=True):
    context: ContextObject | None
    timestamp: Millis
    progress_ms: Millis
    is_playing: bool
    item: TrackObject | None
    currently_playing_type: str
    actions: Actions


class QueueObject(msgspec.Struct, frozen=True, kw_only=True):
    currently_playing: TrackObject | None
    queue: tuple[TrackObject, ...]


class UserObject(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody may know of a user."""

    display_name: str
    external_urls: ExternalUrls
    followers: Followers
    href: str
    id: str
    images: tuple[Image, ...]
    type: str = "user"
    uri: Uri


class ExplicitContent(msgspec.Struct, frozen=True, kw_only=True):
    filter_enabled: bool
    filter_locked: bool


class PrivateUserObject(UserObject, frozen=True, kw_only=True):
    """What a user may know of themselves."""

    country: str
    product: str
    explicit_content: ExplicitContent


class Shapes:
    """Turns catalogue values into objects with links of this server."""

    def __init__(self, *, base_url: str, art_url: str, market: str = "") -> None:
        """`base_url`: this server (`http://host:port`). `art_url`: the edge, where covers are. Neither ends
        with a slash.

        `market`: the listener's. It is the one that `available_markets` names, since an answer is for one
        listener and says whether *they* may play; all 249 for each track would be most of the body.
        """
        self._base = base_url
        self._art = art_url
        self._markets = (market,) if market else ()

    def in_market(self, market: str) -> "Shapes":
        return Shapes(base_url=self._base, art_url=self._art, market=market)

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
            "release_date_precision": {4: "year", 7: "month", 10: "day"}.get(len(album.release_date), "year"),
            "uri": uri("album", album.album_id),
            "artists": self._credits(album.artist_ids, album.artist_names),
        }

    def album(self, album: Album, tracks: TrackPage) -> AlbumObject:
        return AlbumObject(
            **self._album_fields(album),
            tracks=tracks,
            copyrights=(),
            external_ids=ExternalIds(),
            genres=album.genres,
            label=album.label,
            popularity=0,
        )

    def simplified_track(self, track: Track) -> SimplifiedTrack:
        return SimplifiedTrack(**self._track_fields(track))

    def _track_fields(self, track: Track) -> dict[str, Any]:  # keyword arguments of two structs
        return {
            "artists": self._credits(track.artist_ids, track.artist_names),
            "available_markets": self._markets if track.available else (),
            "disc_number": track.disc_number,
            "duration_ms": track.duration_ms,
            "explicit": track.explicit,
            "external_urls": self._page("track", track.track_id),
            "href": self._link("track", track.track_id),
            "id": track.track_id,
            "is_playable": track.available and bool(track.renditions),
            "name": track.title,
            "preview_url": None,
            "track_number": track.track_number,
            "uri": uri("track", track.track_id),
        }

    def track(self, track: Track, album: Album | None) -> TrackObject:
        return TrackObject(
            **self._track_fields(track),
            album=self.simplified_album(album or _album_of(track)),
            external_ids=ExternalIds(isrc=track.isrc),
            popularity=0,
        )

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

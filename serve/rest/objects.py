"""The Spotify Web API's objects, field for field.

Each struct is one object of that API. Fields that Segue has nothing to say about carry the value that API
documents for "none".
"""

from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from kernel.ids import AlbumId, ArtistId, TrackId, Uri
from kernel.units import Millis

T = TypeVar("T")


class Image(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    width: int | None
    height: int | None


class ExternalUrls(msgspec.Struct, frozen=True, kw_only=True):
    spotify: str


class ExternalIds(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    isrc: str | None = None


class Restrictions(msgspec.Struct, frozen=True, kw_only=True):
    reason: str
    """`market`, `product` or `explicit`."""


class LinkedFrom(msgspec.Struct, frozen=True, kw_only=True):
    """The track that was asked for, when another one stands for it in this market."""

    external_urls: ExternalUrls
    href: str
    id: TrackId
    type: str = "track"
    uri: Uri


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


class SimplifiedTrack(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="track"):
    artists: tuple[SimplifiedArtist, ...]
    available_markets: tuple[str, ...]
    disc_number: int
    duration_ms: Millis
    explicit: bool
    external_urls: ExternalUrls
    href: str
    id: TrackId
    is_playable: bool
    linked_from: LinkedFrom | UnsetType = UNSET
    """The track that was asked for, when its files are gone and another copy of the recording is shown."""
    restrictions: Restrictions | UnsetType = UNSET
    """There when it may not be played, with the reason."""
    name: str
    preview_url: str | None
    track_number: int
    uri: Uri
    is_local: bool = False


class TrackObject(SimplifiedTrack, frozen=True, kw_only=True):
    album: SimplifiedAlbum
    external_ids: ExternalIds
    popularity: int


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a listing that is walked by offset."""

    href: str
    items: tuple[T, ...]
    limit: int
    next: str | None
    offset: int
    previous: str | None
    total: int


class Copyright(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    type: str


class AlbumObject(SimplifiedAlbum, frozen=True, kw_only=True):
    tracks: Page[SimplifiedTrack]
    copyrights: tuple[Copyright, ...]
    external_ids: ExternalIds
    genres: tuple[str, ...]
    label: str
    popularity: int


class Cursors(msgspec.Struct, frozen=True, kw_only=True):
    after: str | None
    before: str | None = None


class CursorPage(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a listing that is walked by cursor."""

    href: str
    items: tuple[T, ...]
    limit: int
    next: str | None
    cursors: Cursors
    total: int | None = None
    """None where it is not counted."""


class ResumePoint(msgspec.Struct, frozen=True, kw_only=True):
    fully_played: bool
    resume_position_ms: Millis


class SimplifiedShow(msgspec.Struct, frozen=True, kw_only=True):
    available_markets: tuple[str, ...]
    copyrights: tuple[Copyright, ...]
    description: str
    html_description: str
    explicit: bool
    external_urls: ExternalUrls
    href: str
    id: AlbumId
    images: tuple[Image, ...]
    is_externally_hosted: bool
    languages: tuple[str, ...]
    media_type: str
    name: str
    publisher: str
    type: str = "show"
    uri: Uri
    total_episodes: int


class SimplifiedEpisode(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="episode"):
    audio_preview_url: str | None
    description: str
    html_description: str
    duration_ms: Millis
    explicit: bool
    external_urls: ExternalUrls
    href: str
    id: TrackId
    images: tuple[Image, ...]
    is_externally_hosted: bool
    is_playable: bool
    language: str
    languages: tuple[str, ...]
    name: str
    release_date: str
    release_date_precision: str
    resume_point: ResumePoint | UnsetType = UNSET
    """Left out without the scope user-read-playback-position."""
    uri: Uri
    restrictions: Restrictions | UnsetType = UNSET


class EpisodeObject(SimplifiedEpisode, frozen=True, kw_only=True):
    show: SimplifiedShow


class ShowObject(SimplifiedShow, frozen=True, kw_only=True):
    episodes: Page[SimplifiedEpisode]


class CategoryObject(msgspec.Struct, frozen=True, kw_only=True):
    """A genre."""

    href: str
    icons: tuple[Image, ...]
    id: str
    name: str


class SavedTrack(msgspec.Struct, frozen=True, kw_only=True):
    added_at: str
    """RFC 3339, UTC."""
    track: TrackObject


class SavedAlbum(msgspec.Struct, frozen=True, kw_only=True):
    added_at: str
    album: AlbumObject


class SavedShow(msgspec.Struct, frozen=True, kw_only=True):
    added_at: str
    show: SimplifiedShow


class SavedEpisode(msgspec.Struct, frozen=True, kw_only=True):
    added_at: str
    episode: EpisodeObject


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
    item: TrackObject | EpisodeObject | None
    currently_playing_type: str
    actions: Actions


class CurrentlyPlaying(msgspec.Struct, frozen=True, kw_only=True):
    context: ContextObject | None
    timestamp: Millis
    progress_ms: Millis
    is_playing: bool
    item: TrackObject | EpisodeObject | None
    currently_playing_type: str
    actions: Actions


class QueueObject(msgspec.Struct, frozen=True, kw_only=True):
    currently_playing: TrackObject | EpisodeObject | None
    queue: tuple[TrackObject | EpisodeObject, ...]


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

    country: str | UnsetType = UNSET
    product: str | UnsetType = UNSET
    explicit_content: ExplicitContent | UnsetType = UNSET


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    devices: tuple[DeviceObject, ...]


class Markets(msgspec.Struct, frozen=True, kw_only=True):
    markets: tuple[str, ...]


class Tracks(msgspec.Struct, frozen=True, kw_only=True):
    tracks: tuple[TrackObject | None, ...]


class TopTracks(msgspec.Struct, frozen=True, kw_only=True):
    tracks: tuple[TrackObject, ...]


class Albums(msgspec.Struct, frozen=True, kw_only=True):
    albums: tuple[AlbumObject | None, ...]


class AlbumListing(msgspec.Struct, frozen=True, kw_only=True):
    albums: Page[SimplifiedAlbum]


class Artists(msgspec.Struct, frozen=True, kw_only=True):
    artists: tuple[ArtistObject | None, ...]


class RelatedArtists(msgspec.Struct, frozen=True, kw_only=True):
    artists: tuple[ArtistObject, ...]


class Shows(msgspec.Struct, frozen=True, kw_only=True):
    shows: tuple[SimplifiedShow | None, ...]


class Episodes(msgspec.Struct, frozen=True, kw_only=True):
    episodes: tuple[EpisodeObject | None, ...]


class Categories(msgspec.Struct, frozen=True, kw_only=True):
    categories: Page[CategoryObject]


class Genres(msgspec.Struct, frozen=True, kw_only=True):
    genres: tuple[str, ...]


class FollowedArtists(msgspec.Struct, frozen=True, kw_only=True):
    artists: CursorPage[ArtistObject]


class PlayHistory(msgspec.Struct, frozen=True, kw_only=True):
    track: TrackObject
    played_at: str
    context: ContextObject | None

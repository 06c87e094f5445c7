"""Resolves what `play` names into a context, from the catalogue. Contexts are shared by all who play them."""

from collections import OrderedDict
from collections.abc import Sequence

from msgspec.structs import replace

from catalog.model import Track, piece_uri
from kernel.errors import Code, Rejected
from kernel.ids import AlbumId, ArtistId, TrackId, Uri, parse_uri, uri
from sessions.inputs import Context, ContextItem
from storage.catalogue import Catalogue

CONTEXTS_MAX = 512
CONTEXT_ITEMS_MAX = 10_000
ARTIST_TRACKS_MAX = 500


class Contexts:
    """Albums, artists and lists of tracks. A bounded cache, emptied when the catalogue changes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._cache: OrderedDict[Uri, Context] = OrderedDict()
        self._revision = -1

    async def resolve(self, context_uri: Uri) -> Context:
        """Raises Rejected NOT_FOUND or BAD_REQUEST."""
        revision = await self._catalogue.revision()
        if revision != self._revision:
            self._cache.clear()
            self._revision = revision
        if context_uri in self._cache:
            self._cache.move_to_end(context_uri)
            return self._cache[context_uri]
        context = Context(
            uri=context_uri, revision=str(revision), items=_items(await self._tracks_of(context_uri))
        )
        self._cache[context_uri] = context
        if len(self._cache) > CONTEXTS_MAX:
            self._cache.popitem(last=False)
        return context

    async def of_tracks(self, uris: Sequence[Uri]) -> Context:
        """The tracks named, as a context of their own. Raises Rejected NOT_FOUND or BAD_REQUEST."""
        return Context(uri=None, revision="", items=_items(await self._tracks([_track_id(u) for u in uris])))

    async def explicit_among(self, uris: Sequence[Uri]) -> frozenset[Uri]:
        tracks = await self._catalogue.tracks([_track_id(each) for each in uris])
        return frozenset(piece_uri(track) for track in tracks if track is not None and track.explicit)

    async def _tracks_of(self, context_uri: Uri) -> list[Track]:
        match parse_uri(context_uri):
            case ("track" | "episode", _):
                return await self._tracks([_track_id(context_uri)])
            case ("album" | "show", identifier):
                (album,) = await self._catalogue.albums([AlbumId(identifier)])
                if album is not None:
                    return await self._tracks(album.track_ids[:CONTEXT_ITEMS_MAX])
            case ("artist", identifier):
                tracks = await self._catalogue.tracks_by_artist(ArtistId(identifier), limit=ARTIST_TRACKS_MAX)
                if tracks:
                    return sorted(tracks, key=_by_album)
            case ("playlist", _):
                pass
            case _:
                raise Rejected(
                    Code.BAD_REQUEST,
                    f"context {context_uri!r} rejected: no album, show, artist, track or episode has it",
                )
        raise Rejected(Code.NOT_FOUND, f"context {context_uri} asked for: it is not in this catalogue")

    async def _tracks(self, track_ids: Sequence[TrackId]) -> list[Track]:
        found = await self._catalogue.tracks(track_ids)
        missing = [wanted for wanted, track in zip(track_ids, found, strict=True) if track is None]
        if missing:
            raise Rejected(
                Code.NOT_FOUND,
                f"{len(track_ids)} tracks asked for: {len(missing)} are not in this catalogue",
                {"uris": [uri("track", track_id) for track_id in missing[:20]]},
            )
        return [await self._playable(track) for track in found if track is not None]

    async def _playable(self, track: Track) -> Track:
        """Under its own name, though another copy of the recording may be what sounds."""
        copy = await self._catalogue.copy_of(track)
        return replace(copy, track_id=track.track_id) if copy is not None else track


def _by_album(track: Track) -> tuple[str, str, int, int]:
    return track.album_title, track.album_id, track.disc_number, track.track_number


def _track_id(track_uri: Uri) -> TrackId:
    match parse_uri(track_uri):
        case ("track" | "episode", identifier):
            return TrackId(identifier)
        case _:
            raise Rejected(Code.BAD_REQUEST, f"{track_uri!r} rejected: not the URI of a track or an episode")


def _items(tracks: Sequence[Track]) -> tuple[ContextItem, ...]:
    seen: dict[TrackId, int] = {}
    items = []
    for track in tracks:
        seen[track.track_id] = nth = seen.get(track.track_id, 0) + 1
        items.append(
            ContextItem(
                # The track, not its place: what comes next stays the same when the album gains a track.
                key=track.track_id if nth == 1 else f"{track.track_id}#{nth}",
                uri=piece_uri(track),
                duration_ms=track.duration_ms,
                is_speech=track.is_speech,
                playable=track.is_there,
                explicit=track.explicit,
            )
        )
    return tuple(items)

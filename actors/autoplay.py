"""What plays on when a queue has run out, until there is a radio: the same artist, then shared genres.

The order is drawn by a generator seeded with what was heard, so a refill of the same session is the same.
"""

from random import Random

from catalog.model import Track, piece_uri
from kernel.ids import TrackId, Uri, parse_uri
from sessions.inputs import Candidate
from sessions.view import Reason
from storage.catalogue import Catalogue

SEEDS_MAX = 5
PER_SEED_MAX = 200
SAME_ARTIST_SHARE = 0.5
"""At most this part of a refill, so that it leads somewhere."""


class CatalogueAutoplay:
    """`actors.user_session.Autoplay` over the catalogue's listings."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def candidates(self, seeds: tuple[Uri, ...], count: int) -> tuple[Candidate, ...]:
        """`seeds` are the tracks heard last, newest first; none of them comes back."""
        heard = [TrackId(parsed[1]) for seed in seeds if (parsed := parse_uri(seed)) is not None]
        tracks = [track for track in await self._catalogue.tracks(heard[:SEEDS_MAX]) if track is not None]
        rng = Random("/".join(heard))
        taken = set(heard)
        chosen: list[Candidate] = []
        for track in tracks:
            for artist_id, name in zip(track.artist_ids, track.artist_names, strict=True):
                reason = Reason(kind="same_artist", text=f"More by {name}", seed_uris=(piece_uri(track),))
                found = await self._catalogue.tracks_by_artist(artist_id, limit=PER_SEED_MAX)
                room = int(count * SAME_ARTIST_SHARE) - len(chosen)
                chosen += _draw(found, taken, rng, room, reason)
        for track in tracks:
            for genre in track.genres:
                reason = Reason(kind="shared_genre", text=f"More {genre}", seed_uris=(piece_uri(track),))
                found = await self._catalogue.tracks_by_genre(genre, limit=PER_SEED_MAX)
                chosen += _draw(found, taken, rng, count - len(chosen), reason)
        return tuple(chosen[:count])


def _draw(
    tracks: list[Track], taken: set[TrackId], rng: Random, room: int, reason: Reason
) -> list[Candidate]:
    fresh = [
        track for track in tracks if track.track_id not in taken and track.available and track.renditions
    ]
    rng.shuffle(fresh)
    fresh = fresh[: max(0, room)]
    taken.update(track.track_id for track in fresh)
    return [
        Candidate(
            uri=piece_uri(track),
            duration_ms=track.duration_ms,
            is_speech=track.is_speech,
            explicit=track.explicit,
            reason=reason,
        )
        for track in fresh
    ]

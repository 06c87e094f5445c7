"""The rules of a listener's library: what may be kept, in which order it is shown, what was played most.

Pure. A kept item's `place` is a text that sorts newest first; it is made once, when the item is kept, so a
page that begins behind a place stays right while others come and go.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from kernel.errors import Code, Rejected
from kernel.ids import Uri, UserId
from kernel.units import Millis

SHELF_ITEMS_MAX = 20_000
IDS_MAX = 50
"""Of one request; the Web API's figure."""
PLAY_MS_MIN = 30_000
"""A piece was played when so much of it was heard, or half of a shorter one."""
FULLY_PLAYED_LEFT_MS = 30_000
"""An episode left this close to its end counts as played to the end."""
_LATEST_MS = 10**15 - 1


class Shelf(StrEnum):
    """One kind of thing that a listener keeps or follows."""

    TRACKS = "tracks"
    ALBUMS = "albums"
    SHOWS = "shows"
    EPISODES = "episodes"
    ARTISTS = "artists"
    USERS = "users"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One thing on a shelf."""

    item_id: str
    place: str
    added_at_ms: Millis


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """One time that a piece was heard."""

    uri: Uri
    context_uri: Uri | None
    played_at_ms: Millis
    """When it was left."""
    heard_ms: Millis


class ResumeAt(msgspec.Struct, frozen=True, kw_only=True):
    """Where a listener left an episode."""

    position_ms: Millis
    fully_played: bool
    at_ms: Millis


def place_of(added_at_ms: Millis, index: int) -> str:
    """Sorts newest first, and within one request in the order of the request."""
    assert 0 <= index < IDS_MAX, "one request names no more"
    return f"{_LATEST_MS - added_at_ms:015d}{index:02d}"


def added_at_ms(place: str) -> Millis:
    return Millis(_LATEST_MS - int(place[:15]))


def check_room(shelf: Shelf, held: int, more: int) -> None:
    """Raises Rejected DISALLOWED when `more` do not fit beside what is there."""
    if held + more > SHELF_ITEMS_MAX:
        raise Rejected(
            Code.DISALLOWED,
            f"keeping {more} {shelf} rejected: {held} are kept, {SHELF_ITEMS_MAX} may be",
            {"reasons": ["library_full"]},
        )


def window(shelf: Sequence[Kept], *, offset: int, limit: int, after: str | None) -> Sequence[Kept]:
    """A page of what is sorted by place. `after`, the place of the last item seen, goes before `offset`."""
    first = offset if after is None else bisect_right(shelf, after, key=lambda kept: kept.place)
    return shelf[first : first + limit]


def counts_as_played(heard_ms: Millis, duration_ms: Millis) -> bool:
    return heard_ms >= min(PLAY_MS_MIN, duration_ms / 2)


def resume_at(position_ms: Millis, duration_ms: Millis, now_ms: Millis) -> ResumeAt:
    """Where to go on with an episode that was left at `position_ms`."""
    done = position_ms >= duration_ms - min(FULLY_PLAYED_LEFT_MS, duration_ms // 20)
    return ResumeAt(position_ms=Millis(0) if done else position_ms, fully_played=done, at_ms=now_ms)


def most_played(plays: Iterable[Play], *, since_ms: Millis) -> list[Uri]:
    """By how often, then by how lately; `plays` newest first."""
    counts: Counter[Uri] = Counter(play.uri for play in plays if play.played_at_ms >= since_ms)
    return [uri for uri, _ in counts.most_common()]


def check_follow(user_id: UserId, shelf: Shelf, ids: Sequence[str]) -> None:
    """Raises Rejected BAD_REQUEST: nobody follows themselves."""
    if shelf is Shelf.USERS and user_id in ids:
        raise Rejected(Code.BAD_REQUEST, f"following {user_id} rejected: that is who asks")

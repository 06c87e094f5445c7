"""spotipy, unmodified but for its addresses, drives every method it has against a live server and session.

It logs in by the authorization code flow with PKCE, and has the token that this gave it.
"""

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
import spotipy
from spotipy.exceptions import SpotifyException

from catalog.model import Plan
from kernel.ids import uri
from serve.tokens import SCOPES
from storage.catalogue import Catalogue
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, ALBUM_URI, TRACKS, TestDevice, track_uri
from tests.support.live_rest import listening
from tests.support.rest import Rest, running_rest
from tests.support.shelves import ADA, BEA, BEAS_ALBUM, EPISODES, GENRE_ID, SHOW, fill_shelves
from tests.support.spotipy_login import with_pkce

PLAYLIST = "0" * 22
LISTS = [track_uri(0)]


class Live(NamedTuple):
    rest: Rest
    phone: TestDevice
    laptop: TestDevice
    spotify: spotipy.Spotify
    user_id: str

    async def ask(self, method: str, *args: Any, **named: Any) -> Any:
        """Call a method of spotipy, which blocks, beside the loop that answers it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return await asyncio.to_thread(getattr(self.spotify, method), *args, **named)


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    async with running_rest() as rest, listening(rest.api) as url:
        await fill_shelves(Catalogue(rest.stores.documents, FakeClock()))
        grace = await rest.accounts.add("Grace", "correct horse", plan=Plan.FREE, country="SE")
        phone, laptop = (
            TestDevice(rest.host, name, user=grace.user_id) for name in ("phone-001", "laptop-001")
        )
        for device in (phone, laptop):
            await device.connect(supports_prepare=False)
        manager = await with_pkce(rest, url, " ".join(SCOPES))
        spotify = spotipy.Spotify(auth_manager=manager, retries=0, status_retries=0)
        spotify.prefix = f"{url}/v1/"
        yield Live(rest, phone, laptop, spotify, grace.user_id)


READS: dict[str, tuple[tuple[Any, ...], Callable[[Any], Any], Any]] = {
    "track": ((TRACKS[0],), lambda found: found["id"], TRACKS[0]),
    "tracks": ((list(TRACKS),), lambda found: [each["id"] for each in found["tracks"]], list(TRACKS)),
    "album": ((ALBUM,), lambda found: found["tracks"]["total"], len(TRACKS)),
    "albums": (
        ([ALBUM, BEAS_ALBUM],),
        lambda found: [each["name"] for each in found["albums"]],
        ["Studies", "Lanterns"],
    ),
    "album_tracks": ((ALBUM_URI,), lambda found: [each["id"] for each in found["items"]], list(TRACKS)),
    "artist": ((ADA,), lambda found: found["name"], "Ada"),
    "artists": (([ADA, BEA],), lambda found: [each["name"] for each in found["artists"]], ["Ada", "Bea"]),
    "artist_albums": ((ADA,), lambda found: {each["id"] for each in found["items"]}, {ALBUM, BEAS_ALBUM}),
    "artist_top_tracks": ((ADA,), lambda found: len(found["tracks"]), 10),
    "artist_related_artists": ((ADA,), lambda found: [each["name"] for each in found["artists"]], ["Bea"]),
    "show": ((SHOW,), lambda found: (found["type"], found["episodes"]["total"]), ("show", 3)),
    "shows": (([SHOW],), lambda found: found["shows"][0]["name"], "Hours"),
    "show_episodes": ((SHOW,), lambda found: [each["id"] for each in found["items"]], list(EPISODES)),
    "episode": ((EPISODES[0],), lambda found: (found["type"], found["show"]["id"]), ("episode", SHOW)),
    "episodes": (([EPISODES[1]],), lambda found: found["episodes"][0]["id"], EPISODES[1]),
    "new_releases": ((), lambda found: found["albums"]["items"][0]["id"], BEAS_ALBUM),
    "categories": ((), lambda found: [each["id"] for each in found["categories"]["items"]], [GENRE_ID]),
    "category": ((GENRE_ID,), lambda found: found["id"], GENRE_ID),
    "recommendation_genre_seeds": ((), lambda found: found["genres"], ["post rock"]),
    "available_markets": ((), lambda found: len(found["markets"]), 249),
    "search": (("lant",), lambda found: found["tracks"]["total"], 0),
    "search_markets": (("ada", 10, 0, "artist", ["SE"]), lambda found: found["SE"]["artists"]["total"], 1),
    "me": ((), lambda found: (found["display_name"], found["country"]), ("Grace", "SE")),
    "current_user": ((), lambda found: found["product"], "free"),
    "devices": ((), lambda found: {each["id"] for each in found["devices"]}, {"phone-001", "laptop-001"}),
    "current_user_top_artists": ((), lambda found: found["items"], []),
    "current_user_top_tracks": ((), lambda found: found["items"], []),
    "current_user_recently_played": ((), lambda found: found["items"], []),
}
"""Method, its arguments, what to look at in the answer, and what must be there."""


async def test_everything_that_is_read_is_there(live: Live) -> None:
    wrong = {}
    for method, (args, look, expected) in READS.items():
        found = look(await live.ask(method, *args))
        if found != expected:
            wrong[method] = found
    assert wrong == {}
    assert (await live.ask("user", live.user_id))["display_name"] == "Grace"


async def test_playback_is_controlled_from_beginning_to_end(live: Live) -> None:
    assert await live.ask("current_playback") is None
    await live.ask("start_playback", "phone-001", ALBUM_URI, None, {"position": 1}, 2_000)
    now = await live.ask("current_playback")
    assert (now["item"]["id"], now["device"]["id"]) == (TRACKS[1], "phone-001")
    assert now["progress_ms"] >= 2_000
    await live.ask("next_track")
    assert (await live.ask("currently_playing"))["item"]["id"] == TRACKS[2]
    await live.ask("previous_track")
    assert (await live.ask("current_user_playing_track"))["item"]["id"] == TRACKS[1]
    await live.ask("pause_playback")
    await live.ask("seek_track", 7_000)
    await live.ask("repeat", "context")
    await live.ask("shuffle", True)
    await live.ask("volume", 31)
    await live.ask("add_to_queue", track_uri(5))
    now = await live.ask("current_playback")
    assert (now["is_playing"], now["progress_ms"]) == (False, 7_000)
    assert (now["repeat_state"], now["shuffle_state"]) == ("context", True)
    assert (await live.ask("queue"))["queue"][0]["id"] == TRACKS[5]
    await live.ask("start_playback", None, None, [uri("episode", EPISODES[0])])
    spoken = await live.ask("current_playback")
    assert (spoken["currently_playing_type"], spoken["item"]["id"]) == ("episode", EPISODES[0])


async def test_a_transfer_answers_when_it_is_over(live: Live) -> None:
    await live.ask("start_playback", "phone-001", ALBUM_URI)
    await live.ask("pause_playback")
    await live.ask("transfer_playback", "laptop-001", False)
    assert (await live.ask("current_playback"))["device"]["id"] == "laptop-001"


@pytest.mark.parametrize(
    ("kind", "ids", "add", "drop", "contains", "listing"),
    [
        ("tracks", TRACKS[:3], "current_user_saved_tracks_add", "current_user_saved_tracks_delete",
         "current_user_saved_tracks_contains", "current_user_saved_tracks"),
        ("albums", (ALBUM, BEAS_ALBUM), "current_user_saved_albums_add", "current_user_saved_albums_delete",
         "current_user_saved_albums_contains", "current_user_saved_albums"),
        ("shows", (SHOW,), "current_user_saved_shows_add", "current_user_saved_shows_delete",
         "current_user_saved_shows_contains", "current_user_saved_shows"),
        ("episodes", EPISODES, "current_user_saved_episodes_add", "current_user_saved_episodes_delete",
         "current_user_saved_episodes_contains", "current_user_saved_episodes"),
        ("artists", (ADA, BEA), "user_follow_artists", "user_unfollow_artists",
         "current_user_following_artists", "current_user_followed_artists"),
    ],
)  # fmt: skip
async def test_a_library_is_filled_looked_at_and_emptied(
    live: Live, kind: str, ids: tuple[str, ...], add: str, drop: str, contains: str, listing: str
) -> None:
    async def listed() -> list[str]:
        page = await live.ask(listing)
        if kind == "artists":
            return [artist["id"] for artist in page["artists"]["items"]]
        return [item[kind.removesuffix("s")]["id"] for item in page["items"]]

    assert await listed() == []
    await live.ask(add, list(ids))
    assert await live.ask(contains, list(ids)) == [True] * len(ids)
    assert await listed() == list(ids)
    await live.ask(drop, [ids[0]])
    assert await live.ask(contains, list(ids)) == [False] + [True] * (len(ids) - 1)
    assert await listed() == list(ids[1:])


async def test_users_are_followed_and_left(live: Live) -> None:
    other = await live.rest.accounts.add("Hopper", "correct horse")
    await live.ask("user_follow_users", [other.user_id])
    assert await live.ask("current_user_following_users", [other.user_id]) == [True]
    # spotipy takes no user's URI here.
    assert await live.ask("current_user_saved_items", [ALBUM_URI]) == [False]
    await live.ask("user_unfollow_users", [other.user_id])
    assert await live.ask("current_user_following_users", [other.user_id]) == [False]


async def test_pages_are_walked_by_next_and_previous(live: Live) -> None:
    await live.ask("current_user_saved_tracks_add", list(TRACKS))
    # The links name the configured address; a client on another port would be behind a proxy that maps it.
    first = await live.ask("current_user_saved_tracks", 2)
    links = first["next"].replace("http://127.0.0.1:8000/v1/", live.spotify.prefix)
    second = await live.ask("next", {"next": links})
    assert [item["track"]["id"] for item in second["items"]] == list(TRACKS[2:4])
    back = second["previous"].replace("http://127.0.0.1:8000/v1/", live.spotify.prefix)
    again = await live.ask("previous", {"previous": back})
    assert [item["track"]["id"] for item in again["items"]] == list(TRACKS[:2])


NOT_OFFERED: dict[str, tuple[Any, ...]] = {
    "audio_analysis": (TRACKS[0],),
    "audio_features": ([TRACKS[0]],),
    "category_playlists": (GENRE_ID,),
    "current_user_playlists": (),
    "current_user_playlist_create": ("Mine",),
    "current_user_unfollow_playlist": (PLAYLIST,),
    "featured_playlists": (),
    "get_audiobook": (PLAYLIST,),
    "get_audiobooks": ([PLAYLIST],),
    "get_audiobook_chapters": (PLAYLIST,),
    "playlist": (PLAYLIST,),
    "playlist_add_items": (PLAYLIST, LISTS),
    "playlist_change_details": (PLAYLIST, "Mine"),
    "playlist_cover_image": (PLAYLIST,),
    "playlist_items": (PLAYLIST,),
    "playlist_remove_all_occurrences_of_items": (PLAYLIST, LISTS),
    "playlist_remove_specific_occurrences_of_items": (PLAYLIST, [{"uri": TRACKS[0], "positions": [0]}]),
    "playlist_reorder_items": (PLAYLIST, 0, 1),
    "playlist_replace_items": (PLAYLIST, LISTS),
    "playlist_tracks": (PLAYLIST,),
    "playlist_upload_cover_image": (PLAYLIST, "aGk="),
    "recommendations": ([ADA],),
    "user_playlist": ("grace",),
    "user_playlist_add_episodes": ("grace", PLAYLIST, [EPISODES[0]]),
    "user_playlist_add_tracks": ("grace", PLAYLIST, [TRACKS[0]]),
    "user_playlist_change_details": ("grace", PLAYLIST, "Mine"),
    "user_playlist_create": ("grace", "Mine"),
    "user_playlist_remove_all_occurrences_of_tracks": ("grace", PLAYLIST, [TRACKS[0]]),
    "user_playlist_remove_specific_occurrences_of_tracks": (
        "grace", PLAYLIST, [{"uri": TRACKS[0], "positions": [0]}],
    ),
    "user_playlist_reorder_tracks": ("grace", PLAYLIST, 0, 1),
    "user_playlist_replace_tracks": ("grace", PLAYLIST, [TRACKS[0]]),
    "user_playlist_tracks": ("grace", PLAYLIST),
    "user_playlist_unfollow": ("grace", PLAYLIST),
    "user_playlists": ("grace",),
}  # fmt: skip


async def test_what_segue_does_not_have_is_said_in_words(live: Live) -> None:
    answers = {}
    for method, args in NOT_OFFERED.items():
        with pytest.raises(SpotifyException) as refused:
            await live.ask(method, *args)
        answers[method] = (refused.value.http_status, refused.value.reason)
    assert {method: answer for method, answer in answers.items() if answer != (404, "NOT_OFFERED")} == {}


async def test_a_playlist_in_the_library_is_refused_by_its_kind(live: Live) -> None:
    for method in ("current_user_follow_playlist", "user_playlist_follow_playlist"):
        args = (PLAYLIST,) if method.startswith("current") else ("grace", PLAYLIST)
        with pytest.raises(SpotifyException, match="must be the URI of one of"):
            await live.ask(method, *args)


BROKEN = ("playlist_is_following", "user_playlist_is_following")
"""In spotipy 2.26 these raise a TypeError of their own before they ask anything."""


def test_no_method_of_spotipy_is_left_out() -> None:
    methods = {
        name
        for name, value in inspect.getmembers(spotipy.Spotify, inspect.isfunction)
        if not name.startswith("_") and name not in {"set_auth"}
    }
    source = inspect.getsource(inspect.getmodule(test_no_method_of_spotipy_is_left_out))  # type: ignore[arg-type]
    assert sorted(name for name in methods if f'"{name}"' not in source) == []

"""What a play names becomes a context, and what follows when it is over; from a real catalogue."""

import pytest

from actors.autoplay import SAME_ARTIST_SHARE, CatalogueAutoplay
from actors.contexts import CONTEXTS_MAX, Contexts
from catalog.model import Album
from kernel.errors import Code, Rejected
from kernel.ids import AlbumId, ArtistId, TrackId, catalogue_id, uri
from kernel.units import Millis
from storage.catalogue import Catalogue
from storage.memory import MemoryDocuments
from tests.support.clock import FakeClock
from tests.support.hosting import ALBUM, ALBUM_URI, LATER_TRACKS, TRACKS, fill_catalogue, track_uri
from tests.support.tracks import LADDER, a_track


@pytest.fixture
async def catalogue() -> Catalogue:
    catalogue = Catalogue(MemoryDocuments(), FakeClock())
    await fill_catalogue(catalogue)
    return catalogue


async def test_an_album_is_its_tracks_in_order_and_resolved_once(catalogue: Catalogue) -> None:
    contexts = Contexts(catalogue)
    context = await contexts.resolve(ALBUM_URI)
    assert [item.uri for item in context.items] == [track_uri(number) for number in range(6)]
    assert all(item.playable for item in context.items)
    assert await contexts.resolve(ALBUM_URI) is context


async def test_a_change_of_the_catalogue_is_a_new_revision_and_keys_stay(catalogue: Catalogue) -> None:
    contexts = Contexts(catalogue)
    before = await contexts.resolve(ALBUM_URI)
    album = (await catalogue.albums([ALBUM]))[0]
    assert album is not None
    await catalogue.put_albums(
        [
            Album(
                album_id=ALBUM,
                title=album.title,
                artist_ids=album.artist_ids,
                artist_names=album.artist_names,
                track_ids=(LATER_TRACKS[0], *TRACKS),
                added_at_ms=Millis(0),
            )
        ]
    )
    after = await contexts.resolve(ALBUM_URI)
    assert after.revision != before.revision
    assert [item.key for item in after.items][1:] == [item.key for item in before.items]


async def test_a_track_twice_in_a_list_has_two_keys(catalogue: Catalogue) -> None:
    context = await Contexts(catalogue).of_tracks((track_uri(1), track_uri(2), track_uri(1)))
    assert len({item.key for item in context.items}) == 3
    assert context.uri is None


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (uri("album", catalogue_id("album", "none")), Code.NOT_FOUND),
        (uri("track", catalogue_id("track", "none")), Code.NOT_FOUND),
        (uri("artist", catalogue_id("artist", "none")), Code.NOT_FOUND),
        (uri("user", catalogue_id("user", "none")), Code.BAD_REQUEST),
        ("spotify:album:short", Code.BAD_REQUEST),
        ("nonsense", Code.BAD_REQUEST),
    ],
)
async def test_what_is_not_there_is_refused_by_code(catalogue: Catalogue, asked: str, code: Code) -> None:
    with pytest.raises(Rejected) as refused:
        await Contexts(catalogue).resolve(asked)  # type: ignore[arg-type]
    assert refused.value.code is code


async def test_unknown_tracks_of_a_list_are_named(catalogue: Catalogue) -> None:
    missing = uri("track", catalogue_id("track", "none"))
    with pytest.raises(Rejected) as refused:
        await Contexts(catalogue).of_tracks((track_uri(0), missing))
    assert refused.value.details["uris"] == [missing]


async def test_no_more_contexts_are_kept_than_the_bound(catalogue: Catalogue) -> None:
    contexts = Contexts(catalogue)
    names = [AlbumId(catalogue_id("album", number)) for number in range(CONTEXTS_MAX + 5)]
    await catalogue.put_albums(
        [
            Album(
                album_id=album_id,
                title="A",
                artist_ids=(ArtistId(catalogue_id("artist", "ada")),),
                artist_names=("Ada",),
                track_ids=TRACKS[:1],
                added_at_ms=Millis(0),
            )
            for album_id in names
        ]
    )
    for album_id in names:
        await contexts.resolve(uri("album", album_id))
    assert len(contexts._cache) == CONTEXTS_MAX


async def test_an_unavailable_track_is_in_its_context_and_not_playable() -> None:
    catalogue = Catalogue(MemoryDocuments(), FakeClock())
    gone = TrackId(catalogue_id("track", "gone"))
    await catalogue.put_tracks([a_track(*LADDER, track_id=gone, available=False)])
    [item] = (await Contexts(catalogue).resolve(uri("track", gone))).items
    assert not item.playable


async def test_autoplay_offers_others_of_the_artist_with_a_reason_and_never_what_was_heard(
    catalogue: Catalogue,
) -> None:
    heard = tuple(track_uri(number) for number in range(5))
    found = await CatalogueAutoplay(catalogue).candidates(heard, 10)
    assert found
    assert not {candidate.uri for candidate in found} & set(heard)
    assert len({candidate.uri for candidate in found}) == len(found) <= 10
    same_artist = [candidate for candidate in found if candidate.reason.kind == "same_artist"]
    assert len(same_artist) <= 10 * SAME_ARTIST_SHARE
    assert all(candidate.reason.text == "More by Ada" for candidate in same_artist)
    assert found == await CatalogueAutoplay(catalogue).candidates(heard, 10), "the same search, the same find"


async def test_autoplay_without_anything_to_go_by_finds_nothing(catalogue: Catalogue) -> None:
    autoplay = CatalogueAutoplay(catalogue)
    assert await autoplay.candidates((), 10) == ()
    assert await autoplay.candidates((uri("track", catalogue_id("track", "none")),), 10) == ()

"""Whose track a file is, and what all files together amount to."""

import msgspec
import pytest

from kernel.ids import TrackId, catalogue_id
from kernel.units import Millis
from media.library import (
    PIPELINE,
    VARIOUS_ARTISTS,
    Names,
    Shelf,
    Source,
    album_loudness,
    artist_id_of,
    catalogue_of,
    plan,
    with_bad_file,
    with_file_back,
    without_file,
)
from media.probe import Found


def found(rel: str, *, size: int = 10, mtime_ns: int = 1) -> Found:
    return Found(rel=rel, size=size, mtime_ns=mtime_ns)


def source(rel: str, sha256: str = "x", *, track_id: str | None = None, **changes: object) -> Source:
    made = Source(
        rel=rel,
        size=10,
        mtime_ns=1,
        sha256=sha256,
        track_id=TrackId(track_id or catalogue_id("track", sha256)),
        names=Names(title=rel, artists=("A",), album="Album"),
        duration_ms=Millis(1000),
    )
    return msgspec.structs.replace(made, **changes)


def named(rel: str, **names: object) -> Source:
    base = Names(title=rel, artists=("A",), album="Album")
    return source(rel, rel, names=msgspec.structs.replace(base, **names))


def test_a_plan_tells_new_changed_unchanged_gone_and_back_apart() -> None:
    sources = [
        source("same"),
        source("touched"),
        source("gone"),
        source("back", present=False),
        source("long gone", present=False),
        source("bad", present=False, reason="not audio"),
        source("older pipeline", pipeline=PIPELINE - 1),
    ]
    files = [
        *map(found, ("same", "back", "bad", "older pipeline", "new")),
        found("touched", mtime_ns=2),
    ]
    made = plan(files, {each.rel: each for each in sources})
    assert {take.found.rel for take in made.take} == {"touched", "new", "older pipeline"}
    assert {each.rel for each in made.unchanged} == {"same", "bad"}
    assert {each.rel for each in made.back} == {"back"}
    assert {each.rel for each in made.gone} == {"gone"}


def test_a_new_file_is_offered_the_known_contents_of_its_size() -> None:
    sources = [source("a", "x"), source("b", "y"), source("c", "z", size=11)]
    [take] = plan([found("d")], {each.rel: each for each in sources}).take
    assert take.known == ("x", "y")


def test_a_changed_file_stays_the_same_track() -> None:
    shelf = Shelf([source("a", "x", track_id="t1")])
    assert shelf.identify("a", "y") == "t1"


def test_a_moved_file_and_a_copy_are_the_same_track() -> None:
    shelf = Shelf([without_file(source("a", "x", track_id="t1"))])
    assert shelf.identify("b", "x") == "t1"
    shelf.put(source("b", "x", track_id="t1"))
    assert shelf.identify("c", "x") == "t1"


def test_when_a_copy_changes_the_other_keeps_the_track() -> None:
    shelf = Shelf([source("a", "x", track_id="t1"), source("b", "x", track_id="t1")])
    assert shelf.identify("a", "y") == catalogue_id("track", "y")


def test_two_files_that_trade_places_keep_their_tracks_by_content() -> None:
    shelf = Shelf([source("a", "x", track_id="t1"), source("b", "y", track_id="t2")])
    assert shelf.identify("a", "y") == "t2"
    shelf.put(source("a", "y", track_id="t2"))
    assert shelf.identify("b", "x") == "t1"


def test_old_content_that_comes_back_elsewhere_is_a_track_of_its_own() -> None:
    born = catalogue_id("track", "x")
    shelf = Shelf([source("a", "y", track_id=born)])
    assert shelf.identify("b", "x") not in {born, catalogue_id("track", "y")}


def test_what_a_track_held_before_is_forgotten_with_the_paths_that_are_gone() -> None:
    shelf = Shelf([source("a", "x", track_id="t1"), without_file(source("b", "x", track_id="t1"))])
    track_id = shelf.identify("a", "y")
    assert track_id == "t1"
    assert shelf.put(source("a", "y", track_id=track_id)).forgotten == ("b",)
    assert set(shelf.sources) == {"a"}


def test_a_track_that_no_file_holds_is_not_given_to_a_path_that_never_held_it() -> None:
    born = TrackId(catalogue_id("track", "x"))
    shelf = Shelf([without_file(source("a", "y", track_id=born))])
    assert shelf.identify("b", "x") != born
    assert shelf.identify("a", "x") == born


def test_a_file_gone_bad_keeps_its_track_unavailable_and_is_read_again_when_mended() -> None:
    good = source("a", "x", track_id="t1")
    bad = with_bad_file(found("a", size=5, mtime_ns=9), good, "truncated")
    assert not catalogue_of([bad]).tracks[TrackId("t1")].available
    assert plan([found("a", size=5, mtime_ns=9)], {"a": bad}).unchanged == (bad,)
    assert Shelf([bad]).identify("a", "mended") == "t1"
    # The bad file goes away and comes back: its size must not pass for that of the good content.
    gone = without_file(bad)
    assert [take.found.rel for take in plan([found("a", size=5, mtime_ns=9)], {"a": gone}).take] == ["a"]


def test_a_path_that_is_gone_is_forgotten_once_another_holds_its_track() -> None:
    shelf = Shelf([without_file(source("old", "x", track_id="t1"))])
    assert shelf.put(source("new", "x", track_id="t1")).forgotten == ("old",)
    shelf.put(source("copy", "x", track_id="t1"))
    amended = shelf.put(without_file(source("copy", "x", track_id="t1")))
    assert (amended.written, amended.forgotten) == ((), ("copy",))
    last = shelf.put(without_file(source("new", "x", track_id="t1")))
    assert last.forgotten == ()
    assert set(shelf.sources) == {"new"}


def test_a_track_is_available_while_any_path_holds_it() -> None:
    a, b = source("a", "x", track_id="t1"), source("b", "x", track_id="t1")
    track_id = TrackId("t1")
    assert catalogue_of([a, b]).shown_by[track_id] == "a"
    assert catalogue_of([without_file(a), b]).shown_by[track_id] == "b"
    assert catalogue_of([without_file(a), b]).tracks[track_id].available
    both_gone = [without_file(a), without_file(b)]
    assert not catalogue_of(both_gone).tracks[track_id].available
    assert catalogue_of([with_file_back(both_gone[0]), both_gone[1]]).tracks[track_id].available


def test_the_order_of_the_sources_does_not_matter() -> None:
    sources = [named(f"d/{n}", artists=("B", "A") if n % 2 else ("a",), album="X") for n in range(12)]
    assert catalogue_of(sources) == catalogue_of(sources[::-1])


def test_tracks_stand_by_disc_and_number_and_the_unnumbered_follow_by_path() -> None:
    sources = [
        named("x/10.ogg", folder="x"),
        named("x/9.ogg", folder="x"),
        named("x/b.ogg", folder="x", track_number=2),
        named("x/a.ogg", folder="x", track_number=1, disc_number=2),
        named("x/z.ogg", folder="x", track_number=1),
    ]
    made = catalogue_of(sources)
    [album] = made.albums.values()
    tracks = [made.tracks[track_id] for track_id in album.track_ids]
    assert [(t.title, t.disc_number, t.track_number) for t in tracks] == [
        ("x/z.ogg", 1, 1),
        ("x/b.ogg", 1, 2),
        ("x/9.ogg", 1, 3),
        ("x/10.ogg", 1, 4),
        ("x/a.ogg", 2, 1),
    ]


def test_albums_without_an_album_artist_are_told_apart_by_folder_unless_one_artist_made_them() -> None:
    hits = {"album": "Hits"}
    mixed = [
        named("x/1", folder="x", artists=("A",), **hits),
        named("x/2", folder="x", artists=("B",), **hits),
        named("y/1", folder="y", artists=("C",), **hits),
        named("y/2", folder="y", artists=("D",), **hits),
    ]
    albums = catalogue_of(mixed).albums
    assert len(albums) == 2
    assert {album.artist_names for album in albums.values()} == {(VARIOUS_ARTISTS,)}
    one = [named("cd1/1", folder="cd1", **hits), named("cd2/1", folder="cd2", artists=("a", "B"), **hits)]
    [album] = catalogue_of(one).albums.values()
    assert album.artist_names == ("A",)
    assert len(album.track_ids) == 2


def test_album_artists_join_folders_and_case_is_no_difference() -> None:
    sources = [
        named("x/1", folder="x", album="Hits", album_artists=("The Band",), artists=("Guest",)),
        named("y/2", folder="y", album="HITS", album_artists=("the  band",)),
    ]
    made = catalogue_of(sources)
    [album] = made.albums.values()
    assert album.artist_ids == (artist_id_of("THE BAND"),)
    assert {made.artists[artist_id_of(name)].album_ids for name in ("Guest", "a", "The Band")} == {
        (album.album_id,)
    }


def test_an_artists_albums_stand_newest_first_with_their_commonest_genres() -> None:
    sources = [
        named("1", album="Old", folder="1", date="1999", genres=("folk",)),
        named("2", album="New", folder="2", date="2024-05-01", genres=("folk", "jazz")),
        named("3", album="Undated", folder="3"),
    ]
    made = catalogue_of(sources)
    artist = made.artists[artist_id_of("A")]
    assert [made.albums[album_id].title for album_id in artist.album_ids] == ["New", "Old", "Undated"]
    assert artist.genres == ("folk", "jazz")


def test_album_loudness_weighs_energy_by_duration() -> None:
    loud = source("a", loudness_lufs=-10.0, true_peak_db=-1.0, duration_ms=Millis(1000))
    quiet = source("b", loudness_lufs=-30.0, true_peak_db=-20.0, duration_ms=Millis(3000))
    silent = source("c", duration_ms=Millis(9000))
    assert album_loudness([loud]) == (-10.0, -1.0)
    assert album_loudness([loud, quiet, silent])[0] == pytest.approx(-15.9, abs=0.05)
    assert album_loudness([silent]) == (None, None)


def test_what_is_all_speech_is_a_show_of_episodes_and_one_spoken_piece_makes_none() -> None:
    spoken = [named(rel, album="Hours", is_speech=True) for rel in ("a", "b")]
    mixed = [named("c", album="Songs", is_speech=True), named("d", album="Songs")]
    made = catalogue_of([*spoken, *mixed])
    assert {album.title: album.is_show for album in made.albums.values()} == {"Hours": True, "Songs": False}
    assert {track.title for track in made.tracks.values() if track.is_episode} == {"a", "b"}
    assert {track.title for track in made.tracks.values() if track.is_speech} == {"a", "b", "c"}

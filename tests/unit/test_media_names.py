"""Untagged files get names that a person would have given them."""

import pytest

from media.names import names_from_path, readable


@pytest.mark.parametrize(
    ("rel", "title", "artist", "album", "disc", "track"),
    [
        ("Artist/Album/03 - Title.flac", "Title", "Artist", "Album", None, 3),
        ("Artist/Album/CD 2/03. Title.flac", "Title", "Artist", "Album", 2, 3),
        ("Artist/Artist - Album/3 Title.flac", "Title", "Artist", "Album", None, 3),
        ("Artist - Album/2-03 Title.flac", "Title", "Artist", "Album", 2, 3),
        ("Artist - Title.ogg", "Title", "Artist", "Loose Tracks", None, None),
        ("Artist - Album - 03 - Title.mp3", "Title", "Artist", "Album", None, 3),
        ("Artist - 03 - Title.mp3", "Title", "Artist", "Loose Tracks", None, 3),
        ("some-folder/SomeTitle.ogg", "Some Title", "Some Folder", "Some Folder", None, None),
        ("box/Karissa_Hobbs_-_Lets_Go.ogg", "Lets Go", "Karissa Hobbs", "Box", None, None),
        ("A/B/07.flac", "Track 7", "A", "B", None, 7),
        ("A/B/99 Luftballons.mp3", "99 Luftballons", "A", "B", None, None),
        ("A/B/198-209-0000.ogg", "198-209-0000", "A", "B", None, None),
        ("x.ogg", "X", "Unknown Artist", "Loose Tracks", None, None),
        ("東京/夜/01 夜明け.flac", "夜明け", "東京", "夜", None, 1),
    ],
)
def test_a_path_is_read_as_people_write_it(
    rel: str, title: str, artist: str, album: str, disc: int | None, track: int | None
) -> None:
    names = names_from_path(rel)
    assert (names.title, names.artist, names.album) == (title, artist, album)
    assert (names.disc_number, names.track_number) == (disc, track)


def test_a_lone_folder_names_no_album_artist_but_a_pair_does() -> None:
    assert names_from_path("mixed/a.ogg").album_artist == ""
    assert names_from_path("Artist/Album/a.ogg").album_artist == "Artist"


def test_names_with_their_own_capitals_and_blanks_are_left_alone() -> None:
    assert readable("eNTER mcDonald") == "ENTER mcDonald"
    assert readable("A Night in Tunisia") == "A Night in Tunisia"

"""What an untagged file is called, from its path.

    Artist/Album/03 - Title.flac      Artist/Album/CD 2/03. Title.flac      Artist - Album/2-03 Title.flac
    Artist - Title.ogg                Artist - Album - 03 - Title.mp3       folder/SomeTitle.ogg

Pure text. A guess that is sensible for a person to read beats an empty field.
"""

import re
from typing import Final

import msgspec

UNKNOWN_ARTIST: Final = "Unknown Artist"
UNTITLED: Final = "Untitled"
LOOSE_TRACKS: Final = "Loose Tracks"
"""The album of untagged files that lie in no folder."""


class PathNames(msgspec.Struct, frozen=True, kw_only=True):
    """What the path says. Empty text and None: it says nothing."""

    title: str
    artist: str = ""
    album: str = ""
    album_artist: str = ""
    track_number: int | None = None
    disc_number: int | None = None


_DISC_FOLDER = re.compile(r"(?:cd|dis[ck]|disque|vol(?:ume)?)[ ._-]*(\d{1,2})", re.IGNORECASE)
_DISC_TRACK = re.compile(r"(\d)[-.](\d{2})[ ._-]+(?=.*[^\W\d_])(.+)")
# A bare blank after a number may belong to the title ("99 Luftballons"), so it counts after few numbers only.
_TRACK = re.compile(r"(?:(\d{1,3})\s*[._-]\s*|(0\d|[123]?\d)\s+)(?=.*[^\W\d_])(.+)")


def names_from_path(rel: str) -> PathNames:
    """Names for the file at `rel`, a path inside the library with `/`."""
    *folders, file_name = rel.split("/")
    disc: int | None = None
    if folders and (found := _DISC_FOLDER.fullmatch(folders[-1].strip())):
        disc = int(found[1])
        folders.pop()
    folder_artist, album, album_artist = _from_folders(folders)
    stem = file_name.rsplit(".", 1)[0] if "." in file_name[1:] else file_name
    # Underscores stand for blanks in names that have no blanks.
    stem = (stem.replace("_", " ") if " " not in stem else stem).strip()
    track: int | None = None
    if found := _DISC_TRACK.fullmatch(stem):
        disc, track, stem = int(found[1]), int(found[2]), found[3]
    elif found := _TRACK.fullmatch(stem):
        track, stem = int(found[1] or found[2]), found[3]
    elif re.fullmatch(r"\d{1,3}", stem):
        track, stem = int(stem), f"Track {int(stem)}"
    parts = [part.strip() for part in stem.split(" - ") if part.strip()]
    artist = ""
    match parts:
        case [first, number, *rest] if rest and number.isdecimal() and len(number) <= 3:
            artist, track, parts = first, int(number), rest
        case [first, named, number, *rest] if rest and number.isdecimal() and len(number) <= 3:
            artist, album, track, parts = first, album or named, int(number), rest
        case [first, *rest] if rest:
            artist, parts = first, rest
        case _:
            pass  # a title alone
    return PathNames(
        title=readable(" - ".join(parts) or stem or file_name),
        artist=readable(artist) or folder_artist or UNKNOWN_ARTIST,
        album=album or LOOSE_TRACKS,
        album_artist=album_artist,
        track_number=track,
        disc_number=disc,
    )


def _from_folders(folders: list[str]) -> tuple[str, str, str]:
    """`(artist, album, album artist)`; empty when there is no folder to tell."""
    match folders:
        case []:
            return "", "", ""
        case [only]:
            artist, dash, album = only.replace("_-_", " - ").partition(" - ")
            if dash and artist.strip() and album.strip():
                return readable(artist), readable(album), readable(artist)
            # One folder may hold anybody's music: its name stands in where nothing else is known.
            return _heading(only), _heading(only), ""
        case [*_, artist, album]:
            # "Artist/Artist - Album": the artist is said twice.
            return _heading(artist), _heading(album.removeprefix(f"{artist} - ")), _heading(artist)
        case _:  # mypy does not see that the cases above are all there are
            return "", "", ""


def readable(name: str) -> str:
    """A file's name as a title: `crushedIce` is "Crushed Ice", `main_theme` is "Main theme"."""
    name = name.strip()
    if not name:
        return ""
    if " " not in name:
        name = name.replace("_", " ")
    if " " not in name:
        name = re.sub(r"(?<=[^\W\d_])-|-(?=[^\W\d_])", " ", name)
    if " " not in name:
        name = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name)
    name = re.sub(r"\s+", " ", name).strip()
    return name[:1].upper() + name[1:] if name.islower() or name[:1].islower() else name


def _heading(folder: str) -> str:
    """A folder's name as a name: `unknown-horizons` is "Unknown Horizons"."""
    name = readable(folder)
    return name.title() if folder.islower() else name

"""Reads what a file says of itself: title, artists, album, numbers, date, genres, and its cover.

Tags are text from strangers: cleaned of control characters and bounded in length and number before anything
else sees them. A file whose tags cannot be read counts as untagged; whether it is audio at all is for the
decoder to say.
"""

import base64
import binascii
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import mutagen
from mutagen.aac import AAC
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.flac import FLAC, Picture
from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags

TEXT_CHARS_MAX: Final = 300
"""Of one title, name or label."""
VALUES_MAX: Final = 16
"""Of artists or genres."""
NUMBER_MAX: Final = 9_999
COVER_BYTES_MAX: Final = 16 * 1024 * 1024
_RAW_CHARS_MAX: Final = 4_096
"""Of a raw value that is looked at at all."""


class Tags(msgspec.Struct, frozen=True, kw_only=True):
    """What was tagged, cleaned. Empty text, empty tuple and None: not tagged."""

    title: str = ""
    artists: tuple[str, ...] = ()
    album: str = ""
    album_artists: tuple[str, ...] = ()
    track_number: int | None = None
    disc_number: int | None = None
    date: str = ""
    """`YYYY`, `YYYY-MM` or `YYYY-MM-DD`."""
    genres: tuple[str, ...] = ()
    """Lower case."""
    label: str = ""
    isrc: str | None = None
    explicit: bool = False
    compilation: bool = False


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """Tags, and what else the headers hold."""

    tags: Tags = Tags()
    cover: bytes | None = None
    """The embedded picture as it is in the file; None when there is none, or it is over the limit."""
    declared_s: float | None = None
    """Length in seconds that the header promises; None where formats only estimate it."""


def read_tags(path: Path) -> Tagged:
    """Tags of one file. Never fails: what cannot be read is not tagged."""
    try:
        # The one translation point for hostile headers: mutagen's parsers leak IndexError, struct.error,
        # UnicodeError, OverflowError, RecursionError and more besides its own errors.
        file = mutagen.File(path)
        if file is None:
            return Tagged()
        raw = _raw(file.tags)
        return Tagged(tags=_tags(raw), cover=_cover(file), declared_s=_declared_s(file))
    except Exception:  # see above; the decoder decides whether the file is any good
        return Tagged()


def clean(text: object) -> str:
    """One line of readable text: no control characters, no lone surrogates, single blanks, bounded."""
    line = unicodedata.normalize("NFC", _TURNING.sub("", str(text)[:_RAW_CHARS_MAX]))
    line = "".join(" " if unicodedata.category(c) in _UNWANTED else c for c in line)
    return " ".join(line.split())[:TEXT_CHARS_MAX].strip()


# Control, surrogate, private use, unassigned, line and paragraph separators; format characters stay (scripts
# need joiners) but for the ones that turn text around, which could make a name read as another.
_UNWANTED = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")

_Raw = Mapping[str, Sequence[object]]


def _tags(raw: _Raw) -> Tags:
    isrc = re.sub(r"[^A-Z0-9]", "", _one(raw, "isrc").upper())
    return Tags(
        title=_one(raw, "title"),
        artists=_many(raw, "artist", ";"),
        album=_one(raw, "album"),
        album_artists=_many(raw, "album_artist", ";"),
        track_number=_number(raw, "track"),
        disc_number=_number(raw, "disc"),
        date=_date(_one(raw, "date")),
        genres=tuple(dict.fromkeys(genre.casefold() for genre in _many(raw, "genre", ";,/"))),
        label=_one(raw, "label"),
        isrc=isrc if re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}\d{7}", isrc) else None,
        explicit=_one(raw, "advisory") in {"1", "4"},
        compilation=_one(raw, "compilation").casefold() in {"1", "true", "yes"},
    )


def _one(raw: _Raw, field: str) -> str:
    return next((text for value in raw.get(field, ()) if (text := clean(value))), "")


def _many(raw: _Raw, field: str, separators: str) -> tuple[str, ...]:
    """Each value once, in order; values that hold several are split."""
    values = [
        text
        for value in list(raw.get(field, ()))[:VALUES_MAX]
        # NUL separates values in ID3v2.4, and in careless copies of it.
        for part in re.split(f"[{re.escape(separators)}\0]", str(value)[:_RAW_CHARS_MAX])
        if (text := clean(part))
    ]
    return tuple(dict.fromkeys(values))[:VALUES_MAX]


def _number(raw: _Raw, field: str) -> int | None:
    """The first number of `3`, `03/12`, `(3, 12)`; None when there is none from 1 to NUMBER_MAX."""
    found = re.match(r"\D{0,3}(\d{1,9})", _one(raw, field))
    number = int(found[1]) if found else 0
    return number if 0 < number <= NUMBER_MAX else None


def _date(text: str) -> str:
    found = re.match(r"(\d{4})(?:[-./](\d{2})(?:[-./](\d{2}))?)?", text)
    if not found or found[1] == "0000":
        return ""
    month, day = int(found[2] or 0), int(found[3] or 0)
    if not 1 <= month <= 12:
        return found[1]
    return f"{found[1]}-{found[2]}-{found[3]}" if 1 <= day <= 31 else f"{found[1]}-{found[2]}"


# ------------------------------------------------------------------------------------------ kinds of tags

_ID3: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("TIT2",),
    "artist": ("TPE1",),
    "album": ("TALB",),
    "album_artist": ("TPE2",),
    "track": ("TRCK",),
    "disc": ("TPOS",),
    "date": ("TDRL", "TDRC", "TDOR", "TYER"),
    "genre": ("TCON",),
    "label": ("TPUB",),
    "isrc": ("TSRC",),
    "advisory": ("TXXX:ITUNESADVISORY",),
    "compilation": ("TCMP",),
}
_MP4: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("\xa9nam",),
    "artist": ("\xa9ART",),
    "album": ("\xa9alb",),
    "album_artist": ("aART",),
    "track": ("trkn",),
    "disc": ("disk",),
    "date": ("\xa9day",),
    "genre": ("\xa9gen",),
    "label": ("----:com.apple.iTunes:LABEL", "\xa9pub"),
    "isrc": ("----:com.apple.iTunes:ISRC",),
    "advisory": ("rtng",),
    "compilation": ("cpil",),
}
_ASF: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("Title",),
    "artist": ("Author",),
    "album": ("WM/AlbumTitle",),
    "album_artist": ("WM/AlbumArtist",),
    "track": ("WM/TrackNumber",),
    "disc": ("WM/PartOfSet",),
    "date": ("WM/Year",),
    "genre": ("WM/Genre",),
    "label": ("WM/Publisher",),
    "isrc": ("WM/ISRC",),
    "compilation": ("WM/IsCompilation",),
}
_VORBIS: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("title",),
    "artist": ("artist",),
    "album": ("album",),
    "album_artist": ("albumartist", "album artist", "album_artist"),
    "track": ("tracknumber", "track"),
    "disc": ("discnumber", "disc"),
    "date": ("date", "year", "originaldate"),
    "genre": ("genre",),
    "label": ("label", "organization", "publisher"),
    "isrc": ("isrc",),
    "advisory": ("itunesadvisory", "explicit"),
    "compilation": ("compilation",),
}


def _raw(tags: Any) -> _Raw:
    """The same fields from every kind of tag. What mutagen gives has no usable types; it is cleaned later."""
    if isinstance(tags, ID3):
        return _collect(_ID3, lambda key: [v for frame in _frames(tags, key) for v in _frame(frame)])
    if isinstance(tags, MP4Tags):
        return _collect(_MP4, lambda key: [_mp4_value(value) for value in _listed(_get(tags, key))])
    if isinstance(tags, ASFTags):
        return _collect(_ASF, lambda key: _listed(_get(tags, key)))
    if isinstance(tags, APEv2):
        return _collect(_VORBIS, lambda key: _listed(str(tags[key]).split("\0") if key in tags else None))
    if tags is None:
        return {}
    return _collect(_VORBIS, lambda key: _listed(_get(tags, key)))


def _collect(table: Mapping[str, tuple[str, ...]], look_up: Callable[[str], list[object]]) -> _Raw:
    fields: dict[str, list[object]] = {}
    for field, keys in table.items():
        for key in keys:
            values = look_up(key)
            if values:
                fields[field] = values
                break
    return fields


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _bytes(value: Any) -> bytes:
    return bytes(value)


def _picture(data: bytes) -> Any:
    return Picture(data)  # type: ignore[no-untyped-call]  # mutagen annotates parts of itself only


def _get(tags: Any, key: str) -> object:
    return tags.get(key)


def _frames(tags: Any, key: str) -> list[Any]:
    return list(tags.getall(key)[:VALUES_MAX])


def _frame(frame: object) -> Iterable[object]:
    # `genres` turns ID3's numbers into words.
    return getattr(frame, "genres", None) or getattr(frame, "text", None) or ()


def _mp4_value(value: object) -> object:
    if isinstance(value, tuple):  # (number, of how many)
        return value[0] if value else ""
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else value


# --------------------------------------------------------------------------------------- cover and length


def _cover(file: Any) -> bytes | None:
    """The front cover, else the first picture."""
    tags: Any = file.tags
    pictures: list[tuple[int, bytes]] = []
    if isinstance(file, FLAC):
        pictures = [(picture.type, picture.data) for picture in file.pictures]
    elif isinstance(tags, ID3):
        pictures = [(int(frame.type), frame.data) for frame in _frames(tags, "APIC")]
    elif isinstance(tags, MP4Tags):
        pictures = [(3, _bytes(cover)) for cover in _listed(_get(tags, "covr"))]
    elif isinstance(tags, APEv2):
        for key in ("Cover Art (Front)", "Cover Art (Other)"):
            if key in tags:
                # A file name, a zero, and then the picture.
                pictures.append((3, bytes(tags[key].value).partition(b"\0")[2]))
    elif tags is not None and not isinstance(tags, ASFTags):
        for text in (tags.get("metadata_block_picture") or ())[:VALUES_MAX]:
            if len(text) <= COVER_BYTES_MAX * 4 // 3 + 1024:
                try:
                    picture = _picture(base64.b64decode(text))
                except (binascii.Error, ValueError, mutagen.MutagenError):
                    continue
                pictures.append((picture.type, picture.data))
    pictures = [(kind, data) for kind, data in pictures if 0 < len(data) <= COVER_BYTES_MAX]
    front = [data for kind, data in pictures if kind == 3]
    return next(iter(front or [data for _, data in pictures]), None)


_EXACT: Final = frozenset({"FLAC", "MP4", "WAVE", "AIFF", "MP3", "WavPack", "MonkeysAudio", "TrueAudio"})


def _declared_s(file: Any) -> float | None:
    """The promised length, where the format has an exact one.

    An Ogg stream has none, ADTS has none, and an MP3 without its Xing header is an estimate.
    """
    info = file.info
    # An Ogg file's length is that of its last whole page, however many are missing.
    if type(file).__name__ not in _EXACT or isinstance(file, AAC) or getattr(info, "sketchy", False):
        return None
    if type(file).__name__ == "MP3" and str(getattr(info, "bitrate_mode", "")).endswith("UNKNOWN"):
        return None
    length = float(getattr(info, "length", 0.0) or 0.0)
    # A WAV written to a pipe declares the largest number there is.
    return length if math.isfinite(length) and 0 < length < 24 * 3600 else None

"""Tags are read the same from every container, and come out clean."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutagen.flac
import mutagen.id3
import mutagen.mp4
import mutagen.oggvorbis
import pytest

from media.tags import TEXT_CHARS_MAX, VALUES_MAX, Tags, clean, read_tags
from tests.support.sound import noise_and_tones, write_sound

EXPECTED = Tags(
    title="Tide",
    artists=("Mira", "Solenne"),
    album="Harbour",
    album_artists=("Mira",),
    track_number=3,
    disc_number=2,
    date="2024-09-13",
    genres=("ambient", "folk"),
    label="Own",
    isrc="DEA123456789",
    explicit=True,
    compilation=True,
)
# Mutagen annotates parts of itself only.
flac: Any = mutagen.flac
id3: Any = mutagen.id3
mp4: Any = mutagen.mp4
oggvorbis: Any = mutagen.oggvorbis

PICTURE = b"\x89PNG not really"


def tag_vorbis(path: Path) -> None:
    file: Any = mutagen.File(path)
    file["TITLE"], file["ARTIST"], file["ALBUM"] = "Tide", ["Mira", "Solenne"], "Harbour"
    file["ALBUMARTIST"], file["TRACKNUMBER"], file["DISCNUMBER"] = "Mira", "03/12", "2"
    file["DATE"], file["GENRE"], file["LABEL"] = "2024-09-13", ["Ambient", "FOLK"], "Own"
    file["ISRC"], file["ITUNESADVISORY"], file["COMPILATION"] = "DE-A12-34-56789", "1", "1"
    picture = flac.Picture()
    picture.type, picture.mime, picture.data = 3, "image/png", PICTURE
    if isinstance(file, mutagen.flac.FLAC):
        file.add_picture(picture)  # type: ignore[no-untyped-call]
    else:
        written = picture.write()
        file["METADATA_BLOCK_PICTURE"] = base64.b64encode(written).decode()
    file.save()


def tag_id3(path: Path) -> None:
    tags = id3.ID3()
    for frame in (
        id3.TIT2(text=["Tide"]),
        id3.TPE1(text=["Mira", "Solenne"]),
        id3.TALB(text=["Harbour"]),
        id3.TPE2(text=["Mira"]),
        id3.TRCK(text=["03/12"]),
        id3.TPOS(text=["2"]),
        id3.TDRC(text=["2024-09-13"]),
        id3.TCON(text=["Ambient", "FOLK"]),
        id3.TPUB(text=["Own"]),
        id3.TSRC(text=["DEA123456789"]),
        id3.TCMP(text=["1"]),
        id3.TXXX(desc="ITUNESADVISORY", text=["1"]),
        id3.APIC(type=4, mime="image/png", data=b"the back"),
        id3.APIC(type=3, mime="image/png", data=PICTURE),
    ):
        tags.add(frame)
    tags.save(path)


def tag_mp4(path: Path) -> None:
    file = mp4.MP4(path)
    file["\xa9nam"], file["\xa9ART"], file["\xa9alb"] = "Tide", ["Mira", "Solenne"], "Harbour"
    file["aART"], file["trkn"], file["disk"] = "Mira", [(3, 12)], [(2, 2)]
    file["\xa9day"], file["\xa9gen"], file["cpil"] = "2024-09-13", ["Ambient", "FOLK"], True
    file["----:com.apple.iTunes:LABEL"], file["rtng"] = b"Own", [1]
    file["----:com.apple.iTunes:ISRC"] = b"DEA123456789"
    file["covr"] = [mp4.MP4Cover(PICTURE, mp4.MP4Cover.FORMAT_PNG)]
    file.save()


@pytest.mark.parametrize(
    ("suffix", "tag", "is_exact"),
    [
        (".flac", tag_vorbis, True),
        (".ogg", tag_vorbis, False),
        (".opus", tag_vorbis, False),
        (".mp3", tag_id3, True),
        (".m4a", tag_mp4, True),
    ],
)
def test_every_container_gives_the_same_tags(
    suffix: str, tag: Callable[[Path], None], is_exact: bool, tmp_path: Path
) -> None:
    path = write_sound(tmp_path / f"a{suffix}", noise_and_tones(1.0, rate=48_000), rate=48_000)
    tag(path)
    tagged = read_tags(path)
    assert tagged.tags == EXPECTED
    assert tagged.cover == PICTURE
    assert tagged.declared_s == (pytest.approx(1.0, abs=0.06) if is_exact else None)


def test_hostile_text_is_one_clean_bounded_line(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.ogg", noise_and_tones(0.5))
    file = oggvorbis.OggVorbis(path)
    file["TITLE"] = "two\r\nlines\0and \x1b[31mred\u202e" + "x" * 100_000
    file["ARTIST"] = [f"artist {i}\n" for i in range(1000)]
    file["TRACKNUMBER"], file["DATE"], file["ISRC"] = "9" * 400, "0000-99", "'; drop table"
    file.save()
    tags = read_tags(path).tags
    assert tags.title.startswith("two lines and [31mredxxx")
    assert len(tags.title) == TEXT_CHARS_MAX
    assert len(tags.artists) == VALUES_MAX
    assert tags.artists[1] == "artist 1"
    assert (tags.track_number, tags.date, tags.isrc) == (None, "", None)


def test_text_is_composed_and_its_joiners_are_kept() -> None:
    assert clean("Bjo\u0308rk") == "Björk"
    assert clean("می\u200cخواهم") == "می\u200cخواهم"


def test_what_is_no_music_is_untagged(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(b"")
    assert read_tags(path).tags == Tags()
    assert read_tags(tmp_path / "missing.flac").tags == Tags()

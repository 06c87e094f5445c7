"""Tags, names and covers of any bytes: never an exception but the coded one, never an unclean text."""

import unicodedata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import Code, Rejected
from media.covers import resized
from media.names import names_from_path
from media.pipeline import names_of
from media.tags import TEXT_CHARS_MAX, Tagged, clean, read_tags
from tests.support.sound import noise_and_tones, write_sound

HEADS = (
    b"",
    b"ID3\x04\x00\x00\x00\x00\x02\x01TIT2\x00\x00\x00\x10\x00\x00\x03",
    b"fLaC\x80\x00\x00\x22",
    b"OggS\x00\x02",
    b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00",
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"FORM\x00\x00\xff\xffAIFF",
    b"APETAGEX",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
)


def check(text: str) -> None:
    assert len(text) <= TEXT_CHARS_MAX
    assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in text)
    text.encode()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("samples")
    suffixes = (".flac", ".ogg", ".mp3", ".m4a", ".wav")
    return {
        suffix: write_sound(
            folder / f"a{suffix}",
            noise_and_tones(0.3),
            args=("-metadata", "title=Tide", "-metadata", "artist=M"),
        ).read_bytes()
        for suffix in suffixes
    }


@given(
    head=st.sampled_from(HEADS),
    body=st.binary(max_size=300),
    suffix=st.sampled_from((".mp3", ".ogg", ".wma")),
)
def test_tags_of_any_bytes_are_read_or_absent(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, body: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"hostile{suffix}"
    path.write_bytes(head + body)
    check_tags(path)


@given(data=st.data())
def test_tags_of_a_damaged_file_are_read_or_absent(
    tmp_path_factory: pytest.TempPathFactory, samples: dict[str, bytes], data: st.DataObject
) -> None:
    suffix = data.draw(st.sampled_from(sorted(samples)))
    bad = bytearray(samples[suffix])
    for _ in range(data.draw(st.integers(1, 6))):
        bad[data.draw(st.integers(0, min(len(bad), 2000) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(bad[: data.draw(st.integers(0, len(bad)))])
    check_tags(path)


def check_tags(path: Path) -> None:
    tagged = read_tags(path)
    tags = tagged.tags
    for text in (tags.title, tags.album, tags.label, *tags.artists, *tags.album_artists, *tags.genres):
        check(text)
    msgspec.msgpack.encode(names_of("a/b.ogg", tagged))


@given(st.text(max_size=1000))
def test_cleaned_text_is_one_bounded_line_and_stays_so(text: str) -> None:
    check(clean(text))
    assert clean(clean(text)) == clean(text)


@given(st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1), min_size=1))
def test_any_path_gives_a_title_an_artist_and_an_album(parts: list[str]) -> None:
    names = names_from_path("/".join(parts))
    assert names.artist
    assert names.album
    whole = names_of("/".join(parts), Tagged())
    for text in (whole.title, whole.album, *whole.artists, *whole.album_artists):
        check(text)
        assert text


@given(
    st.sampled_from((b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 ")),
    st.binary(),
)
def test_any_picture_is_resized_or_refused_with_the_code(head: bytes, body: bytes) -> None:
    code = None
    try:
        assert resized(head + body)
    except Rejected as refused:
        code = refused.code
    assert code in {None, Code.BAD_REQUEST}

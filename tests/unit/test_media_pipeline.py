"""One file becomes everything the catalogue needs, or a reason that its owner understands."""

import os
import random
from pathlib import Path

import mutagen
import pytest
from PIL import Image

from media.pipeline import Job, Prepared, prepare
from tests.support.sound import noise_and_tones, write_sound


def job(root: Path, rel: str, *, known: tuple[str, ...] = ()) -> Job:
    facts = (root / rel).lstat()
    return Job(
        root=root,
        rel=rel,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        known=known,
        work_dir=root.parent / "work",
    )


def refused(root: Path, rel: str) -> Prepared:
    """The result for a bad file: a reason, nothing else, nothing left behind."""
    result = prepare(job(root, rel))
    assert result.reason
    assert (result.content, result.names, result.covers) == (None, None, ())
    assert not (root.parent / "work").exists()
    return result


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


def test_a_good_file_gives_names_covers_and_every_rendition(music: Path) -> None:
    write_sound(music / "Artist/Album/02 - Title.flac", noise_and_tones(1.0))
    Image.new("RGB", (700, 700), "teal").save(music / "Artist/Album/cover.png")
    result = prepare(job(music, "Artist/Album/02 - Title.flac"))
    assert result.reason == ""
    assert result.names
    assert (result.names.title, result.names.artists, result.names.track_number) == ("Title", ("Artist",), 2)
    assert [image.cover.width for image in result.covers] == [640, 300, 64]
    assert result.content
    assert result.content.duration_ms == 1000
    assert all(path.stat().st_size == rendition.size for rendition, path in result.content.renditions)


def test_known_content_is_read_for_its_names_and_not_encoded(music: Path) -> None:
    write_sound(music / "a.flac", noise_and_tones(0.6))
    digest = prepare(job(music, "a.flac")).sha256
    (music / "a.flac").rename(music / "b.flac")
    result = prepare(job(music, "b.flac", known=(digest,)))
    assert (result.sha256, result.content, result.reason) == (digest, None, "")
    assert result.names
    assert result.names.title == "B"


def test_an_unreadable_cover_does_not_keep_the_music_out(music: Path) -> None:
    write_sound(music / "a.flac", noise_and_tones(0.6))
    (music / "cover.jpg").write_bytes(b"no picture")
    result = prepare(job(music, "a.flac"))
    assert result.content
    assert result.covers == ()


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".wav", ".m4a", ".opus"])
def test_a_truncated_file_is_refused_as_such(suffix: str, music: Path) -> None:
    path = write_sound(music / f"a{suffix}", noise_and_tones(3.0, rate=48_000), rate=48_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert "truncated" in refused(music, path.name).reason


def test_an_mp3_that_says_how_long_it_is_may_not_be_shorter(music: Path) -> None:
    path = write_sound(music / "a.mp3", noise_and_tones(6.0))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "of the 6.0 s it promises" in refused(music, "a.mp3").reason


@pytest.mark.parametrize(
    "data",
    [
        b"#!/bin/sh\necho this is no music\n",
        b"\0" * 4096,
        b"OggS" + b"\0" * 200,
        b"fLaC\x00\x00\x00\x22" + b"\xff" * 500,
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\xff\xff\xff\xff\xff\xff",
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + b"a" * 300,
        random.Random(7).randbytes(20_000),
    ],
)
@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac"])
def test_what_only_looks_like_music_is_refused_for_good(data: bytes, suffix: str, music: Path) -> None:
    (music / f"a{suffix}").write_bytes(data)
    result = refused(music, f"a{suffix}")
    assert not result.retry
    assert str(music) not in result.reason
    assert result.reason.isprintable()


def test_a_film_without_sound_holds_no_audio(music: Path) -> None:
    from media import ffmpeg

    film = ["-v", "error", "-f", "lavfi", "-i", "color=s=64x64:d=0.5", "-c:v", "mpeg4", str(music / "a.mp4")]
    ffmpeg.run(film, timeout_s=30)
    assert refused(music, "a.mp4").reason == "holds no audio"


def test_a_file_that_became_a_link_or_a_pipe_is_not_followed(music: Path) -> None:
    write_sound(music.parent / "secret.flac", noise_and_tones(0.6))
    write_sound(music / "a.flac", noise_and_tones(0.6))
    seen = job(music, "a.flac")
    (music / "a.flac").unlink()
    os.symlink(music.parent / "secret.flac", music / "a.flac")
    assert prepare(seen).retry
    (music / "a.flac").unlink()
    os.mkfifo(music / "a.flac")
    assert "not a regular file" in prepare(seen).reason


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_run(music: Path) -> None:
    write_sound(music / "a.flac", noise_and_tones(0.6))
    seen = job(music, "a.flac")
    os.utime(music / "a.flac", ns=(1, 1))
    result = prepare(seen)
    assert (result.reason, result.retry) == ("it changed while it was read", True)


def test_speech_is_known_by_its_genre_or_folder(music: Path) -> None:
    write_sound(music / "a.flac", noise_and_tones(0.6))
    file = mutagen.File(music / "a.flac")
    assert file is not None
    file["GENRE"] = "Audiobook"
    file.save()
    write_sound(music / "Podcasts/b.flac", noise_and_tones(0.6))
    write_sound(music / "c.flac", noise_and_tones(0.6))
    speech = {}
    for rel in ("a.flac", "Podcasts/b.flac", "c.flac"):
        names = prepare(job(music, rel)).names
        assert names
        speech[rel] = names.is_speech
    assert speech == {"a.flac": True, "Podcasts/b.flac": True, "c.flac": False}

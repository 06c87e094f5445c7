"""A walk stays inside its folder and says what it passed over."""

import os
from pathlib import Path

import pytest

from kernel.errors import Code, Rejected
from media.probe import DEPTH_MAX, printable, walk


def put(path: Path, size: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_music_is_found_in_order_and_companions_are_passed_over(tmp_path: Path) -> None:
    for name in ("b/2.OGG", "b/1.flac", "a.mp3", "b/cover.jpg", "b/notes.txt", "LICENSE"):
        put(tmp_path / name)
    walked = walk(tmp_path)
    assert [found.rel for found in walked.found] == ["a.mp3", "b/1.flac", "b/2.OGG"]
    assert walked.found[0].size == 10
    assert walked.companions == 3
    assert walked.problems == ()


def test_hidden_files_and_folders_are_not_seen(tmp_path: Path) -> None:
    put(tmp_path / ".git/a.ogg")
    put(tmp_path / ".a.ogg")
    put(tmp_path / "b.ogg")
    assert [found.rel for found in walk(tmp_path).found] == ["b.ogg"]


def test_links_out_of_the_folder_are_refused_and_links_inside_need_no_following(tmp_path: Path) -> None:
    put(tmp_path / "outside/secret.ogg")
    put(tmp_path / "music/a.ogg")
    os.symlink(tmp_path / "outside", tmp_path / "music/folder")
    os.symlink(tmp_path / "outside/secret.ogg", tmp_path / "music/link.ogg")
    os.symlink(tmp_path / "music/a.ogg", tmp_path / "music/same.ogg")
    os.symlink("loop.ogg", tmp_path / "music/loop.ogg")
    os.symlink(tmp_path / "music", tmp_path / "music/again")
    walked = walk(tmp_path / "music")
    assert [found.rel for found in walked.found] == ["a.ogg"]
    refused = {problem.rel: problem.reason for problem in walked.problems}
    assert refused["folder"] == refused["link.ogg"] == "a link that leads out of the music folder"
    assert "same.ogg" not in refused
    assert "again" not in refused


def test_pipes_empty_oversized_and_foreign_files_are_listed_with_the_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ogg")
    put(tmp_path / "empty.ogg", 0)
    put(tmp_path / "large.ogg", 101)
    put(tmp_path / "setup.exe")
    reasons = {problem.rel: problem.reason for problem in walk(tmp_path, file_bytes_max=100).problems}
    assert reasons == {
        "pipe.ogg": "not a regular file",
        "empty.ogg": "empty: it holds no bytes",
        "large.ogg": "too large: 101 bytes, the limit is 100",
        "setup.exe": "not audio, by its name: .exe",
    }


def test_the_number_of_files_and_the_depth_are_bounded(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path / f"{number}.ogg")
    walked = walk(tmp_path, files_max=3)
    assert len(walked.found) == 3
    assert [problem.reason for problem in walked.problems] == ["not looked at: more than 3 files"]
    put(tmp_path / "/".join("d" * (DEPTH_MAX + 1)) / "deep.ogg")
    deep = walk(tmp_path)
    assert len(deep.found) == 5
    assert f"deeper than {DEPTH_MAX}" in deep.problems[0].reason


def test_a_name_that_is_no_text_is_listed_readably(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.ogg", "wb") as file:
        file.write(b"x")
    [problem] = walk(tmp_path).problems
    assert problem.reason == "its name is not valid UTF-8"
    problem.rel.encode()


def test_control_characters_are_escaped_for_the_terminal() -> None:
    assert printable("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"


@pytest.mark.parametrize("name", ["missing", "file.txt"])
def test_a_folder_that_cannot_be_read_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    put(tmp_path / "file.txt")
    with pytest.raises(Rejected) as refused:
        walk(tmp_path / name)
    assert refused.value.code is Code.BAD_REQUEST
    assert "cannot be read" in refused.value.message
    assert "\n" not in refused.value.message

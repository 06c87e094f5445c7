"""Walks a folder of music: which files to take, which to pass over, and why.

Follows no link, enters no hidden folder, opens nothing that is not a regular file, and is bounded in
number, depth and size, so that a folder made in bad faith costs little.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from kernel.errors import Code, Rejected

FILES_MAX: Final = 200_000
"""Files looked at in one walk; what is beyond is reported as one problem."""
DEPTH_MAX: Final = 32
FILE_BYTES_MAX: Final = 2 * 1024**3
PATH_CHARS_MAX: Final = 1024
"""Of a path inside the folder; it becomes a key in the store."""

AUDIO_SUFFIXES: Final = frozenset(
    f".{suffix}"
    for suffix in (
        *(
            "aac",
            "ac3",
            "aif",
            "aifc",
            "aiff",
            "ape",
            "asf",
            "caf",
            "dsf",
            "eac3",
            "flac",
            "m4a",
            "m4b",
            "mka",
        ),
        *("mp2", "mp3", "mp4", "mpc", "oga", "ogg", "opus", "tta", "w64", "wav", "webm", "weba", "wma", "wv"),
    )
)
COMPANION_SUFFIXES: Final = frozenset(
    f".{suffix}"
    for suffix in (
        *(
            "accurip",
            "bmp",
            "cue",
            "db",
            "gif",
            "htm",
            "html",
            "ini",
            "jpeg",
            "jpg",
            "json",
            "log",
            "lrc",
            "m3u",
        ),
        *(
            "m3u8",
            "md",
            "md5",
            "nfo",
            "pdf",
            "pls",
            "png",
            "rtf",
            "sfv",
            "sha256",
            "tif",
            "tiff",
            "txt",
            "url",
        ),
        *("webp", "xml", "yaml", "yml"),
    )
)
"""What lies beside music in any library: passed over without a word."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A file that looks like music by its name."""

    rel: str
    """Path inside the folder, with `/`."""
    size: int
    """Bytes."""
    mtime_ns: int


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not in the catalogue, and why."""

    rel: str
    reason: str


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """What one walk saw, in order of path."""

    found: tuple[Found, ...]
    problems: tuple[Problem, ...]
    companions: int
    """How many files were passed over because they belong beside music."""


def walk(root: Path, *, files_max: int = FILES_MAX, file_bytes_max: int = FILE_BYTES_MAX) -> Walk:
    """Look through `root`. Raises Rejected BAD_REQUEST when it cannot be read at all."""
    try:
        # One entry is enough to know that it may be listed; the walk below reports deeper trouble by folder.
        with os.scandir(root) as entries:
            next(entries, None)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise Rejected(Code.BAD_REQUEST, f"music folder {root} cannot be read: {what}") from error
    found: list[Found] = []
    problems: list[Problem] = []
    seen = companions = 0
    for entry, rel in _entries(root, "", 0, problems):
        if seen >= files_max:
            problems.append(Problem(rel=rel, reason=f"not looked at: more than {files_max} files"))
            break
        seen += 1
        reason = _refusal(entry, rel, root)
        if reason:
            problems.append(Problem(rel=printable(rel), reason=reason))
            continue
        suffix = os.path.splitext(entry.name)[1].lower()
        is_companion = not suffix or suffix in COMPANION_SUFFIXES
        if entry.is_symlink() or is_companion:
            companions += 1
        elif suffix not in AUDIO_SUFFIXES:
            problems.append(Problem(rel=rel, reason=f"not audio, by its name: {suffix[:20]}"))
        else:
            facts = entry.stat(follow_symlinks=False)
            if facts.st_size == 0:
                problems.append(Problem(rel=rel, reason="empty: it holds no bytes"))
            elif facts.st_size > file_bytes_max:
                reason = f"too large: {facts.st_size} bytes, the limit is {file_bytes_max}"
                problems.append(Problem(rel=rel, reason=reason))
            else:
                found.append(Found(rel=rel, size=facts.st_size, mtime_ns=facts.st_mtime_ns))
    return Walk(found=tuple(found), problems=tuple(problems), companions=companions)


def printable(text: str) -> str:
    """`text` fit for a terminal and for UTF-8: control characters and lone surrogates are escaped."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return escaped.encode("utf-8", "backslashreplace").decode()


def _entries(
    folder: Path, rel: str, depth: int, problems: list[Problem]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Everything under `folder` that is not a folder, sorted, hidden ones left out."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(Problem(rel=printable(rel), reason=f"folder not read: {error.strerror}"))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = f"{rel}/{entry.name}" if rel else entry.name
        if not entry.is_dir(follow_symlinks=False):
            yield entry, path
        elif depth + 1 > DEPTH_MAX:
            problems.append(Problem(rel=printable(path), reason=f"not entered: deeper than {DEPTH_MAX}"))
        else:
            yield from _entries(folder / entry.name, path, depth + 1, problems)


def _refusal(entry: os.DirEntry[str], rel: str, root: Path) -> str | None:
    """Why this entry is not even looked at; None when it may be."""
    if len(rel) > PATH_CHARS_MAX:
        return f"its path is longer than {PATH_CHARS_MAX} characters"
    try:
        rel.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    try:
        if entry.is_symlink():
            # A link to what is inside needs no following: the walk meets the file itself.
            inside = Path(entry.path).resolve().is_relative_to(root.resolve())
            return None if inside else "a link that leads out of the music folder"
        mode = entry.stat(follow_symlinks=False).st_mode
    except (OSError, RuntimeError) as error:
        return f"cannot be looked at: {getattr(error, 'strerror', None) or error}"
    # Opening a pipe or a device would wait for ever.
    return None if stat.S_ISREG(mode) else "not a regular file"

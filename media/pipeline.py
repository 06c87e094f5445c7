"""One file of a library, from its path to all that the catalogue needs: what a task on another core runs.

Reads tags and cover, and decodes, measures and encodes unless the content is known. Whatever is wrong with
the file comes back as a reason, never as an exception: one bad file stops nothing.
"""

import os
import shutil
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from catalog.model import Cover, Rendition
from kernel.errors import Code, Rejected, Unavailable
from kernel.units import Millis
from media.covers import CoverImage, beside, resized
from media.library import Names
from media.names import LOOSE_TRACKS, UNKNOWN_ARTIST, UNTITLED, names_from_path
from media.probe import printable
from media.tags import Tagged, clean, read_tags
from media.transcode import Transcoded, transcode

SHORTFALL_S: Final = 0.25
SHORTFALL_RATIO: Final = 0.01
"""How much less than its header promises a file may hold: the larger of the two."""
OGG_TAIL_BYTES: Final = 128 * 1024
"""Where the last page of an Ogg stream is looked for: a page has at most 65,307 bytes."""
SPEECH: Final = frozenset(
    {"speech", "spoken word", "spoken", "audiobook", "audiobooks", "podcast", "podcasts"}
)
"""Genres and folders whose pieces may be played at another speed."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. Holds nothing but values: it travels to another process."""

    root: Path
    rel: str
    size: int
    """Bytes, when the folder was walked."""
    mtime_ns: int
    known: tuple[str, ...]
    """Contents (SHA-256) that need no encoding."""
    work_dir: Path
    """Made by the job, filled with the renditions, deleted by whoever has taken them."""
    spare_cores: int = 0


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What decoding and encoding gave."""

    duration_ms: Millis
    loudness_lufs: float | None
    true_peak_db: float | None
    renditions: tuple[tuple[Rendition, Path], ...]


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one job."""

    rel: str
    sha256: str = ""
    """Of the file; empty when it could not be read."""
    reason: str = ""
    """Why the file is not taken; empty when it is."""
    retry: bool = False
    """The reason is the machine's, not the file's: try again at the next run."""
    names: Names | None = None
    """None with a reason."""
    content: Content | None = None
    """None when the content is known, and with a reason."""
    covers: tuple[CoverImage, ...] = ()


def prepare(job: Job) -> Prepared:
    """Do one job. Leaves files in `job.work_dir` only when the result has content."""
    path = job.root / job.rel
    content: Content | None = None
    digest = ""
    try:
        digest = _digest(path)
        tagged = read_tags(path)
        if digest not in job.known:
            job.work_dir.mkdir(parents=True, exist_ok=True)
            content = _content(path, tagged, job)
        # Tags and samples were read at different times: they must be of one file.
        facts = path.lstat()
        if (facts.st_size, facts.st_mtime_ns) != (job.size, job.mtime_ns):
            return _failed(job, "it changed while it was read", retry=True)
        return Prepared(
            rel=job.rel,
            sha256=digest,
            names=names_of(job.rel, tagged),
            content=content,
            covers=_covers(path, tagged),
        )
    except Rejected as error:
        return _failed(job, error.message, digest=digest)
    except Unavailable as error:
        return _failed(job, error.message, retry=True)
    except OSError as error:
        return _failed(job, f"cannot be read: {error.strerror or type(error).__name__}", retry=True)


def _failed(job: Job, reason: str, *, digest: str = "", retry: bool = False) -> Prepared:
    shutil.rmtree(job.work_dir, ignore_errors=True)
    return Prepared(rel=job.rel, sha256=digest, reason=printable(reason), retry=retry)


def _digest(path: Path) -> str:
    digest = sha256()
    # O_NOFOLLOW and O_NONBLOCK: between the walk and now the file may have become a link or a pipe.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        while chunk := file.read(1024 * 1024):
            digest.update(chunk)
    return digest.hexdigest()


def _content(path: Path, tagged: Tagged, job: Job) -> Content:
    if path.suffix.lower() in {".ogg", ".oga", ".opus"}:
        _check_ogg_end(path)
    made = transcode(path, job.work_dir, spare_cores=job.spare_cores)
    _check_length(made, tagged)
    return Content(
        duration_ms=Millis(round(made.pcm_frames * 1000 / made.sample_rate)),
        loudness_lufs=made.loudness_lufs,
        true_peak_db=made.true_peak_db,
        renditions=made.renditions,
    )


def _check_length(made: Transcoded, tagged: Tagged) -> None:
    held_s, promised_s = made.pcm_frames / made.sample_rate, tagged.declared_s
    if promised_s and promised_s - held_s > max(SHORTFALL_S, SHORTFALL_RATIO * promised_s):
        raise Rejected(
            Code.BAD_REQUEST,
            f"truncated or damaged: of the {promised_s:.1f} s it promises, {held_s:.1f} s can be decoded",
        )


def _check_ogg_end(path: Path) -> None:
    """An Ogg stream says where it ends (RFC 3533 §6: the flag of the last page); one cut short does not."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return  # not Ogg, whatever it is called; the decoder decides
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - OGG_TAIL_BYTES))
        tail = file.read(OGG_TAIL_BYTES)
    at = tail.rfind(b"OggS")
    page = tail[at:] if at >= 0 else b""
    segments = page[26] if len(page) > 26 else 0
    whole = len(page) >= 27 + segments and len(page) >= 27 + segments + sum(page[27 : 27 + segments])
    if not whole or not page[5] & 0x04:
        raise Rejected(Code.BAD_REQUEST, "truncated: the Ogg stream breaks off before its end")


def names_of(rel: str, tagged: Tagged) -> Names:
    """Names by the tags, and by the path where a tag is missing."""
    tags, path = tagged.tags, names_from_path(rel)
    folders = rel.split("/")[:-1]
    artists = tags.artists or tags.album_artists or (clean(path.artist) or UNKNOWN_ARTIST,)
    album_artists = tags.album_artists
    if tags.compilation and not album_artists:
        album_artists = ("Various Artists",)
    if not tags.album and not album_artists and clean(path.album_artist):
        album_artists = (clean(path.album_artist),)
    return Names(
        title=tags.title or clean(path.title) or UNTITLED,
        artists=artists,
        album=tags.album or clean(path.album) or LOOSE_TRACKS,
        album_artists=album_artists,
        folder="/".join(folders),
        track_number=tags.track_number or path.track_number,
        disc_number=tags.disc_number or path.disc_number,
        date=tags.date,
        genres=tags.genres,
        label=tags.label,
        isrc=tags.isrc,
        explicit=tags.explicit,
        is_speech=any(word.casefold() in SPEECH for word in (*tags.genres, *folders)),
    )


def _covers(path: Path, tagged: Tagged) -> tuple[CoverImage, ...]:
    """The embedded cover, else the one beside the file; none when neither can be read."""
    for is_embedded in (True, False):
        picture = tagged.cover if is_embedded else beside(path.parent)
        if picture:
            try:
                return resized(picture)
            except Rejected:
                continue  # music without a cover is still music
    return ()


def cover_values(covers: tuple[CoverImage, ...]) -> tuple[Cover, ...]:
    return tuple(image.cover for image in covers)

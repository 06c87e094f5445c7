"""What a folder of files amounts to: which are new, whose track each one is, and the catalogue they make.

Pure. A `Source` is what is remembered of one path; the catalogue's tracks (without their renditions), albums
and artists are a function of all sources. The rules of identity:

    same path, other content    the same track, unless another path still holds the old content
    other path, same content    the same track; so is a second copy
    no path holds the content   the track stays, unavailable; it is available again when a path does
    neither known               a new track, named by its content

and therefore at every moment all sources of one track have one content.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from catalog.model import Album, Artist, Cover, Track
from kernel.ids import AlbumId, ArtistId, TrackId, catalogue_id
from kernel.units import Millis
from media.probe import Found

VARIOUS_ARTISTS: Final = "Various Artists"
ARTIST_GENRES_MAX: Final = 5
PIPELINE: Final = 1
"""Raise it when the same file would now give another result: every file is then taken again."""


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What one file is called, by its tags and else by its path."""

    title: str
    artists: tuple[str, ...]
    """Never empty."""
    album: str
    album_artists: tuple[str, ...] = ()
    """As tagged; empty when not tagged: then the folder tells albums of one title apart."""
    folder: str = ""
    """Path of its folder inside the library."""
    track_number: int | None = None
    disc_number: int | None = None
    date: str = ""
    genres: tuple[str, ...] = ()
    label: str = ""
    isrc: str | None = None
    explicit: bool = False
    is_speech: bool = False


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one path in the library."""

    rel: str
    """Path inside the library, with `/`."""
    size: int
    """Bytes, when last looked at; -1 when what is remembered is not of the file last seen there."""
    mtime_ns: int
    pipeline: int = PIPELINE
    present: bool = True
    """The file is there, and is the content below."""
    reason: str = ""
    """Why the file that is there was not taken; empty when it was, or when none is there."""
    sha256: str = ""
    """Of the content last taken from this path; empty when none ever was."""
    track_id: TrackId | None = None
    """None when nothing was ever taken from this path."""
    names: Names | None = None
    duration_ms: Millis = Millis(0)
    loudness_lufs: float | None = None
    true_peak_db: float | None = None
    covers: tuple[Cover, ...] = ()
    added_at_ms: Millis = Millis(0)
    """When the track was first seen here."""
    published: str = ""
    """Digest of the track as it was last written to the catalogue; empty: not written since a change."""


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be read."""

    found: Found
    known: tuple[str, ...]
    """Contents of this size that are in the catalogue: nothing needs encoding when it is one of these."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about a folder."""

    take: tuple[Take, ...]
    unchanged: tuple[Source, ...]
    """Including those whose file is known to be unusable."""
    back: tuple[Source, ...]
    """Were gone, and are there again as they were."""
    gone: tuple[Source, ...]


def plan(found: Sequence[Found], sources: Mapping[str, Source]) -> Plan:
    """Compare what was found with what is remembered, by path, size and time of change."""
    by_size: dict[int, set[str]] = defaultdict(set)
    for source in sources.values():
        if source.track_id and source.sha256 and source.pipeline == PIPELINE:
            by_size[source.size].add(source.sha256)
    take: list[Take] = []
    unchanged: list[Source] = []
    back: list[Source] = []
    for file in found:
        held = sources.get(file.rel)
        if held is None or not _is_as_remembered(held, file):
            take.append(Take(found=file, known=tuple(sorted(by_size[file.size]))))
        elif held.present or held.reason:
            unchanged.append(held)
        else:
            back.append(held)
    seen = {file.rel for file in found}
    absent = [source for rel, source in sorted(sources.items()) if rel not in seen]
    gone = [source for source in absent if source.present or source.reason]
    return Plan(take=tuple(take), unchanged=tuple(unchanged), back=tuple(back), gone=tuple(gone))


def _is_as_remembered(source: Source, file: Found) -> bool:
    now = (file.size, file.mtime_ns, PIPELINE)
    return (source.size, source.mtime_ns, source.pipeline) == now


def _is_gone(source: Source) -> bool:
    return not source.present and not source.reason


def without_file(source: Source) -> Source:
    """The source once its file is gone."""
    # The size of a file that was not taken says nothing of the content remembered: a later file of that size
    # and time must be read.
    size = -1 if source.reason else source.size
    return msgspec.structs.replace(source, present=False, reason="", size=size, published="")


def with_file_back(source: Source) -> Source:
    return msgspec.structs.replace(source, present=True, published="")


def with_bad_file(found: Found, source: Source | None, reason: str) -> Source:
    """The source once its file is one that cannot be taken. What it held before is kept, unavailable."""
    if source is None:
        return Source(rel=found.rel, size=found.size, mtime_ns=found.mtime_ns, present=False, reason=reason)
    return msgspec.structs.replace(
        source,
        size=found.size,
        mtime_ns=found.mtime_ns,
        pipeline=PIPELINE,
        present=False,
        reason=reason,
        published="",
    )


class Amended(NamedTuple):
    """What follows from one source for the store."""

    written: tuple[Source, ...]
    forgotten: tuple[str, ...]
    """Paths that are gone, and whose track has other content now, or another path."""


class Shelf:
    """The sources while a run changes them; says which track a content is."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self.sources: dict[str, Source] = {source.rel: source for source in sources}
        self._rels: dict[TrackId, set[str]] = defaultdict(set)
        self._by_content: dict[str, TrackId] = {}
        """As it was when the run began, and what came since."""
        for source in self.sources.values():
            if source.track_id:
                self._rels[source.track_id].add(source.rel)
                self._by_content.setdefault(source.sha256, source.track_id)

    def track_of(self, sha256: str) -> TrackId | None:
        """The track whose content this is; None when no source has it."""
        track_id = self._by_content.get(sha256)
        held = track_id and any(self.sources[rel].sha256 == sha256 for rel in self._rels[track_id])
        return track_id if held else None

    def identify(self, rel: str, sha256: str) -> TrackId:
        """Whose content this is, now that it was read at `rel`."""
        before = self.sources.get(rel)
        for track_id in (self._by_content.get(sha256), before.track_id if before else None):
            if track_id and not any(other.present for other in self._of_other_content(track_id, rel, sha256)):
                return track_id
        # A track is never given other content by a path that it has nothing to do with, even while no file
        # holds it.
        fresh = TrackId(catalogue_id("track", sha256))
        is_free = not self._of_other_content(fresh, "", sha256)
        return fresh if is_free else TrackId(catalogue_id("track", sha256, rel))

    def put(self, source: Source) -> Amended:
        """Remember `source`; returns what is to be written and forgotten for it."""
        before = self.sources.get(source.rel)
        if before and before.track_id:
            self._rels[before.track_id].discard(source.rel)
        self.sources[source.rel] = source
        written, forgotten = [source], set[str]()
        if source.track_id:
            for stale in self._of_other_content(source.track_id, source.rel, source.sha256):
                assert not stale.present, "a track has one content"
                self._rels[source.track_id].discard(stale.rel)
                if stale.reason:
                    # What it held is nowhere any more; that the file there is bad remains true.
                    bare = Source(
                        rel=stale.rel,
                        size=stale.size,
                        mtime_ns=stale.mtime_ns,
                        present=False,
                        reason=stale.reason,
                    )
                    self.sources[stale.rel] = bare
                    written.append(bare)
                else:
                    forgotten.add(stale.rel)
            rels = self._rels[source.track_id]
            rels.add(source.rel)
            self._by_content.setdefault(source.sha256, source.track_id)
            # A path that is gone is worth remembering only while no other holds the track: it keeps the
            # track's names then.
            if any(self.sources[rel].present for rel in rels):
                forgotten.update(rel for rel in rels if _is_gone(self.sources[rel]))
            for rel in forgotten:
                rels.discard(rel)
                del self.sources[rel]
        kept = (each for each in written if each.rel not in forgotten)
        return Amended(written=tuple(kept), forgotten=tuple(sorted(forgotten)))

    def added_at_ms(self, track_id: TrackId) -> Millis | None:
        """When the track was first seen; None when no source has it."""
        return min((self.sources[rel].added_at_ms for rel in self._rels[track_id]), default=None)

    def _of_other_content(self, track_id: TrackId, rel: str, sha256: str) -> list[Source]:
        """The other sources of a track whose content is another."""
        others = (self.sources[other] for other in self._rels[track_id] if other != rel)
        return [source for source in others if source.sha256 != sha256]


# ------------------------------------------------------------------------------------------ the catalogue


class Catalogued(msgspec.Struct, frozen=True, kw_only=True):
    """What all sources together amount to."""

    tracks: Mapping[TrackId, Track]
    """Without renditions."""
    albums: Mapping[AlbumId, Album]
    artists: Mapping[ArtistId, Artist]
    shown_by: Mapping[TrackId, str]
    """The path whose tags name the track."""


def key_of(name: str) -> str:
    """Names that differ only in case, width or blanks are one name."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def artist_id_of(name: str) -> ArtistId:
    return ArtistId(catalogue_id("artist", key_of(name)))


def catalogue_of(sources: Iterable[Source]) -> Catalogued:
    """Tracks, albums and artists of all sources. The order of `sources` does not matter."""
    held: dict[TrackId, list[Source]] = defaultdict(list)
    for source in sources:
        if source.track_id and source.names:
            held[source.track_id].append(source)
    primary = {
        track_id: min(copies, key=lambda source: (not source.present, _natural(source.rel)))
        for track_id, copies in held.items()
    }
    added = {track_id: min(copy.added_at_ms for copy in copies) for track_id, copies in held.items()}
    tracks: dict[TrackId, Track] = {}
    albums: dict[AlbumId, Album] = {}
    for album_id, artists, group in _albums(primary.values()):
        made = _tracks_of(album_id, group)
        tracks |= {track.track_id: track for track in made}
        albums[album_id] = _album(album_id, artists, group, made, added)
    shown_by = {track_id: source.rel for track_id, source in primary.items()}
    return Catalogued(tracks=tracks, albums=albums, artists=_artists(albums, tracks), shown_by=shown_by)


_Album = tuple[AlbumId, tuple[str, ...], list[Source]]


def _albums(sources: Iterable[Source]) -> list[_Album]:
    """Group by album artist and title; where no album artist is tagged, by folder and title at first."""
    groups: dict[tuple[str, ...], list[Source]] = defaultdict(list)
    for source in sources:
        names = _names(source)
        title = key_of(names.album)
        by = tuple(map(key_of, names.album_artists))
        groups[("by", *by, title) if by else ("in", names.folder, title)].append(source)
    albums: dict[AlbumId, _Album] = {}
    for (kind, *rest), group in sorted(groups.items()):
        group.sort(key=lambda source: _natural(source.rel))
        first = _names(group[0])
        artists = first.album_artists
        if kind == "in":
            # Without a tag, an album whose pieces share their first artist is that artist's.
            shared = {key_of(_names(source).artists[0]) for source in group}
            artists = first.artists[:1] if len(shared) == 1 else (VARIOUS_ARTISTS,)
        identity = [*map(key_of, artists), key_of(first.album)]
        if kind == "in" and artists == (VARIOUS_ARTISTS,):
            identity.append(rest[0])
        album_id = AlbumId(catalogue_id("album", *identity))
        if album_id in albums:
            albums[album_id][2].extend(group)
        else:
            albums[album_id] = (album_id, artists, group)
    return list(albums.values())


def _tracks_of(album_id: AlbumId, group: list[Source]) -> list[Track]:
    """By disc, then number; what has no number follows in order of path."""

    def place(source: Source) -> tuple[object, ...]:
        names = _names(source)
        return names.disc_number or 1, names.track_number or math.inf, _natural(source.rel)

    group.sort(key=place)
    loudness, peak = album_loudness(group)
    title = _names(group[0]).album
    is_show = all(_names(source).is_speech for source in group)
    tracks: list[Track] = []
    last: dict[int, int] = defaultdict(int)
    for source in group:
        names = _names(source)
        assert source.track_id
        disc = names.disc_number or 1
        last[disc] = names.track_number or last[disc] + 1
        tracks.append(
            Track(
                track_id=source.track_id,
                title=names.title,
                artist_ids=tuple(map(artist_id_of, names.artists)),
                artist_names=names.artists,
                album_id=album_id,
                album_title=title,
                disc_number=disc,
                track_number=last[disc],
                duration_ms=source.duration_ms,
                explicit=names.explicit,
                isrc=names.isrc,
                genres=names.genres,
                is_speech=names.is_speech,
                is_episode=is_show,
                available=source.present,
                loudness_lufs=source.loudness_lufs,
                true_peak_db=source.true_peak_db,
                album_loudness_lufs=loudness,
                album_true_peak_db=peak,
                covers=source.covers,
            )
        )
    return tracks


def album_loudness(pieces: Iterable[Source]) -> tuple[float | None, float | None]:
    """`(LUFS, dBTP)` of pieces played as one: mean energy by duration, and the highest peak.

    Within some tenths of an LU of measuring them joined, which would apply the gate once over the whole album
    and needs every piece decoded again when one changes. None when no piece could be measured.
    """
    measured = [piece for piece in pieces if piece.loudness_lufs is not None and piece.duration_ms > 0]
    peaks = [piece.true_peak_db for piece in measured if piece.true_peak_db is not None]
    if not measured:
        return None, None
    energy = sum(piece.duration_ms * 10 ** ((piece.loudness_lufs or 0.0) / 10) for piece in measured)
    mean = energy / sum(piece.duration_ms for piece in measured)
    return round(10 * math.log10(mean), 1), max(peaks, default=None)


def _album(
    album_id: AlbumId,
    artists: tuple[str, ...],
    group: list[Source],
    tracks: list[Track],
    added: Mapping[TrackId, Millis],
) -> Album:
    names = [_names(source) for source in group]
    return Album(
        album_id=album_id,
        title=names[0].album,
        artist_ids=tuple(map(artist_id_of, artists)),
        artist_names=artists,
        track_ids=tuple(track.track_id for track in tracks),
        release_date=next((each.date for each in names if each.date), ""),
        label=next((each.label for each in names if each.label), ""),
        genres=_commonest(genre for each in names for genre in each.genres),
        covers=next((track.covers for track in tracks if track.covers), ()),
        added_at_ms=min(added[track.track_id] for track in tracks),
        is_show=all(track.is_episode for track in tracks),
    )


def _artists(albums: Mapping[AlbumId, Album], tracks: Mapping[TrackId, Track]) -> dict[ArtistId, Artist]:
    """Everybody named on a track or an album, with the albums they are on."""
    spelled: dict[ArtistId, Counter[str]] = defaultdict(Counter)
    genres: dict[ArtistId, list[str]] = defaultdict(list)
    on: dict[ArtistId, set[AlbumId]] = defaultdict(set)
    for album in albums.values():
        for artist_id, name in zip(album.artist_ids, album.artist_names, strict=True):
            spelled[artist_id][name] += 1
            on[artist_id].add(album.album_id)
        for track in (tracks[track_id] for track_id in album.track_ids):
            for artist_id, name in zip(track.artist_ids, track.artist_names, strict=True):
                spelled[artist_id][name] += 1
                on[artist_id].add(album.album_id)
                genres[artist_id] += track.genres
    made: dict[ArtistId, Artist] = {}
    for artist_id, spellings in spelled.items():
        theirs = sorted((albums[album_id] for album_id in on[artist_id]), key=lambda album: album.title)
        theirs.sort(key=lambda album: album.release_date, reverse=True)
        own = [album for album in theirs if artist_id in album.artist_ids]
        made[artist_id] = Artist(
            artist_id=artist_id,
            name=max(spellings, key=lambda name: (spellings[name], name)),
            album_ids=tuple(album.album_id for album in theirs),
            genres=_commonest(genres[artist_id])[:ARTIST_GENRES_MAX],
            covers=next((album.covers for album in [*own, *theirs] if album.covers), ()),
        )
    return made


def _commonest(values: Iterable[str]) -> tuple[str, ...]:
    counts = Counter(values)
    return tuple(sorted(counts, key=lambda value: (-counts[value], value)))


def _names(source: Source) -> Names:
    assert source.names
    return source.names


def _natural(path: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts `a 2.ogg` before `a 10.ogg`, and `a.ogg` before both."""
    pieces = re.split(r"([0-9]+)", f"{path.casefold().rpartition('.')[0]}\0{path}")
    # Text and numbers take turns, and text comes first: where both stand, a number sorts before a letter.
    return tuple(
        (0, int(piece), "") if place % 2 else (1, 0, piece) for place, piece in enumerate(pieces) if piece
    )

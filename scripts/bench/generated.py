"""A library that nobody recorded: tags for any number of tracks, and no audio behind them.

Words, genres and lengths are drawn by a seed, so every run has the same one. It goes into the stores as an
ingest would leave it: what is remembered of each path, and what the catalogue makes of that.
"""

import asyncio
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import NamedTuple

from actors.clock import SystemClock
from catalog.library import IDS_MAX
from catalog.library import Shelf as Kept
from catalog.model import Plan
from kernel.ids import TrackId, UserId, catalogue_id
from kernel.units import Millis
from media.library import Names, Shelf, Source
from scripts.bench.music import put_album
from serve.accounts import Account
from serve.keys import KeyRing
from serve.logs import set_up
from serve.publish import publish, write_sources
from serve.settings import LogLevel, Settings
from serve.tokens import Tokens
from storage.catalogue import Catalogue
from storage.library import Library
from storage.stores import open_stores

TRACKS_PER_ALBUM = 20
ALBUMS_PER_ARTIST = 5
SOURCES_AT_ONCE = 500
GENRES = (
    "ambient",
    "baroque",
    "chanson",
    "dub",
    "electronica",
    "fado",
    "gospel",
    "highlife",
    "jazz",
    "post-rock",
)
_SYLLABLES = [
    "ba",
    "do",
    "fe",
    "ga",
    "hi",
    "ko",
    "la",
    "mi",
    "no",
    "pe",
    "ra",
    "si",
    "tu",
    "ve",
    "wo",
    "ya",
    "ze",
]


class Taken(NamedTuple):
    """What taking it in came to, and tokens of listeners who are known by nothing else."""

    tracks: int
    albums: int
    artists: int
    seconds: float
    tokens: tuple[str, ...]


async def fill(data_dir: Path, *, tracks: int, listeners: int, saved: int) -> Taken:
    """Fresh stores in `data_dir`: the library, the bench's album, and listeners who saved some of it."""
    settings = Settings(data_dir=data_dir, log_level=LogLevel.ERROR)
    set_up(settings)
    clock = SystemClock()
    stores = open_stores(data_dir, clock)
    try:
        await stores.prepare()
        catalogue = Catalogue(stores.documents, clock)
        sources = list(_sources(tracks))
        began = time.perf_counter()
        for at in range(0, tracks, SOURCES_AT_ONCE):
            await write_sources(stores.documents, sources[at : at + SOURCES_AT_ONCE])
        made, albums, artists = await publish(Shelf(sources), catalogue, stores.documents)
        seconds = time.perf_counter() - began
        await put_album(catalogue)
        users = [UserId(f"bench-{number:04}") for number in range(listeners)]
        library, ids = Library(stores.documents, clock), list(made)[:saved]
        for at in range(0, saved, IDS_MAX):
            page = ids[at : at + IDS_MAX]
            await asyncio.gather(*(library.keep(user_id, Kept.TRACKS, page) for user_id in users))
        tokens = Tokens(await KeyRing.open(stores.documents, clock, settings), clock, settings)
        accounts = (
            Account(
                user_id=user_id, username=user_id, plan=Plan.PREMIUM, country="SE", created_at_ms=Millis(0)
            )
            for user_id in users
        )
        return Taken(len(made), albums, artists, seconds, tuple(map(tokens.issue_access, accounts)))
    finally:
        await stores.close()


def _account(user_id: UserId) -> Account:
    return Account(
        user_id=user_id, username=user_id, plan=Plan.PREMIUM, country="SE", created_at_ms=Millis(0)
    )


def _sources(count: int) -> Iterator[Source]:
    rng = Random(50_000)
    artist = album = ""
    genre = GENRES[0]
    for number in range(count):
        index = number % TRACKS_PER_ALBUM
        if number % (TRACKS_PER_ALBUM * ALBUMS_PER_ARTIST) == 0:
            artist, genre = _name(rng), rng.choice(GENRES)
        if index == 0:
            album = f"{_name(rng)} {number // TRACKS_PER_ALBUM}"
        digest = sha256(f"generated {number}".encode()).hexdigest()
        yield Source(
            rel=f"{artist}/{album}/{index + 1:02} {number}.flac",
            size=30_000_000,
            mtime_ns=0,
            sha256=digest,
            track_id=TrackId(catalogue_id("track", digest)),
            names=Names(
                title=_name(rng),
                artists=(artist,),
                album=album,
                album_artists=(artist,),
                track_number=index + 1,
                genres=(genre,),
            ),
            duration_ms=Millis(rng.randrange(120_000, 420_000)),
            loudness_lufs=-14.0,
            true_peak_db=-1.0,
        )


def _name(rng: Random) -> str:
    """Two words of two or three syllables: some 5,000 different words, as real titles share theirs."""
    return " ".join(
        "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((2, 3)))).capitalize() for _ in range(2)
    )

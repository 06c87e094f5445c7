"""Ids: one type per kind of thing, and the pure functions that make them.

Catalogue ids are 22 characters of base62, the length that clients of the Spotify Web API expect; everything
the server mints over time is a ULID (26 characters, sortable by time). URIs use the `spotify:` scheme
because client libraries parse it; see docs/adr/0005-uris.md.
"""

from hashlib import blake2b
from random import Random
from typing import NewType

from kernel.units import Millis

UserId = NewType("UserId", str)
DeviceId = NewType("DeviceId", str)
SessionId = NewType("SessionId", str)
TrackId = NewType("TrackId", str)
AlbumId = NewType("AlbumId", str)
ArtistId = NewType("ArtistId", str)
Uri = NewType("Uri", str)
"""`spotify:<kind>:<id>`; the kind is track, album, artist, playlist, episode, show or user."""
Uid = NewType("Uid", str)
"""One item of one queue: minted by the server, never reused, kept across transfers."""
PlayId = NewType("PlayId", str)
"""One play of one item: kept across handoff, seek, pause and reconnect."""
CommandId = NewType("CommandId", str)
"""Made by the client; a repeat of one returns the stored reply."""
HandoffId = NewType("HandoffId", str)
HostId = NewType("HostId", str)

URI_SCHEME = "spotify"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ID_CHARS = 22


def _digits(number: int, alphabet: str, count: int) -> str:
    out = []
    for _ in range(count):
        number, digit = divmod(number, len(alphabet))
        out.append(alphabet[digit])
    return "".join(reversed(out))


def ulid(now_ms: Millis, rng: Random) -> str:
    """26 characters: 48 bits of time, 80 bits of randomness (github.com/ulid/spec)."""
    return _digits((now_ms << 80) | rng.getrandbits(80), _CROCKFORD, 26)


def derived_ulid(now_ms: Millis, *parts: str | int) -> str:
    """A ULID whose random part is a hash of `parts`: the same arguments always give the same id."""
    return _digits((now_ms << 80) | int.from_bytes(_digest(parts, 10), "big"), _CROCKFORD, 26)


def catalogue_id(*parts: str | int) -> str:
    """22 characters of base62 from what identifies the thing."""
    # 62**22 is a little more than 2**130, so 128 bits always fit.
    return _digits(int.from_bytes(_digest(parts, 16), "big"), _BASE62, _ID_CHARS)


def _digest(parts: tuple[str | int, ...], size: int) -> bytes:
    return blake2b("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=size).digest()


def uri(kind: str, identifier: str) -> Uri:
    return Uri(f"{URI_SCHEME}:{kind}:{identifier}")


def parse_uri(text: str) -> tuple[str, str] | None:
    """`(kind, id)`, or None when `text` is not a URI of ours."""
    match text.split(":"):
        case [scheme, kind, identifier] if scheme == URI_SCHEME and kind.isalpha():
            return (kind, identifier) if is_catalogue_id(identifier) else None
        case _:
            return None


def is_catalogue_id(text: str) -> bool:
    return len(text) == _ID_CHARS and text.isascii() and text.isalnum()

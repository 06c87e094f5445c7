"""Ids that a session makes: all derived, so that prefetch knows them early and a replay makes them again."""

from base64 import b32encode
from functools import lru_cache
from hashlib import blake2b

from kernel.ids import PlayId, Uid, derived_ulid
from kernel.units import Millis
from sessions.state import Session

UIDS_MAX = 8192
"""Derived uids kept: of a window of eighty, all but one are the same after a change of track."""
_TIME_CHARS = 10
_TO_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def play_id_of(session: Session, uid: Uid, *, ahead: int = 0) -> PlayId:
    """The play id that `uid` gets when it is started after `ahead` other starts."""
    count = session.play_count + ahead
    return PlayId(derived_ulid(session.created_at_ms, session.session_id, count, uid))


@lru_cache(UIDS_MAX)
def context_uid(load_id: str, key: str, iteration: int) -> Uid:
    """A context item's uid: a ULID with the time of the loading and a hash for the rest.

    Not `derived_ulid`, which takes twice as long: a window of eighty is made at a time.
    """
    digest = blake2b(f"{load_id}\x1f{iteration}\x1f{key}".encode("utf-8", "surrogatepass"), digest_size=10)
    return Uid(load_id[:_TIME_CHARS] + b32encode(digest.digest()).translate(_TO_CROCKFORD).decode())


def minted_uid(session: Session, now_ms: Millis, *, nth: int) -> Uid:
    """The `nth` new uid since the last event that carried minted items."""
    return Uid(derived_ulid(now_ms, session.session_id, "item", session.minted + nth))


def new_load_id(session: Session, now_ms: Millis) -> str:
    return derived_ulid(now_ms, session.session_id, "load", session.minted)

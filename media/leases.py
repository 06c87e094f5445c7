"""Stream leases: the signed right to fetch one track's bytes, for one play on one device.

A lease stands in the path of a URL (`/s/<token>/`), so the relative URLs under it inherit it and one
signature covers a whole play. The token is base64url of a msgpack array and its HMAC-SHA256; it needs no
store to check. What it cannot know, the edge does: whether the session has gone on to another device
(`device_epoch`).

Knows nothing of files, markets or plans: those were checked when it was signed. Where the keys come from is
the caller's business (`Secrets`).
"""

import base64
import binascii
import hmac
import re
from typing import Protocol

import msgspec

from kernel.errors import Code, Rejected
from kernel.ids import DeviceId, PlayId, SessionId, TrackId, UserId
from kernel.units import Millis

TOKEN_CHARS_MAX = 1024
"""A usual one has some 300."""
DEVICE_EPOCH_PREFIX = "device-epoch/"
"""`<prefix><session id>` in the volatile store: the newest device epoch of a session, for the edge."""

_MAC_BYTES = 32
_CONTEXT = b"segue.lease.v1\0"
"""Keeps a signature of ours from meaning anything elsewhere, whatever else a key may ever sign."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


class LeaseClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a lease says."""

    user_id: UserId
    device_id: DeviceId
    session_id: SessionId
    device_epoch: int
    play_id: PlayId
    track_id: TrackId
    bitrate_kbps_max: int
    """Renditions of a higher nominal bitrate are not covered."""
    expires_at_ms: Millis
    """Wall time; the lease is good before it, not at it."""


class _Signed(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """`LeaseClaims` on the wire: an array, since a URL has no room for names. Fields are only ever
    appended."""

    kid: str
    user_id: UserId
    device_id: DeviceId
    session_id: SessionId
    device_epoch: int
    play_id: PlayId
    track_id: TrackId
    bitrate_kbps_max: int
    expires_at_ms: Millis


class Secrets(Protocol):
    """The keys of one purpose, as far as this process knows them. Never suspends."""

    def signing_key(self) -> tuple[str, bytes]:
        """`(kid, secret)` of the key that signs now."""
        ...

    def secret(self, kid: str) -> bytes | None:
        """None when the key is not known here, or no longer accepted."""
        ...


class UnknownKey(Rejected):
    """The lease names a key that this process does not know; asking the store may change that."""

    def __init__(self, kid: str) -> None:
        Exception.__init__(self, kid)
        self.code = Code.LEASE_INVALID
        self.message = "stream lease rejected: the key that it names is not one of this server's"
        self.details = {}
        self.retry_after_ms = None
        self.kid = kid


def sign(claims: LeaseClaims, secrets: Secrets) -> str:
    """The token of a lease; letters, digits, `-` and `_` only."""
    kid, secret = secrets.signing_key()
    payload = _encode(
        _Signed(
            kid=kid,
            user_id=claims.user_id,
            device_id=claims.device_id,
            session_id=claims.session_id,
            device_epoch=claims.device_epoch,
            play_id=claims.play_id,
            track_id=claims.track_id,
            bitrate_kbps_max=claims.bitrate_kbps_max,
            expires_at_ms=claims.expires_at_ms,
        )
    )
    token = base64.urlsafe_b64encode(payload + _mac(secret, payload)).rstrip(b"=").decode()
    assert len(token) <= TOKEN_CHARS_MAX, f"a lease of {len(token)} characters would be refused"
    return token


def verify(token: str, secrets: Secrets, *, now_ms: Millis) -> LeaseClaims:
    """What the lease says, once its signature and its time are right.

    Raises Rejected LEASE_INVALID (UnknownKey when the key is not known here) or LEASE_EXPIRED. Whether the
    device epoch is still the session's, and whether a file belongs to the lease, is for the caller to ask.
    """
    payload, mac = _opened(token)
    try:
        signed = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _invalid("it does not hold what a lease holds") from None
    secret = secrets.secret(signed.kid)
    if secret is None:
        raise UnknownKey(signed.kid)
    if not hmac.compare_digest(mac, _mac(secret, payload)):
        raise _invalid("its signature is not ours")
    if now_ms >= signed.expires_at_ms:
        raise Rejected(
            Code.LEASE_EXPIRED,
            f"stream lease rejected: it ran out {now_ms - signed.expires_at_ms} ms ago; renew it",
        )
    return LeaseClaims(
        user_id=signed.user_id,
        device_id=signed.device_id,
        session_id=signed.session_id,
        device_epoch=signed.device_epoch,
        play_id=signed.play_id,
        track_id=signed.track_id,
        bitrate_kbps_max=signed.bitrate_kbps_max,
        expires_at_ms=signed.expires_at_ms,
    )


def stream_path(token: str) -> str:
    """The signed prefix. Ends in `/`: a prefix without it would also cover longer names."""
    return f"/s/{token}/"


def device_epoch_key(session_id: SessionId) -> str:
    """Where the host writes a session's device epoch at a switch, with that epoch as the value's epoch."""
    return DEVICE_EPOCH_PREFIX + session_id


def _opened(token: str) -> tuple[bytes, bytes]:
    if not 0 < len(token) <= TOKEN_CHARS_MAX or not _TOKEN.fullmatch(token):
        raise _invalid("it is not shaped like one")
    try:
        signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise _invalid("it is not shaped like one") from None
    # The last character may hold bits that decoding drops: one lease has one spelling.
    if len(signed) <= _MAC_BYTES or base64.urlsafe_b64encode(signed).rstrip(b"=") != token.encode():
        raise _invalid("it is not shaped like one")
    return signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]


def _mac(secret: bytes, payload: bytes) -> bytes:
    return hmac.digest(secret, _CONTEXT + payload, "sha256")


def _invalid(why: str) -> Rejected:
    return Rejected(Code.LEASE_INVALID, f"stream lease rejected: {why}")


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Signed).decode

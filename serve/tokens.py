"""Access tokens (for REST) and tickets (for one websocket hello): JWTs signed and checked without a store.

Both are HS256 under keys of their own (`serve/keys.py`), so neither can pass for the other even before the
audience is looked at. What is accepted is spelled out: one algorithm, three header fields, every claim with
its type, one audience, one issuer. Time comes from our clock, so PyJWT checks the signature and we check the
rest.
"""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterable
from typing import Annotated, NoReturn, TypeVar

import jwt
import msgspec
from msgspec import Meta

from catalog.model import Plan
from kernel.errors import Code, Rejected
from kernel.ids import UserId
from kernel.units import Clock, Millis
from serve.accounts import Account
from serve.keys import KeyRing, Purpose
from serve.settings import Settings
from storage.recent import Recent

ISSUER = "segue"
ACCESS_AUDIENCE = "segue.api"
TICKET_AUDIENCE = "segue.connect"
ALGORITHM = "HS256"
TOKEN_CHARS_MAX = 4096
"""As `connect.frames.Token`. A token with every scope has some 1,100."""
CLOCK_SKEW_S = 5
"""How far ahead of ours another server's clock may be: a token from that far in the future is accepted. An
expiry has no such leeway."""
JTI_BYTES = 16
RECENT_TOKENS_MAX = 10_000
RECENT_TTL_MS = Millis(60_000)
"""Access tokens whose signature was checked lately: a client sends one and the same with each request, and a
look here takes a hundredth of a check. Their time and their key are looked at all the same."""

SCOPES = (
    "app-remote-control",
    "playlist-modify-private",
    "playlist-modify-public",
    "playlist-read-collaborative",
    "playlist-read-private",
    "streaming",
    "ugc-image-upload",
    "user-follow-modify",
    "user-follow-read",
    "user-library-modify",
    "user-library-read",
    "user-modify-playback-state",
    "user-read-currently-playing",
    "user-read-email",
    "user-read-playback-position",
    "user-read-playback-state",
    "user-read-private",
    "user-read-recently-played",
    "user-top-read",
)
"""The Spotify Web API's, by the same names."""

_HEADER = frozenset({"alg", "typ", "kid"})
_JWT = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

Seconds = Annotated[int, Meta(ge=0, le=1 << 40)]
C = TypeVar("C", bound="_Claims")


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and for what they may ask."""

    user_id: UserId
    scopes: frozenset[str]
    plan: Plan
    country: str
    """ISO 3166-1 alpha-2."""
    token_id: str
    issued_at_ms: Millis
    expires_at_ms: Millis


class TicketClaims(msgspec.Struct, frozen=True, kw_only=True):
    """Who opens a socket."""

    user_id: UserId
    scopes: frozenset[str]
    plan: Plan
    country: str
    token_id: str
    issued_at_ms: Millis
    expires_at_ms: Millis
    shard: int | None
    """The shard that the client was sent to; None when it was not said."""
    owner_epoch: int | None
    """The shard's epoch then; None when it was not said."""


class _Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both hold. Strict in types: no number is read out of a text."""

    iss: str
    aud: str
    sub: Annotated[str, Meta(min_length=1, max_length=64)]
    iat: Seconds
    exp: Seconds
    jti: Annotated[str, Meta(min_length=1, max_length=64)]
    scope: Annotated[str, Meta(max_length=1024)]
    plan: Plan
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]


class _Access(_Claims, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Ticket(_Claims, frozen=True, kw_only=True, forbid_unknown_fields=True):
    shard: int | None = None
    owner_epoch: int | None = None


class Tokens:
    """Issues and checks both kinds."""

    def __init__(self, keys: KeyRing, clock: Clock, settings: Settings) -> None:
        self._keys = keys
        self._clock = clock
        self.token_ttl_s = settings.token_ttl_s
        self.ticket_ttl_s = settings.ticket_ttl_s
        # token -> (what it says, the key that signed it); only of tokens that were found good.
        self._recent: Recent[str, tuple[AccessClaims, str]] = Recent(
            clock, items_max=RECENT_TOKENS_MAX, ttl_ms=RECENT_TTL_MS
        )

    def issue_access(self, account: Account, scopes: Iterable[str] = SCOPES) -> str:
        """Raises Rejected: UNAUTHORIZED for a disabled account, BAD_REQUEST for a scope there is not."""
        if account.disabled:
            raise Rejected(
                Code.UNAUTHORIZED, f"token for {account.username} rejected: the account is disabled"
            )
        now_s = self._clock.now_ms() // 1000
        return self._signed(
            Purpose.ACCESS,
            _Access(
                iss=ISSUER,
                aud=ACCESS_AUDIENCE,
                sub=account.user_id,
                iat=now_s,
                exp=now_s + self.token_ttl_s,
                jti=secrets.token_urlsafe(JTI_BYTES),
                scope=" ".join(checked_scopes(scopes)),
                plan=account.plan,
                country=account.country,
            ),
        )

    async def verify_access(self, token: str) -> AccessClaims:
        """Raises Rejected UNAUTHORIZED, and says no more than whether a new token would help."""
        if (recent := self._recent.get(token)) is not None:
            await self._keys.refresh_if_due()
            known, kid = recent
            accepted = self._keys.of(Purpose.ACCESS).secret(kid) is not None
            if accepted and self._clock.now_ms() < known.expires_at_ms:
                return known
        claims = await self._verified(token, Purpose.ACCESS, _Access, ACCESS_AUDIENCE)
        access = AccessClaims(
            user_id=UserId(claims.sub),
            scopes=frozenset(claims.scope.split()),
            plan=claims.plan,
            country=claims.country,
            token_id=claims.jti,
            issued_at_ms=Millis(claims.iat * 1000),
            expires_at_ms=Millis(claims.exp * 1000),
        )
        self._recent.put(token, (access, _kid(token)))
        return access

    def issue_ticket(
        self, access: AccessClaims, *, shard: int | None = None, owner_epoch: int | None = None
    ) -> str:
        """A ticket for whoever holds `access`; it may outlive the token by its own short life."""
        now_s = self._clock.now_ms() // 1000
        return self._signed(
            Purpose.TICKET,
            _Ticket(
                iss=ISSUER,
                aud=TICKET_AUDIENCE,
                sub=access.user_id,
                iat=now_s,
                exp=now_s + self.ticket_ttl_s,
                jti=secrets.token_urlsafe(JTI_BYTES),
                scope=" ".join(sorted(access.scopes)),
                plan=access.plan,
                country=access.country,
                shard=shard,
                owner_epoch=owner_epoch,
            ),
        )

    async def verify_ticket(self, ticket: str) -> TicketClaims:
        """Raises Rejected UNAUTHORIZED."""
        claims = await self._verified(ticket, Purpose.TICKET, _Ticket, TICKET_AUDIENCE)
        return TicketClaims(
            user_id=UserId(claims.sub),
            scopes=frozenset(claims.scope.split()),
            plan=claims.plan,
            country=claims.country,
            token_id=claims.jti,
            issued_at_ms=Millis(claims.iat * 1000),
            expires_at_ms=Millis(claims.exp * 1000),
            shard=claims.shard,
            owner_epoch=claims.owner_epoch,
        )

    def _signed(self, purpose: Purpose, claims: _Claims) -> str:
        kid, secret = self._keys.of(purpose).signing_key()
        return _jws.encode(msgspec.json.encode(claims), secret, algorithm=ALGORITHM, headers={"kid": kid})

    async def _verified(self, token: str, purpose: Purpose, shape: type[C], audience: str) -> C:
        kid = _kid(token)
        await self._keys.refresh_if_due()
        if not await self._keys.learn(purpose, kid):
            _refuse("it is not signed by this server")
        secret = self._keys.of(purpose).secret(kid)
        assert secret is not None, "learn said that it is accepted"
        try:
            payload: bytes = _jws.decode(token, secret, algorithms=[ALGORITHM])
            claims = msgspec.json.decode(payload, type=shape)
        except (jwt.PyJWTError, msgspec.DecodeError, ValueError):
            _refuse("it is not signed by this server, or holds what no token holds")
        if claims.iss != ISSUER or claims.aud != audience:
            _refuse("it is meant for something else")
        now_ms = self._clock.now_ms()
        if claims.iat * 1000 > now_ms + CLOCK_SKEW_S * 1000:
            _refuse("it is from the future")
        if now_ms >= claims.exp * 1000:
            _refuse("it has expired", expired=True)
        return claims


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order. Raises Rejected BAD_REQUEST for one that does not exist."""
    wanted = set(scopes)
    if unknown := sorted(wanted - set(SCOPES)):
        raise Rejected(
            Code.BAD_REQUEST,
            f"scope {unknown[0][:64]!r} asked for: there is no such scope",
            {"error": "invalid_scope"},
        )
    return tuple(sorted(wanted))


def require_scope(claims: AccessClaims | TicketClaims, *any_of: str) -> None:
    """Raises Rejected FORBIDDEN unless the token holds one of the scopes."""
    if claims.scopes.isdisjoint(any_of):
        raise Rejected(Code.FORBIDDEN, f"token rejected: it lacks the scope {' or '.join(any_of)}")


def _kid(token: str) -> str:
    """The key that the token names, read before its signature can be checked: trusted for nothing else."""
    if len(token) > TOKEN_CHARS_MAX or not (shaped := _JWT.fullmatch(token)):
        _refuse("it is not a token")
    part = shaped.group(1)
    try:
        header = json.loads(
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), object_pairs_hook=_without_repeats
        )
    except (ValueError, binascii.Error, RecursionError):
        _refuse("it is not a token")
    if not isinstance(header, dict) or not header.keys() <= _HEADER:
        # Also refuses `crit`, `jku`, `jwk`, `x5u`: we write none of them, so a token with one is not ours.
        _refuse("it is not signed by this server")
    kid = header.get("kid")
    if header.get("alg") != ALGORITHM or header.get("typ", "JWT") != "JWT" or not isinstance(kid, str):
        _refuse("it is not signed by this server")
    return kid


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice")
    return found


def _refuse(why: str, *, expired: bool = False) -> NoReturn:
    raise Rejected(Code.UNAUTHORIZED, f"token rejected: {why}", {"expired": expired})


# Knows one algorithm, so that no header can choose another.
_jws = jwt.PyJWS(algorithms=[ALGORITHM], options={"enforce_minimum_key_length": True})

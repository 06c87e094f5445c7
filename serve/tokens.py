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
from serve.identity.withdrawals import Withdrawals
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

CLIENT_SUBJECT = "client:"
"""Before a client's id, where a user's id would stand. No user id has a colon."""

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
    session_epoch: int = 0
    """The user's, when it was issued."""
    client_id: str = ""
    """The registered client that it was given to; empty for our own page, devices and commands."""
    family: str = ""
    """Which login of that client it came from; empty when from none."""

    @property
    def is_user(self) -> bool:
        """False for the token of a client that acts for itself."""
        return not self.user_id.startswith(CLIENT_SUBJECT)


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
    session_epoch: int = 0
    client_id: str = ""
    family: str = ""
    """These three as in `AccessClaims`."""


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
    epoch: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    client: Annotated[str, Meta(max_length=64)] = ""
    family: Annotated[str, Meta(max_length=64)] = ""


class _Access(_Claims, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Ticket(_Claims, frozen=True, kw_only=True, forbid_unknown_fields=True):
    shard: int | None = None
    owner_epoch: int | None = None


class Tokens:
    """Issues and checks both kinds."""

    def __init__(
        self, keys: KeyRing, clock: Clock, settings: Settings, withdrawals: Withdrawals | None = None
    ) -> None:
        """`withdrawals`: None where nothing can be withdrawn (a benchmark, a test of something else)."""
        self._keys = keys
        self.withdrawals = withdrawals
        self._clock = clock
        self.token_ttl_s = settings.token_ttl_s
        self.ticket_ttl_s = settings.ticket_ttl_s
        # token -> (what it says, the key that signed it); only of tokens that were found good.
        self._recent: Recent[str, tuple[AccessClaims, str]] = Recent(
            clock, items_max=RECENT_TOKENS_MAX, ttl_ms=RECENT_TTL_MS
        )

    def issue_access(
        self,
        account: Account,
        scopes: Iterable[str] = SCOPES,
        *,
        client_id: str = "",
        family: str = "",
    ) -> str:
        """Raises Rejected: UNAUTHORIZED for a disabled account, BAD_REQUEST for a scope there is not."""
        if account.disabled:
            raise Rejected(
                Code.UNAUTHORIZED, f"token for {account.username} rejected: the account is disabled"
            )
        return self._access(
            account.user_id,
            checked_scopes(scopes),
            plan=account.plan,
            country=account.country,
            session_epoch=account.session_epoch,
            client_id=client_id,
            family=family,
        )

    def issue_client_access(self, client_id: str, *, country: str) -> str:
        """For a client that asks for itself: it sees the catalogue, and nobody's library or player."""
        return self._access(
            UserId(CLIENT_SUBJECT + client_id),
            (),
            plan=Plan.FREE,
            country=country,
            session_epoch=0,
            client_id=client_id,
            family="",
        )

    def _access(
        self,
        user_id: UserId,
        scopes: Iterable[str],
        *,
        plan: Plan,
        country: str,
        session_epoch: int,
        client_id: str,
        family: str,
    ) -> str:
        now_s = self._clock.now_ms() // 1000
        return self._signed(
            Purpose.ACCESS,
            _Access(
                iss=ISSUER,
                aud=ACCESS_AUDIENCE,
                sub=user_id,
                iat=now_s,
                exp=now_s + self.token_ttl_s,
                jti=secrets.token_urlsafe(JTI_BYTES),
                scope=" ".join(scopes),
                plan=plan,
                country=country,
                epoch=session_epoch,
                client=client_id,
                family=family,
            ),
        )

    async def verify_access(self, token: str) -> AccessClaims:
        """Raises Rejected UNAUTHORIZED, and says no more than whether a new token would help."""
        if (recent := self._recent.get(token)) is not None:
            await self._keys.refresh_if_due()
            known, kid = recent
            accepted = self._keys.of(Purpose.ACCESS).secret(kid) is not None
            if accepted and self._clock.now_ms() < known.expires_at_ms:
                await self._require_current(known)
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
            session_epoch=claims.epoch,
            client_id=claims.client,
            family=claims.family,
        )
        await self._require_current(access)
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
                epoch=access.session_epoch,
                client=access.client_id,
                family=access.family,
                shard=shard,
                owner_epoch=owner_epoch,
            ),
        )

    async def verify_ticket(self, ticket: str) -> TicketClaims:
        """Raises Rejected UNAUTHORIZED."""
        claims = await self._verified(ticket, Purpose.TICKET, _Ticket, TICKET_AUDIENCE)
        ticket_claims = TicketClaims(
            user_id=UserId(claims.sub),
            scopes=frozenset(claims.scope.split()),
            plan=claims.plan,
            country=claims.country,
            token_id=claims.jti,
            issued_at_ms=Millis(claims.iat * 1000),
            expires_at_ms=Millis(claims.exp * 1000),
            shard=claims.shard,
            owner_epoch=claims.owner_epoch,
            session_epoch=claims.epoch,
            client_id=claims.client,
            family=claims.family,
        )
        await self._require_current(ticket_claims)
        return ticket_claims

    async def _require_current(self, claims: AccessClaims | TicketClaims) -> None:
        """Raises Rejected UNAUTHORIZED. Nothing suspends after the look itself."""
        if self.withdrawals is not None:
            await self.withdrawals.refresh_if_due()
            self.withdrawals.require_current(claims)

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

"""Authorization codes and refresh tokens: what a client turns into access tokens.

Everything is inserted once and nothing is updated, so each "may be used once" is an insert that only one can
win, whichever process they come to:

    codes           hash of the code        what it was given for; 60 s
    codes_used      hash of the code        nothing: who inserts it redeems the code
    families        family id               one login of one client: user, scopes, session epoch
    refresh_tokens  hash of the token       its family
    refresh_used    hash of the token       nothing: who inserts it gets the next token
    families_ended  family id               nothing: there when no token of the family counts any more

A code or refresh token that comes a second time was copied by somebody. Which of the two is the thief cannot
be told, so the whole family ends (RFC 9700 §4.14.2, RFC 6749 §4.1.2): both have to log in again.
A login also ends with its user's session epoch, their consent, or their account; that is looked up at use.
"""

import base64
import hashlib
import re
import secrets

import msgspec

from kernel.ids import UserId
from kernel.units import Clock, Millis
from serve.accounts import Account, Accounts
from serve.identity.clients import Client
from serve.identity.consents import FAMILY_S, Consents, end_family
from serve.identity.opaque import hash_of, new_secret, same
from serve.identity.refusals import INVALID_GRANT, INVALID_SCOPE, refused
from serve.identity.shelf import Shelf

CODE_S = 60
CODE_KEPT_S = 3_600
"""As long as a token made from it may live: until then a second use still ends those."""
REFRESH_S = 30 * 86_400
"""Life of a refresh token that is not used."""
FAMILY_BYTES = 12

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
"""Of S256: a SHA-256 in base64url without padding."""
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One login of one client."""

    family: str
    user_id: UserId
    client_id: str
    scopes: frozenset[str]
    session_epoch: int
    ends_at_ms: Millis


class _Code(msgspec.Struct, frozen=True, kw_only=True):
    login: Family
    redirect_uri: str
    challenge: str
    """Empty when a confidential client asked without PKCE."""
    expires_at_ms: Millis
    kept_until_ms: Millis


class _Refresh(msgspec.Struct, frozen=True, kw_only=True):
    family: str
    expires_at_ms: Millis


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """What a token answer is made from."""

    account: Account
    login: Family
    scopes: frozenset[str]
    """Of the access token; the login's, or fewer when fewer were asked for."""
    refresh_token: str


class Grants:
    def __init__(self, shelf: Shelf, accounts: Accounts, consents: Consents, clock: Clock) -> None:
        self._shelf = shelf
        self._accounts = accounts
        self._consents = consents
        self._clock = clock

    # --- codes --------------------------------------------------------------------------------------

    async def issue_code(
        self,
        client: Client,
        account: Account,
        *,
        scopes: frozenset[str],
        redirect_uri: str,
        challenge: str,
    ) -> str:
        now_ms = self._clock.now_ms()
        code = new_secret()
        stored = _Code(
            login=self.new_login(client, account, scopes),
            redirect_uri=redirect_uri,
            challenge=challenge,
            expires_at_ms=Millis(now_ms + CODE_S * 1000),
            kept_until_ms=Millis(now_ms + CODE_KEPT_S * 1000),
        )
        await self._shelf.insert("codes", hash_of(code), _encode(stored), until_ms=stored.kept_until_ms)
        return code

    async def redeem_code(self, client: Client, code: str, *, redirect_uri: str, verifier: str) -> Granted:
        """Raises Rejected with OAuth's invalid_grant.

        A code of another client is refused and stays good, or any client could spoil any other's. Whatever
        else is wrong spends it: a thief gets one guess.
        """
        found = await self._shelf.get("codes", hash_of(code))
        stored = _decode_code(found) if found is not None else None
        if stored is None or stored.login.client_id != client.client_id:
            raise refused(INVALID_GRANT, "code rejected: it is not one that was given to this client")
        first = await self._shelf.insert("codes_used", hash_of(code), b"", until_ms=stored.kept_until_ms)
        if not first:
            await self.end(stored.login)
            raise refused(
                INVALID_GRANT, "code rejected: it was used before; the tokens made from it are withdrawn"
            )
        if self._clock.now_ms() >= stored.expires_at_ms:
            raise refused(INVALID_GRANT, f"code rejected: it is older than {CODE_S} s")
        if not same(redirect_uri, stored.redirect_uri):
            raise refused(INVALID_GRANT, "code rejected: redirect_uri is not the one it was sent to")
        self._check_verifier(stored.challenge, verifier)
        account = await self.account_of(stored.login)
        return Granted(
            account=account,
            login=stored.login,
            scopes=stored.login.scopes,
            refresh_token=await self.begin(stored.login),
        )

    def _check_verifier(self, challenge: str, verifier: str) -> None:
        if not challenge:
            if verifier:
                # RFC 9700 §4.8.2: somebody removed the challenge on the way to us.
                raise refused(INVALID_GRANT, "code rejected: it was asked for without a code_challenge")
            return
        if not _VERIFIER.fullmatch(verifier) or not same(s256(verifier), challenge):
            raise refused(INVALID_GRANT, "code rejected: code_verifier does not fit its code_challenge")

    # --- refresh tokens -----------------------------------------------------------------------------

    def new_login(self, client: Client, account: Account, scopes: frozenset[str]) -> Family:
        return Family(
            family=secrets.token_urlsafe(FAMILY_BYTES),
            user_id=account.user_id,
            client_id=client.client_id,
            scopes=scopes,
            session_epoch=account.session_epoch,
            ends_at_ms=Millis(self._clock.now_ms() + FAMILY_S * 1000),
        )

    async def begin(self, login: Family) -> str:
        """Its first refresh token."""
        index = f"{login.user_id}/{login.client_id}/{login.family}"
        await self._shelf.insert("families_of", index, b"", until_ms=login.ends_at_ms)
        await self._shelf.insert("families", login.family, _encode(login), until_ms=login.ends_at_ms)
        return await self._next_token(login)

    async def refresh(self, client: Client, token: str, *, scopes: frozenset[str] | None) -> Granted:
        """The next refresh token for this one. `scopes` None asks for all that were granted.

        Raises Rejected with OAuth's invalid_grant or invalid_scope.
        """
        found = await self._shelf.get("refresh_tokens", hash_of(token))
        stored = _decode_refresh(found) if found is not None else None
        kept = await self._shelf.get("families", stored.family) if stored is not None else None
        login = _decode_family(kept) if kept is not None else None
        if stored is None or login is None or login.client_id != client.client_id:
            raise refused(INVALID_GRANT, "refresh token rejected: it is not one of this client's")
        if scopes is not None and not scopes <= login.scopes:
            raise refused(
                INVALID_SCOPE,
                f"scope {min(scopes - login.scopes)!r} asked for: the user did not grant it to this login",
            )
        if self._clock.now_ms() >= min(stored.expires_at_ms, login.ends_at_ms):
            raise refused(INVALID_GRANT, "refresh token rejected: it has expired")
        account = await self.account_of(login)
        # Kept for the whole family's time: who stole it may be late.
        first = await self._shelf.insert("refresh_used", hash_of(token), b"", until_ms=login.ends_at_ms)
        if not first:
            await self.end(login)
            raise refused(
                INVALID_GRANT,
                "refresh token rejected: it was used before, so all of this login are withdrawn",
            )
        return Granted(
            account=account,
            login=login,
            scopes=login.scopes if scopes is None else scopes,
            refresh_token=await self._next_token(login),
        )

    async def end(self, login: Family) -> None:
        """No token of this login counts any more; access tokens within seconds."""
        await end_family(self._shelf, self._clock, login.family)

    async def end_token(self, client: Client, token: str) -> None:
        """The login of this refresh token (RFC 7009); one that is not this client's does nothing."""
        found = await self._shelf.get("refresh_tokens", hash_of(token))
        kept = await self._shelf.get("families", _decode_refresh(found).family) if found is not None else None
        login = _decode_family(kept) if kept is not None else None
        if login is not None and login.client_id == client.client_id:
            await self.end(login)

    async def _next_token(self, login: Family) -> str:
        token = new_secret()
        expires_at_ms = min(Millis(self._clock.now_ms() + REFRESH_S * 1000), login.ends_at_ms)
        stored = _Refresh(family=login.family, expires_at_ms=expires_at_ms)
        # Kept as long as its family: one that comes back late is told from one that never was.
        await self._shelf.insert("refresh_tokens", hash_of(token), _encode(stored), until_ms=login.ends_at_ms)
        return token

    async def account_of(self, login: Family) -> Account:
        """Whose login it is. Raises Rejected invalid_grant when it has ended in any way."""
        ended = await self._shelf.get("families_ended", login.family)
        account = await self._accounts.get(login.user_id)
        if (
            ended is not None
            or account is None
            or account.disabled
            or account.must_change
            or account.session_epoch > login.session_epoch
            or not await self._consents.covers(login.user_id, login.client_id, login.scopes)
        ):
            raise refused(INVALID_GRANT, "grant rejected: this login has ended; the user must log in again")
        return account


def s256(verifier: str) -> str:
    """RFC 7636 §4.2."""
    digest = hashlib.sha256(verifier.encode("ascii", "replace")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


_encode = msgspec.msgpack.Encoder().encode
_decode_code = msgspec.msgpack.Decoder(_Code).decode
_decode_family = msgspec.msgpack.Decoder(Family).decode
_decode_refresh = msgspec.msgpack.Decoder(_Refresh).decode

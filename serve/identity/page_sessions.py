"""The page's sessions: a cookie that stands for a login, and changes every hour.

    page_sessions   hash of the cookie     whose it is, of which chain
    page_rotations  hash of the cookie     salt: the next cookie is a hash of this one and the salt
    page_seen       hash of the cookie     when it was first shown to us
    page_ended      chain                  nothing: logged out

The next cookie follows from the old one and the salt, so two tabs that rotate at one time get the same, and
an answer that is lost on the way costs nothing: the old cookie asks again. Once the next one has been seen,
the old one is good for GRACE_S more (requests that were under way); after that whoever shows it copied it,
and the chain ends for all.
"""

import base64
import hashlib
import secrets

import msgspec

from kernel.ids import UserId
from kernel.units import Clock, Millis
from serve.accounts import Account, Accounts
from serve.identity.opaque import SECRET_BYTES, hash_of, new_secret
from serve.identity.shelf import Shelf

COOKIE = "segue_session"
LIFE_S = 30 * 86_400
"""Of a page that is not opened."""
CHAIN_S = 180 * 86_400
ROTATE_AFTER_S = 3_600
GRACE_S = 60
CHAIN_BYTES = 12
COOKIE_CHARS_MAX = 64


class _Session(msgspec.Struct, frozen=True, kw_only=True):
    chain: str
    user_id: UserId
    session_epoch: int
    made_at_ms: Millis
    chain_ends_ms: Millis


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was found good."""

    account: Account
    next_cookie: str | None
    """To be set instead of the one that was shown; None: keep it."""


class PageSessions:
    def __init__(self, shelf: Shelf, accounts: Accounts, clock: Clock) -> None:
        self._shelf = shelf
        self._accounts = accounts
        self._clock = clock

    async def begin(self, account: Account) -> str:
        """The cookie of a new chain: at every login, so nobody can plant one that they know."""
        now_ms = self._clock.now_ms()
        cookie = new_secret()
        await self._keep(
            cookie,
            _Session(
                chain=secrets.token_urlsafe(CHAIN_BYTES),
                user_id=account.user_id,
                session_epoch=account.session_epoch,
                made_at_ms=now_ms,
                chain_ends_ms=Millis(now_ms + CHAIN_S * 1000),
            ),
        )
        return cookie

    async def open(self, cookie: str | None, *, rotate: bool = False) -> Opened | None:
        """Whose cookie it is; None when it is nobody's, or no longer."""
        session = await self._session(cookie)
        if session is None or cookie is None:
            return None
        now_ms = self._clock.now_ms()
        account = await self._accounts.get(session.user_id)
        if (
            account is None
            or account.disabled
            or account.must_change
            or account.session_epoch > session.session_epoch
            or await self._shelf.get("page_ended", session.chain) is not None
        ):
            return None
        until_ms = self._until(session)
        await self._shelf.insert("page_seen", hash_of(cookie), str(now_ms).encode(), until_ms=until_ms)
        salt = await self._shelf.get("page_rotations", hash_of(cookie))
        if salt is None:
            if not rotate or now_ms - session.made_at_ms < ROTATE_AFTER_S * 1000:
                return Opened(account=account, next_cookie=None)
            fresh = secrets.token_bytes(SECRET_BYTES)
            first = await self._shelf.insert("page_rotations", hash_of(cookie), fresh, until_ms=until_ms)
            salt = fresh if first else await self._shelf.get("page_rotations", hash_of(cookie))
            assert salt is not None, "just inserted, by us or by another"
        following = _following(cookie, salt)
        seen = await self._shelf.get("page_seen", hash_of(following))
        if seen is not None:
            if now_ms - int(seen) > GRACE_S * 1000:
                await self._end(session)
                return None
            return Opened(account=account, next_cookie=None)
        await self._keep(following, msgspec.structs.replace(session, made_at_ms=now_ms))
        return Opened(account=account, next_cookie=following)

    async def end(self, cookie: str | None) -> None:
        """Log out. One that is nobody's does nothing."""
        session = await self._session(cookie)
        if session is not None:
            await self._end(session)

    async def _session(self, cookie: str | None) -> _Session | None:
        if not cookie or len(cookie) > COOKIE_CHARS_MAX:
            return None
        found = await self._shelf.get("page_sessions", hash_of(cookie))
        session = _decode(found) if found is not None else None
        if session is None or self._clock.now_ms() >= self._until(session):
            return None
        return session

    async def _keep(self, cookie: str, session: _Session) -> None:
        await self._shelf.insert(
            "page_sessions", hash_of(cookie), _encode(session), until_ms=self._until(session)
        )

    async def _end(self, session: _Session) -> None:
        await self._shelf.insert("page_ended", session.chain, b"", until_ms=session.chain_ends_ms)

    def _until(self, session: _Session) -> Millis:
        return min(Millis(session.made_at_ms + LIFE_S * 1000), session.chain_ends_ms)


def _following(cookie: str, salt: bytes) -> str:
    # In a hash's place for a random one: as hard to guess as its predecessor, which nobody else has.
    digest = hashlib.sha256(salt + cookie.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Session).decode

"""Accounts: who may log in, on which plan, from which country.

What is stored is split by who writes it, because a store has inserts and last-writer-wins and nothing
between:

    usernames          casefolded name -> user id      claimed once, by insert
    accounts           user id -> the account          inserted once; this insert is what makes the account
    account_passwords  user id -> a later hash         replaced by `set_password`
    account_blocks     user id -> nothing              there while the account is disabled
    must_change        user id -> nothing              there until the first password was replaced
    session_epochs     user id/epoch -> when           one more by each "log out everywhere"
    explicit_filters   user id -> nothing              there while explicit pieces are not to be played

So a password change and a disabling at one instant cannot undo each other. A name that was claimed by a
process that died before its second insert is free for the next who asks: whoever inserts the account under
the claimed id has the name.
"""

import asyncio
import random
import re
import unicodedata
from collections.abc import Sequence

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from catalog.markets import MARKETS
from catalog.model import Plan
from kernel.errors import Code, Rejected, Unavailable
from kernel.ids import UserId, catalogue_id, ulid
from kernel.units import Clock, Millis
from serve.buckets import SharedBuckets
from serve.identity.addresses import range_of
from serve.identity.withdrawals import withdraw_user
from storage.ports import Documents, Volatile
from storage.preferences import Preferences

USERNAME_CHARS_MAX = 64
PASSWORD_CHARS_MIN = 8
PASSWORD_BYTES_MAX = 1024
"""Hashing takes longer for a longer one, though little; a password of a megabyte is an attack."""

HASHES_AT_ONCE = 2
HASHES_WAITING_MAX = 32
"""At 40 ms each, the last of these waits under a second; more is an attack or a wrong size of machine."""
HASHES_RETRY_AFTER_MS = Millis(1_000)

ACCOUNT_TRIES_BURST = 10
ACCOUNT_TRY_EVERY_S = 6.0
ADDRESS_TRIES_BURST = 30
ADDRESS_TRY_EVERY_S = 1.0
RANGE_TRIES_BURST = 100
RANGE_TRY_EVERY_S = 0.3
"""Of a /24 or /56: one customer or one office, where several people may mistype."""
EPOCH_DIGITS = 8
EPOCHS_READ_MAX = 100
"""Each raise removes those below it, so one or two exist."""
EPOCH_TRIES = 8
NAMES_LIMITED_MAX = 10_000

# Letters and digits of any script; a name also stands in URLs, logs and other people's playlists.
_USERNAME = re.compile(r"\w[\w.@+-]*")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One listener."""

    user_id: UserId
    username: str
    """As typed when it was made; unique regardless of case."""
    plan: Plan = Plan.PREMIUM
    country: str
    """ISO 3166-1 alpha-2."""
    explicit_filter: bool = False
    """Explicit tracks are not played."""
    created_at_ms: Millis
    disabled: bool = False
    """No token is issued, and those that exist are refused within seconds."""
    must_change: bool = False
    """The password was made by somebody else: it lets its bearer choose another one, and nothing more."""
    admin: bool = False
    """Runs the server."""
    session_epoch: int = 0
    """How often this user was logged out everywhere; a token of a lower epoch is refused."""


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    user_id: UserId
    username: str
    plan: Plan
    country: str
    created_at_ms: Millis
    first_hash: str
    """Of the password it was made with; `account_passwords` overrides it."""
    admin: bool = False


class Accounts:
    def __init__(
        self,
        documents: Documents,
        clock: Clock,
        *,
        hasher: PasswordHasher | None = None,
        volatile: Volatile | None = None,
    ) -> None:
        """`hasher`: tests pass a cheap one. `volatile`: where all processes that log people in count their
        tries together; None: this one counts alone."""
        self._documents = documents
        self._clock = clock
        self._preferences = Preferences(documents)
        # OWASP's argon2id figures (19 MiB, t=2, p=1): 40 ms of one core, which sessions share.
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._hashes_waiting = 0
        self._dummy_hash: str | None = None

        def tries(kind: str, burst: int, refill_s: float) -> SharedBuckets:
            return SharedBuckets(
                clock, volatile, kind=kind, burst=burst, refill_s=refill_s, names_max=NAMES_LIMITED_MAX
            )

        self._account_tries = tries("account", ACCOUNT_TRIES_BURST, ACCOUNT_TRY_EVERY_S)
        self._address_tries = tries("address", ADDRESS_TRIES_BURST, ADDRESS_TRY_EVERY_S)
        self._range_tries = tries("range", RANGE_TRIES_BURST, RANGE_TRY_EVERY_S)

    async def add(
        self,
        username: str,
        password: str,
        *,
        plan: str = Plan.PREMIUM,
        country: str = "US",
        explicit_filter: bool = False,
        admin: bool = False,
        must_change: bool = False,
    ) -> Account:
        """Raises Rejected BAD_REQUEST, also when the name is taken (details.reason `taken`)."""
        name = checked_username(username)
        stored = _Stored(
            user_id=await self._claim(name),
            username=unicodedata.normalize("NFKC", username.strip()),
            plan=checked_plan(plan),
            country=checked_country(country),
            created_at_ms=self._clock.now_ms(),
            first_hash=await self._hash(checked_password(password)),
            admin=admin,
        )
        if (must_change or explicit_filter) and await self.get(stored.user_id) is None:
            # Before the account is there, so that nobody gets in between.
            if must_change:
                await self._documents.put("must_change", [(stored.user_id, b"")])
            await self._preferences.set_explicit_filter(stored.user_id, enabled=explicit_filter)
        if not await self._documents.insert("accounts", stored.user_id, _encode(stored)):
            raise Rejected(
                Code.BAD_REQUEST, f"account {username!r} rejected: the name is taken", {"reason": "taken"}
            )
        return _account(stored, disabled=False, must_change=must_change, explicit_filter=explicit_filter)

    async def get(self, user_id: UserId) -> Account | None:
        """None when there is no such account."""
        [account] = await self._get([user_id])
        return account

    async def named(self, username: str) -> Account | None:
        """None when there is no such account."""
        user_id = await self._user_id(_folded(username))
        return await self.get(user_id) if user_id else None

    async def page(self, *, after: UserId | None = None, limit: int = 100) -> list[Account]:
        """Up to `limit` accounts in order of user id, those after `after`."""
        rows = await self._documents.scan("accounts", after=after or "", limit=limit)
        found = await self._get([UserId(user_id) for user_id, _ in rows])
        return [account for account in found if account is not None]

    async def set_password(self, username: str, password: str) -> None:
        """Raises Rejected NOT_FOUND or BAD_REQUEST. Logs the user out everywhere."""
        account = await self._named_or_refused(username)
        hashed = await self._hash(checked_password(password))
        await self._documents.put("account_passwords", [(account.user_id, hashed.encode())])
        await self._documents.delete("must_change", [account.user_id])
        await self.end_sessions(account.user_id)

    async def set_disabled(self, username: str, *, disabled: bool) -> None:
        """Raises Rejected NOT_FOUND. Repeating it changes nothing."""
        account = await self._named_or_refused(username)
        if disabled:
            await self._documents.put("account_blocks", [(account.user_id, b"")])
            await self.end_sessions(account.user_id)
        else:
            await self._documents.delete("account_blocks", [account.user_id])

    async def log_out(self, username: str) -> None:
        """Everywhere. Raises Rejected NOT_FOUND."""
        await self.end_sessions((await self._named_or_refused(username)).user_id)

    async def end_sessions(self, user_id: UserId) -> int:
        """Log the user out everywhere: tokens, logins of clients, sessions of the page, sockets.

        Gives the epoch that tokens must have from now on. Raises Unavailable; repeating it is safe.
        """
        for _ in range(EPOCH_TRIES):
            older = await self._epochs(user_id)
            epoch = (older[-1] if older else 0) + 1
            # Two at once take two numbers: what was issued between them is refused by the second.
            if await self._documents.insert("session_epochs", _epoch_id(user_id, epoch), b""):
                await withdraw_user(self._documents, self._clock, user_id, session_epoch=epoch)
                await self._documents.delete("session_epochs", [_epoch_id(user_id, each) for each in older])
                return epoch
        raise Unavailable(Code.BUSY, "logout not done: too many at one time", None, HASHES_RETRY_AFTER_MS)

    async def _epochs(self, user_id: UserId) -> list[int]:
        rows = await self._documents.scan("session_epochs", prefix=f"{user_id}/", limit=EPOCHS_READ_MAX)
        return [int(doc_id.rpartition("/")[2]) for doc_id, _ in rows]

    async def log_in(self, username: str, password: str, *, address: str) -> Account:
        """The account, when the password is its.

        `address` is the peer's, for the limit on guesses; one that succeeds does not count. Raises Rejected
        UNAUTHORIZED with one and the same text whether the name, the password or the account is at fault;
        Unavailable RATE_LIMITED or BUSY with a time to wait.
        """
        tries = self._tries(_folded(username)[:USERNAME_CHARS_MAX], address)
        for place, (buckets, name) in enumerate(tries):
            if (wait_ms := await buckets.take(name)) is not None:
                await _give_back(tries[:place])
                raise Unavailable(Code.RATE_LIMITED, "login rejected: too many tries", None, wait_ms)
        try:
            account = await self.verify(username, password)
        except Unavailable:
            await _give_back(tries)  # nothing was learnt about the password
            raise
        if account is None:
            raise Rejected(
                Code.UNAUTHORIZED, "login rejected: no enabled account has this name and this password"
            )
        await _give_back(tries)
        return account

    async def verify(self, username: str, password: str) -> Account | None:
        """The account; None when there is none, it is disabled, or the password is wrong.

        Costs the same in all four cases, so the time it takes tells nobody which names exist. Raises
        Unavailable BUSY with a time to wait.
        """
        user_id = await self._user_id(_folded(username))
        ids = [user_id or ""]
        [stored] = await self._documents.get("accounts", ids)
        [later] = await self._documents.get("account_passwords", ids)
        [block] = await self._documents.get("account_blocks", ids)
        [must_change] = await self._documents.get("must_change", ids)
        explicit_filter = await self._preferences.explicit_filter(UserId(ids[0]))
        epochs = await self._epochs(UserId(ids[0]))
        found = _decode(stored) if stored is not None else None
        if len(password.encode("utf-8", "surrogatepass")) > PASSWORD_BYTES_MAX:
            password = ""  # still pays for one hash
        hashed = await self._dummy()  # asked for even when it is not used: it is made by the first who come
        if found is not None:
            hashed = later.decode() if later is not None else found.first_hash
        right = await self._right(hashed, password)
        if not (found and right and block is None):
            return None
        return _account(
            found,
            disabled=False,
            must_change=must_change is not None,
            explicit_filter=explicit_filter,
            session_epoch=epochs[-1] if epochs else 0,
        )

    def _tries(self, name: str, address: str) -> tuple[tuple[SharedBuckets, str], ...]:
        return (
            (self._range_tries, range_of(address)),
            (self._address_tries, address),
            (self._account_tries, name),
        )

    async def _claim(self, name: str) -> UserId:
        """The id that belongs to the name, ours or that of whoever claimed it first."""
        fresh = UserId(catalogue_id("user", ulid(self._clock.now_ms(), random.SystemRandom())))
        if await self._documents.insert("usernames", name, fresh.encode()):
            return fresh
        claimed = await self._user_id(name)
        assert claimed is not None, "a claim is never removed"
        return claimed

    async def _user_id(self, name: str) -> UserId | None:
        [found] = await self._documents.get("usernames", [name])
        return UserId(found.decode()) if found is not None else None

    async def _get(self, ids: Sequence[UserId]) -> list[Account | None]:
        stored = await self._documents.get("accounts", ids)
        blocks = await self._documents.get("account_blocks", ids)
        changes = await self._documents.get("must_change", ids)
        found: list[Account | None] = []
        for value, block, change in zip(stored, blocks, changes, strict=True):
            account = _decode(value) if value is not None else None
            if account is None:
                found.append(None)
                continue
            epochs = await self._epochs(account.user_id)
            found.append(
                _account(
                    account,
                    disabled=block is not None,
                    must_change=change is not None,
                    explicit_filter=await self._preferences.explicit_filter(account.user_id),
                    session_epoch=epochs[-1] if epochs else 0,
                )
            )
        return found

    async def _named_or_refused(self, username: str) -> Account:
        account = await self.named(username)
        if account is None:
            raise Rejected(Code.NOT_FOUND, f"account {username!r} asked for: there is none of that name")
        return account

    async def _dummy(self) -> str:
        if self._dummy_hash is None:
            self._dummy_hash = await self._hash("nobody has this password")
        return self._dummy_hash

    async def _hash(self, password: str) -> str:
        async with _Place(self):
            return await asyncio.to_thread(self._hasher.hash, password.encode("utf-8", "surrogatepass"))

    async def _right(self, hashed: str, password: str) -> bool:
        async with _Place(self):
            return await asyncio.to_thread(self._check, hashed, password)

    def _check(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False


class _Place:
    """A place among those that may hash at one time. Raises Unavailable BUSY when too many wait."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def __aenter__(self) -> None:
        accounts = self._accounts
        if accounts._hashes_waiting >= HASHES_WAITING_MAX:
            raise Unavailable(
                Code.BUSY, "password not checked: too many wait to be", None, HASHES_RETRY_AFTER_MS
            )
        accounts._hashes_waiting += 1
        try:
            await accounts._hashing.acquire()
        finally:
            accounts._hashes_waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._accounts._hashing.release()


def checked_username(username: str) -> str:
    """The name in the form that must be unique. Raises Rejected BAD_REQUEST."""
    name = _folded(username)
    if not 1 <= len(name) <= USERNAME_CHARS_MAX or not _USERNAME.fullmatch(name):
        raise Rejected(
            Code.BAD_REQUEST,
            f"username {username[:USERNAME_CHARS_MAX]!r} rejected: it may be at most {USERNAME_CHARS_MAX}"
            " letters, digits and . _ @ + -, beginning with a letter or digit",
        )
    return name


def checked_password(password: str) -> str:
    """Raises Rejected BAD_REQUEST; the text does not hold the password."""
    size = len(password.encode("utf-8", "surrogatepass"))
    if len(password) < PASSWORD_CHARS_MIN or size > PASSWORD_BYTES_MAX:
        raise Rejected(
            Code.BAD_REQUEST,
            f"password of {len(password)} characters rejected: it must have at least {PASSWORD_CHARS_MIN},"
            f" and at most {PASSWORD_BYTES_MAX} bytes",
        )
    return password


def checked_plan(plan: str) -> Plan:
    """Raises Rejected BAD_REQUEST."""
    try:
        return Plan(plan)
    except ValueError:
        raise Rejected(
            Code.BAD_REQUEST, f"plan {plan!r} rejected: it must be one of {', '.join(Plan)}"
        ) from None


def checked_country(country: str) -> str:
    """In upper case. Raises Rejected BAD_REQUEST."""
    if country.upper() not in MARKETS:
        raise Rejected(
            Code.BAD_REQUEST,
            f"country {country!r} rejected: it must be an ISO 3166 code of two letters (DE, US)",
        )
    return country.upper()


def _folded(username: str) -> str:
    # Normalised before and after: folding can make what normalising joins (İ), and the other way round.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username.strip()).casefold())


def _epoch_id(user_id: UserId, epoch: int) -> str:
    return f"{user_id}/{epoch:0{EPOCH_DIGITS}d}"


async def _give_back(tries: Sequence[tuple[SharedBuckets, str]]) -> None:
    for buckets, name in tries:
        await buckets.give_back(name)


def _account(
    stored: _Stored,
    *,
    disabled: bool,
    must_change: bool = False,
    explicit_filter: bool = False,
    session_epoch: int = 0,
) -> Account:
    return Account(
        user_id=stored.user_id,
        username=stored.username,
        plan=stored.plan,
        country=stored.country,
        explicit_filter=explicit_filter,
        created_at_ms=stored.created_at_ms,
        disabled=disabled,
        must_change=must_change,
        admin=stored.admin,
        session_epoch=session_epoch,
    )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode

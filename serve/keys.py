"""The secrets that sign access tokens, socket tickets and stream leases, shared by all processes of a server.

A key is a document that is inserted once (`<purpose>/<generation>`), so processes that make one at the same
time agree on whose it is. The newest generation signs. Its predecessor is accepted for as long as something
that it signed may live, counted from the moment it was replaced; then it is not, and the next rotation
removes it.

Each process keeps a copy, read again every REFRESH_S, and at once (at most once per UNKNOWN_KEY_REFRESH_S)
when a token names a key that it does not know. A store that does not answer leaves the copy in use.
"""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum

import msgspec
import structlog

from kernel.errors import Unavailable
from kernel.units import Clock, Millis, TickS
from serve.settings import Settings
from storage.ports import Documents

COLLECTION = "keys"
SECRET_BYTES = 32
REFRESH_S = 30.0
UNKNOWN_KEY_REFRESH_S = 1.0
GENERATION_DIGITS = 8
KEYS_MAX = 1_000
"""Read per purpose. Rotation removes what is no longer accepted, so a handful exist."""

_log = structlog.get_logger(__name__)


class Purpose(StrEnum):
    """What a key signs. A key of one purpose verifies nothing of another."""

    ACCESS = "access"
    TICKET = "ticket"
    LEASE = "lease"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    kid: str
    """`<purpose>-<generation>`: names the key in what it signs."""
    secret: bytes
    created_at_ms: Millis

    def __repr__(self) -> str:  # a traceback must not show a secret
        return f"Key({self.kid!r})"


class PurposeKeys:
    """The accepted keys of one purpose, as this process knows them; `media.leases.Secrets` for leases.

    Signing and looking up never suspend. A session host signs a lease inside a turn with this.
    """

    def __init__(self, purpose: Purpose, life_ms: Millis, clock: Clock) -> None:
        self.purpose = purpose
        self._life_ms = life_ms
        self._clock = clock
        self._keys: tuple[Key, ...] = ()  # oldest first
        self._accepted_until_ms: dict[str, tuple[bytes, Millis | None]] = {}

    def signing_key(self) -> tuple[str, bytes]:
        """`(kid, secret)` of the newest key."""
        newest = self._keys[-1]
        return newest.kid, newest.secret

    def secret(self, kid: str) -> bytes | None:
        """None when there is no such key here, or what it signed has run out."""
        found = self._accepted_until_ms.get(kid)
        if found is None or (found[1] is not None and self._clock.now_ms() >= found[1]):
            return None
        return found[0]

    @property
    def newest(self) -> Key:
        return self._keys[-1]

    def outlived(self) -> list[Key]:
        """Keys that are no longer accepted, oldest first."""
        return [key for key in self._keys if self.secret(key.kid) is None]

    def replace(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        # A process that has not yet read the successor signs on with the old key for up to a refresh, and
        # what it signs last lives its whole life after that. None: nothing has replaced it.
        grace_ms = self._life_ms + int(2 * REFRESH_S * 1000)
        replaced_at_ms: list[Millis | None] = [key.created_at_ms for key in keys[1:]] + [None]
        self._accepted_until_ms = {
            key.kid: (key.secret, None if replaced is None else Millis(replaced + grace_ms))
            for key, replaced in zip(keys, replaced_at_ms, strict=True)
        }


class KeyRing:
    """All keys. `open` one per process; `start` keeps it fresh where nobody awaits `refresh_if_due`."""

    def __init__(self, documents: Documents, clock: Clock, lives_ms: Mapping[Purpose, Millis]) -> None:
        self._documents = documents
        self._clock = clock
        self._purposes = {purpose: PurposeKeys(purpose, lives_ms[purpose], clock) for purpose in Purpose}
        self._refreshed_s = TickS(float("-inf"))
        self._refreshing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, documents: Documents, clock: Clock, settings: Settings) -> "KeyRing":
        """Reads the keys, and makes the first of each purpose when there is none. Raises Unavailable."""
        ring = cls(
            documents,
            clock,
            {
                Purpose.ACCESS: Millis(settings.token_ttl_s * 1000),
                Purpose.TICKET: Millis(settings.ticket_ttl_s * 1000),
                Purpose.LEASE: Millis(settings.lease_s * 1000),
            },
        )
        await ring.refresh()
        return ring

    def of(self, purpose: Purpose) -> PurposeKeys:
        return self._purposes[purpose]

    async def refresh(self) -> None:
        """Read all keys again. Raises Unavailable; then the copy stays as it was."""
        async with self._refreshing:
            await self._refresh()

    async def refresh_if_due(self) -> None:
        """Read the keys again when the copy is REFRESH_S old. Never raises Unavailable."""
        await self._refresh_when_older_than(REFRESH_S)

    async def learn(self, purpose: Purpose, kid: str) -> bool:
        """Whether `kid` is accepted, after asking the store if it was not known. Never raises Unavailable."""
        if self._purposes[purpose].secret(kid) is None and _generation(purpose, kid) is not None:
            await self._refresh_when_older_than(UNKNOWN_KEY_REFRESH_S)
        return self._purposes[purpose].secret(kid) is not None

    async def rotate(self, purpose: Purpose, *, revoke_older: bool = False) -> Key:
        """Make the next key, which signs from now on; of two rotations at once one wins and both get its key.

        `revoke_older` is for a key that leaked: whatever the old ones signed is refused, everywhere within
        REFRESH_S. Raises Unavailable.
        """
        async with self._refreshing:
            await self._refresh()
            keys = self._purposes[purpose]
            older = list(keys._keys)
            await self._insert(purpose, (_generation(purpose, keys.newest.kid) or 0) + 1)
            gone = older if revoke_older else keys.outlived()
            await self._documents.delete(COLLECTION, [_doc_id(purpose, key.kid) for key in gone])
            await self._refresh()
            return keys.newest

    def start(self) -> None:
        """Refresh in the background until `stop`. Needs a running loop."""
        assert self._task is None, "started twice"
        self._task = asyncio.create_task(self._run(), name="keys")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            await self._refresh_when_older_than(0.0)

    async def _refresh_when_older_than(self, age_s: float) -> None:
        if self._clock.tick_s() - self._refreshed_s < age_s:
            return
        async with self._refreshing:
            # Whoever waited for another's refresh has what it wanted.
            if age_s and self._clock.tick_s() - self._refreshed_s < age_s:
                return
            try:
                await self._refresh()
            except Unavailable as fault:
                _log.warning("keys not refreshed", reason=str(fault))

    async def _refresh(self) -> None:
        # Set first: a store that fails is asked no more often than one that answers.
        self._refreshed_s = self._clock.tick_s()
        for purpose in Purpose:
            keys = await self._read(purpose)
            if not keys:
                await self._insert(purpose, 1)
                keys = await self._read(purpose)
            self._purposes[purpose].replace(keys)

    async def _read(self, purpose: Purpose) -> tuple[Key, ...]:
        rows = await self._documents.scan(COLLECTION, prefix=f"{purpose}/", limit=KEYS_MAX)
        return tuple(_decode(value) for _, value in rows)

    async def _insert(self, purpose: Purpose, generation: int) -> None:
        key = Key(
            kid=f"{purpose}-{generation}",
            secret=secrets.token_bytes(SECRET_BYTES),
            created_at_ms=self._clock.now_ms(),
        )
        # False means that somebody else made this generation: then theirs is the one.
        if await self._documents.insert(COLLECTION, _doc_id(purpose, key.kid), _encode(key)):
            _log.debug("key made", kid=key.kid)


def _generation(purpose: Purpose, kid: str) -> int | None:
    """None when `kid` is not one that this server could have made for the purpose."""
    prefix, _, digits = kid.rpartition("-")
    if prefix != purpose or not (digits.isascii() and digits.isdigit()) or len(digits) > GENERATION_DIGITS:
        return None
    return int(digits)


def _doc_id(purpose: Purpose, kid: str) -> str:
    """Sorts by generation."""
    generation = _generation(purpose, kid)
    assert generation is not None, kid
    return f"{purpose}/{generation:0{GENERATION_DIGITS}d}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Key).decode

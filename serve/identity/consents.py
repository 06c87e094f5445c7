"""What listeners allowed clients to do in their name.

consents      user id/client id            the scopes, until it is revoked
families_of   user id/client id/family     nothing: the logins to end when it is
"""

import msgspec

from kernel.ids import UserId
from kernel.units import Clock, Millis
from serve.identity.shelf import Shelf
from serve.identity.withdrawals import withdraw_family

FAMILY_S = 365 * 86_400
"""Longest time between two times that somebody types their password for a client."""
PAGE = 100
CLIENTS_MAX = 1_000
"""Of one user, as listed."""


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    scopes: frozenset[str]
    granted_at_ms: Millis
    """The last time."""


class Consents:
    def __init__(self, shelf: Shelf, clock: Clock) -> None:
        self._shelf = shelf
        self._documents = shelf.documents
        self._clock = clock

    async def grant(self, user_id: UserId, client_id: str, scopes: frozenset[str]) -> None:
        """Adds to what was granted before."""
        before = await self.of(user_id, client_id)
        consent = Consent(
            client_id=client_id,
            scopes=scopes | (before.scopes if before is not None else frozenset()),
            granted_at_ms=self._clock.now_ms(),
        )
        await self._documents.put("consents", [(f"{user_id}/{client_id}", _encode(consent))])

    async def of(self, user_id: UserId, client_id: str) -> Consent | None:
        """None when there is none, or no longer."""
        [found] = await self._documents.get("consents", [f"{user_id}/{client_id}"])
        return _decode(found) if found is not None else None

    async def covers(self, user_id: UserId, client_id: str, scopes: frozenset[str]) -> bool:
        consent = await self.of(user_id, client_id)
        return consent is not None and scopes <= consent.scopes

    async def all_of(self, user_id: UserId) -> list[Consent]:
        """By client id."""
        rows = await self._documents.scan("consents", prefix=f"{user_id}/", limit=CLIENTS_MAX)
        return [_decode(value) for _, value in rows]

    async def revoke(self, user_id: UserId, client_id: str) -> bool:
        """End every login of this client for this user. False when there was no consent."""
        consent = await self.of(user_id, client_id)
        await self._documents.delete("consents", [f"{user_id}/{client_id}"])
        prefix = f"{user_id}/{client_id}/"
        while rows := await self._documents.scan("families_of", prefix=prefix, limit=PAGE):
            for doc_id, _ in rows:
                await end_family(self._shelf, self._clock, doc_id.removeprefix(prefix))
            await self._documents.delete("families_of", [doc_id for doc_id, _ in rows])
        return consent is not None


async def end_family(shelf: Shelf, clock: Clock, family: str) -> None:
    """No token of this login counts any more; access tokens within seconds. Repeating it changes nothing."""
    until_ms = Millis(clock.now_ms() + FAMILY_S * 1000)
    await shelf.insert("families_ended", family, b"", until_ms=until_ms)
    await withdraw_family(shelf.documents, clock, family)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Consent).decode

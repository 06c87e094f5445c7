"""Registered clients: programs that others made and that ask in a listener's name.

A client is *confidential* when it can keep a secret (a server), *public* when it cannot (an app, a script);
a public one proves by PKCE that the answer to a code is the one who asked for it.
"""

import secrets

import msgspec

from kernel.errors import Code, Rejected
from kernel.units import Clock, Millis
from serve.accounts import checked_country
from serve.identity.opaque import hash_of, new_secret, same
from serve.identity.redirects import URIS_MAX, checked_redirect_uri, is_registered
from serve.identity.withdrawals import withdraw_client
from storage.ports import Documents

COLLECTION = "clients"
NAME_CHARS_MAX = 64
CLIENT_ID_BYTES = 16


class Client(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    name: str
    """What the consent page calls it."""
    redirect_uris: tuple[str, ...]
    """Empty for one that only uses the device flow or acts for itself."""
    secret_hash: str
    """Empty for a public client."""
    country: str = "US"
    """The market that it sees when it acts for itself; ISO 3166-1 alpha-2."""
    created_at_ms: Millis

    @property
    def is_public(self) -> bool:
        return not self.secret_hash

    def may_redirect_to(self, uri: str) -> bool:
        return is_registered(uri, self.redirect_uris)


class Clients:
    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    async def add(
        self, name: str, *, redirect_uris: tuple[str, ...] = (), public: bool, country: str = "US"
    ) -> tuple[Client, str]:
        """The client, and its secret, which is nowhere else; empty for a public one.

        Raises Rejected BAD_REQUEST.
        """
        if not name.strip() or len(name) > NAME_CHARS_MAX or not name.isprintable():
            raise Rejected(
                Code.BAD_REQUEST,
                f"client name {name[:NAME_CHARS_MAX]!r} rejected: 1 to {NAME_CHARS_MAX} printable characters",
            )
        if len(redirect_uris) > URIS_MAX:
            raise Rejected(
                Code.BAD_REQUEST, f"{len(redirect_uris)} redirect URIs rejected: at most {URIS_MAX}"
            )
        secret = "" if public else new_secret()
        client = Client(
            client_id=secrets.token_hex(CLIENT_ID_BYTES),
            name=name.strip(),
            redirect_uris=tuple(checked_redirect_uri(uri) for uri in redirect_uris),
            secret_hash=hash_of(secret) if secret else "",
            country=checked_country(country),
            created_at_ms=self._clock.now_ms(),
        )
        await self._documents.insert(COLLECTION, client.client_id, _encode(client))
        return client, secret

    async def get(self, client_id: str) -> Client | None:
        """None when there is none of that id."""
        [found] = await self._documents.get(COLLECTION, [client_id])
        return _decode(found) if found is not None else None

    async def page(self, *, after: str = "", limit: int = 100) -> list[Client]:
        rows = await self._documents.scan(COLLECTION, after=after, limit=limit)
        return [_decode(value) for _, value in rows]

    async def remove(self, client_id: str) -> Client:
        """Its tokens are refused within seconds. Raises Rejected NOT_FOUND."""
        client = await self.get(client_id)
        if client is None:
            raise Rejected(Code.NOT_FOUND, f"client {client_id[:64]!r} asked for: there is none of that id")
        await self._documents.delete(COLLECTION, [client_id])
        await withdraw_client(self._documents, self._clock, client_id)
        return client

    async def authenticated(self, client_id: str, secret: str | None) -> Client | None:
        """The client; None when there is none, the secret is wrong, or it has one and sent none.

        `secret` None: none was sent, which is right for a public client alone.
        """
        client = await self.get(client_id)
        if client is None:
            return None
        if client.is_public:
            return client if secret is None else None
        return client if secret is not None and same(hash_of(secret), client.secret_hash) else None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Client).decode

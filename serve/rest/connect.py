"""`GET /v1/connect`: where this user's socket is now, and the ticket that opens it."""

from typing import Any

import msgspec
from starlette.responses import Response

from actors.shards import shard_of
from connect.frames import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, Limits
from serve.directory import CONNECT_AGE_S, Directory
from serve.rest.exchange import json_response
from serve.rest.operations import Ask, NoParams, Operation
from serve.tokens import Tokens

SCOPES = ("streaming", "app-remote-control", "user-modify-playback-state")
"""Any of them: a player, a remote, or what the Web API calls either."""


class ConnectAnswer(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    ticket: str
    expires_in: int
    """Seconds that the ticket is good for."""
    subprotocols: tuple[str, ...] = (SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON)
    owner_epoch: int
    limits: Limits


class ConnectEndpoint:
    def __init__(self, directory: Directory, tokens: Tokens, limits: Limits) -> None:
        self._directory = directory
        self._tokens = tokens
        self._limits = limits

    def operations(self) -> list[Operation[Any, Any]]:
        return [
            Operation(
                method="GET",
                path="/v1/connect",
                summary="Where this listener's socket is, and the ticket that opens it",
                tag="Connect",
                handler=self.connect,
                params=NoParams,
                scopes=SCOPES,
                answers={200: ConnectAnswer},
                description="Segue's own. What is said on the socket is in docs/protocol.md.",
            )
        ]

    async def connect(self, ask: Ask[NoParams, None]) -> Response:
        claims = ask.claims
        owner, host = await self._directory.owner(claims.user_id, age_s=CONNECT_AGE_S)
        ticket = self._tokens.issue_ticket(
            claims, shard=shard_of(claims.user_id), owner_epoch=owner.owner_epoch
        )
        return json_response(
            ConnectAnswer(
                url=host.address if host.address.endswith("/") else f"{host.address}/",
                ticket=ticket,
                expires_in=self._tokens.ticket_ttl_s,
                owner_epoch=owner.owner_epoch,
                limits=self._limits,
            )
        )

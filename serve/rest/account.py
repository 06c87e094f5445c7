"""What a listener may do about their own logins, as operations of the table.

The handlers are of `serve/identity/`, which does not know the table; what they take and answer stands here.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta
from starlette.responses import Response
from starlette.routing import Route

from kernel.errors import Code
from serve.identity.session_endpoints import ConnectedClients
from serve.rest.exchange import Handler
from serve.rest.operations import Ask, NoParams, Operation


class OneClient(msgspec.Struct, frozen=True, kw_only=True):
    client_id: Annotated[str, Meta(min_length=1, max_length=128, description="Of `/v1/me/clients`.")]


class Described(NamedTuple):
    summary: str
    params: type[msgspec.Struct]
    answers: dict[int, Any]
    refusals: tuple[Code, ...]


OPERATIONS = {
    ("POST", "/v1/me/logout-everywhere"): Described(
        "End every session, token and socket of the listener", NoParams, {204: None}, (Code.FORBIDDEN,)
    ),
    ("GET", "/v1/me/clients"): Described(
        "Clients that the listener lets act for them", NoParams, {200: ConnectedClients}, (Code.FORBIDDEN,)
    ),
    ("DELETE", "/v1/me/clients/{client_id}"): Described(
        "Let a client in no more", OneClient, {204: None}, (Code.FORBIDDEN, Code.NOT_FOUND)
    ),
}


def account_operations(routes: Iterable[Route]) -> list[Operation[Any, Any]]:
    """Those of `routes` that belong to REST. Each must be described above."""
    made: list[Operation[Any, Any]] = []
    for route in routes:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            if not route.path.startswith("/v1/"):
                continue
            described = OPERATIONS[method, route.path]
            made.append(
                Operation(
                    method=method,
                    path=route.path,
                    summary=described.summary,
                    tag="Account",
                    handler=asked(route.endpoint),
                    params=described.params,
                    answers=described.answers,
                    refusals=described.refusals,
                    description="Segue's own.",
                )
            )
    return made


def asked(handler: Handler) -> Callable[[Ask[Any, None]], Awaitable[Response]]:
    async def answer(ask: Ask[Any, None]) -> Response:
        return await handler(ask.request)

    return answer

"""`/v1/me` and `/v1/users/{id}`: who a listener is."""

from contextlib import suppress
from typing import Any

import msgspec
from starlette.responses import Response

from catalog.model import Plan
from kernel.errors import Code, Rejected, Unavailable
from kernel.ids import UserId
from serve.accounts import Account, Accounts
from serve.directory import Directory
from serve.rest.exchange import json_response, no_content, tagged_response
from serve.rest.objects import PrivateUserObject, UserObject
from serve.rest.operations import Ask, NoParams, Operation
from serve.rest.parameters import One
from serve.rest.player import MODIFY
from serve.rest.shapes import Shapes
from storage.preferences import Preferences

READ_PRIVATE = "user-read-private"


class ExplicitFilterBody(msgspec.Struct, frozen=True, kw_only=True):
    filter_enabled: bool
    """True: explicit pieces are not played to this account."""


class UserEndpoints:
    def __init__(
        self, accounts: Accounts, preferences: Preferences, directory: Directory, shapes: Shapes
    ) -> None:
        self._accounts = accounts
        self._preferences = preferences
        self._directory = directory
        self._shapes = shapes

    def operations(self) -> list[Operation[Any, Any]]:
        me: dict[str, Any] = {
            "method": "GET",
            "tag": "Users",
            "handler": self.me,
            "params": NoParams,
            "answers": {200: PrivateUserObject},
            "refusals": (Code.NOT_FOUND,),
            "description": f"country, product and explicit_content come with the scope {READ_PRIVATE}.",
        }
        return [
            Operation(path="/v1/me", summary="Who asks", slash=True, **me),
            Operation(
                method="PUT",
                path="/v1/me/explicit-content",
                summary="Set the explicit-content filter",
                tag="Users",
                handler=self.set_explicit_filter,
                params=NoParams,
                body=ExplicitFilterBody,
                scopes=(MODIFY,),
                answers={204: None},
                description=(
                    "Segue's own; `explicit_content` of `/v1/me` reads it. Explicit pieces then have the"
                    " restriction `explicit`, are passed over and leave the queue; what sounds now plays to"
                    " its end."
                ),
            ),
            Operation(
                method="GET",
                path="/v1/users/{id}",
                summary="What anybody may know of a user",
                tag="Users",
                handler=self.user,
                params=One,
                answers={200: UserObject},
                refusals=(Code.NOT_FOUND,),
                cached=True,
            ),
        ]

    async def me(self, ask: Ask[NoParams, None]) -> Response:
        account = await self._account(ask.claims.user_id)
        if READ_PRIVATE not in ask.claims.scopes:
            return json_response(self._shapes.user(account.user_id, account.username))
        return json_response(
            self._shapes.private_user(
                account.user_id,
                account.username,
                country=account.country,
                product=_product(account.plan),
                explicit_filter=account.explicit_filter,
            )
        )

    async def set_explicit_filter(self, ask: Ask[NoParams, ExplicitFilterBody]) -> Response:
        user_id = ask.claims.user_id
        await self._preferences.set_explicit_filter(user_id, enabled=ask.body.filter_enabled)
        # It stands; a session that nobody owns now reads it when somebody does.
        with suppress(Unavailable):
            await self._directory.call(user_id, lambda host: host.reread(user_id))
        return no_content()

    async def user(self, ask: Ask[One, None]) -> Response:
        account = await self._account(UserId(ask.params.id))
        return tagged_response(ask.request, self._shapes.user(account.user_id, account.username))

    async def _account(self, user_id: UserId) -> Account:
        account = await self._accounts.get(user_id)
        if account is None:
            raise Rejected(Code.NOT_FOUND, f"user {user_id} asked for: there is none")
        return account


def _product(plan: Plan) -> str:
    """The Web API knows two: what a plan pays for is the same in all but the first."""
    return "free" if plan is Plan.FREE else "premium"

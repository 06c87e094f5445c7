"""`/v1/me` and `/v1/users/{id}`: who a listener is."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from catalog.model import Plan
from kernel.errors import Code, Rejected
from kernel.ids import UserId
from serve.accounts import Account, Accounts
from serve.rest.http import claims_of, json_response, path_id, tagged_response
from serve.rest.shapes import Shapes

READ_PRIVATE = "user-read-private"


class UserEndpoints:
    def __init__(self, accounts: Accounts, shapes: Shapes) -> None:
        self._accounts = accounts
        self._shapes = shapes

    def routes(self) -> list[Route]:
        return [
            Route("/v1/me", self.me, methods=["GET"]),
            Route("/v1/users/{id}", self.user, methods=["GET"]),
        ]

    async def me(self, request: Request) -> Response:
        claims = claims_of(request)
        account = await self._account(claims.user_id)
        if READ_PRIVATE in claims.scopes:
            return json_response(
                self._shapes.private_user(
                    account.user_id,
                    account.username,
                    country=account.country,
                    product=_product(account.plan),
                    explicit_filter=account.explicit_filter,
                )
            )
        return json_response(self._shapes.user(account.user_id, account.username))

    async def user(self, request: Request) -> Response:
        claims_of(request)
        account = await self._account(UserId(path_id(request)))
        return tagged_response(request, self._shapes.user(account.user_id, account.username))

    async def _account(self, user_id: UserId) -> Account:
        account = await self._accounts.get(user_id)
        if account is None:
            raise Rejected(Code.NOT_FOUND, f"user {user_id} asked for: there is none")
        return account


def _product(plan: Plan) -> str:
    """The Web API knows two: what a plan pays for is the same in all but the first."""
    return "free" if plan is Plan.FREE else "premium"

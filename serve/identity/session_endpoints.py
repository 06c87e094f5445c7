"""The page's own login: a password becomes a cookie that no script can read, and that becomes access tokens.

    POST /login           {username, password[, new_password]}   sets the cookie, answers an access token
    POST /session/token   the cookie alone                       an access token; rotates the cookie
    POST /logout          the cookie alone                       ends this session
    POST /v1/me/logout-everywhere                                ends all sessions, tokens and sockets
    GET /v1/me/clients, DELETE /v1/me/clients/{client_id}        whom the user lets act for them

The page keeps the access token in memory. Other sites can make a browser send the cookie only by a top-level
GET (SameSite=Lax), and no GET does anything; Origin is checked as well.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel.errors import Code, Rejected
from serve.accounts import Account, Accounts, checked_password
from serve.identity.browser import Browser
from serve.identity.clients import Clients
from serve.identity.consents import Consents
from serve.identity.forms import JSON, clear_cookie, content_type, set_cookie
from serve.identity.page_sessions import COOKIE, LIFE_S
from serve.identity.withdrawals import Withdrawals
from serve.rest.exchange import body_of, claims_of, json_response, no_content
from serve.tokens import AccessClaims, Tokens

MUST_CHANGE = "PASSWORD_MUST_CHANGE"
"""`reason` of the refusal of a one-time password: ask for a new one and send it along."""


class LoginBody(msgspec.Struct, frozen=True, kw_only=True):
    username: str
    password: str
    new_password: str | None = None
    """Replaces `password`, which is needed when that was for one time."""


class SessionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    """Seconds."""


class ConnectedClient(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    name: str
    """Empty when the client was removed since."""
    scopes: list[str]
    granted_at_ms: int


class ConnectedClients(msgspec.Struct, frozen=True, kw_only=True):
    items: list[ConnectedClient]


class SessionEndpoints:
    def __init__(
        self,
        browser: Browser,
        accounts: Accounts,
        tokens: Tokens,
        clients: Clients,
        consents: Consents,
        withdrawals: Withdrawals | None,
    ) -> None:
        self._browser = browser
        self._accounts = accounts
        self._tokens = tokens
        self._clients = clients
        self._consents = consents
        self._withdrawals = withdrawals

    def routes(self) -> list[Route]:
        return [
            Route("/login", self.login, methods=["POST"]),
            Route("/session/token", self.token, methods=["POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/v1/me/logout-everywhere", self.logout_everywhere, methods=["POST"]),
            Route("/v1/me/clients", self.connected, methods=["GET"]),
            Route("/v1/me/clients/{client_id}", self.disconnect, methods=["DELETE"]),
        ]

    async def login(self, request: Request) -> Response:
        self._browser.require_own_origin(request)
        # Another site can send a form, and text; for JSON its browser would have to ask us first.
        if content_type(request) != JSON:
            raise Rejected(Code.BAD_REQUEST, f"login rejected: the body must be {JSON}")
        body = await body_of(request, LoginBody)
        if body is None:
            raise Rejected(Code.BAD_REQUEST, "login rejected: there is no body")
        account = await self._browser.check_password(request, body.username, body.password)
        if body.new_password is not None:
            account = await changed(self._accounts, account, body.password, body.new_password)
            await self._learn()
        elif account.must_change:
            refusal = {
                "status": 403,
                "message": "login rejected: this password was for one time; send a new_password too",
                "reason": MUST_CHANGE,
            }
            return json_response({"error": refusal}, status=403)
        return await self._browser.begin_session(request, account, self._answer(account))

    async def token(self, request: Request) -> Response:
        self._browser.require_own_origin(request)
        opened = await self._browser.sessions.open(request.cookies.get(COOKIE), rotate=True)
        if opened is None:
            raise Rejected(Code.UNAUTHORIZED, "token asked for: no session of the page is open; log in")
        response = self._answer(opened.account)
        if opened.next_cookie is not None:
            set_cookie(response, request, COOKIE, opened.next_cookie, life_s=LIFE_S)
        return response

    async def logout(self, request: Request) -> Response:
        self._browser.require_own_origin(request)
        await self._browser.sessions.end(request.cookies.get(COOKIE))
        response = no_content()
        clear_cookie(response, request, COOKIE)
        return response

    async def logout_everywhere(self, request: Request) -> Response:
        claims = own_claims(request)
        await self._accounts.end_sessions(claims.user_id)
        await self._learn()
        response = no_content()
        clear_cookie(response, request, COOKIE)
        return response

    async def connected(self, request: Request) -> Response:
        claims = own_claims(request)
        items = []
        for consent in await self._consents.all_of(claims.user_id):
            client = await self._clients.get(consent.client_id)
            items.append(
                ConnectedClient(
                    client_id=consent.client_id,
                    name=client.name if client is not None else "",
                    scopes=sorted(consent.scopes),
                    granted_at_ms=consent.granted_at_ms,
                )
            )
        return json_response(ConnectedClients(items=items))

    async def disconnect(self, request: Request) -> Response:
        claims = own_claims(request)
        client_id = str(request.path_params["client_id"])
        if not await self._consents.revoke(claims.user_id, client_id):
            raise Rejected(Code.NOT_FOUND, f"client {client_id[:64]!r} rejected: you let none of that id in")
        await self._learn()
        return no_content()

    def _answer(self, account: Account) -> Response:
        return json_response(
            SessionAnswer(
                access_token=self._tokens.issue_access(account), expires_in=self._tokens.token_ttl_s
            )
        )

    async def _learn(self) -> None:
        """What we withdrew holds in this process at once."""
        if self._withdrawals is not None:
            await self._withdrawals.refresh()


async def changed(accounts: Accounts, account: Account, password: str, new_password: str) -> Account:
    """The account with its new password, logged out everywhere. Raises Rejected BAD_REQUEST."""
    if checked_password(new_password) == password:
        raise Rejected(Code.BAD_REQUEST, "new password rejected: it is the old one")
    await accounts.set_password(account.username, new_password)
    renewed = await accounts.get(account.user_id)
    assert renewed is not None, "accounts are never removed"
    return renewed


def own_claims(request: Request) -> AccessClaims:
    """Who asks, on our own page or device. Raises Rejected FORBIDDEN for another's client.

    A client that somebody let pause their music does not decide which other clients they let in.
    """
    claims = claims_of(request)
    if claims.client_id or not claims.is_user:
        raise Rejected(
            Code.FORBIDDEN, f"{request.method} {request.url.path} rejected: clients of others may not do this"
        )
    return claims

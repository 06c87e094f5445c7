"""`POST /api/token`: every way to an access token (RFC 6749 §4, RFC 8628 §3.4), and the way back (RFC 7009).

The password grant is for the page, the headless device and the tests, which belong to this server: it takes
no client. Other people's clients never see a password; they bring a code, a refresh token, their own secret,
or the code of a device.
"""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote_plus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel.errors import TABLE, Code, SegueError
from serve.accounts import Accounts
from serve.identity.clients import Client, Clients
from serve.identity.device_flow import DeviceFlow
from serve.identity.forms import form_of, needed
from serve.identity.grants import Granted, Grants
from serve.identity.refusals import (
    INVALID_CLIENT,
    INVALID_GRANT,
    INVALID_REQUEST,
    UNAUTHORIZED_CLIENT,
    UNSUPPORTED_GRANT_TYPE,
    refused,
    word_of,
)
from serve.rest.exchange import json_response, peer_address
from serve.tokens import SCOPES, Tokens, checked_scopes

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials", DEVICE_GRANT, "password")


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    access_token: str
    token_type: str
    expires_in: int
    """Seconds."""
    scope: str
    refresh_token: str = ""


class DeviceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 8628 §3.2."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class OAuthError(msgspec.Struct, frozen=True, kw_only=True):
    error: str
    error_description: str


class TokenEndpoint:
    def __init__(
        self,
        *,
        accounts: Accounts,
        tokens: Tokens,
        clients: Clients,
        grants: Grants,
        devices: DeviceFlow,
        base_url: str,
        behind_proxy: bool,
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._clients = clients
        self._grants = grants
        self._devices = devices
        self._base_url = base_url
        self._behind_proxy = behind_proxy

    def routes(self) -> list[Route]:
        return [
            Route("/api/token", self.token, methods=["POST"]),
            Route("/api/token/revoke", self.revoke, methods=["POST"]),
            Route("/api/device/code", self.device_code, methods=["POST"]),
        ]

    async def token(self, request: Request) -> Response:
        try:
            return _uncached(json_response(await self._token(request, await form_of(request))))
        except SegueError as error:
            return _refusal(error)

    async def _token(self, request: Request, form: Mapping[str, str]) -> TokenAnswer:
        (kind,) = needed(form, "grant_type")
        match kind:
            case "password":
                return await self._for_password(request, form)
            case "authorization_code":
                client = await self._client(request, form)
                code, redirect_uri = needed(form, "code", "redirect_uri")
                verifier = form.get("code_verifier", "")
                if client.is_public and not verifier:
                    raise refused(INVALID_REQUEST, "token asked for: the field code_verifier is missing")
                return self._answer(
                    await self._grants.redeem_code(client, code, redirect_uri=redirect_uri, verifier=verifier)
                )
            case "refresh_token":
                client = await self._client(request, form)
                (token,) = needed(form, "refresh_token")
                scopes = frozenset(checked_scopes(form["scope"].split())) if form.get("scope") else None
                return self._answer(await self._grants.refresh(client, token, scopes=scopes))
            case "client_credentials":
                client = await self._client(request, form)
                if client.is_public:
                    raise refused(
                        UNAUTHORIZED_CLIENT, "token asked for: a public client cannot act for itself"
                    )
                return TokenAnswer(
                    access_token=self._tokens.issue_client_access(client.client_id, country=client.country),
                    token_type="Bearer",
                    expires_in=self._tokens.token_ttl_s,
                    scope="",
                )
            case _ if kind == DEVICE_GRANT:
                client = await self._client(request, form)
                (device_code,) = needed(form, "device_code")
                return self._answer(await self._devices.poll(client, device_code))
            case _:
                raise refused(
                    UNSUPPORTED_GRANT_TYPE,
                    f"grant_type {kind[:64]!r} rejected: it must be one of {', '.join(GRANT_TYPES)}",
                )

    async def _for_password(self, request: Request, form: Mapping[str, str]) -> TokenAnswer:
        # A Bearer there is an old token of the page or a device that logs in again.
        if "client_id" in form or request.headers.get("authorization", "").lower().startswith("basic"):
            raise refused(UNAUTHORIZED_CLIENT, "token asked for: no client may ask for a user's password")
        username, password = needed(form, "username", "password")
        scopes = checked_scopes(form["scope"].split()) if form.get("scope") else SCOPES
        address = peer_address(request, behind_proxy=self._behind_proxy)
        account = await self._accounts.log_in(username, password, address=address)
        if account.must_change:
            raise refused(
                INVALID_GRANT,
                f"login rejected: this one-time password must be changed first, at {self._base_url}/password",
            )
        return TokenAnswer(
            access_token=self._tokens.issue_access(account, scopes),
            token_type="Bearer",
            expires_in=self._tokens.token_ttl_s,
            scope=" ".join(scopes),
        )

    def _answer(self, granted: Granted) -> TokenAnswer:
        return TokenAnswer(
            access_token=self._tokens.issue_access(
                granted.account,
                granted.scopes,
                client_id=granted.login.client_id,
                family=granted.login.family,
            ),
            token_type="Bearer",
            expires_in=self._tokens.token_ttl_s,
            scope=" ".join(sorted(granted.scopes)),
            refresh_token=granted.refresh_token,
        )

    async def revoke(self, request: Request) -> Response:
        """RFC 7009 for refresh tokens: the login they belong to ends. 200 also for one that is not known."""
        try:
            form = await form_of(request)
            client = await self._client(request, form)
            (token,) = needed(form, "token")
            await self._grants.end_token(client, token)
            return _uncached(json_response({}))
        except SegueError as error:
            return _refusal(error)

    async def device_code(self, request: Request) -> Response:
        try:
            form = await form_of(request)
            client = await self._client(request, form)
            started = await self._devices.start(
                client, frozenset(checked_scopes(form.get("scope", "").split()))
            )
        except SegueError as error:
            return _refusal(error)
        verification_uri = f"{self._base_url}/device"
        return _uncached(
            json_response(
                DeviceAnswer(
                    device_code=started.device_code,
                    user_code=started.user_code,
                    verification_uri=verification_uri,
                    verification_uri_complete=f"{verification_uri}?user_code={started.user_code}",
                    expires_in=started.expires_in,
                    interval=started.interval,
                )
            )
        )

    async def _client(self, request: Request, form: Mapping[str, str]) -> Client:
        """Who asks. Raises Rejected invalid_client with one text for all that may be wrong."""
        client_id, secret = form.get("client_id", ""), None
        if "client_secret" in form:
            raise refused(INVALID_REQUEST, "client_secret rejected: send it by HTTP Basic, not in the body")
        header = request.headers.get("authorization")
        if header is not None:
            named, secret = _basic(header)
            if client_id and client_id != named:
                raise refused(INVALID_REQUEST, "client_id rejected: body and Authorization name two clients")
            client_id = named
        if not client_id:
            raise refused(INVALID_CLIENT, "token asked for: no client_id, and no client by HTTP Basic")
        client = await self._clients.authenticated(client_id, secret)
        if client is None:
            raise refused(INVALID_CLIENT, "client rejected: no client has this id and this secret")
        return client


def _basic(header: str) -> tuple[str, str]:
    """`(client id, secret)`. Raises Rejected invalid_client."""
    kind, _, text = header.partition(" ")
    try:
        if kind.lower() != "basic":
            raise ValueError(kind)
        client_id, colon, secret = (
            base64.b64decode(text.strip(), validate=True).decode("ascii").partition(":")
        )
    except (ValueError, binascii.Error):
        raise refused(
            INVALID_CLIENT, "Authorization rejected: a client sends its id and secret by Basic"
        ) from None
    if not colon:
        raise refused(INVALID_CLIENT, "Authorization rejected: a client sends its id and secret by Basic")
    # RFC 6749 §2.3.1 has both form-encoded first; of our own ids and secrets that changes nothing.
    return unquote_plus(client_id), unquote_plus(secret)


def _refusal(why: SegueError) -> Response:
    """400 for what RFC 6749 names so, 401 for a client that is not who it says, else the table's status."""
    word = word_of(why)
    status = 400 if why.code is Code.UNAUTHORIZED else TABLE[why.code].http
    if word == INVALID_CLIENT:
        status = 401
    response = json_response(OAuthError(error=word, error_description=why.message), status=status)
    if word == INVALID_CLIENT:
        response.headers["www-authenticate"] = 'Basic realm="segue"'
    if why.retry_after_ms is not None:
        response.headers["retry-after"] = str(-(-why.retry_after_ms // 1000))
    return _uncached(response)


def _uncached(response: Response) -> Response:
    response.headers["pragma"] = "no-cache"  # RFC 6749 §5.1 asks for it beside cache-control
    return response

"""All routes of identity, put together from what `create_api` has. Composition only."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel.units import Clock
from serve.accounts import Accounts
from serve.identity import pages
from serve.identity.authorize import AuthorizeEndpoint
from serve.identity.browser import Browser
from serve.identity.clients import Clients
from serve.identity.consents import Consents
from serve.identity.device_flow import DeviceFlow
from serve.identity.device_page import DevicePage
from serve.identity.grants import Grants
from serve.identity.page_sessions import PageSessions
from serve.identity.password_page import PasswordPage
from serve.identity.session_endpoints import SessionEndpoints
from serve.identity.shelf import Shelf
from serve.identity.token_endpoint import GRANT_TYPES, TokenEndpoint
from serve.rest.exchange import json_response
from serve.settings import Settings
from serve.tokens import SCOPES, Tokens
from storage.ports import Documents


def identity_routes(
    settings: Settings,
    *,
    documents: Documents,
    accounts: Accounts,
    tokens: Tokens,
    clock: Clock,
    behind_proxy: bool,
) -> list[Route]:
    shelf = Shelf(documents, clock)
    clients = Clients(documents, clock)
    consents = Consents(shelf, clock)
    grants = Grants(shelf, accounts, consents, clock)
    devices = DeviceFlow(shelf, grants, clock)
    browser = Browser(accounts, PageSessions(shelf, accounts, clock), settings, behind_proxy=behind_proxy)
    issuer = settings.http_url
    token_endpoint = TokenEndpoint(
        accounts=accounts,
        tokens=tokens,
        clients=clients,
        grants=grants,
        devices=devices,
        base_url=issuer,
        behind_proxy=behind_proxy,
    )
    return [
        *token_endpoint.routes(),
        *AuthorizeEndpoint(browser, clients, consents, grants, issuer=issuer).routes(),
        *DevicePage(browser, clients, consents, devices, clock).routes(),
        *PasswordPage(browser, accounts).routes(),
        *SessionEndpoints(browser, accounts, tokens, clients, consents, tokens.withdrawals).routes(),
        Route(pages.STYLE_PATH, pages.style, methods=["GET"]),
        Route("/.well-known/oauth-authorization-server", _metadata(issuer), methods=["GET"]),
    ]


def _metadata(issuer: str) -> Callable[[Request], Awaitable[Response]]:
    """RFC 8414: where everything is, for clients that ask instead of being told."""
    answer = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/api/token",
        "revocation_endpoint": f"{issuer}/api/token/revoke",
        "device_authorization_endpoint": f"{issuer}/api/device/code",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }

    async def metadata(_: Request) -> Response:
        return json_response(answer, cache_control="public, max-age=3600")

    return metadata

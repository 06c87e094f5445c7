"""Identity's own endpoints, described: who they answer, what they take, how they refuse.

They lie outside `/v1`, take forms and cookies, and answer in OAuth's words or with pages, so they have
handlers of their own in `serve/identity/`. They stand in the document and the reference beside the others; a
route without a description is refused at the start.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta
from starlette.routing import Route

from kernel.errors import Code
from serve.identity.authorize import STATE_CHARS_MAX
from serve.identity.session_endpoints import LoginBody, SessionAnswer
from serve.identity.token_endpoint import DeviceAnswer, OAuthError, TokenAnswer
from serve.rest.account import asked
from serve.rest.operations import NoParams, Operation

Text = Annotated[str, Meta(examples=["…"])]
ClientId = Annotated[str, Meta(description="Of a registered client.", examples=["my-client"])]
Scopes = Annotated[
    str, Meta(description="Scopes separated by spaces.", examples=["user-read-playback-state streaming"])
]
RedirectUri = Annotated[
    str,
    Meta(description="Exactly one that the client registered.", examples=["http://127.0.0.1:9000/callback"]),
]


class AuthorizeParams(msgspec.Struct, frozen=True, kw_only=True):
    client_id: ClientId
    redirect_uri: RedirectUri
    response_type: Literal["code"]
    scope: Scopes | None = None
    state: (
        Annotated[
            str,
            Meta(
                description=f"Comes back as it was; at most {STATE_CHARS_MAX} characters.", examples=["xyz"]
            ),
        ]
        | None
    ) = None
    code_challenge: (
        Annotated[
            str,
            Meta(
                description="PKCE; a public client needs it.",
                examples=["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
            ),
        ]
        | None
    ) = None
    code_challenge_method: Literal["S256"] | None = None
    show_dialog: Annotated[str, Meta(description="`true`: ask again.", examples=["true"])] | None = None


class PageForm(msgspec.Struct, frozen=True, kw_only=True):
    """What the page's own form sends. `csrf` belongs to a cookie, so nobody else can fill it in."""

    csrf: Text
    action: Literal["login", "allow", "deny", "other", "find"] | None = None
    username: Annotated[str, Meta(examples=["ada"])] | None = None
    password: Annotated[str, Meta(examples=["correct horse"])] | None = None
    user_code: Annotated[str, Meta(examples=["BDWP-HQPK"])] | None = None


class PasswordForm(msgspec.Struct, frozen=True, kw_only=True):
    csrf: Text
    username: Annotated[str, Meta(examples=["ada"])]
    password: Annotated[str, Meta(examples=["correct horse"])]
    new_password: Annotated[str, Meta(examples=["battery staple"])]
    again: Annotated[str, Meta(examples=["battery staple"])]


class DeviceParams(msgspec.Struct, frozen=True, kw_only=True):
    user_code: (
        Annotated[str, Meta(description="The code on the device's screen.", examples=["BDWPHQPK"])] | None
    ) = None


class TokenForm(msgspec.Struct, frozen=True, kw_only=True):
    """A client without a secret names itself in `client_id`, one with a secret by HTTP Basic."""

    grant_type: Literal[
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:device_code",
        "password",
    ]
    client_id: ClientId | None = None
    code: Annotated[str, Meta(description="With authorization_code.", examples=["c0de"])] | None = None
    redirect_uri: RedirectUri | None = None
    code_verifier: (
        Annotated[
            str,
            Meta(
                description="What `code_challenge` was made of.",
                examples=["dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"],
            ),
        ]
        | None
    ) = None
    refresh_token: (
        Annotated[
            str,
            Meta(description="With refresh_token. It is good once: keep the new one.", examples=["r3fresh"]),
        ]
        | None
    ) = None
    device_code: Annotated[str, Meta(description="With device_code.", examples=["d3vice"])] | None = None
    username: (
        Annotated[str, Meta(description="With password, without a client.", examples=["ada"])] | None
    ) = None
    password: Annotated[str, Meta(examples=["correct horse"])] | None = None
    scope: Scopes | None = None


class RevokeForm(msgspec.Struct, frozen=True, kw_only=True):
    token: Annotated[str, Meta(description="A refresh token.", examples=["r3fresh"])]
    client_id: ClientId | None = None


class DeviceCodeForm(msgspec.Struct, frozen=True, kw_only=True):
    client_id: ClientId | None = None
    scope: Scopes | None = None


class Described(NamedTuple):
    summary: str
    params: type[msgspec.Struct]
    body: type[msgspec.Struct] | None
    answers: dict[int, Any]
    refusals: tuple[Code, ...] = ()
    refusal: Any = None
    """The type of a refusal's body beside the usual one; `str` is a page."""
    security: tuple[str, ...] = ()
    description: str = ""


_LOGIN = (Code.UNAUTHORIZED, Code.FORBIDDEN, Code.BAD_REQUEST)
_PAGE = (*_LOGIN, Code.NOT_FOUND)
_LIMITED = "Tries are limited for each account, address and range of addresses: 429 with Retry-After."

OPERATIONS = {
    ("POST", "/api/token"): Described(
        "An access token for a code, a refresh token, a client, a device or a password",
        NoParams,
        TokenForm,
        {200: TokenAnswer},
        (Code.UNAUTHORIZED, Code.BAD_REQUEST),
        OAuthError,
        ("client",),
        f"RFC 6749, 7636 and 8628. {_LIMITED}",
    ),
    ("POST", "/api/token/revoke"): Described(
        "End the login that a refresh token belongs to",
        NoParams,
        RevokeForm,
        {200: dict[str, str]},
        (Code.UNAUTHORIZED, Code.BAD_REQUEST),
        OAuthError,
        ("client",),
        "RFC 7009: 200 also for a token that is not known.",
    ),
    ("POST", "/api/device/code"): Described(
        "Begin the login of a device without a keyboard",
        NoParams,
        DeviceCodeForm,
        {200: DeviceAnswer},
        (Code.UNAUTHORIZED, Code.BAD_REQUEST),
        OAuthError,
        ("client",),
        "RFC 8628. The listener types the code at `/device`.",
    ),
    ("GET", "/authorize"): Described(
        "Ask a listener to let a client act for them",
        AuthorizeParams,
        None,
        {200: str, 303: None},
        (Code.BAD_REQUEST,),
        str,
        ("page",),
        "Nobody is redirected before the client and its redirect URI are known to be right.",
    ),
    ("POST", "/authorize"): Described(
        "The form of that page", AuthorizeParams, PageForm, {200: str, 303: None}, _PAGE, str, ("page",)
    ),
    ("GET", "/device"): Described(
        "Where a listener types a device's code", DeviceParams, None, {200: str}, (), str, ("page",)
    ),
    ("POST", "/device"): Described(
        "The form of that page", DeviceParams, PageForm, {200: str, 303: None}, _PAGE, str, ("page",)
    ),
    ("GET", "/password"): Described(
        "Where a password is changed", NoParams, None, {200: str}, (), str, ("page",)
    ),
    ("POST", "/password"): Described(
        "The form of that page", NoParams, PasswordForm, {200: str}, _LOGIN, str, ("page",)
    ),
    ("POST", "/login"): Described(
        "A password for the page's cookie and an access token",
        NoParams,
        LoginBody,
        {200: SessionAnswer},
        _LOGIN,
        description=(
            "From our own origin only. 403 with the reason PASSWORD_MUST_CHANGE for a one-time password: send"
            f" a new_password too. {_LIMITED}"
        ),
    ),
    ("POST", "/session/token"): Described(
        "An access token for the page's cookie, which is rotated",
        NoParams,
        None,
        {200: SessionAnswer},
        (Code.UNAUTHORIZED, Code.FORBIDDEN),
        security=("page",),
        description="From our own origin only.",
    ),
    ("POST", "/logout"): Described(
        "End the page's session",
        NoParams,
        None,
        {204: None},
        (Code.FORBIDDEN,),
        security=("page",),
        description="From our own origin only.",
    ),
    ("GET", "/.well-known/oauth-authorization-server"): Described(
        "Where everything of OAuth is",
        NoParams,
        None,
        {200: dict[str, str | bool | list[str]]},
        description="RFC 8414.",
    ),
}
UNDESCRIBED = frozenset({"/identity/style.css"})
"""What only our own pages load."""


def identity_operations(routes: Iterable[Route]) -> list[Operation[Any, Any]]:
    """Those of `routes` outside REST, to be documented; their handlers are asked without the table."""
    made: list[Operation[Any, Any]] = []
    for route in routes:
        if route.path.startswith("/v1/") or route.path in UNDESCRIBED:
            continue
        for method in sorted((route.methods or set()) - {"HEAD"}):
            described = OPERATIONS[method, route.path]
            made.append(
                Operation(
                    method=method,
                    path=route.path,
                    summary=described.summary,
                    tag="Identity",
                    handler=asked(route.endpoint),
                    params=described.params,
                    body=described.body,
                    is_form=described.body is not None and described.body is not LoginBody,
                    answers=described.answers,
                    refusals=described.refusals,
                    refusal=described.refusal,
                    own_security=described.security,
                    description=described.description,
                )
            )
    return made

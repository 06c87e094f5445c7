"""`POST /api/token`: an access token for a name and a password (RFC 6749 §4.3, errors as in its §5.2).

For the page, the headless device and the tests, which belong to this server. Other people's clients must not
see a password; for them comes the authorization code flow.
"""

from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel.errors import TABLE, Code, Rejected, SegueError
from serve.accounts import Accounts
from serve.rest.http import bytes_of, json_response, peer_address
from serve.tokens import SCOPES, Tokens, checked_scopes

FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 20


class TokenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    """Seconds."""
    scope: str


class OAuthError(msgspec.Struct, frozen=True, kw_only=True):
    error: str
    error_description: str


class TokenEndpoint:
    def __init__(self, accounts: Accounts, tokens: Tokens, *, behind_proxy: bool) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._behind_proxy = behind_proxy

    def routes(self) -> list[Route]:
        return [Route("/api/token", self.token, methods=["POST"])]

    async def token(self, request: Request) -> Response:
        try:
            form = await _form(request)
        except Rejected as refused:
            return _refusal("invalid_request", refused)
        kind = form.get("grant_type", "")
        if kind != "password":
            return _refusal(
                "unsupported_grant_type" if kind else "invalid_request",
                Rejected(Code.BAD_REQUEST, f"grant_type {kind[:32]!r} rejected: it must be password"),
            )
        for name in ("username", "password"):
            if not form.get(name):
                missing = Rejected(Code.BAD_REQUEST, f"token asked for: the field {name} is missing")
                return _refusal("invalid_request", missing)
        try:
            scopes = checked_scopes(form["scope"].split()) if form.get("scope") else SCOPES
        except Rejected as refused:
            return _refusal("invalid_scope", refused)
        address = peer_address(request, behind_proxy=self._behind_proxy)
        try:
            account = await self._accounts.log_in(form["username"], form["password"], address=address)
        except SegueError as refused:
            # RFC 6749 has no word for "later"; 4.1.2.1 of it does.
            busy = TABLE[refused.code].retry
            return _refusal("temporarily_unavailable" if busy else "invalid_grant", refused)
        return _uncached(
            json_response(
                TokenAnswer(
                    access_token=self._tokens.issue_access(account, scopes),
                    expires_in=self._tokens.token_ttl_s,
                    scope=" ".join(scopes),
                )
            )
        )


async def _form(request: Request) -> dict[str, str]:
    """The fields; one that stands twice is refused, since two readers could take two values."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != FORM:
        raise Rejected(Code.BAD_REQUEST, f"token asked for: the body must be {FORM}")
    body = await bytes_of(request)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError:
        raise Rejected(Code.BAD_REQUEST, "token asked for: the body is not a form in UTF-8") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Rejected(Code.BAD_REQUEST, "token asked for: a field stands twice")
    return form


def _refusal(word: str, why: SegueError) -> Response:
    """400 for what RFC 6749 names so, else the table's status."""
    status = 400 if why.code is Code.UNAUTHORIZED else TABLE[why.code].http
    response = json_response(OAuthError(error=word, error_description=why.message), status=status)
    if why.retry_after_ms is not None:
        response.headers["retry-after"] = str(-(-why.retry_after_ms // 1000))
    return _uncached(response)


def _uncached(response: Response) -> Response:
    response.headers["pragma"] = "no-cache"  # RFC 6749 §5.1 asks for it beside cache-control
    return response

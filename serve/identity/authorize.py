"""`/authorize`: a listener lets a client act for them (RFC 6749 §4.1, RFC 7636, RFC 9207, RFC 9700).

Two kinds of wrong request are kept apart. Who the client is and where its answer goes is settled first, and
until it is, nobody is redirected anywhere: the browser sees an error page. Everything after that is told to
the client at the redirect URI that it registered.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel.errors import TABLE, Code, Rejected, SegueError
from serve.accounts import Account
from serve.identity import pages
from serve.identity.browser import Browser, Visit
from serve.identity.clients import Client, Clients
from serve.identity.consents import Consents
from serve.identity.forms import clear_cookie, form_of, needed, query_of
from serve.identity.grants import CHALLENGE, Grants
from serve.identity.page_sessions import COOKIE
from serve.identity.redirects import form_target, loopback_or_private
from serve.identity.refusals import (
    ACCESS_DENIED,
    INVALID_REQUEST,
    UNSUPPORTED_RESPONSE_TYPE,
    refused,
    word_of,
)
from serve.tokens import checked_scopes

STATE_CHARS_MAX = 2_048
PARAMETERS = (
    "client_id",
    "response_type",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "show_dialog",
)
"""What is carried from page to page; others are ignored (RFC 6749 §3.1)."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose client and redirect URI are good."""

    client: Client
    redirect_uri: str
    state: str
    again: str
    """This page with the same request."""
    fields: Mapping[str, str]


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    scopes: frozenset[str]
    challenge: str
    """Empty: without PKCE."""
    ask_again: bool


class AuthorizeEndpoint:
    def __init__(
        self, browser: Browser, clients: Clients, consents: Consents, grants: Grants, *, issuer: str
    ) -> None:
        self._browser = browser
        self._clients = clients
        self._consents = consents
        self._grants = grants
        self._issuer = issuer

    def routes(self) -> list[Route]:
        return [Route("/authorize", self.authorize, methods=["GET", "POST"])]

    async def authorize(self, request: Request) -> Response:
        try:
            visit = await self._browser.visit(request)
            asked = await self._asked(query_of(request))
        except SegueError as error:
            return error_page(error)
        try:
            wishes = _wishes(asked)
        except Rejected as error:
            return self._to_client(asked, {"error": word_of(error), "error_description": error.message})
        try:
            if request.method == "POST":
                return await self._posted(visit, asked, wishes, await form_of(request))
        except SegueError as error:
            return visit.answer(error_page(error))
        if visit.account is None:
            return self._login(visit, asked)
        known = await self._consents.covers(visit.account.user_id, asked.client.client_id, wishes.scopes)
        # Any program of a machine can listen on its loopback and name a public client: a person must look
        # (RFC 8252 §8.6).
        if known and not wishes.ask_again and not loopback_or_private(asked.redirect_uri):
            return visit.answer(await self._grant(asked, wishes, visit.account))
        return self._consent(visit, asked, wishes, visit.account)

    async def _posted(self, visit: Visit, asked: Asked, wishes: Wishes, form: Mapping[str, str]) -> Response:
        visit.require_own_form(form)
        match form.get("action"):
            case "login":
                return await self._log_in(visit, asked, form)
            case "other":
                await self._browser.sessions.end(visit.request.cookies.get(COOKIE))
                response = _see_other(asked.again)
                clear_cookie(response, visit.request, COOKIE)
                return response
            case ("allow" | "deny") as word:
                if visit.account is None:
                    return self._login(visit, asked)
                if word == "deny":
                    return visit.answer(
                        self._to_client(
                            asked, {"error": ACCESS_DENIED, "error_description": "the user said no"}
                        )
                    )
                await self._consents.grant(visit.account.user_id, asked.client.client_id, wishes.scopes)
                return visit.answer(await self._grant(asked, wishes, visit.account))
            case _:
                raise refused(INVALID_REQUEST, "form rejected: it has no such button")

    async def _log_in(self, visit: Visit, asked: Asked, form: Mapping[str, str]) -> Response:
        username, password = form.get("username", ""), form.get("password", "")
        try:
            account = await self._browser.check_password(visit.request, username, password)
        except SegueError as error:
            return self._login(visit, asked, error=error, username=username)
        if account.must_change:
            return visit.answer(change_first_page())
        return await self._browser.begin_session(visit.request, account, _see_other(asked.again))

    async def _asked(self, fields: Mapping[str, str]) -> Asked:
        """Raises Rejected; nobody may be redirected then."""
        client_id, redirect_uri = needed(fields, "client_id", "redirect_uri")
        client = await self._clients.get(client_id)
        if client is None:
            raise refused(INVALID_REQUEST, "client_id rejected: no client is registered under it")
        if not client.may_redirect_to(redirect_uri):
            raise refused(
                INVALID_REQUEST, "redirect_uri rejected: it is not exactly one that this client registered"
            )
        state = fields.get("state", "")
        if len(state) > STATE_CHARS_MAX:
            raise refused(INVALID_REQUEST, f"state rejected: at most {STATE_CHARS_MAX} characters are kept")
        kept = {name: fields[name] for name in PARAMETERS if name in fields}
        return Asked(
            client=client,
            redirect_uri=redirect_uri,
            state=state,
            again=f"/authorize?{urlencode(kept)}",
            fields=kept,
        )

    async def _grant(self, asked: Asked, wishes: Wishes, account: Account) -> Response:
        code = await self._grants.issue_code(
            asked.client,
            account,
            scopes=wishes.scopes,
            redirect_uri=asked.redirect_uri,
            challenge=wishes.challenge,
        )
        return self._to_client(asked, {"code": code})

    def _to_client(self, asked: Asked, fields: Mapping[str, str]) -> Response:
        state = {"state": asked.state} if asked.state else {}
        # `iss`: a client of several servers sees which of them answered (RFC 9207).
        query = urlencode({**fields, **state, "iss": self._issuer})
        joint = "&" if "?" in asked.redirect_uri else "?"
        return _see_other(f"{asked.redirect_uri}{joint}{query}")

    def _login(
        self, visit: Visit, asked: Asked, *, error: SegueError | None = None, username: str = ""
    ) -> Response:
        return visit.answer(
            login_page(
                asked.again,
                csrf=visit.csrf(),
                error=error,
                username=username,
                said=f"{asked.client.name} asks to act for you. Log in to see what it wants.",
            )
        )

    def _consent(self, visit: Visit, asked: Asked, wishes: Wishes, account: Account) -> Response:
        return visit.answer(
            pages.page(
                f"Let {asked.client.name} in?",
                pages.consent_form(
                    asked.again,
                    client_name=asked.client.name,
                    username=account.username,
                    scopes=wishes.scopes,
                    goes_to=asked.redirect_uri,
                ),
                form_targets=(form_target(asked.redirect_uri),),
                csrf=visit.csrf(),
            )
        )


def login_page(
    action: str, *, csrf: str, said: str = "", error: SegueError | None = None, username: str = ""
) -> Response:
    wrong, status = "", 200
    if error is not None:
        status = TABLE[error.code].http
        wrong = (
            "That user name and password do not go together."
            if error.code is Code.UNAUTHORIZED
            else "Too many tries. Wait a little, then try again."
        )
    response = pages.page(
        "Log in",
        pages.paragraph(said) if said else "",
        pages.login_form(action, wrong=wrong, username=username),
        status=status,
        csrf=csrf,
    )
    if error is not None and error.retry_after_ms is not None:
        response.headers["retry-after"] = str(-(-error.retry_after_ms // 1000))
    return response


def change_first_page() -> Response:
    return pages.page(
        "Choose your own password first",
        pages.paragraph(
            "This password was for one time. Change it, then come back here and log in with yours."
        ),
        pages.link("/password", "Change the password"),
        status=403,
    )


def error_page(error: SegueError) -> Response:
    response = pages.page("That did not work", pages.paragraph(error.message), status=TABLE[error.code].http)
    if error.retry_after_ms is not None:
        response.headers["retry-after"] = str(-(-error.retry_after_ms // 1000))
    return response


def _wishes(asked: Asked) -> Wishes:
    """Raises Rejected with one of OAuth's words, for the client to be told."""
    fields = asked.fields
    if fields.get("response_type") != "code":
        raise refused(UNSUPPORTED_RESPONSE_TYPE, "response_type rejected: it must be code")
    scopes = frozenset(checked_scopes(fields.get("scope", "").split()))
    challenge = fields.get("code_challenge", "")
    method = fields.get("code_challenge_method", "")
    if challenge or method:
        if method != "S256":
            raise refused(INVALID_REQUEST, "code_challenge_method rejected: it must be S256")
        if not CHALLENGE.fullmatch(challenge):
            raise refused(INVALID_REQUEST, "code_challenge rejected: it is not 43 characters of base64url")
    elif asked.client.is_public:
        raise refused(INVALID_REQUEST, "code_challenge missing: a public client must use PKCE with S256")
    return Wishes(
        scopes=scopes, challenge=challenge, ask_again=fields.get("show_dialog", "").lower() == "true"
    )


def _see_other(location: str) -> Response:
    """303: the browser goes there with GET and without the form (RFC 9700 §4.12)."""
    return Response(
        status_code=303,
        headers={"location": location, "cache-control": "no-store", "referrer-policy": "no-referrer"},
    )

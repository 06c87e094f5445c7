"""`/device`: where a person enters the code that a device shows, sees who asks for what, and answers.

A link may carry the code (RFC 8628 §3.3.1), but never the answer: the page shows the code again, and asks
whether that is the one on the screen (§5.4).
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel.errors import TABLE, Code, SegueError, Unavailable
from kernel.units import Clock
from serve.accounts import Account
from serve.buckets import Buckets
from serve.identity import pages
from serve.identity.authorize import change_first_page, error_page, login_page
from serve.identity.browser import Browser, Visit
from serve.identity.clients import Client, Clients
from serve.identity.consents import Consents
from serve.identity.device_flow import DeviceFlow, Waiting, shown, typed
from serve.identity.forms import clear_cookie, form_of, query_of
from serve.identity.page_sessions import COOKIE
from serve.identity.refusals import INVALID_REQUEST, refused

CODE_TRIES_BURST = 10
CODE_TRY_EVERY_S = 30.0
"""Of a listener: 20^8 codes, a few of which wait, and two guesses a minute (RFC 8628 §5.1)."""
USERS_LIMITED_MAX = 10_000


class DevicePage:
    def __init__(
        self, browser: Browser, clients: Clients, consents: Consents, devices: DeviceFlow, clock: Clock
    ) -> None:
        self._browser = browser
        self._clients = clients
        self._consents = consents
        self._devices = devices
        self._tries = Buckets(
            clock, burst=CODE_TRIES_BURST, refill_s=CODE_TRY_EVERY_S, names_max=USERS_LIMITED_MAX
        )

    def routes(self) -> list[Route]:
        return [Route("/device", self.device, methods=["GET", "POST"])]

    async def device(self, request: Request) -> Response:
        try:
            visit = await self._browser.visit(request)
            if request.method == "POST":
                return await self._posted(visit, await form_of(request))
            user_code = query_of(request).get("user_code", "")
        except SegueError as error:
            return error_page(error)
        if visit.account is None:
            return self._login(visit, user_code)
        return visit.answer(
            pages.page(
                "Connect a device",
                pages.paragraph(f"You are logged in as {visit.account.username}.", quiet=True),
                pages.user_code_form(user_code=user_code[:16]),
                csrf=visit.csrf(),
            )
        )

    async def _posted(self, visit: Visit, form: Mapping[str, str]) -> Response:
        visit.require_own_form(form)
        user_code, action = form.get("user_code", ""), form.get("action")
        here = _here(query_of(visit.request).get("user_code", ""))
        if action == "login":
            return await self._log_in(visit, form, here)
        if action == "other":
            await self._browser.sessions.end(visit.request.cookies.get(COOKIE))
            response = _see_other(_here(user_code))
            clear_cookie(response, visit.request, COOKIE)
            return response
        if visit.account is None:
            return self._login(visit, user_code)
        if action not in ("find", "allow", "deny"):
            raise refused(INVALID_REQUEST, "form rejected: it has no such button")
        # Whatever the button: a form that says "allow" must not be a way around the limit.
        if (wait_ms := self._tries.take(visit.account.user_id)) is not None:
            raise Unavailable(Code.RATE_LIMITED, "code rejected: too many tries", None, wait_ms)
        waiting = await self._devices.waiting(user_code)
        client = await self._clients.get(waiting.client_id) if waiting is not None else None
        if waiting is None or client is None:
            return self._unknown(visit, user_code)
        self._tries.give_back(visit.account.user_id)
        if action == "find":
            return self._ask(visit, visit.account, client, waiting)
        return await self._decide(visit, visit.account, client, waiting, allowed=action == "allow")

    async def _decide(
        self, visit: Visit, account: Account, client: Client, waiting: Waiting, *, allowed: bool
    ) -> Response:
        if allowed:
            await self._consents.grant(account.user_id, client.client_id, waiting.scopes)
        if not await self._devices.decide(waiting, client, account if allowed else None):
            return self._unknown(visit, waiting.user_code)
        said = "You can go back to it now." if allowed else "It was told no."
        return visit.answer(pages.page("Connected" if allowed else "Not connected", pages.paragraph(said)))

    def _ask(self, visit: Visit, account: Account, client: Client, waiting: Waiting) -> Response:
        return visit.answer(
            pages.page(
                f"Let {client.name} in?",
                pages.consent_form(
                    "/device",
                    client_name=client.name,
                    username=account.username,
                    scopes=waiting.scopes,
                    goes_to="",
                    user_code=shown(waiting.user_code),
                ),
                csrf=visit.csrf(),
            )
        )

    async def _log_in(self, visit: Visit, form: Mapping[str, str], here: str) -> Response:
        username, password = form.get("username", ""), form.get("password", "")
        try:
            account = await self._browser.check_password(visit.request, username, password)
        except SegueError as error:
            return visit.answer(login_page(here, csrf=visit.csrf(), error=error, username=username))
        if account.must_change:
            return visit.answer(change_first_page())
        return await self._browser.begin_session(visit.request, account, _see_other(here))

    def _login(self, visit: Visit, user_code: str) -> Response:
        return visit.answer(
            login_page(_here(user_code), csrf=visit.csrf(), said="Log in to connect a device.")
        )

    def _unknown(self, visit: Visit, user_code: str) -> Response:
        return visit.answer(
            pages.page(
                "Connect a device",
                pages.user_code_form(
                    wrong="No device shows this code now. Look at it again; a code lives for ten minutes.",
                    user_code=user_code[:16],
                ),
                status=TABLE[Code.NOT_FOUND].http,
                csrf=visit.csrf(),
            )
        )


def _here(user_code: str) -> str:
    code = typed(user_code)
    return f"/device?user_code={code}" if code else "/device"


def _see_other(location: str) -> Response:
    return Response(status_code=303, headers={"location": location, "cache-control": "no-store"})

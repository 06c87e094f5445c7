"""What the pages of identity share: whose browser this is, and that a form was filled in on our page.

Against forms that another site sends (CSRF, also for logging in) stand three things: the session's cookie is
SameSite=Lax; the Origin must be ours; and the form holds a hash of a cookie that only our page could read.
The hash covers the account too, so a form that was made for one is not sent as another.
"""

from collections.abc import Mapping
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from kernel.errors import Code, Rejected
from serve.accounts import Account, Accounts
from serve.identity.forms import require_own_origin, set_cookie
from serve.identity.opaque import new_secret, same
from serve.identity.page_sessions import COOKIE, LIFE_S, Opened, PageSessions
from serve.rest.exchange import peer_address
from serve.settings import Settings

FORM_COOKIE = "segue_form"
FORM_COOKIE_CHARS = 43


class Visit:
    """One request of a browser to one of the pages."""

    def __init__(self, request: Request, opened: Opened | None) -> None:
        self.request = request
        self.opened = opened
        kept = request.cookies.get(FORM_COOKIE, "")
        self._had_form_cookie = len(kept) == FORM_COOKIE_CHARS
        self._form_cookie = kept if self._had_form_cookie else new_secret()

    @property
    def account(self) -> Account | None:
        """None when nobody is logged in."""
        return self.opened.account if self.opened is not None else None

    def csrf(self) -> str:
        user_id = self.account.user_id if self.account is not None else ""
        return sha256(f"segue form {self._form_cookie} {user_id}".encode()).hexdigest()

    def require_own_form(self, form: Mapping[str, str]) -> None:
        """Raises Rejected FORBIDDEN."""
        if not self._had_form_cookie or not same(form.get("csrf", ""), self.csrf()):
            raise Rejected(
                Code.FORBIDDEN,
                "form rejected: it was not filled in on our page, or too long ago; load it again",
            )

    def answer(self, response: Response) -> Response:
        """With the cookies that are due."""
        if not self._had_form_cookie:
            set_cookie(response, self.request, FORM_COOKIE, self._form_cookie, life_s=LIFE_S)
        if self.opened is not None and self.opened.next_cookie is not None:
            set_cookie(response, self.request, COOKIE, self.opened.next_cookie, life_s=LIFE_S)
        return response


class Browser:
    def __init__(
        self, accounts: Accounts, sessions: PageSessions, settings: Settings, *, behind_proxy: bool
    ) -> None:
        self._accounts = accounts
        self.sessions = sessions
        self._own_origins = (settings.http_url, *settings.allowed_origins)
        self._behind_proxy = behind_proxy

    async def visit(self, request: Request) -> Visit:
        """Raises Rejected FORBIDDEN for a form that another site sent."""
        if request.method == "POST":
            self.require_own_origin(request)
        return Visit(request, await self.sessions.open(request.cookies.get(COOKIE), rotate=True))

    def require_own_origin(self, request: Request) -> None:
        require_own_origin(request, self._own_origins)

    async def check_password(self, request: Request, username: str, password: str) -> Account:
        """Raises what `Accounts.log_in` raises."""
        address = peer_address(request, behind_proxy=self._behind_proxy)
        return await self._accounts.log_in(username, password, address=address)

    async def begin_session(self, request: Request, account: Account, response: Response) -> Response:
        """A new session, whatever the browser had before; the old one ends."""
        await self.sessions.end(request.cookies.get(COOKIE))
        set_cookie(response, request, COOKIE, await self.sessions.begin(account), life_s=LIFE_S)
        return response

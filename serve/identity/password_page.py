"""`/password`: replace a password, which the one-time password of the first start demands."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kernel.errors import TABLE, Code, Rejected, SegueError
from serve.accounts import Accounts
from serve.identity import pages
from serve.identity.authorize import error_page
from serve.identity.browser import Browser
from serve.identity.forms import form_of
from serve.identity.session_endpoints import changed


class PasswordPage:
    def __init__(self, browser: Browser, accounts: Accounts) -> None:
        self._browser = browser
        self._accounts = accounts

    def routes(self) -> list[Route]:
        return [Route("/password", self.password, methods=["GET", "POST"])]

    async def password(self, request: Request) -> Response:
        try:
            visit = await self._browser.visit(request)
            if request.method == "GET":
                name = visit.account.username if visit.account is not None else ""
                return visit.answer(
                    pages.page("Change a password", pages.password_form(username=name), csrf=visit.csrf())
                )
            form = await form_of(request)
            visit.require_own_form(form)
        except SegueError as error:
            return error_page(error)
        username, new_password = form.get("username", ""), form.get("new_password", "")
        try:
            if new_password != form.get("again", ""):
                raise Rejected(Code.BAD_REQUEST, "The two new passwords differ.")
            password = form.get("password", "")
            account = await self._browser.check_password(request, username, password)
            account = await changed(self._accounts, account, password, new_password)
        except SegueError as error:
            response = pages.page(
                "Change a password",
                pages.password_form(wrong=error.message, username=username),
                status=TABLE[error.code].http,
                csrf=visit.csrf(),
            )
            if error.retry_after_ms is not None:
                response.headers["retry-after"] = str(-(-error.retry_after_ms // 1000))
            return visit.answer(response)
        done = pages.page(
            "Changed",
            pages.paragraph("Every device that was logged in with the old password has to log in again."),
            pages.link("/", "Go on to the music"),
        )
        return await self._browser.begin_session(request, account, done)

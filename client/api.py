"""The HTTP half of the client: a token, the way to the socket, and anything else under `/v1`.

Answers that are refusals become the errors of `kernel.errors`, so a caller sees one tree whether a refusal
came over HTTP or over the socket.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import httpx
import msgspec

from connect.frames import Limits
from kernel.errors import TABLE, Code, Rejected, SegueError, Unavailable
from kernel.units import Millis

TIMEOUT_S = 10.0
CONNECTIONS_MAX = 20

Decoded = TypeVar("Decoded")


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `POST /api/token`."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int = 3600
    """Seconds."""
    scope: str = ""


class Doorway(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `GET /v1/connect`: where the socket is, and the ticket that opens it."""

    url: str
    ticket: str
    expires_in: int
    """Seconds."""
    subprotocols: tuple[str, ...]
    owner_epoch: int = 0
    limits: Limits = Limits()


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Either a name and a password, or a token that was saved."""

    username: str = ""
    password: str = ""
    access_token: str = ""

    def __repr__(self) -> str:  # a traceback must not show a secret
        return f"Credentials(username={self.username!r})"


class Doorkeeper(Protocol):
    """Who a link asks for the way in."""

    async def connect_info(self) -> Doorway:
        """Raises Unavailable while nobody owns the session, Rejected when the user may not."""
        ...


class Api:
    """One user at one server."""

    def __init__(
        self, base_url: str, credentials: Credentials, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._token = credentials.access_token
        # trust_env off: a proxy named in the environment is for the internet, not for the server next door.
        self.http = httpx.AsyncClient(
            timeout=TIMEOUT_S,
            trust_env=False,
            transport=transport,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
        )

    async def close(self) -> None:
        await self.http.aclose()

    async def login(self) -> Token:
        """A fresh token for the name and the password. Raises Rejected UNAUTHORIZED when they are wrong."""
        form = {
            "grant_type": "password",
            "username": self._credentials.username,
            "password": self._credentials.password,
        }
        token = _convert(await self._exchange("POST", "/api/token", data=form), Token)
        self._token = token.access_token
        return token

    async def connect_info(self) -> Doorway:
        """Where this user's socket is now."""
        return _convert(await self.get("/v1/connect"), Doorway)

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        return await self.request("GET", path, params=params)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
    ) -> Any:
        """The decoded body of a 2xx answer, None when empty. Logs in when that is needed and possible."""
        if not self._token:
            await self.login()
        try:
            return await self._exchange(method, path, params=params, json=json, token=self._token)
        except Rejected as refused:
            # A token runs out while a device plays for days; a saved one cannot be renewed from here.
            if refused.code is not Code.UNAUTHORIZED or not self._credentials.password:
                raise
        await self.login()
        return await self._exchange(method, path, params=params, json=json, token=self._token)

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
        data: Mapping[str, str] | None = None,
        token: str = "",
    ) -> Any:
        url = f"{self.base_url}{path}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = await self.http.request(
                method, url, params=params, json=json, data=data, headers=headers
            )
        except httpx.HTTPError as fault:
            why = str(fault) or type(fault).__name__
            raise Unavailable(Code.TIMEOUT, f"{method} {url} had no answer: {why}") from fault
        if answer.is_success:
            return answer.json() if answer.content else None
        raise refusal(method, url, answer)


def refusal(method: str, url: str, answer: httpx.Response) -> SegueError:
    """The error that an answer outside 2xx stands for (Web API shape, or OAuth's)."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    reason, text = "", answer.reason_phrase
    match body:
        case {"error": {"message": str(text), **rest}}:
            reason = str(rest.get("reason") or "")
        case {"error": str(reason), **rest}:
            text = str(rest.get("error_description") or reason)
        case _:
            pass
    code = _code(answer.status_code, reason)
    after = answer.headers.get("Retry-After", "")
    retry_after_ms = Millis(int(after) * 1000) if after.isdigit() else None
    message = f"{method} {url} answered {answer.status_code}: {text}"
    kind = Unavailable if TABLE[code].retry else Rejected
    return kind(code, message, {"status": answer.status_code, "reason": reason}, retry_after_ms)


def _code(status: int, reason: str) -> Code:
    if reason in Code.__members__:
        return Code[reason]
    match status:
        case 401:
            return Code.UNAUTHORIZED
        case 400:
            return Code.UNAUTHORIZED if reason == "invalid_grant" else Code.BAD_REQUEST
        case 403:
            return Code.FORBIDDEN
        case 404:
            return Code.NOT_FOUND
        case 410:
            return Code.LEASE_EXPIRED
        case 429:
            return Code.RATE_LIMITED
        case 502 | 503 | 504:
            return Code.BUSY
        case _:
            return Code.BAD_REQUEST if status < 500 else Code.INTERNAL


def _convert(body: object, shape: type[Decoded]) -> Decoded:
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as fault:
        raise Unavailable(
            Code.INTERNAL, f"the server's answer is not a {shape.__name__}: {fault}; is this a Segue server?"
        ) from fault

"""What every handler needs: who asks, what they sent, and answers in the Web API's shape."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import xxhash
from starlette.requests import Request
from starlette.responses import Response

from catalog.markets import MARKETS
from kernel.errors import TABLE, Code, Rejected, SegueError
from kernel.ids import is_catalogue_id
from serve.tokens import AccessClaims

BODY_BYTES_MAX = 64 * 1024
PAGE_LIMIT_MAX = 50
"""Items of one page, and ids of one request; the Web API's figure."""
OFFSET_MAX = 100_000
REVALIDATE = "private, no-cache"
"""For what changes seldom: kept by the browser, asked about each time, and answered by 304."""

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def json_response(value: object, *, status: int = 200, cache_control: str = "no-store") -> Response:
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": cache_control},
    )


def tagged_response(request: Request, value: object) -> Response:
    """`value` with an ETag over its bytes; 304 without a body when the client has just that."""
    body = msgspec.json.encode(value)
    # Weak: the bytes are one encoding of the value, and a proxy may compress them.
    tag = f'W/"{xxhash.xxh3_128_hexdigest(body)}"'
    headers = {"etag": tag, "cache-control": REVALIDATE, "vary": "authorization"}
    known = {part.strip() for part in request.headers.get("if-none-match", "").split(",")}
    if "*" in known or tag in known or tag.removeprefix("W/") in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def no_content() -> Response:
    return Response(status_code=204, headers={"cache-control": "no-store"})


def error_response(error: SegueError) -> Response:
    """`{"error": {"status", "message", "reason"}}`, with Retry-After where there is a time."""
    status = TABLE[error.code].http
    response = json_response(
        {"error": {"status": status, "message": error.message, "reason": error.code.value}}, status=status
    )
    if error.retry_after_ms is not None:
        response.headers["retry-after"] = str(-(-error.retry_after_ms // 1000))
    if status == 401:
        # RFC 6750 §3.1: the error is named only to those who brought a token.
        word = ', error="invalid_token"' if "expired" in error.details else ""
        response.headers["www-authenticate"] = f'Bearer realm="segue"{word}'
    return response


def claims_of(request: Request, *scopes: str) -> AccessClaims:
    """Who asks. Raises Rejected FORBIDDEN when the token has none of `scopes` (if any are named)."""
    claims: AccessClaims = request.state.claims
    if scopes and claims.scopes.isdisjoint(scopes):
        raise Rejected(
            Code.FORBIDDEN, f"{request.method} {request.url.path} needs the scope {' or '.join(scopes)}"
        )
    return claims


async def bytes_of(request: Request) -> bytes:
    """The body. Raises Rejected FRAME_TOO_LARGE as soon as it is too long, also when it does not say so."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_BYTES_MAX:
            raise Rejected(Code.FRAME_TOO_LARGE, f"body rejected: larger than {BODY_BYTES_MAX} bytes")
    return data


async def body_of(request: Request, shape: type[T]) -> T | None:
    """The JSON body as `shape`; None when there is no body. Raises Rejected BAD_REQUEST, FRAME_TOO_LARGE."""
    data = await bytes_of(request)
    if not data.strip():
        return None
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Code.BAD_REQUEST, f"body rejected: {error}") from None


def integer(request: Request, name: str, *, low: int, high: int, default: int | None = None) -> int:
    """A query parameter. Raises Rejected BAD_REQUEST; `default` None makes it required."""
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    try:
        value = int(text or "")
    except ValueError:
        raise Rejected(
            Code.BAD_REQUEST, f"{name}={text!r} rejected: a whole number from {low} to {high} is needed"
        ) from None
    if not low <= value <= high:
        raise Rejected(Code.BAD_REQUEST, f"{name}={value} rejected: it must be from {low} to {high}")
    return value


def required(request: Request, name: str) -> str:
    text = request.query_params.get(name)
    if not text:
        raise Rejected(Code.BAD_REQUEST, f"{request.url.path} rejected: the parameter {name} is missing")
    return text


def ids(request: Request, *, most: int = PAGE_LIMIT_MAX) -> list[str]:
    """The `ids` parameter. Raises Rejected BAD_REQUEST: missing, too many, or one that cannot be an id."""
    found = [part.strip() for part in required(request, "ids").split(",") if part.strip()]
    if not 1 <= len(found) <= most:
        raise Rejected(Code.BAD_REQUEST, f"ids rejected: {len(found)} named, 1 to {most} are allowed")
    return [checked_id(each) for each in found]


def path_id(request: Request) -> str:
    """The `{id}` of the path. Raises Rejected BAD_REQUEST when it cannot be an id."""
    return checked_id(str(request.path_params["id"]))


def checked_id(text: str) -> str:
    if not is_catalogue_id(text):
        raise Rejected(Code.BAD_REQUEST, f"id {text[:64]!r} rejected: it is not 22 letters and digits")
    return text


def market_of(request: Request, claims: AccessClaims) -> str:
    """Whose market the answer is for: the listener's own, whatever `market` asks, as in the Web API.

    Raises Rejected BAD_REQUEST when `market` is not a market.
    """
    asked = request.query_params.get("market")
    if asked is not None and asked != "from_token" and asked not in MARKETS:
        raise Rejected(Code.BAD_REQUEST, f"market={asked[:16]!r} rejected: it is no ISO 3166-1 country code")
    return claims.country


def offset_and_limit(request: Request, *, default: int = 20) -> tuple[int, int]:
    """Where a page begins and how long it may be. Raises Rejected BAD_REQUEST."""
    offset = integer(request, "offset", low=0, high=OFFSET_MAX, default=0)
    return offset, integer(request, "limit", low=1, high=PAGE_LIMIT_MAX, default=default)


def peer_address(request: Request, *, behind_proxy: bool) -> str:
    """Whose request this is, for limits. `behind_proxy`: our own proxy appended the address it saw."""
    if behind_proxy:
        forwarded = request.headers.getlist("x-forwarded-for")
        if forwarded:
            # The last is the one that our proxy wrote; those before it are whatever the client sent.
            return forwarded[-1].split(",")[-1].strip()[:64]
    return request.client.host if request.client else "unknown"

"""What every handler needs: who asks, what they sent, and answers in the Web API's shape."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import xxhash
from starlette.requests import Request
from starlette.responses import Response

from kernel.errors import TABLE, Code, Rejected, SegueError
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


def peer_address(request: Request, *, behind_proxy: bool) -> str:
    """Whose request this is, for limits. `behind_proxy`: our own proxy appended the address it saw."""
    if behind_proxy:
        forwarded = request.headers.getlist("x-forwarded-for")
        if forwarded:
            # The last is the one that our proxy wrote; those before it are whatever the client sent.
            return forwarded[-1].split(",")[-1].strip()[:64]
    return request.client.host if request.client else "unknown"
